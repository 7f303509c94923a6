"""Discount codes: percent off."""

CODES = {"SPRING10": 10, "STAFF25": 25}


class Unknown(Exception):
    """There is no such code."""


def percent(code):
    """What a code takes off; upper and lower case are the same. Raises Unknown."""
    try:
        return CODES[code.strip().upper()]
    except KeyError:
        raise Unknown(code) from None
