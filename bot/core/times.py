"""Spans of time in milliseconds, as the database's clock has them and every time that is kept."""

from __future__ import annotations

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
