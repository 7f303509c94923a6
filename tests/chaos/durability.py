"""Runs through the real web process, worker, gateway and GitHub's stand-in, while all of it is killed.

`python -m tests.chaos.durability --runs 500 --database sqlite`: kill -9 of the web process, of the worker, of
PostgreSQL with all its processes; for SQLite a power cut (power.py): everything dies at once, and what was
not synced is lost. At the end nothing that was acknowledged is missing and nothing is there twice.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sqlite3
import sys
import tempfile
import threading
import time
import urllib.error
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from bot import services, settings
from bot.runner.service import BEAT_SECONDS
from bot.stores.tables import pool_corrections, runs
from bot.stories.reconcile import reconcile
from sandbox.actions import Job, Watch
from sandbox.processes import Started, start
from tests import servers
from tests.chaos.booked import booked
from tests.chaos.power import Power, compiler
from tests.month.agents import http as ask
from tests.stories.service import Service, serving

ADMIN, HOUR = "sk-ant-admin-test", 3_600_000
AT_ONCE = 12  # runs that are asked for and not over
CHARACTERS = ("echo", "echo", "echo", "slow", "reset-midway", "cuts")
POLICY = "concurrency: {person: 1000, repository: 1000}\n"
PEOPLE = ("dana", "ada", "max")
BROKEN = (urllib.error.URLError, http.client.HTTPException, OSError)


class Crew:
    """Who carries out workflows: claims, asks the model a few times, hands in; again until it is answered."""

    def __init__(self, seed: int) -> None:
        self.seed, self.over = seed, threading.Event()
        self.claimed: set[str] = set()  # runs whose claim was answered 200
        self.answered: Counter[str] = Counter()  # by run
        self._threads: list[threading.Thread] = []

    def start(self, job: Job, watch: Watch) -> None:
        thread = threading.Thread(target=self._work, args=(job, watch), daemon=True)
        self._threads.append(thread)
        thread.start()

    def cancel(self, id: int) -> None:
        """They end by themselves."""

    def close(self) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(10)

    def _work(self, job: Job, watch: Watch) -> None:
        told = job.event["inputs"]
        run, service, dice = told["run"], told["service"], random.Random(f"{self.seed} {told['run']}")
        watch.begun()
        about = {"run": run, "attempt": int(told["attempt"])}
        issuer = f"{job.env['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={service}"

        def claim() -> Any:
            identity = ask("GET", issuer, job.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])["value"]
            return ask("POST", f"{service}/api/runs/claim", identity, about)

        brief = self._until_answered(claim, again=(404,))
        if brief is None:
            return watch.ended("failure")
        self.claimed.add(run)
        done = threading.Event()
        alive = threading.Thread(
            target=self._alive, args=(done, f"{service}/api/runs/{run}/events", brief["token"])
        )
        alive.start()
        for _ in range(dice.randint(1, 3)):
            asked = {
                "model": brief["model"],
                "max_tokens": 200,
                "messages": [{"role": "user", "content": f"character: {dice.choice(CHARACTERS)}"}],
                "metadata": {"user_id": run},
            }
            try:
                ask("POST", f"{brief['base_url']}/v1/messages", brief["token"], asked)
                self.answered[run] += 1
            except BROKEN:  # of a gateway that died, or an upstream that cut it: the next one is asked anew
                time.sleep(0.2)
        result = {"outcome": "done", "summary": "I asked."}
        self._until_answered(lambda: ask("POST", f"{service}/api/runs/{run}/result", brief["token"], result))
        done.set()
        alive.join()
        return watch.ended("success")

    def _alive(self, done: threading.Event, url: str, token: str) -> None:
        while not done.wait(BEAT_SECONDS) and not self.over.is_set():
            with suppress(*BROKEN):
                ask("POST", url, token, {"events": [{"type": "heartbeat"}]})

    def _until_answered(self, do: Callable[[], Any], again: tuple[int, ...] = ()) -> Any:
        """None: it was refused."""
        while not self.over.wait(0.1):
            try:
                return do()
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code not in again:
                    return None
            except BROKEN:
                continue
        return None


@dataclass
class Ordeal:
    """What is killed, and what must have survived it."""

    service: Service
    crew: Crew
    dice: random.Random
    server: servers.Restartable | None
    power: Power | None
    died: Counter[str] = field(default_factory=Counter)
    _striking: threading.Lock = field(default_factory=threading.Lock)

    def supervise(self, over: threading.Event) -> None:
        """As systemd does: what ended by itself, for the server was on its way up, is started again."""
        while not over.wait(0.5):
            with self._striking:
                for worker in [one for one in self.service.workers if one.poll() is not None]:
                    self.service.workers.remove(worker)
                    self.service.worker()
                if self.service.web.poll() is not None:
                    self._web()

    def begin(self) -> None:
        if self.power is not None:  # the web process is there already: its disk is written down from here on
            self._all_dead()
            self.power.begin()
            self.service.again()
        self.service.worker()

    def strike(self) -> None:
        with self._striking:
            self._strike()

    def _strike(self) -> None:
        kinds = ["web", "worker", "all" if self.server is None else "server"]
        match self.dice.choice(kinds):
            case "web":
                self.service.kill()
                self.died["web"] += 1
                self._web()
            case "worker":
                self._worker_dead()
                self.died["worker"] += 1
                self.service.worker()
            case "server" if self.server is not None:
                self.server.kill()
                self.died["server"] += 1
                self.server.start()
            case _ if self.power is not None:
                acknowledged = self._acknowledged()
                self._all_dead()
                self.died["power"] += 1
                self.power.cut(self.dice)
                self._holds(acknowledged)
                self._web()
                self.service.worker()
            case _:
                self._all_dead()
                self.died["all"] += 1
                self._web()
                self.service.worker()

    def _web(self) -> None:
        for _ in range(5):  # its database may be on its way up
            with suppress(RuntimeError):
                return self.service.again()
        raise AssertionError((self.service.folder / "web.log").read_text()[-3000:])

    def _worker_dead(self) -> None:
        for worker in self.service.workers:
            worker.kill()
            worker.wait()
        self.service.workers.clear()

    def _all_dead(self) -> None:
        self.service.database.engine.dispose()  # whoever closes last would tidy the log up
        self.service.kill()
        self._worker_dead()

    def _acknowledged(self) -> tuple[set[str], set[str]]:
        """Deliveries answered 2xx, and runs whose claim was."""
        told = self.service.github.deliveries("issue_comment")
        return {one["guid"] for one in told if one["status"] == "OK"}, set(self.crew.claimed)

    def _holds(self, acknowledged: tuple[set[str], set[str]]) -> None:
        """They are in what is left of the files; looked at in a copy."""
        deliveries, claimed = acknowledged
        file = Path(self.service.database.file)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "copy.db"
            for end in ("", "-wal"):
                Path(f"{copy}{end}").write_bytes(Path(f"{file}{end}").read_bytes())
            with closing(sqlite3.connect(copy)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                known = {row[0] for row in connection.execute("SELECT id FROM deliveries")}
                running = {
                    row[0] for row in connection.execute("SELECT id FROM runs WHERE token_hash IS NOT NULL")
                }
        assert deliveries <= known, f"{len(deliveries - known)} deliveries answered 2xx are lost"
        assert claimed <= running, f"{len(claimed - running)} claims answered 200 are lost"

    def rows(self, query: str) -> list[Any]:
        """Asked again while the server is away."""
        for _ in range(100):
            with suppress(sa.exc.DBAPIError):
                return self.service.rows(query)
            time.sleep(0.2)
        raise AssertionError(f"nobody answers {query}")


def endure(folder: Path, database: str, count: int, seed: int, pause: float = 2.0) -> dict[str, Any]:
    """`count` runs; the figures. Raises AssertionError where something is lost or doubled."""
    dice, crew = random.Random(seed), Crew(seed)
    with ExitStack() as stack:
        server = power = None
        if database == "postgresql":
            server = stack.enter_context(servers.restartable())
            url = stack.enter_context(servers.database(server.url))
        else:
            url = f"sqlite:///{folder / 'tollgate.db'}"
            power = Power(folder / "tollgate.db", folder, compiler() or "") if compiler() else None
        claude = stack.enter_context(
            start("claude", character="auto", invoice=folder / "invoice", event_ms=20, admin_key=ADMIN)
        )
        more = {"ANTHROPIC_ADMIN_KEY": ADMIN, "HOLD_LEASE_SECONDS": "1.5", **(power.env if power else {})}
        service = stack.enter_context(
            serving(folder, url, "", service_policy=POLICY, upstream=claude.url, jobs=crew, more=more)
        )
        stack.callback(crew.close)
        ordeal = Ordeal(service, crew, dice, server, power)
        ordeal.begin()
        over = threading.Event()
        supervisor = threading.Thread(target=ordeal.supervise, args=(over,))
        supervisor.start()
        stack.callback(supervisor.join)
        stack.callback(over.set)
        began = time.monotonic()
        threads = _ask_for(ordeal, count, pause)
        _until_over(ordeal, count)
        took = time.monotonic() - began
        return {
            "bench": "durability",
            "database": database,
            "seed": seed,
            "seconds": round(took),
            "killed": dict(ordeal.died),
            "writes_lost_in_power_cuts": power.lost if power else None,
            **_judge(ordeal, claude, threads),
        }


def _ask_for(ordeal: Ordeal, count: int, pause: float) -> list[int]:
    """A comment each, a few at once; and something dies all the while."""
    github, threads = ordeal.service.github, list[int]()
    strike_at = time.monotonic() + pause
    with click.progressbar(length=count, label="told to their end", file=sys.stderr) as shown:
        while len(threads) < count:
            [(over,)] = ordeal.rows("SELECT count(*) FROM runs WHERE finished_at IS NOT NULL")
            shown.update(over - shown.pos)
            for _ in range(min(AT_ONCE - (len(threads) - over), count - len(threads))):
                thread = github.issue("dana", f"Task {len(threads)}")
                github.comment(ordeal.dice.choice(PEOPLE), thread, "/agent fix cost=$1")
                threads.append(thread)
            if time.monotonic() >= strike_at:
                ordeal.strike()
                strike_at = time.monotonic() + ordeal.dice.uniform(0, 2 * pause)
            time.sleep(0.1)
    for _ in range(3):
        time.sleep(pause)
        ordeal.strike()
    return threads


def _until_over(ordeal: Ordeal, count: int) -> None:
    service = ordeal.service
    # A command that comes has GitHub's log looked at for what failed while nobody was there.
    service.github.comment("dana", service.github.issue("dana", "The last"), "/agent status")
    place = "" if service.database.kind == "sqlite" else "dbos."
    told = f"SELECT count(*) = 0 FROM {place}workflow_status WHERE status IN ('ENQUEUED', 'PENDING')"
    service.until(f"SELECT count(*) = {count} FROM runs WHERE finished_at IS NOT NULL", 900)
    service.until(told, 300)
    service.until("SELECT count(*) = 0 FROM turns WHERE state = 'held'", 150)


def _judge(ordeal: Ordeal, claude: Started, threads: list[int]) -> dict[str, Any]:
    service = ordeal.service
    found = service.rows("SELECT id, thread, attempt, state, message FROM runs")
    assert Counter(row.thread for row in found) == Counter(threads), "one run for each command"
    assert all((row.state, row.attempt) == ("done", 1) for row in found), [r for r in found if r[3] != "done"]
    assert len(service.github.runs()) == len(threads), "one dispatch for each run"
    known = {thread["number"]: thread for thread in service.github.repository()["threads"]}
    for row in found:
        bodies = [comment["body"] for comment in known[row.thread]["comments"]]
        assert sum(f"tollgate-run:{row.id}:1" in body for body in bodies) == 1, "one report for each run"
    deliveries, _ = ordeal._acknowledged()
    assert deliveries <= {row[0] for row in service.rows("SELECT id FROM deliveries")}

    billed: dict[str, dict[str, int]] = defaultdict(dict)
    for row in claude.invoice()["rows"]:
        billed[row["user"]][row["request_id"]] = row["nanos"]
    estimates = 0
    for (run,) in service.rows("SELECT id FROM runs"):
        exact, estimated = booked(service.database, run)
        invoice = billed.get(run, {})
        rest = [nanos for id, nanos in invoice.items() if id not in exact]
        assert all(exact.get(id, nanos) == nanos for id, nanos in invoice.items()), "as it was billed"
        assert {id for id, nanos in exact.items() if nanos} <= set(invoice), "nothing that was not billed"
        assert len([nanos for nanos in rest if nanos]) <= len(estimated)
        assert sum(rest) <= sum(estimated), "the ledger is below the invoice"
        [(spent,)] = service.rows(f"SELECT spent_nanos FROM runs WHERE id = '{run}'")
        assert spent == sum(exact.values()) + sum(estimated)
        estimates += len(estimated)
    total = sum(sum(rows.values()) for rows in billed.values())
    [(before,)] = service.rows("SELECT sum(spent_nanos) FROM runs")
    claude.ask("/_sandbox/conduct", {"report_lag_ms": 0})
    with services.opened(settings.read(service.env), "reconcile") as ready:
        now = ready.database.now_ms() + HOUR
        reconcile(ready, now - 4 * HOUR, now, now)
        with ready.database.read() as tx:
            pool = int(
                tx.execute(sa.select(sa.func.coalesce(sa.func.sum(pool_corrections.c.nanos), 0))).scalar_one()
            )
            spent = int(tx.execute(sa.select(sa.func.sum(runs.c.spent_nanos))).scalar_one())
    assert spent + pool == total, "after reconciliation the ledger is the invoice"
    return {
        "runs": len(threads),
        "answers": sum(ordeal.crew.answered.values()),
        "billed_usd": f"{total / 1e9:.6f}",
        "estimated_requests": estimates,
        "above_the_invoice_until_reconciled_usd": f"{(int(before) - total) / 1e9:.6f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--seed", type=int, default=20_261_127)
    parser.add_argument("--folder", type=Path, help="where its logs are to stay")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two deaths, about")
    asked = parser.parse_args()
    for database in asked.database or ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory() as folder:
            where = asked.folder or Path(folder)
            where.mkdir(parents=True, exist_ok=True)
            figures = endure(where, database, asked.runs, asked.seed, asked.pause)
        sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
