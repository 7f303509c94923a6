"""A storm of GitHub's deliveries: how soon each is acknowledged, and that none is lost and none acts twice.

    make bench-webhooks

The published examples of GitHub's payloads, signed, arrive at their times whatever the answers do; the real
web process and worker stand before the sandbox's GitHub. As in life most start nothing. When all of them have
come and every story is told, the database is asked what became of each.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks import arrivals, peers, service
from benchmarks.arrivals import Arrival, Figures
from sandbox.actions import Job, Watch
from tests import samples
from tests.stories.service import Service, serving

ROOT = Path(__file__).parent.parent
PULL = 2  # the sandbox's own pull request
DRAIN_SECONDS = 900.0
COMMANDS, AGAIN = 10, 10  # of a thousand: what starts a run, and what GitHub sends once more
# The others of a thousand; those that start a story last.
MIX: Sequence[tuple[int, str, str, dict[str, Any]]] = (
    (160, "workflow_run", "requested", {"run_title": "CI"}),
    (130, "workflow_run", "in_progress", {"run_title": "CI"}),
    (160, "workflow_run", "completed", {"run_title": "CI"}),
    (160, "issue_comment", "created", {"on_pull": True, "comment": "This reads well. One question though:"}),
    (40, "issue_comment", "edited", {"on_pull": True, "comment": "This reads well."}),
    (80, "pull_request_review_comment", "created", {"comment": "Could this be `None`?"}),
    (60, "pull_request", "labeled", {"label": "needs review"}),
    (60, "issues", "labeled", {"label": "bug"}),
    (40, "issues", "opened", {}),
    (50, "check_run", "completed", {}),
    (20, "pull_request", "synchronize", {}),
    (10, "pull_request", "labeled", {"label": "agent:cost=$5"}),
    (10, "pull_request", "closed", {}),
)
ID = "X-GitHub-Delivery"
STORIES = 3  # the last so many rows of MIX


@dataclass
class Storm:
    """Deliveries as they will arrive. `told`: the story of each that has one, by its id; `comments`: the ids
    of those that ask for a run."""

    requests: list[tuple[dict[str, str], str]] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    comments: list[int] = field(default_factory=list)

    @property
    def ids(self) -> set[str]:
        return {one.headers[ID] for one in self.arrivals}


@dataclass(frozen=True)
class Outcome:
    """What became of a storm. `cpu`: milliseconds a delivery by process; `queued`: stories that waited or
    were being told when the last delivery had come; `drained`: seconds until there were none."""

    figures: Figures
    deliveries: int
    stories: int
    commands: int
    cpu: dict[str, float]
    queued: int
    drained: float
    wrong: list[str]


class Nobody:
    """Who carries out dispatched workflows. The runs stay open: it is their beginning that is looked at."""

    def start(self, job: Job, watch: Watch) -> None:
        pass

    def cancel(self, id: int) -> None:
        pass

    def close(self) -> None:
        pass


@contextmanager
def world(folder: Path, database_url: str, web: int = 1) -> Iterator[Service]:
    """The service with one worker and `web` web processes; deliveries come from us alone."""
    more = {
        "WEB_CONCURRENCY": str(web),
        "PROGRESS_SECONDS": "20",
        # What the sandbox's GitHub minds is not what is measured.
        "GITHUB_CONTENT_PER_MINUTE": "1000000",
        "GITHUB_CONTENT_PER_HOUR": "1000000",
    }
    with serving(folder, database_url, "", jobs=Nobody(), more=more) as made:
        made.github.hook(None)
        made.worker()
        _warm(made)
        yield made


def _warm(service: Service) -> None:
    """With the first story the web process imports the engine, once; that takes a second or two."""
    about = service.github.about
    facts = {"full_name": about["repository"], "repository_id": about["repository_id"], "number": PULL}
    headers, body = samples.delivery(
        "pull_request",
        "closed",
        secret=about["webhook_secret"],
        installation=about["installation_id"],
        **facts,
    )
    asked = urllib.request.Request(f"{service.url}/webhooks/github", body, headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(asked, timeout=60):  # noqa: S310 - as above
        service.until(f"SELECT count(*) = 1 FROM {_stories(service)} WHERE status = 'SUCCESS'")


def storm(service: Service, count: int, seed: int) -> Storm:
    """So many deliveries in a random order."""
    made, chance = Storm(), random.Random(seed)
    about = service.github.about
    facts = {
        "full_name": about["repository"],
        "repository_id": about["repository_id"],
        "installation": about["installation_id"],
        "number": PULL,
    }
    secret = about["webhook_secret"]

    def request(event: str, action: str, **more: Any) -> int:
        headers, body = samples.delivery(event, action, secret=secret, **(facts | more))
        del headers[ID]  # it is not under the signature
        made.requests.append((headers, body.decode()))
        return len(made.requests) - 1

    def arrive(number: int, story: str = "") -> None:
        id = str(uuid.UUID(int=chance.getrandbits(128)))
        made.arrivals.append(Arrival(number, {ID: id}))
        if story:
            made.told[id] = story

    for row, (share, event, action, more) in enumerate(MIX):
        number = request(event, action, **more)
        of = {"synchronize": "policy_check.on_pull_changed", "closed": "merge.on_closed"}
        story = "" if row < len(MIX) - STORIES else of.get(action, "relabel.on_changed")
        for _ in range(count * share // 1000):
            arrive(number, story)
    now = service.database.utc().isoformat(timespec="seconds")
    for _ in range(count * COMMANDS // 1000):
        thread = service.github.issue("dana", "A task")
        comment = chance.randrange(10**9, 10**12)
        written = {"comment": {"created_at": now, "updated_at": now}}
        asked = {"comment": "/agent fix the tests", "comment_id": comment, "number": thread}
        number = request("issue_comment", "created", patch=written, **asked)
        made.comments.append(comment)
        arrive(number, "launch.on_comment")
        if len(made.comments) % 10 == 0:  # the same comment under another delivery's id
            arrive(number, "launch.on_comment")
    chance.shuffle(made.arrivals)
    for _ in range(count * AGAIN // 1000):
        at = chance.randrange(len(made.arrivals))
        made.arrivals.insert(chance.randrange(at, len(made.arrivals)) + 1, made.arrivals[at])
    return made


def weather(service: Service, made: Storm, rate: float, seed: int = 1) -> Outcome:
    """Let it come, wait until every story is told, and look what became of it."""
    web, worker = service.web.pid, service.workers[0].pid
    server = _server(service)
    pids = {"web": web, "worker": worker} | ({"PostgreSQL": server} if server else {})
    before = {name: cpu(pid) for name, pid in pids.items()}
    job = arrivals.Job(f"{service.url}/webhooks/github", made.requests, made.arrivals, rate, seed)
    figures = arrivals.run(job)
    used = {name: 1000 * (cpu(pid) - before[name]) / len(made.arrivals) for name, pid in pids.items()}
    came = time.monotonic()
    queued = left = _unfinished(service)
    while left and time.monotonic() < came + DRAIN_SECONDS:
        time.sleep(0.25)
        left = _unfinished(service)
    drained = time.monotonic() - came
    wrong = [f"{left} stories are not told"] if left else []
    wrong += faults(service, made)
    if figures.unanswered or set(figures.statuses) != {"202"}:
        wrong.append(f"{figures.unanswered} unanswered, of the others {figures.statuses}")
    return Outcome(
        figures, len(made.arrivals), len(made.told), len(made.comments), used, queued, drained, wrong
    )


def faults(service: Service, made: Storm) -> list[str]:
    """What the database has otherwise than it must: each delivery once, its story once, a run a command."""
    found = []
    known = [row[0] for row in service.rows("SELECT id FROM deliveries")]
    if len(known) != len(set(known)) or not made.ids <= set(known):
        found.append(f"{len(made.ids - set(known))} deliveries are lost")
    told = {
        key: (name, status)
        for key, name, status in service.rows(f"SELECT workflow_uuid, name, status FROM {_stories(service)}")
        if key.partition(".")[0] in made.ids
    }
    expected = {id: (story, "SUCCESS") for id, story in made.told.items()}
    if told != expected:
        differ = {id for id in {*told, *expected} if told.get(id) != expected.get(id)}
        some = [(id, told.get(id), expected.get(id)) for id in sorted(differ)[:3]]
        found.append(f"{len(differ)} stories are not as they must be, such as {some}")
    rows = service.rows("SELECT comment_id, count(*) FROM runs GROUP BY comment_id")
    runs = {row[0]: row[1] for row in rows if row[0] in set(made.comments)}
    if runs != dict.fromkeys(made.comments, 1):
        found.append(f"of {len(made.comments)} commands {len(runs)} have a run, {sum(runs.values())} in all")
    return found


def _stories(service: Service) -> str:
    return "workflow_status" if service.database.kind == "sqlite" else "dbos.workflow_status"


def _unfinished(service: Service) -> int:
    query = f"SELECT count(*) FROM {_stories(service)} WHERE status IN ('ENQUEUED', 'PENDING')"
    return int(service.rows(query)[0][0])


def _server(made: Service) -> int | None:
    return service.postgresql_pid(made.database)


cpu = service.cpu_seconds


@click.command()
@click.option("--rates", default="50,200,500", show_default=True, help="Deliveries a second.")
@click.option("--seconds", default=60.0, show_default=True, help="Of each rate.")
@click.option("--databases", default="sqlite,postgresql", show_default=True)
@click.option("--web", default=1, show_default=True, help="Web processes.")
@click.option("--seed", default=1, show_default=True)
def main(rates: str, seconds: float, databases: str, web: int, seed: int) -> None:
    """Signed deliveries at several rates: acknowledged how soon, none lost, none twice."""
    click.echo(f"Tollgate {peers.commit()} (gunicorn {peers.version('gunicorn')}), {web} web, 1 worker")
    click.echo(peers.machine())
    click.echo(
        "database     a second      p50      p99      max ms  >10 s  behind  queued  drained s  CPU ms"
    )
    cells = []
    for kind in databases.split(","):
        for rate in map(float, rates.split(",")):
            with ExitStack() as stack:
                home = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT))
                url = f"sqlite:///{home}/tollgate.db"
                if kind != "sqlite":
                    url = stack.enter_context(service.postgresql())
                made = stack.enter_context(world(Path(home), url, web))
                outcome = weather(made, storm(made, round(rate * seconds), seed), rate, seed)
            told = outcome.figures
            used = ", ".join(f"{name} {each:.2f}" for name, each in outcome.cpu.items())
            click.echo(
                f"{kind:<12}{rate:>9g}{told.p50:>9.1f}{told.p99:>9.1f}{told.most:>12.1f}{told.too_late:>7}"
                f"{told.behind:>8.1f}{outcome.queued:>8}{outcome.drained:>11.1f}  {used}"
            )
            for fault in outcome.wrong:
                click.echo(f"  WRONG: {fault}")
            cells.append({
                "database": kind, "rate": rate, "p50_ms": told.p50, "p99_ms": told.p99, "max_ms": told.most,
                "too_late": told.too_late, "deliveries": outcome.deliveries, "stories": outcome.stories,
                "commands": outcome.commands, "cpu_ms": outcome.cpu, "queued": outcome.queued,
                "drained_s": outcome.drained, "wrong": outcome.wrong,
            })  # fmt: skip
    click.echo(json.dumps({"bench": "webhooks", "seconds": seconds, "cells": cells}))
    sys.exit(any(cell["wrong"] for cell in cells))


if __name__ == "__main__":
    main()
