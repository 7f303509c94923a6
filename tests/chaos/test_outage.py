"""An outage: the service was down for 500 deliveries; GitHub fails for ten minutes at every step.

Afterwards every command is answered once, in its order, and none is lost: held against a list that was kept
while they were written, not against what the service remembers.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import sqlalchemy as sa

from sandbox.processes import start
from sandbox.world_up import free_port
from tests.stories import agents
from tests.stories.doors import door
from tests.stories.service import Service, serving

pytestmark = pytest.mark.slow

SEED, DELIVERIES, THREADS, RUNS = 20_261_126, 500, 40, 4
# What people write, how often, and the word that marks the answer; None: it is no command.
WORDS: tuple[tuple[str, int, str | None], ...] = (
    ("LGTM, thank you", 5, None),
    ("> /agent fix", 1, None),
    ("/agent status", 2, "status"),
    ("/agent cost", 1, "cost"),
    ("/agent stop", 1, "stop"),
    ("/agent fix colour=red", 1, "malformed"),
)
REPLY = re.compile(r"<!-- tollgate-reply:(\w+):([0-9]+) -->")


def until_told(service: Service) -> None:
    """Until every story is told to its end."""
    place = "workflow_status" if service.database.kind == "sqlite" else "dbos.workflow_status"
    service.until(f"SELECT count(*) = 0 FROM {place} WHERE status IN ('ENQUEUED', 'PENDING')", 600)


def test_a_service_that_was_down_for_500_deliveries_answers_every_command_once_and_in_order(
    tmp_path: Path, database_url: str
) -> None:
    chance = random.Random(SEED)
    written: dict[int, list[tuple[int, str]]] = defaultdict(list)  # by thread: comment and kind of answer
    with (
        start("claude", character="echo", invoice=tmp_path / "invoice") as claude,
        serving(tmp_path, database_url, agents.ASKS, upstream=claude.url) as service,
        door(502) as broken,
        door(None) as silent,
    ):
        github = service.github
        threads = [github.issue("dana", f"Thread {number}") for number in range(THREADS)]
        with_runs = [github.issue("dana", f"Run {number}") for number in range(RUNS)]
        service.worker()  # it has been up before
        service.until("SELECT count(*) = 1 FROM looks WHERE looked_at IS NOT NULL")
        before = service.workers.pop()
        before.kill()
        before.wait()

        # Down: no connection, no answer in time, a proxy's 502, in turns of ten.
        shut = [f"http://127.0.0.1:{free_port()}/", silent, broken]
        people = ("dana", "max", "ada")
        for number in range(DELIVERIES - RUNS):
            if number % 10 == 0:
                github.wait(lambda c: all(d["status"] != "pending" for d in c.state()["deliveries"][-12:]))
                github.hook(shut[number // 10 % len(shut)], patience=0.05)
            words, _, kind = chance.choices(WORDS, [weight for _, weight, _ in WORDS])[0]
            thread = chance.choice(threads)
            comment = github.comment(chance.choice(people), thread, words)
            if kind is not None:
                written[thread].append((comment, kind))
        for thread in with_runs:
            github.comment("dana", thread, "/agent fix cost=$1")
        github.wait(lambda c: c.deliveries("issue_comment")[-1]["status"] != "pending")
        tried = [d for d in github.deliveries("issue_comment") if d["action"] == "created"]
        failed = Counter(d["status"] for d in tried)
        assert (len(tried), failed["OK"], len(failed)) == (DELIVERIES, 0, 3), failed

        # Up again; and before anything of it was found, people go on writing.
        github.hook(f"{service.url}/webhooks/github", patience=10)
        for thread in threads:
            written[thread].append((github.comment("dana", thread, "/agent status"), "status"))
        for _ in range(2):
            service.worker()
        service.until(f"SELECT count(*) = {RUNS} FROM runs WHERE finished_at IS NOT NULL", 600)
        until_told(service)

        place = "" if service.database.kind == "sqlite" else "dbos."
        ended = service.rows(f"SELECT status, count(*) FROM {place}workflow_status GROUP BY status")
        log = (tmp_path / "worker.log").read_text()
        assert [row[0] for row in ended] == ["SUCCESS"], log[-3000:]
        commands = 0
        for thread in threads:
            bodies = [c["body"] for c in github.comments(thread)]
            answers = [(int(found[2]), found[1]) for body in bodies if (found := REPLY.match(body))]
            assert answers == written[thread], "each once, in the order in which it was written"
            commands += len(answers)
        assert commands > DELIVERIES / 3
        known = {row[0] for row in service.rows("SELECT id FROM deliveries")}
        assert {d["guid"] for d in github.deliveries("issue_comment") if d["action"] == "created"} <= known

        # What runs have cost is what was billed.
        told = service.rows("SELECT state, steps, spent_nanos, estimated_nanos FROM runs")
        assert [tuple(row[:2]) for row in told] == [("done", 1)] * RUNS
        billed = claude.invoice()["rows"]
        assert sum(row[2] for row in told) == sum(row["nanos"] for row in billed) > 0
        assert sum(row[3] for row in told) == 0
        for thread in with_runs:
            [report] = [c["body"] for c in github.comments(thread) if "<!-- tollgate-run:" in c["body"]]
            assert "I asked." in report


# -- GitHub is away --


class Clock:
    """Moves time on to when the next story is woken: the sandbox's, and what the database has of it."""

    def __init__(self, service: Service) -> None:
        self.service, self.database = service, service.database
        self.moved = 0.0
        place = "" if self.database.kind == "sqlite" else "dbos."
        self.stories = f"{place}workflow_status"

    def tick(self) -> None:
        now = self.database.now_ms()
        aside = "status = 'PENDING' AND executor_id = 'aside'"
        [(due,)] = self.service.rows(f"SELECT min(delay_until_epoch_ms) FROM {self.stories} WHERE {aside}")
        if due is None or due <= now:
            return
        ms = due - now
        self.service.github.forward(ms / 1000, faults=True)
        with self.database.begin() as tx:
            for change in (
                f"UPDATE {self.stories} SET delay_until_epoch_ms = delay_until_epoch_ms - {ms} WHERE {aside}",
                f"UPDATE {self.stories} SET created_at = created_at - {ms} WHERE completed_at IS NULL",
                f"UPDATE paces SET limited_until_at = limited_until_at - {ms}",
                f"UPDATE content SET made_at = made_at - {ms}",
                f"UPDATE deliveries SET received_at = received_at - {ms}",
                f"UPDATE looks SET looked_at = looked_at - {ms}",
            ):
                tx.execute(sa.text(change))
        self.moved += ms / 1000

    def until(self, query: str, seconds: float = 600) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.service.rows(query)[0][0]:
                return
            self.tick()
            time.sleep(0.05)
        raise TimeoutError(f"{query}\n{(self.service.folder / 'worker.log').read_text()[-3000:]}")

    def until_told(self) -> None:
        self.until(f"SELECT count(*) = 0 FROM {self.stories} WHERE status IN ('ENQUEUED', 'PENDING')")


def test_github_that_fails_for_ten_minutes_at_every_step_costs_time_and_nothing_else(
    tmp_path: Path, database_url: str
) -> None:
    with serving(tmp_path, database_url, agents.done()) as service:
        github, clock = service.github, Clock(service)
        remembered = tmp_path / "failed"
        service.worker("-m", "tests.stories.failing_worker", str(remembered), github.url)
        github.comment("dana", 2, "/agent fix cost=$2\nplease")
        clock.until("SELECT count(*) = 1 FROM runs WHERE finished_at IS NOT NULL")
        clock.until_told()
        github.clear_faults()
        github.comment("dana", 2, "/agent cost")
        clock.until("SELECT count(*) >= 2 FROM handled")
        clock.until_told()
        github.clear_faults()
        github.merge("dana", 2)
        clock.until("SELECT count(*) = 1 FROM attributions")
        clock.until_told()
        github.clear_faults()

        [(run, state)] = service.rows("SELECT id, state FROM runs")
        assert state == "done"
        assert len(github.runs()) == 1, "one dispatch"
        bodies = [comment["body"] for comment in github.comments(2)]
        assert sum(f"tollgate-run:{run}:1" in body for body in bodies) == 1, "one report"
        assert [found[1] for body in bodies if (found := REPLY.match(body))] == ["cost"]
        log = github.do("dana", "GET", "/commits?sha=main&per_page=50")
        assert sum(f"Tollgate-Run: {run}.1" in one["commit"]["message"] for one in log) == 1, "one commit"
        reactions = [r for c in github.comments(2) for r in c["reactions"]]
        assert [r["content"] for r in reactions] == ["eyes", "eyes"]
        steps = {line.split(": ")[1] for line in remembered.read_text().splitlines()}
        assert {
            "the commenter's role",
            "eyes",
            "look around",
            "comment",
            "dispatch",
            "commit",
            "the report",
        } <= steps
        # Each of the steps that ask GitHub something has waited its ten minutes.
        assert clock.moved > 600 * 7
        assert json.loads(service.rows("SELECT published FROM runs")[0][0])["kind"] == "pushed"
