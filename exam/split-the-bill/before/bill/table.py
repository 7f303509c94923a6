"""A table of guests, and what each of them ordered."""

from bill.shares import split


def with_tip(orders, tip):
    """What each guest pays: the order, and of the tip a share in proportion to it."""
    names = list(orders)
    tips = split(tip, [orders[name] for name in names])
    return {name: orders[name] + share for name, share in zip(names, tips)}
