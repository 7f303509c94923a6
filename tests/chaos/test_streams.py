"""Runs that stream at once through one worker process: each is settled exactly, and none passes a ceiling."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import service
from benchmarks.streams import through
from sandbox.processes import start

pytestmark = pytest.mark.slow


def test_streams_at_once_are_each_settled_to_the_nano_dollar(tmp_path: Path, database_url: str) -> None:
    clock = start("claude", character="clock", invoice=tmp_path / "invoice", event_ms=40, answer_tokens=40)
    with clock as claude, service.serving(database_url, claude.url) as served:
        outcome = through(served, claude, 40)
    assert outcome.wrong == []
    assert (
        outcome.heard.ended["whole"] == 38
    )  # of those with a single step one answer, of those without time none
