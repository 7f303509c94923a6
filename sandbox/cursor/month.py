"""A month of a team's use of Cursor, made by a seed: the same seed, the same events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

MODELS = ("claude-4.5-sonnet", "claude-opus-4-7", "gpt-5", "composer-2")
KINDS = (
    ("Usage-based", True, 70),
    ("Included in Business", False, 25),
    ("Errored, Not Charged", False, 5),
)


def month(name: str, people: int, a_day: int, seed: int = 7) -> list[dict[str, Any]]:
    """Events of the month `2026-10`: at most `a_day` of each person on each of its days (UTC)."""
    random = Random(seed)
    start = datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC)
    found = []
    day = start
    while day.month == start.month:
        for person in range(1, people + 1):
            for _ in range(random.randint(0, a_day)):
                at = day + timedelta(milliseconds=random.randrange(86_400_000))
                found.append(event(random, at, f"dev{person}@acme.example"))
        day += timedelta(days=1)
    return found


def event(random: Random, at: datetime, email: str) -> dict[str, Any]:
    """One event as the API tells it."""
    kind, chargeable, _ = random.choices(KINDS, [weight for *_, weight in KINDS])[0]
    cents = 0.0 if kind.startswith("Errored") else random.randrange(1, 4_000_000) / 100_000
    fee = round(random.randrange(0, 200_000) / 100_000, 5) if cents else 0.0
    return {
        "timestamp": str(int(at.timestamp() * 1000)),
        "userEmail": email,
        "model": random.choice(MODELS),
        "kind": kind,
        "maxMode": random.random() < 0.3,
        "requestsCosts": random.choice([1, 1.4, 2, 5, 10]),
        "isTokenBasedCall": True,
        "isChargeable": chargeable,
        "isHeadless": False,
        "tokenUsage": {
            "inputTokens": random.randrange(100, 6_000),
            "outputTokens": random.randrange(50, 3_000),
            "cacheWriteTokens": random.randrange(0, 12_000),
            "cacheReadTokens": random.randrange(0, 60_000),
            "totalCents": cents,
        },
        "chargedCents": cents + fee,
        "cursorTokenFee": fee,
        "isFreeBugbot": False,
    }
