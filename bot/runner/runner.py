"""One run in CI: claim it, fetch the commit, let the engine work, hand in what came of it.

The job's log gets a line for each thing that happens; the result goes to the service, and to nobody else.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import httpx2

from bot.core.ceilings import span
from bot.core.changeset import Changeset
from bot.core.reports import Check
from bot.core.run_tokens import for_agent
from bot.core.transcript import Transcript
from bot.runner import changeset, check, prompts
from bot.runner.checkout import Place, fetch, place, settings_of
from bot.runner.engines import Ending, Engine, Event, Ground, Task
from bot.runner.engines.installed import engines_folder
from bot.runner.engines.named import UnknownEngine, named
from bot.runner.isolation import User, agent_user, tool_env
from bot.runner.joblog import Job
from bot.runner.papers import Papers
from bot.runner.pristine import GitFailed, Pristine, give
from bot.runner.service import Brief, Pulse, Service, ServiceError, Standing
from bot.runner.shell import Shell
from bot.runner.supervise import Stop, judged, watched
from bot.runner.tools import Still, Tools
from bot.runner.uploads import Uploads

CHECK_SECONDS = 300.0
# For the last upload, before the result.
LAST_SECONDS, LAST_WHEN_CANCELLED = 20.0, 2.0
CHECK_AFTER_HALT = 60.0  # the service waits 180 s for the result of a run that it has ended
IDENTITY = {
    "ACTIONS_ID_TOKEN_REQUEST_URL": "the job needs `permissions: id-token: write`",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "the job needs `permissions: id-token: write`",
}
NEEDED = {
    "TOLLGATE_RUN": "the run that the service opened",
    "TOLLGATE_ATTEMPT": "which attempt of that run",
    "TOLLGATE_SERVICE": "where the service is",
    **IDENTITY,
}


def main_ci(env: Mapping[str, str]) -> int:
    """The whole of it. 0: the result was handed in, whatever it is; 1: it was not, and the log says why."""
    job = Job(env)
    missing = [f"{name} is not set: {why}" for name, why in NEEDED.items() if not env.get(name)]
    if not missing and not env["TOLLGATE_ATTEMPT"].isdecimal():
        missing = ["TOLLGATE_ATTEMPT is not a number"]
    if missing:
        job.error("; ".join(missing))
        return 1
    stop = Stop()
    with cancelled(stop), client() as http:
        service = Service(env["TOLLGATE_SERVICE"], http)
        try:
            run = _claim(env, service, job)
            return run.through(stop)
        except ServiceError as error:
            job.error(str(error))
            return 1


def client() -> httpx2.Client:
    return httpx2.Client(timeout=httpx2.Timeout(60.0, connect=15.0))


def identity(env: Mapping[str, str], service: Service) -> Callable[[], str]:
    """How this job says who it is. What it gives may raise ServiceError."""
    return lambda: service.identity(
        env["ACTIONS_ID_TOKEN_REQUEST_URL"], env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    )


def _claim(env: Mapping[str, str], service: Service, job: Job) -> CiRun:
    """Raises ServiceError."""
    brief = service.claim(env["TOLLGATE_RUN"], int(env["TOLLGATE_ATTEMPT"]), identity(env, service))
    began = time.monotonic()
    job.mask(brief.token)
    job.began(brief)
    return CiRun(env, service, brief, job, began)


@dataclass(frozen=True)
class Made:
    """What the agent left behind, before the result is put together."""

    ending: Ending
    check: Check | None = None
    changeset: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    isolation: str = "none"


@dataclass(frozen=True, slots=True)
class Begun:
    """What the agent's work is compared with: a commit, and the repository that has it."""

    pristine: Pristine
    sha: str


@dataclass
class CiRun:
    """A claimed run."""

    patience: ClassVar[float] = 30.0  # seconds for its report, which is on the thread in any case

    env: Mapping[str, str]
    service: Service
    brief: Brief
    job: Job
    began: float  # time.monotonic() at the claim
    version: str = ""

    def through(self, stop: Stop) -> int:
        """From the claim to the result. Raises ServiceError when that cannot be handed in."""

        def over(standing: Standing) -> None:
            self.job.line(f"the service says: {standing.message or standing.state}")
            stop.now(standing.reason, standing.message)

        with Pulse(self.service, self.brief, over, self.job.heard) as pulse:
            made = self._work(stop, pulse)
            pulse.now()
            self.service.result(self.brief, self._result(made, pulse.tool_calls))
        self.job.ended(made.ending, made.notes)
        return self._leave(made, LAST_WHEN_CANCELLED if stop.cancelled else self.patience)

    def _leave(self, made: Made, seconds: float) -> int:
        """Outputs and summary, by the service's word where it tells it in that time; the exit code."""
        self.job.line("the result is with the service; the report is on the thread")
        told = self.service.report(self.brief, seconds)
        if told is None:
            self.job.unreported(made.ending, made.check)
        else:
            Papers(told["report"], told["summary"]).leave(self.env, self.job)
        return 0

    def _work(self, stop: Stop, pulse: Pulse) -> Made:
        brief, user = self.brief, self._user()
        isolation = "user" if user else "none"
        try:
            engine = named(brief.engine)
            self.version = engine.version
            self.job.line(f"the engine: {engine.name} {engine.version}")
            with place(user, brief.full_name.rpartition("/")[2], brief.run) as where:
                begun = self._lay_out(where, user)
                self.job.line(f"{brief.full_name} at {begun.sha[:12]} is in {where.work}")
                base = self._base(begun, engine)
                left = self._left_before(where, user)
                return self._in(where, begun, base, left, engine, user, isolation, stop, pulse)
        except UnknownEngine as error:
            return Made(Ending("failed", message=str(error)), isolation=isolation)
        except (GitFailed, OSError, ValueError) as error:
            return Made(Ending("failed", message=f"the work could not begin: {error}"), isolation=isolation)

    def _lay_out(self, where: Place, user: User | None) -> Begun:
        """Put what the agent works on into `where.work`. Raises GitFailed."""
        brief = self.brief
        pristine = fetch(where.git, self._url, brief.sha, self.env.get("GITHUB_TOKEN", ""), self.env)
        pristine.lay_out(brief.sha, where.work, user)
        return Begun(pristine, brief.sha)

    @property
    def _url(self) -> str:
        server = self.env.get("GITHUB_SERVER_URL") or "https://github.com"
        return f"{server.rstrip('/')}/{self.brief.full_name}.git"

    def _base(self, begun: Begun, engine: Engine) -> dict[str, bytes]:
        """What the engine obeys of the repository: never the head's, which may be a stranger's. Raises
        GitFailed."""
        branch, token = self.brief.base_ref, self.env.get("GITHUB_TOKEN", "")
        if not branch or not engine.settings:
            return {}
        found = settings_of(begun.pristine, self._url, branch, token, engine.settings)
        if found:
            self.job.line(f"{engine.name} obeys {', '.join(sorted(found))} of the branch {branch}")
        return found

    def _left_before(self, where: Place, user: User | None) -> tuple[Transcript | None, Changeset | None]:
        """Put the changes of the attempt before into the tree; its conversation and these changes."""
        if self.brief.resumed is None:
            return None, None
        earlier, changes = self.service.left(self.brief)
        changeset.apply(changes, where.work)
        if user is not None:
            give(where.work, user)
        turns = f"after turn {earlier.turns}" if earlier else "without its conversation"
        self.job.line(f"it goes on {turns}, with {len(changes.files)} changed files")
        return earlier, changes

    def _in(
        self,
        where: Place,
        begun: Begun,
        base: Mapping[str, bytes],
        left: tuple[Transcript | None, Changeset | None],
        engine: Engine,
        user: User | None,
        isolation: str,
        stop: Stop,
        pulse: Pulse,
    ) -> Made:
        brief = self.brief
        env = tool_env(self.env, where.home, user.name if user else "")
        shell = Shell(where.work, env, user, scratch=where.top)
        tools = Tools(where.work, shell, user)
        earlier, before = left
        tools.failed |= set(earlier.failed if earlier else ())

        def kept(so_far: Transcript) -> Transcript:
            return replace(so_far, workspace=str(where.work), failed=tuple(sorted(tools.failed)))

        def look() -> dict[str, Any] | None:
            with suppress(GitFailed, OSError):
                return changeset.to_json(
                    changeset.collect(begun.pristine, begun.sha, where.work, user, unchanged)[0]
                )
            return None

        unchanged: changeset.Unchanged = {}
        known = changeset.to_json(before) if before else None
        uploads = Uploads(partial(self.service.keep, brief), look, self._not_kept, known)

        def tell(event: Event) -> None:
            pulse.tool_calls = event.tool_calls
            self.job.event(event, brief.ceilings.usd)
            if event.so_far is not None:
                (uploads.turn if event.kind == "turn" else uploads.results)(kept(event.so_far))
            if event.kind == "wrap_up":
                pulse.tell(event.kind, event.text)
                pulse.now()  # before its next request, which may be its last
            elif event.kind == "turn":
                pulse.tell(event.kind, event.text)

        try:
            task = Task(
                prompts.system(brief.task_class, engine.native),
                self._prompt(where, earlier),
                brief.model,
                brief.effort,
                brief.base_url,
                brief.token if engine.native else self._given(),
                brief.ceilings,
                earlier=earlier,
                context=brief.context,
                ground=Ground(where.work, where.home, where.aside, engines_folder(self.env), env, user, base),
                check=brief.check,
            )
            ending = watched(engine, task, Still(tools, uploads.seen), tell, stop, self._left())
            shell.end()  # whatever still runs in the background would change the tree under us
            files, notes = self._changes(begun, where, user)
            if ending.outcome != "done" or ending.wrapped_up:
                seconds = LAST_WHEN_CANCELLED if stop.cancelled else LAST_SECONDS
                uploads.last(kept(ending.so_far) if ending.so_far else None, files, seconds)
            done = self._check(shell, tools, ending, stop)
            ending = judged(ending, done, tools.failed)
            return Made(ending, done, files, notes, isolation)
        finally:
            uploads.close()
            tools.close()

    def _given(self) -> str:
        """The token for a program whose commands see its environment: it asks the model and no more."""
        token = for_agent(self.brief.token)
        self.job.mask(token)
        return token

    def _prompt(self, where: Place, earlier: Transcript | None) -> str:
        """What the conversation is opened with, or what is said to one that goes on."""
        brief, most = self.brief, self.brief.ceilings
        first = prompts.opening(
            brief.task, where.work, brief.task_class, brief.thread, brief.check, brief.before
        )
        if brief.resumed is None:
            return first
        ceilings = f"{most.usd}, {most.tokens:,} tokens, {most.steps} steps and {span(most.seconds)}"
        more = prompts.resumed(brief.resumed["why"], ceilings, where.work, brief.resumed["text"])
        return more if earlier else f"{first}\n\n{more}"

    def _not_kept(self, why: str) -> None:
        self.job.line(f"the work so far could not be left with the service: {why}")

    def _changes(
        self, begun: Begun, where: Place, user: User | None
    ) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
        """What is handed in, and a sentence for each thing that is not."""
        try:
            found, notes = changeset.collect(begun.pristine, begun.sha, where.work, user)
        except (GitFailed, OSError) as error:
            return None, (f"the changes could not be collected: {error}",)
        self.job.line(f"{len(found.files)} file{'' if len(found.files) == 1 else 's'} changed")
        return changeset.to_json(found), notes

    def _check(self, shell: Shell, tools: Tools, ending: Ending, stop: Stop) -> Check | None:
        """After the changeset: what the tests write is not the agent's work."""
        if stop.cancelled or self.brief.task_class == "split":  # which changes nothing that tests could tell
            return None
        seconds = CHECK_AFTER_HALT if ending.outcome == "halted" else min(CHECK_SECONDS, self._left() - 5)
        found = check.run(shell, tools.test, self.brief.check, self._hurry(stop), max(seconds, 10.0))
        if found is not None:
            self.job.line(f"$ {found.command} → exit code {found.exit_code}")
        return found

    @staticmethod
    def _hurry(stop: Stop) -> threading.Event | None:
        # A run that was halted is checked all the same; one that goes on may still be cancelled.
        return None if stop.event.is_set() else stop.event

    def _left(self) -> float:
        return self.brief.seconds_left - (time.monotonic() - self.began)

    def _user(self) -> User | None:
        if self.env.get("TOLLGATE_ISOLATION") == "none":
            return None
        user = agent_user()
        if user is None:
            self.job.line("the agent's tools run as this job's own user: not isolated")
        return user

    def _result(self, made: Made, tool_calls: int) -> dict[str, Any]:
        ending = made.ending
        notes = "".join(f"\n\nNot handed in: {note}." for note in made.notes)
        return {
            "outcome": ending.outcome,
            "reason": ending.reason,
            "message": ending.message,
            "summary": ending.summary + notes,
            "changeset": made.changeset,
            "check": None
            if made.check is None
            else {
                "command": made.check.command,
                "exit_code": made.check.exit_code,
                "output": made.check.output,
            },
            "isolation": made.isolation,
            "tool_calls": max(tool_calls, ending.tool_calls),
            "engine": {
                "name": self.brief.engine,
                "version": self.version,
                "own_usd": ending.own.exact if ending.own is not None else None,
            },
        }


@contextmanager
def cancelled(stop: Stop) -> Iterator[None]:
    """A cancelled job is interrupted, terminated, and killed within ten seconds: hand in what there is."""

    def cancel(number: int, frame: object) -> None:
        # From a thread: a handler may come while this one holds a lock that `now` needs.
        said = {"reason": "stopped", "message": "the workflow run was cancelled", "cancelled": True}
        threading.Thread(target=stop.now, kwargs=said, daemon=True).start()

    previous = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
