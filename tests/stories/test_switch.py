"""`python -m bot pause` through the real doors: launch, claim, runner; and what is said of it (P6)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.stories import agents
from tests.stories.service import ROOT, Service, serving
from tests.stories.test_launch import answers, end, issue, runs

pytestmark = pytest.mark.slow


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("switch")
    with serving(folder, f"sqlite:///{folder / 'tollgate.db'}", agents.UNTIL_STOPPED) as made:
        made.worker()
        yield made


def bot(service: Service, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bot", *words], env=service.env, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_a_pause_halts_the_live_run_refuses_the_next_and_both_say_who_and_why(service: Service) -> None:
    first, second = issue(service), issue(service)
    service.github.comment("dana", first, "/agent fix")
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {first} AND state = 'running'")
    said = bot(service, "pause", "--reason", "the bill")
    assert "1 live run was halted" in said
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {first} AND finished_at IS NOT NULL")
    report = next(body for body in answers(service, first) if "tollgate-run:" in body)
    assert "agent runs are paused everywhere by" in report
    assert "the bill" in report
    [(run, state, reason, _)] = runs(service, first)
    assert (state, reason) == ("halted", "stopped")
    assert service.github.file("half.txt", f"agent/run-{run}") == b"half"
    for words, count in (("/agent fix", 1), ("/agent resume", 2)):
        service.github.comment("dana", second if count == 1 else first, words)
    assert "agent runs are paused everywhere" in answers(service, second)[0]
    assert runs(service, second) == []
    service.until(f"SELECT count(*) = 1 FROM refusals WHERE thread = {first} AND reason = 'paused'")
    assert "Agent runs go on everywhere" in bot(service, "unpause")
    assert "Nothing was paused" in bot(service, "unpause", code=1)
    service.github.comment("dana", first, "/agent resume")
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {first} AND state = 'running'")
    end(service, first)
