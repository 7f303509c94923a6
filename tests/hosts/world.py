"""Two hosts with a web process and a worker each, PostgreSQL, GitHub, Claude and a balancer beside them."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from bot import services, settings
from bot.stores.database import Database
from sandbox.github.client import Client
from sandbox.github.server import GitHub, Options
from sandbox.processes import Started, start
from sandbox.world_up import free_port
from tests import servers
from tests.hosts.balancer import Balancer, balancer
from tests.hosts.network import Host, Network, Program, network
from tests.stories import agents
from tests.stories.service import ROOT, WORKFLOW, environment

DRAIN_SECONDS = 60
ADMIN = "sk-ant-admin-test"


@dataclass
class Place:
    """A host, and the two programs that it is there for."""

    host: Host
    port: int
    folder: Path
    web: Program | None = None
    worker: Program | None = None

    def worker_id(self, seconds: float = 60) -> str:
        """By which the durable engine knows it, once it is there."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.worker is not None
            if found := re.findall(r'^\{"worker": "([^"]+)"\}$', self.worker.said, re.M):
                return str(found[-1])
            if self.worker.entered.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(self.worker.said[-3000:] if self.worker else "")


@dataclass
class World:
    folder: Path
    network: Network
    server: servers.Restartable
    github: Client
    claude: Started
    balancer: Balancer
    database: Database
    env: dict[str, str]
    places: list[Place]
    written: list[int] = field(default_factory=list)  # the threads that have a command each
    number: int = 0

    # -- the programs --

    def web(self, place: Place, code: Path = ROOT, **more: str) -> None:
        place.web = self._start(
            place, "web", ["-m", "gunicorn", "--bind", f"0.0.0.0:{place.port}", "app:app"], code, more
        )

    def worker(self, place: Place, code: Path = ROOT, **more: str) -> None:
        place.worker = self._start(place, "worker", ["-m", "bot", "worker"], code, more)

    def _start(
        self, place: Place, kind: str, command: list[str], code: Path, more: dict[str, str]
    ) -> Program:
        self.number += 1
        log = place.folder / f"{self.number:02}-{place.host.name}-{kind}.log"
        return place.host.start([sys.executable, *command], code, self.env | more, log)

    def up(self, place: Place, code: Path = ROOT, **more: str) -> None:
        """Both programs, ready."""
        self.worker(place, code, **more)
        self.web(place, code, **more)
        self.ready(place)

    def ready(self, place: Place, seconds: float = 90) -> None:
        place.worker_id(seconds)
        self.until(lambda: (place.host.address, place.port) in self.balancer.ready(), seconds, place)

    def down(self, place: Place) -> None:
        """Both are told to end, and have."""
        for program in (place.web, place.worker):
            if program is not None:
                program.end(DRAIN_SECONDS)
        place.web = place.worker = None

    def again(self, place: Place) -> Place:
        """Another machine in the place of one that is gone."""
        host = self.network.host(place.host.name)
        at = self.places.index(place)
        self.places[at] = Place(host, place.port, self.folder)
        self.balancer.replace((place.host.address, place.port), (host.address, place.port))
        self.up(self.places[at])
        return self.places[at]

    # -- what is asked of it --

    def command(self, options: str, **told: object) -> int:
        """A new issue with a command on it; its number."""
        thread = self.github.issue("dana", f"Task {len(self.written)}")
        self.github.comment("dana", thread, f"/agent fix {options}\n\n{json.dumps(told)}")
        self.written.append(thread)
        return thread

    def rows(self, query: str) -> Sequence[Any]:
        """Whatever the server does meanwhile."""
        while True:
            with suppress(OperationalError), self.database.read() as tx:
                return tx.execute(sa.text(query)).all()
            time.sleep(0.1)

    def until(self, true: Callable[[], Any], seconds: float, what: object = "") -> float:
        """Seconds that it took."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if true():
                return time.monotonic() - began
            time.sleep(0.05)
        logs = "\n".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in self.folder.glob("*.log"))
        raise TimeoutError(f"waited {seconds:g} s for {what}\n{logs}")

    def told_by(self, worker: str) -> set[str]:
        """The stories that this worker is telling."""
        query = "SELECT workflow_uuid FROM dbos.workflow_status WHERE status = 'PENDING' AND executor_id = "
        return {row[0] for row in self.rows(f"{query}'{worker}'")}

    def untold(self, stories: set[str]) -> bool:
        names = ", ".join(f"'{story}'" for story in stories) or "''"
        query = "SELECT count(*) FROM dbos.workflow_status WHERE status <> 'SUCCESS' AND workflow_uuid IN "
        return bool(self.rows(f"{query}({names})")[0][0])

    def live(self) -> set[str]:
        return {row[0] for row in self.rows("SELECT id FROM runs WHERE state = 'running'")}


@contextmanager
def world(folder: Path, code: Path = ROOT, names: Sequence[str] = ("ada", "bob")) -> Iterator[World]:
    """Everything up; `code`: the checkout that the hosts start with."""
    folder.chmod(0o755)
    (folder / "agent.py").write_text(agents.STEADFAST)
    workflow = folder / "agent.yml"
    workflow.write_text(WORKFLOW.format(python=sys.executable, agent=folder / "agent.py"))
    with network() as net, servers.restartable(net.beside, free_port()) as server:
        options = Options(
            host=net.here, data=folder / "github", app_key=folder / "app.pem", actions={},
            workflow=workflow, jobs=12,
        )  # fmt: skip
        places = [Place(net.host(name), free_port(), folder) for name in names]
        with (
            GitHub(options) as hub,
            start(
                "claude", host=net.here, character="auto", invoice=folder / "invoice", event_ms=250,
                admin_key=ADMIN, report_lag_ms=0,
            ) as claude,
            balancer(net.here, [(place.host.address, place.port) for place in places]) as front,
        ):  # fmt: skip
            github = Client(hub.url)
            env = environment(github, folder, front.url, server.url, claude.url)
            env["ANTHROPIC_ADMIN_KEY"] = ADMIN
            services.migrate(settings.read(env))
            made = World(folder, net, server, github, claude, front, Database(server.url), env, places)
            try:
                for place in places:
                    made.worker(place, code)
                    made.web(place, code)
                for place in places:
                    made.ready(place)
                github.hook(f"{front.url}/webhooks/github")
                yield made
            finally:
                made.database.close()
