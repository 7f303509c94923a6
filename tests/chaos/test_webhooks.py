"""Deliveries that come at their times, whatever the answers do: none is lost, and none acts twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.webhooks import storm, weather, world

pytestmark = pytest.mark.slow


def test_a_storm_of_deliveries_loses_none_and_none_acts_twice(tmp_path: Path, database_url: str) -> None:
    with world(tmp_path, database_url) as service:
        made = storm(service, 500, seed=1)
        outcome = weather(service, made, rate=100)
    assert (outcome.stories, outcome.commands) == (25, 5)
    assert outcome.wrong == []
