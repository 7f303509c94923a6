"""A day of an organisation with 500 engineers, as fast as this machine lives it.

    make bench-day

Comments at the sandbox's GitHub, deliveries, launches, dispatches, claims by OIDC, turns through the gateway,
results, reports, roll-ups: all by the product's own doors and processes. Only the agent is light: it claims,
asks and hands in as the runner does, without a checkout. At the end every run is told to its end, holds
nothing, and has spent what the upstream has billed for it.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from benchmarks import peers, service
from benchmarks.load import percentile
from bot import services, settings
from bot.core.ceilings import WRAP_UP
from sandbox.actions import Job, Watch
from sandbox.github.client import Client
from sandbox.processes import Started, start
from tests.month.agents import http as call
from tests.stories.service import Service, serving

ROOT = Path(__file__).parent.parent
# By verb: of ten commands, and the most steps of its class (docs/policy.md).
VERBS = {"fix": (5, 20), "feature": (3, 60), "run": (1, 50), "refactor": (1, 80)}
OVER = 12  # of so many runs one asks for more steps than it may have
STEP = "Step {number}: the test still fails in line {number}, so I look at what is done there. " * 12
PATIENCE = 1800.0  # seconds without anything that ends


@dataclass
class Times:
    """Seconds that each thing took, by its name."""

    took: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    answers: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, seconds: float) -> None:
        with self.lock:
            self.took[name].append(seconds)


class Office:
    """Who carries out dispatched workflows: so many runners, each with one run at a time."""

    def __init__(self, runners: int, turns: dict[str, int], times: Times) -> None:
        self.turns, self.times = turns, times  # turns by the words of the task
        self.asked_at: dict[str, float] = {}  # by the same
        self.ended = 0
        self.failed: list[str] = []
        self._jobs: queue.SimpleQueue[tuple[Job, Watch] | None] = queue.SimpleQueue()
        self._runners = runners
        for _ in range(runners):
            threading.Thread(target=self._work, daemon=True).start()

    def start(self, job: Job, watch: Watch) -> None:
        self._jobs.put((job, watch))

    def cancel(self, id: int) -> None:
        """Nothing: a run that is cancelled here has ended by itself."""

    def close(self) -> None:
        for _ in range(self._runners):
            self._jobs.put(None)

    def _work(self) -> None:
        while (given := self._jobs.get()) is not None:
            job, watch = given
            watch.begun()
            conclusion = "success"
            try:
                self._run(job)
            except Exception as error:  # noqa: BLE001 - it is said at the end
                conclusion = "failure"
                self.failed.append(f"run {job.event['inputs']['run']}: {error!r}")
            watch.ended(conclusion)
            with self.times.lock:
                self.ended += 1

    def _run(self, job: Job) -> None:
        inputs = job.event["inputs"]
        run, place = inputs["run"], inputs["service"]
        began = time.monotonic()
        brief = self._claim(job, place, {"run": run, "attempt": int(inputs["attempt"])})
        task = brief["task"]
        self.times.add("claim", time.monotonic() - began)
        self.times.add("comment to claim", time.monotonic() - self.asked_at[task])
        about = f"{place}/api/runs/{run}"
        ended = self._turns(brief, self.turns[task])
        if ended == WRAP_UP:  # it is told to come to an end, and has a slice of its ceilings for that (G10)
            call("POST", f"{about}/events", brief["token"], {"events": [{"type": WRAP_UP}]})
            ended = self._turns(brief, 3)
        began = time.monotonic()
        result = {"outcome": "done", "summary": "I looked at it.", "tool_calls": self.turns[task]}
        if ended:
            result |= {"outcome": "halted", "reason": ended}
        call("POST", f"{about}/result", brief["token"], result)
        self.times.add("result", time.monotonic() - began)

    def _claim(self, job: Job, place: str, about: dict[str, Any]) -> dict[str, Any]:
        url = f"{job.env['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={place}"
        while True:  # until the dispatch is persisted (L5)
            identity = call("GET", url, job.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])["value"]
            try:
                return call("POST", f"{place}/api/runs/claim", identity, about)
            except OSError as error:
                if getattr(error, "code", None) != 404:
                    raise
            time.sleep(0.1)

    def _turns(self, brief: dict[str, Any], count: int) -> str:
        """Why they ended before there were so many; "" if they did not."""
        parts = urlsplit(brief["base_url"])
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=300)
        headers = {"x-api-key": brief["token"], "anthropic-version": "2023-06-01"}
        headers["content-type"] = "application/json"
        try:
            for number in range(count):
                body = {
                    "model": brief["model"],
                    "max_tokens": 1_000,
                    "messages": [{"role": "user", "content": STEP.format(number=number)}],
                    "metadata": {"user_id": brief["run"]},
                }
                began = time.monotonic()
                connection.request("POST", f"{parts.path}/v1/messages", json.dumps(body), headers)
                answer = connection.getresponse()
                said = answer.read()
                self.times.add("turn", time.monotonic() - began)
                with self.times.lock:
                    self.times.answers[answer.status] += 1
                if answer.status == 402:
                    return str(json.loads(said)["error"]["reason"])
                if answer.status != 200:
                    raise RuntimeError(f"{answer.status}: {said[:300]!r}")
        finally:
            connection.close()
        return ""


def plan(runs: int, turns: int, chance: random.Random) -> list[tuple[str, int]]:
    """The verb and the turns of each run, `turns` in all; one in OVER wants more than it may have."""
    verbs = chance.choices(list(VERBS), [share for share, _ in VERBS.values()], k=runs)
    counts = [min(VERBS[verb][1], 1 + int(chance.expovariate(1 / (turns / runs)))) for verb in verbs]
    missing = turns - sum(counts)
    while missing:
        at = chance.randrange(runs)
        step = 1 if missing > 0 else -1
        if 1 <= counts[at] + step <= VERBS[verbs[at]][1]:
            counts[at] += step
            missing -= step
    over = [
        VERBS[verb][1] + 1 if at % OVER == 0 else count
        for at, (verb, count) in enumerate(zip(verbs, counts, strict=True))
    ]
    return list(zip(verbs, over, strict=True))


def people(
    github: Client, engineers: int, repositories: int, workflow: str
) -> tuple[list[str], list[Client]]:
    """Who may write where."""
    logins = [f"dev-{number:03}" for number in range(engineers)]
    for login in logins:
        github.control("users", repo=github.repo, login=login, role="write")
    # A repository that is made now has the people of those that are there.
    files = {"README.md": "# Something\n", ".github/workflows/agent.yml": workflow}
    places = []
    for number in range(repositories):
        made = github.control("repos", full_name=f"acme/part-{number:02}", files=files)
        places.append(Client(github.url, made["full_name"]))
    return logins, places


def live(
    made: Service,
    office: Office,
    planned: Sequence[tuple[str, int]],
    engineers: int,
    repositories: int,
    at_once: int,
    chance: random.Random,
) -> None:
    """Everybody asks for their runs, so many of which are under way at a time."""
    workflow = (made.folder / "agent.yml").read_text()
    logins, places = people(made.github, engineers, repositories, workflow)
    moved = time.monotonic()
    with click.progressbar(planned, label="asked for", file=sys.stderr) as shown:
        for number, (verb, turns) in enumerate(shown):
            seen = office.ended
            while number - office.ended >= at_once:
                time.sleep(0.02)
                if office.ended != seen:
                    seen, moved = office.ended, time.monotonic()
                if time.monotonic() - moved > PATIENCE:
                    return
            task, login, place = f"Task {number}", chance.choice(logins), chance.choice(places)
            office.turns[task], office.asked_at[task] = turns, time.monotonic()
            began = time.monotonic()
            place.comment(login, place.issue(login, task), f"/agent {verb} {task}")
            office.times.add("comment at GitHub", time.monotonic() - began)


def told(made: Service, runs: int) -> None:
    """Until every run's report is written and no story waits, or nothing goes on any more."""
    stories = "workflow_status" if made.database.kind == "sqlite" else "dbos.workflow_status"
    query = (
        f"SELECT (SELECT count(*) FROM runs WHERE finished_at IS NOT NULL), "
        f"(SELECT count(*) FROM {stories} WHERE status IN ('ENQUEUED', 'PENDING'))"
    )
    before, moved = (0, 0), time.monotonic()
    while time.monotonic() - moved < 120:
        now = tuple(made.rows(query)[0])
        if now == (runs, 0):
            return
        if now != before:
            before, moved = now, time.monotonic()
        time.sleep(0.2)


def faults(made: Service, claude: Started, runs: int) -> list[str]:
    """What is not as it must be when the day is over."""
    billed: Counter[str] = Counter()
    after = 0
    while rows := claude.ask(f"/invoice?after={after}&limit=5000")["rows"]:
        after += len(rows)
        for row in rows:
            billed[row["user"]] += row["nanos"]
    known = made.rows(
        "SELECT id, state, spent_nanos, held_nanos, held_steps, finished_at, report_comment_id, "
        "estimated_nanos FROM runs"
    )
    found = [] if len(known) == runs else [f"{len(known)} runs for {runs} commands"]
    for run, state, spent, held, steps, finished, report, estimated in known:
        if state not in ("done", "halted") or finished is None or report is None:
            found.append(f"run {run} is {state}, finished {finished}, report {report}")
        if spent != billed[run] or held or steps or estimated:
            found.append(
                f"run {run}: spent {spent}, billed {billed[run]}, held {held}, estimated {estimated}"
            )
    stories = "workflow_status" if made.database.kind == "sqlite" else "dbos.workflow_status"
    left = made.rows(f"SELECT status, count(*) FROM {stories} WHERE status <> 'SUCCESS' GROUP BY status")
    found += [f"{count} stories are {status}" for status, count in left]
    began = time.monotonic()
    with services.opened(settings.read(made.env), "benchmark") as ready:
        ready.signals.roll("UTC")
        shown = ready.signals.read().spent.nanos
    click.echo(f"  rolled up and read in {time.monotonic() - began:.1f} s")
    if shown != sum(billed.values()):
        found.append(f"the signals say {shown} nano-dollars, and {sum(billed.values())} were billed")
    return found


@click.command()
@click.option("--runs", default=2_000, show_default=True)
@click.option("--turns", default=60_000, show_default=True, help="Of all of them.")
@click.option("--engineers", default=500, show_default=True)
@click.option("--repositories", default=40, show_default=True)
@click.option("--at-once", default=48, show_default=True, help="Runs asked for and not yet ended.")
@click.option("--runners", default=24, show_default=True, help="Workflows that are carried out at a time.")
@click.option(
    "--database", type=click.Choice(["sqlite", "postgresql"]), default="postgresql", show_default=True
)
@click.option("--seed", default=1, show_default=True)
def main(
    runs: int,
    turns: int,
    engineers: int,
    repositories: int,
    at_once: int,
    runners: int,
    database: str,
    seed: int,
) -> None:
    """A day of 2,000 runs and 60,000 turns: ledger against invoice, what is stuck, how long all took."""
    click.echo(
        f"Tollgate {peers.commit()} (gunicorn {peers.version('gunicorn')}), 1 web, 1 worker, {database}"
    )
    click.echo(peers.machine())
    chance, times = random.Random(seed), Times()
    planned, office = plan(runs, turns, chance), Office(runners, {}, times)
    more = {
        "PROGRESS_SECONDS": "20",
        # What the sandbox's GitHub minds is not what is measured.
        "GITHUB_CONTENT_PER_MINUTE": "1000000",
        "GITHUB_CONTENT_PER_HOUR": "1000000",
    }
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT)))
        url = (
            f"sqlite:///{home}/tollgate.db"
            if database == "sqlite"
            else stack.enter_context(service.postgresql())
        )
        claude = stack.enter_context(start("claude", character="echo", invoice=home / "invoice"))
        made = stack.enter_context(serving(home, url, "", upstream=claude.url, jobs=office, more=more))
        made.worker()
        pids = {"web": made.web.pid, "worker": made.workers[0].pid, "Claude": claude.process.pid}
        if server := service.postgresql_pid(made.database):
            pids["PostgreSQL"] = server
        before, own, began = (
            {name: service.cpu_seconds(pid) for name, pid in pids.items()},
            os.times(),
            time.monotonic(),
        )
        live(made, office, planned, engineers, repositories, at_once, chance)
        asked = time.monotonic() - began
        told(made, runs)
        seconds = time.monotonic() - began
        used = {name: service.cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        used["GitHub and agents"] = sum(os.times()[:2]) - sum(own[:2])
        wrong = [*office.failed, *faults(made, claude, runs)]
    click.echo(
        f"{runs} runs, {times.answers.total()} turns in {seconds:.0f} s; "
        f"the last was asked for after {asked:.0f} s"
    )
    for name, took in times.took.items():
        shown = [percentile(took, each) for each in (50, 99, 100)]
        click.echo(
            f"  {name:<20}{len(took):>7}  p50 {shown[0]:.1f}  p99 {shown[1]:.1f}  max {shown[2]:.1f} ms"
        )
    for name, each in used.items():
        click.echo(f"  {name:<20}{each:>7.1f} s of CPU, {each / seconds:.2f} cores")
    for fault in wrong[:20]:
        click.echo(f"  WRONG: {fault}")
    click.echo(json.dumps({
        "bench": "day", "database": database, "runs": runs, "turns": times.answers.total(),
        "seconds": seconds, "answers": times.answers, "cpu_s": used, "wrong": wrong,
        "p50_ms": {name: percentile(took, 50) for name, took in times.took.items()},
        "p99_ms": {name: percentile(took, 99) for name, took in times.took.items()},
    }))  # fmt: skip
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
