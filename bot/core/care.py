"""How hard the native engine's model tries, and how much it keeps in mind, for each class of task (R10).

`effort` is the API's (docs: build-with-claude/effort, 2026-08-22). `context` is in tokens of conversation:
every turn reads all of it again. A policy's `effort` and `context` hold for all classes; the model's whole
window of a million is there only for those who ask for it.
"""

from __future__ import annotations

from dataclasses import dataclass

# What a policy may say: the working range, and what has to be asked for.
CONTEXTS = {
    "50k": 50_000,
    "100k": 100_000,
    "150k": 150_000,
    "200k": 200_000,
    "500k": 500_000,
    "1M": 1_000_000,
}


@dataclass(frozen=True, slots=True)
class Care:
    effort: str
    context: int


CARE = {
    "default": Care("high", 100_000),
    "bugfix": Care("high", 80_000),  # most of it is finding the cause
    "feature": Care("high", 120_000),
    # Many small steps, each checked by tests: breadth more than depth.
    "refactor": Care("medium", 160_000),
    "sweep": Care("medium", 80_000),
}


def care(task_class: str, effort: str | None = None, context: int | None = None) -> Care:
    """What holds for a run of that class; a class of one's own is worked on as the default."""
    usual = CARE.get(task_class, CARE["default"])
    return Care(effort or usual.effort, context or usual.context)
