"""Everything that is tried, in the order in which it is."""

from __future__ import annotations

from tests.fuzz import answers, api, changes, deliveries, doors, forms, gates, pages, typed, words
from tests.fuzz.target import Tried

TARGETS: tuple[Tried, ...] = (
    *words.TARGETS,
    *answers.TARGETS,
    *changes.TARGETS,
    *deliveries.TARGETS,
    *doors.TARGETS,
    *pages.TARGETS,
    *forms.TARGETS,
    *gates.TARGETS,
    *typed.TARGETS,
    *api.TARGETS,
)
