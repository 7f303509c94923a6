"""Who pays how much of a bill. Money in whole cents."""


def split(total, weights):
    """Shares of `total` in proportion to `weights`; they sum to it.

    Everybody pays their exact share rounded down. The cents that are left over are paid one each by those
    whose share lost most in the rounding; of equals the earlier ones.
    """
    if not weights or min(weights) < 0 or not sum(weights):
        raise ValueError("weights are not negative, and some are positive")
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    lost = sorted(range(len(weights)), key=lambda each: -(total * weights[each] % whole))
    for each in lost[: total - sum(shares)]:
        shares[each] += 1
    return shares
