"""An engine is watched: it ends at the deadline, at a stop, when it breaks; and its ending is judged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bot.core.ceilings import Reason
from bot.core.reports import Check
from bot.runner import supervise
from bot.runner.engines import Ending, Event, Task, Tell, Workspace
from bot.runner.supervise import Stop, judged, watched
from tests.runner.world import task

Work = Callable[[Tell, threading.Event], Ending]


@dataclass(frozen=True)
class Acting:
    """An engine that does what it is told to."""

    acts: Work
    name: str = "acting"
    version: str = "1"
    settings: tuple[str, ...] = ()
    native: bool = True

    def work(self, task: Task, workspace: Workspace, tell: Tell, stop: threading.Event) -> Ending:
        return self.acts(tell, stop)


class Nothing:
    def call(self, name: str, given: Any, stop: threading.Event) -> Any:
        raise AssertionError(name)

    def ran(self, command: str, failed: bool) -> None:
        raise AssertionError(command)


def watch(acts: Work, stop: Stop | None = None, seconds: float = 60, patience: float = 60) -> Ending:
    given = task("http://nowhere")
    return watched(
        Acting(acts), given, Nothing(), lambda event: None, stop or Stop(), seconds, patience=patience
    )


def until_stopped(tell: Tell, stop: threading.Event) -> Ending:
    tell(Event("turn", "I looked around.", 3, 5))
    stop.wait()
    return Ending("halted", "I looked around.", None, "stopped", 5, 3)


def test_an_engine_that_ends_by_itself_has_the_word() -> None:
    assert watch(lambda tell, stop: Ending("done", "Fixed.")) == Ending("done", "Fixed.")


def test_at_its_deadline_a_run_halts_for_the_wall_clock_with_what_was_said_last() -> None:
    ending = watch(until_stopped, seconds=-supervise.DEADLINE_GRACE)
    assert (ending.outcome, ending.reason) == ("halted", Reason.WALL_CLOCK)
    assert (ending.summary, ending.tool_calls, ending.turns) == ("I looked around.", 5, 3)


def test_an_engine_that_does_not_hear_is_left_behind() -> None:
    released, stop = threading.Event(), Stop()

    def deaf(tell: Tell, stopped: threading.Event) -> Ending:
        tell(Event("turn", "Thinking.", 1, 2))
        stop.now("stopped", "ada stopped it")
        released.wait(60)
        return Ending("done", "Too late.")

    ending = watch(deaf, stop, patience=0.05)
    released.set()
    assert ending == Ending("halted", "Thinking.", "stopped", "ada stopped it", 2, 1)


def test_the_gateways_sentence_goes_before_the_stops() -> None:
    stop = Stop()

    def halted(tell: Tell, stopped: threading.Event) -> Ending:
        stop.now(None, None)
        return Ending("halted", "", "cost_ceiling", "halted at step 4: $5.00 cost ceiling reached")

    ending = watch(halted, stop)
    assert (ending.reason, ending.message) == ("cost_ceiling", "halted at step 4: $5.00 cost ceiling reached")


def test_who_finished_before_the_stop_has_finished() -> None:
    stop = Stop()

    def finished(tell: Tell, stopped: threading.Event) -> Ending:
        stop.now("stopped", "ada stopped it")
        return Ending("done", "Fixed.")

    assert watch(finished, stop).outcome == "done"


def test_an_engine_that_breaks_has_failed_with_its_work_so_far() -> None:
    def broken(tell: Tell, stop: threading.Event) -> Ending:
        tell(Event("turn", "Half of it.", 1, 1))
        raise ZeroDivisionError("oh")

    ending = watch(broken)
    assert (ending.outcome, ending.summary) == ("failed", "Half of it.")
    assert ending.message == "the engine broke: ZeroDivisionError: oh"


def test_the_first_stop_is_the_one_that_counts() -> None:
    stop = Stop()
    stop.now("stopped", "ada stopped it")
    stop.now("wall_clock_ceiling", "too late", cancelled=True)
    assert (stop.reason, stop.message, stop.cancelled) == ("stopped", "ada stopped it", True)


PASS, FAIL = Check("pytest -q", 0), Check("pytest -q", 1)


@pytest.mark.parametrize(
    ("wrapped_up", "check", "failed", "outcome"),
    [
        pytest.param(None, None, set(), "done", id="its own end, no tests: its word"),
        pytest.param(None, FAIL, set(), "done", id="its own end, tests fail: the report says both"),
        pytest.param(Reason.COST, PASS, {"pytest -q"}, "done", id="told to wrap up, what failed passes now"),
        pytest.param(Reason.COST, PASS, set(), "halted", id="told to wrap up, tests that never failed"),
        pytest.param(Reason.COST, PASS, {"tox"}, "halted", id="told to wrap up, other tests had failed"),
        pytest.param(Reason.STEPS, FAIL, {"pytest -q"}, "halted", id="told to wrap up, tests still fail"),
        pytest.param(Reason.TOKENS, None, set(), "halted", id="told to wrap up, nothing was tried"),
    ],
)  # fmt: skip
def test_who_was_told_to_wrap_up_is_done_only_if_tests_that_failed_pass(
    wrapped_up: Reason | None, check: Check | None, failed: set[str], outcome: str
) -> None:
    ending = judged(Ending("done", "I think it works.", wrapped_up=wrapped_up), check, failed)
    assert ending.outcome == outcome
    assert ending.reason == (wrapped_up if outcome == "halted" else None)
    assert ending.summary == "I think it works."
