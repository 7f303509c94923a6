"""The settings of one customer: the defaults, and over them what was agreed."""

from copy import deepcopy

from billing.defaults import DEFAULTS


def merge(base, agreed):
    """`base` with what was agreed laid over it, group by group."""
    for name, value in agreed.items():
        if isinstance(value, dict):
            merge(base[name], value)
        else:
            base[name] = deepcopy(value)
    return base


def settings_of(agreed):
    """All settings of a customer who agreed on these."""
    return merge(deepcopy(DEFAULTS), agreed)
