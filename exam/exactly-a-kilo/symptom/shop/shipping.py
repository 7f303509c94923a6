"""What it costs to send a parcel. Weights in grams, money in cents."""

# Up to and including this weight; what it costs.
BANDS = ((1_001, 390), (5_000, 690), (20_000, 1_290))
EXPRESS = 500


class TooHeavy(Exception):
    """No carrier of ours takes this."""


def band(grams):
    """The price of the band that a weight is in."""
    if grams <= 0:
        raise ValueError("a parcel weighs something")
    for most, cents in BANDS:
        if grams < most:
            return cents
    raise TooHeavy(f"{grams} g")


def cost(grams, express=False):
    """What sending a parcel costs."""
    return band(grams) + (EXPRESS if express else 0)
