"""Numbers as people write them in comments, labels, policies and options: `800k`, `1M`, `20m`, `90s`."""

from __future__ import annotations

import re

_WHOLE = re.compile(r"([0-9]{1,12})([kM]?)\Z")
_DURATION = re.compile(r"([0-9]{1,6})([smh])\Z")
_TIMES = {"": 1, "k": 1_000, "M": 1_000_000, "s": 1, "m": 60, "h": 3_600}
MOST = 10**12


def whole(text: str) -> int:
    """`"800k"` → 800000. ASCII digits, k or M. Raises ValueError for zero and for what is no number."""
    found = _WHOLE.match(text.strip())
    number = int(found[1]) * _TIMES[found[2]] if found else 0
    if not 0 < number <= MOST:
        raise ValueError(f"{text!r} is not a whole number such as 50, 800k or 1M")
    return number


def duration(text: str) -> int:
    """`"20m"` → 1200 seconds. s, m or h; at most a week. Raises ValueError."""
    found = _DURATION.match(text.strip())
    seconds = int(found[1]) * _TIMES[found[2]] if found else 0
    if not 0 < seconds <= 7 * 86_400:
        raise ValueError(f"{text!r} is not a time such as 90s, 20m or 1h")
    return seconds
