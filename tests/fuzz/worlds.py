"""The places that inputs are sent to: a whole service on either database, opened once, on demand."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from bot.clients.oidc import Verifier
from bot.core.ceilings import CLASSES
from bot.services import Services
from bot.stores.run_rows import NewRun
from bot.stores.runs import new_id, new_token, token_hash
from bot.stores.tables import audit, deliveries, laptops, runs, turns
from bot.stories.spend import Spend
from bot.web import health, laptop, metrics, steps, webhook
from bot.web import runs as runners
from bot.web.dashboard import door as dashboard
from tests import servers
from tests.web import access
from tests.web.access import Office
from tests.web.test_runs import ISSUER, KEY, SNAPSHOT, keys

KINDS = ("sqlite", "postgresql")
COOKIE = "tollgate"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Place:
    """Every door of a service in this process, over a seeded ledger; an exception in one is seen."""

    def __init__(self, office: Office) -> None:
        self.office, self.services = office, office.world.services
        self.roof = roof(self.services)
        self._threads = itertools.count(1_000)
        self._client = FlaskClient(self.roof, self.roof.response_class, use_cookies=False)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        answer = self._client.open(path, method=method, data=body, headers=headers or {})
        try:  # a file of the style's is open until then
            told = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status_code, told, answer.get_data(as_text=True))
        finally:
            answer.close()

    def credentials(self, who: str) -> dict[str, str]:
        """The headers of one of `access.WHO`, by session or by login."""
        browser = self.office.visitors[who]
        cookies = {cookie.name: cookie.value for cookie in browser.cookies}
        if COOKIE in cookies:
            return {"Cookie": f"{COOKIE}={cookies[COOKIE]}"}
        return {name: value for name, value in browser.sends if name == "Authorization"}

    def run(self) -> tuple[str, str]:
        """A run that a runner has claimed: its id and token."""
        run, token = self.open(), new_token()
        assert self.services.runs.claim(run, 1, token_hash(token), 500)
        return run, token

    def open(self) -> str:
        """A run that was dispatched, and that nobody has claimed."""
        new = NewRun(
            id=new_id(), origin="github", ceilings=CLASSES["bugfix"], task_class="bugfix", engine="opus",
            model="claude-opus-4-7", price_book="p", effort="high", task="fix it", installation=9,
            repository_id=1, repository="o/r", thread=next(self._threads), thread_kind="pull",
            comment_kind="issue_comment",
            comment_id=int(new_id(), 16), snapshot=SNAPSHOT,
        )  # fmt: skip
        assert self.services.runs.open(new)
        self.services.runs.dispatched(new.id, 500, None)
        return new.id

    def identity(self, **claims: Any) -> str:
        """An OIDC token as GitHub signs it for a job, but for `claims`."""
        now = int(time.time())
        known = {
            "iss": ISSUER, "aud": self.services.settings.public_url, "exp": now + 3_600, "nbf": now - 10,
            "iat": now,
            "repository": "o/r", "repository_id": "1", "repository_owner_id": "2", "run_id": "500",
            "run_attempt": "1",
            "event_name": "workflow_dispatch", "ref": "refs/heads/main", "sha": "b" * 40,
            "actor": "tollgate[bot]",
            "workflow_ref": "o/r/.github/workflows/agent.yml@refs/heads/main",
        }  # fmt: skip
        return jwt.encode(known | claims, KEY, algorithm="RS256", headers={"kid": "k"})

    def counted(self) -> tuple[Any, ...]:
        """Money and rights as they stand: what a refused input leaves as it was."""
        of_runs = [
            sa.func.count(),
            *(sa.func.sum(runs.c[name]) for name in ("spent_nanos", "held_nanos", "ceiling_nanos")),
        ]
        found: list[Any] = []
        with self.services.database.read() as tx:
            found += tx.execute(sa.select(*of_runs)).one()
            for table in (turns, deliveries, laptops, audit):
                found.append(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
            states = tx.execute(
                sa.select(runs.c.state, sa.func.count()).group_by(runs.c.state).order_by(runs.c.state)
            )
            found.append(tuple(map(tuple, states)))
        return tuple(found)


def roof(services: Services) -> Flask:
    """The doors as app.py mounts them, but for the gateway, which is no Flask; no accident is hidden."""
    verifier = Verifier(ISSUER, services.settings.public_url, keys)
    spend = Spend(services.ledger, services.prices)
    made = Flask("fuzz", static_folder=None)
    made.config["PROPAGATE_EXCEPTIONS"] = True
    for blueprint in (
        webhook.door(services),
        runners.door(services, lambda: verifier, spend),
        steps.door(services, lambda: verifier),
        laptop.door(services, clock=patient()),
        health.door(services),
        metrics.door(services),
        dashboard.door(services, clock=patient()),
    ):
        made.register_blueprint(blueprint)
    return made


def patient() -> Callable[[], float]:
    """A clock by which a minute passes between any two looks: no turnstile closes before what is tried."""
    now = [0.0]

    def clock() -> float:
        now[0] += 61.0
        return now[0]

    return clock


class Worlds:
    """Opened when a target asks for them, and closed with the block."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._made: dict[str, Any] = {}

    def __enter__(self) -> Worlds:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` opens as a context, the same for everybody who asks for it by this name."""
        if name not in self._made:
            self._made[name] = self._stack.enter_context(make())
        return self._made[name]

    def folder(self, name: str) -> Path:
        return Path(self.once(f"folder {name}", partial(tempfile.TemporaryDirectory, prefix="fuzz-")))

    def place(self, kind: str) -> Place:
        """A service on `sqlite` or `postgresql`."""
        made: Place = self.once(f"place {kind}", partial(_place, self, kind))
        return made


@contextmanager
def _place(worlds: Worlds, kind: str) -> Iterator[Place]:
    with ExitStack() as stack:
        more = {}
        if kind == "postgresql":
            server = worlds.once("postgresql", servers.postgresql)
            more["DATABASE_URL"] = stack.enter_context(servers.database(server))
        office = stack.enter_context(access.office(worlds.folder(f"place {kind}"), **more))
        yield Place(office)
