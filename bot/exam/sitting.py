"""Sitting the exam: each task in a checkout, a ledger and a gateway of its own, all under one total."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bot.clients.anthropic import Key
from bot.commands.local import Local, opened
from bot.core.ceilings import Ceilings, Reason
from bot.core.money import ZERO, Usd
from bot.core.prices import PriceBook
from bot.core.reports import Report
from bot.exam.judge import judged, unfit
from bot.exam.paper import Exercise
from bot.runner.engines import Event
from bot.runner.local import LocalResult, run_local

TASK_CLASS = "bugfix"


@dataclass(frozen=True, slots=True)
class Over:
    """Why no further task begins, as a sentence. `answers`: whether any could be had."""

    why: str
    answers: bool = True


INTERRUPTED = Over("interrupted")


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every task. `ceilings`: of one; `total`: of all together; `keep`: where work stays."""

    upstream: str
    key: Key
    prices: PriceBook
    ceilings: Ceilings
    sources: dict[str, str]
    total: Usd
    model: str
    engine: str
    env: Mapping[str, str]
    keep: Path
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One task. `verdict`: solved, unsolved, halted, failed (the agent), skipped, not sat; `why`: a sentence.

    Solved is what the tests say, however the run ended. `report` is None where nothing was started.
    """

    exercise: Exercise
    verdict: str
    why: str = ""
    report: Report | None = None
    changed: tuple[str, ...] = ()

    @property
    def usd(self) -> Usd:
        return self.report.spent.usd if self.report else ZERO

    @property
    def sat(self) -> bool:
        return self.report is not None


class Purse:
    """The total of an exam: what a task may spend is taken out before it begins, the rest put back after."""

    def __init__(self, total: Usd) -> None:
        self._left, self._out = total, 0
        self._change = threading.Condition()

    def take(self, amount: Usd) -> Usd | None:
        """None when it is taken, else what is left. Waits while tasks that have begun may put some back."""
        with self._change:
            self._change.wait_for(lambda: self._left >= amount or not self._out)
            if self._left < amount:
                return self._left
            self._left, self._out = self._left - amount, self._out + 1
            return None

    def put_back(self, rest: Usd) -> None:
        with self._change:
            self._left, self._out = self._left + rest, self._out - 1
            self._change.notify_all()


@dataclass
class Sitting:
    """An exam under way. `over` is None while further tasks begin."""

    terms: Terms
    told: Callable[[str, Event], None]  # (task, what its agent does)
    finished: Callable[[Result], None]
    over: Over | None = None
    results: dict[str, Result] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._purse = Purse(self.terms.total)
        self._live: list[Local] = []
        self._lock = threading.Lock()

    def sit(self, exercises: Sequence[Exercise], jobs: int) -> list[Result]:
        """Every task, `jobs` at a time; in their order. At Ctrl-C those under way end, and are told so."""
        with ThreadPoolExecutor(jobs, thread_name_prefix="exam") as pool:
            begun = [pool.submit(self._sit, each) for each in exercises]
            try:
                for each in begun:
                    each.result()
            except KeyboardInterrupt:
                self._end(INTERRUPTED)
            except BaseException:
                self._end(Over("the exam broke"))
                raise
        return [self.results[each.name] for each in exercises]

    def _end(self, why: Over) -> None:
        with self._lock:
            self.over = why
            for local in self._live:
                local.halted.set()

    def _sit(self, exercise: Exercise) -> None:
        result = self._result(exercise)
        with self._lock:
            self.results[exercise.name] = result
            self.finished(result)

    def _result(self, exercise: Exercise) -> Result:
        if self.over:
            return Result(exercise, "not sat", self.over.why)
        if why := unfit(exercise, self.terms.env):
            return Result(exercise, "skipped", why)
        most = self.terms.ceilings.usd
        if (left := self._purse.take(most)) is not None:
            self.over = self.over or Over(f"of the total of {self.terms.total} only {left} is left")
            return Result(exercise, "not sat", self.over.why)
        spent = most  # where it is not known what a task cost
        try:
            if self.over:
                spent = ZERO
                return Result(exercise, "not sat", self.over.why)
            result = self._work(exercise)
            spent = result.usd
        finally:
            self._purse.put_back(most - spent)
        return result

    def _work(self, exercise: Exercise) -> Result:
        terms, place = self.terms, self.terms.keep / exercise.name
        work = place / "work"
        exercise.hand_out(work)
        with opened(
            origin="exam",
            ceilings=terms.ceilings,
            sources=terms.sources,
            prices=terms.prices,
            upstream=terms.upstream,
            key=terms.key,
            state=place / "ledger",
            engine=terms.engine,
            model=terms.model,
            task=exercise.task,
            task_class=TASK_CLASS,
            actor=terms.actor,
        ) as local:
            try:
                self._begins(local)
                result = run_local(
                    exercise.task,
                    work,
                    local.url,
                    local.token,
                    model=terms.model,
                    ceilings=terms.ceilings,
                    env=terms.env,
                    task_class=TASK_CLASS,
                    engine=terms.engine,
                    check_command=exercise.check,
                    on_event=lambda event: self.told(exercise.name, event),
                    halted=local.halted,
                )
            finally:
                self._ends(local)
            local.keep(result.summary, result.check, result.tool_calls)
            if self.over is INTERRUPTED and result.outcome == "halted":
                local.ended("halted", Reason.STOPPED, INTERRUPTED.why)
            else:
                local.ended(result.outcome, result.ending.reason, result.ending.message or "")
        report = local.report()
        if report.reason is Reason.STOPPED:
            return Result(exercise, "halted", INTERRUPTED.why, report, result.changed)
        return self._verdict(exercise, work, result, report)

    def _begins(self, local: Local) -> None:
        with self._lock:
            self._live.append(local)
            if self.over:
                local.halted.set()

    def _ends(self, local: Local) -> None:
        with self._lock:
            self._live = [each for each in self._live if each is not local]

    def _verdict(self, exercise: Exercise, work: Path, result: LocalResult, report: Report) -> Result:
        judgement = judged(exercise, work, self.terms.env)
        (work.parent / "judged.txt").write_text(
            f"{judgement.why or 'solved'}\n\n{judgement.output}", encoding="utf-8"
        )
        said = report.message or result.ending.message or ""
        verdict, why = "unsolved", judgement.why
        if judgement.solved:
            verdict, why = "solved", said if report.outcome == "halted" else ""
        elif report.outcome == "halted":
            verdict, why = "halted", said
        elif report.outcome == "failed":
            verdict, why = "failed", said
        if report.reason is Reason.UPSTREAM_LIMIT or (verdict == "failed" and not report.spent.steps):
            self.over = self.over or Over(
                f"no answers: {said}", False
            )  # the next task would not get any either
        return Result(exercise, verdict, why, report, judgement.changed)
