"""Money: whole nano-dollars, and nothing else that could be mistaken for them (M1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

NANOS = 1_000_000_000
CENT = NANOS // 100
_AMOUNT = re.compile(r"\$?(?P<dollars>[0-9]{1,9})(?:\.(?P<cents>[0-9]{1,9}))?\Z")


@dataclass(frozen=True, slots=True, order=True)
class Usd:
    """An amount of US dollars in whole nano-dollars; an int64 in the database."""

    nanos: int = 0

    @staticmethod
    def parse(text: str) -> Usd:
        """`"$10"`, `"0.25"`. ASCII digits, at most nine before and after the point. Raises ValueError."""
        found = _AMOUNT.match(text.strip())
        if not found:
            raise ValueError(f"{text!r} is not an amount of dollars such as $10 or $0.50")
        return Usd(int(found["dollars"]) * NANOS + int((found["cents"] or "").ljust(9, "0")))

    def __add__(self, other: Usd) -> Usd:
        return Usd(self.nanos + other.nanos)

    def __sub__(self, other: Usd) -> Usd:
        return Usd(self.nanos - other.nanos)

    def __mul__(self, times: int) -> Usd:
        return Usd(self.nanos * times)

    def __neg__(self) -> Usd:
        return Usd(-self.nanos)

    def __bool__(self) -> bool:
        return self.nanos != 0

    def over(self, parts: int) -> Usd:
        """Divided, rounded up: a share may be overstated by a nano-dollar, never understated."""
        return Usd(-(-self.nanos // parts))

    @property
    def exact(self) -> str:
        """Every digit, for machines: `"0.0312505"`. No exponent, no dollar sign."""
        sign, whole = ("-" if self.nanos < 0 else ""), abs(self.nanos)
        digits = f"{whole % NANOS:09d}".rstrip("0")
        return f"{sign}{whole // NANOS}" + (f".{digits}" if digits else "")

    @property
    def decimal(self) -> Decimal:
        return Decimal(self.nanos).scaleb(-9)

    def __str__(self) -> str:
        """For people: cents, or up to four decimals, rounded up: never understates a cost."""
        sign, steps = ("-" if self.nanos < 0 else ""), -(-abs(self.nanos) // 100_000)
        digits = f"{steps % 10_000:04d}"
        return f"{sign}${steps // 10_000:,}.{digits[:2]}{digits[2:].rstrip('0')}"


ZERO = Usd(0)


def total(amounts: Iterable[Usd]) -> Usd:
    return Usd(sum(amount.nanos for amount in amounts))
