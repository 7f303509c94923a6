"""The dashboard over HTTP before the sandbox's GitHub, people's browsers, and a clock that can be moved."""

from __future__ import annotations

import csv
import io
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from bot import services, settings
from bot.core.caps import month_of
from bot.core.ceilings import CLASSES
from bot.core.money import Usd
from bot.services import Services
from bot.stores.database import NOW, Database
from bot.stores.pulls import Facts
from bot.stores.run_rows import NewRun
from bot.stores.runs import new_id
from bot.stores.tables import turns
from bot.stories.login import log_in
from bot.web.dashboard import door as dashboard
from sandbox.github.client import Client
from sandbox.github.server import GitHub, Options
from sandbox.world_up import free_port
from tests.browser import Browser, Page

SECRET = "a session secret of more than 32 characters"
POLICY = """
caps: {everyone: $100, people: {dana: $40}, repositories: {acme/calendar: $5000}}
lines: {evals: {monthly: $500, members: [dana]}}
viewers: {role: maintain, people: [ren], admins: [ada, dana]}
"""


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Nothing."""


@dataclass
class World:
    github: Client
    services: Services
    url: str
    roof: Flask
    env: dict[str, str]
    _threads: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def forward(self, seconds: float) -> None:
        """Time passes, for the service and for GitHub."""
        with self.services.database.begin() as tx:
            tx.execute(sa.text(f"UPDATE later SET ms = ms + {round(seconds * 1000)}"))
        self.github.forward(seconds)

    @property
    def month(self) -> str:
        return month_of(self.services.database.now_ms(), "UTC")

    def number(self, login: str) -> int:
        """GitHub's number of a person."""
        return int(self.github.control("users", login=login)["id"])

    def repository(self, name: str, private: bool = True, **roles: str) -> tuple[int, str]:
        """Another repository of the App's: its number and name. `roles` of people who have another there."""
        made = self.github.control("repos", full_name=name, private=private, empty=True)
        for login, role in roles.items():
            Client(self.github.url, name).user(login, role)
        return int(made["id"]), name

    def run(self, login: str, usd: str, repository: tuple[int, str] | None = None, **more: Any) -> str:
        """A run of this person's that has cost so much, in the sandbox's first repository or another."""
        about = self.github.about
        id, name = repository or (about["repository_id"], about["repository"])
        line, state, reason = more.pop("line", ""), more.pop("state", "done"), more.pop("reason", None)
        thread = next(self._threads)
        url = more.pop("url", f"{self.github.url}/{name}/pull/{thread}")
        new = NewRun(
            id=new_id(),
            origin="github",
            task_class=more.pop("task_class", "bugfix"),
            engine="opus",
            price_book="p",
            model="claude-opus-4-7",
            actor=login,
            actor_id=self.number(login),
            month=more.pop("month", self.month),
            installation=about["installation_id"],
            repository_id=id,
            repository=name,
            thread=thread,
            thread_kind="pull",
            line=line,
            ceilings=replace(CLASSES["bugfix"], usd=Usd.parse(more.pop("ceiling", "900"))),
            snapshot={"thread": {"url": url}},
        )
        assert self.services.runs.open(new)
        nanos = Usd.parse(usd).nanos
        read = more.get("cost_read_nanos", nanos // 4)
        costs = {"cost_read_nanos": read, "cost_output_nanos": nanos - read}
        self.services.runs.set(new.id, **({"spent_nanos": nanos, "steps": 4} | costs | more))
        if nanos:
            with self.services.database.begin() as tx:
                now = int(tx.execute(sa.select(self.services.database.now)).scalar_one())
                booked = {"run": new.id, "attempt": 1, "state": "settled", "step": 4, "settled_at": now}
                held = {"hold_nanos": nanos, "hold_tokens": 0, "held_at": now, "lease_until_at": now}
                about = {"owner": "t", "max_tokens": 1, "model_asked": new.model, "nanos": nanos}
                tx.execute(sa.insert(turns).values(booked | held | about | costs))
        if state != "open":
            self.services.runs.end(new.id, state, reason=reason)
        return new.id

    def laptop(self, login: str) -> str:
        """The token of a machine on which this person has just logged in."""
        return log_in(self.services, self.github.app_token(login), "a laptop")[0]

    def merge(self, repository: tuple[int, str], number: int, title: str, author: str, **more: Any) -> None:
        """A pull request with runs is merged."""
        now = self.services.database.now_ms()
        about = (self.github.about["installation_id"], *repository, number, title, author, "main", True)
        assert self.services.pulls.record(Facts(*about, now, now, **more))

    def thread(self, run: str) -> int:
        """The number of the pull request that a run is on."""
        found = self.services.runs.get(run)
        assert found is not None
        assert found.thread is not None
        return found.thread

    def signed_in(self, login: str, browser: Browser | None = None, next: str = "/") -> tuple[Browser, Page]:
        """A browser in which this person has just signed in, and the page that it then shows."""
        browser = browser or Browser()
        asking = browser.open(f"{self.url}/sign-in?next={next}")
        button = [value for _, value in asking.forms[0].buttons].index(login)
        return browser, browser.send(asking, button=button)


@dataclass
class Office:
    """A world, and people's browsers in it."""

    world: World
    browsers: dict[str, Browser]

    def page(self, login: str, path: str) -> Page:
        return self.browsers[login].open(self.world.url + path)

    def json(self, login: str, path: str) -> Any:
        return json.loads(self.page(login, path).text)

    def rows(self, login: str, path: str) -> list[list[str]]:
        return list(csv.reader(io.StringIO(self.page(login, path).text)))


@contextmanager
def dashboard_world(folder: Path, policy: str = POLICY, **more: str) -> Iterator[World]:
    """GitHub, and a service's dashboard on it, each behind a port; `more`: of the service's environment."""
    rules = folder / "service.yml"
    rules.write_text(policy)
    url = f"http://127.0.0.1:{free_port()}"
    with GitHub(Options(data=folder / "github", webhook_url=f"{url}/webhooks/github")) as hub:
        github = Client(hub.url)
        about = github.about
        env = {
            "DATABASE_URL": f"sqlite:///{folder / 'tollgate.db'}",
            "PUBLIC_URL": url,
            "GITHUB_APP_ID": str(about["app_id"]),
            "GITHUB_APP_PRIVATE_KEY": about["private_key"],
            "GITHUB_WEBHOOK_SECRET": about["webhook_secret"],
            "GITHUB_CLIENT_ID": about["client_id"],
            "GITHUB_CLIENT_SECRET": about["client_secret"],
            "GITHUB_API_URL": hub.url,
            "SESSION_SECRET": SECRET,
            "ANTHROPIC_API_KEY": "sk-ant-test",
            "POLICY_FILE": str(rules),
        }
        env |= more
        told = settings.read(env)
        services.migrate(told)
        database = Database(told.database_url)
        with database.begin() as tx:
            tx.execute(sa.text("CREATE TABLE later (ms BIGINT)"))
            tx.execute(sa.text("INSERT INTO later VALUES (0)"))
        clock = f"({NOW[database.kind]} + (SELECT ms FROM later))"
        database.close()
        with services.opened(told, "web", clock) as opened:
            roof = Flask("dashboard", static_folder=None)
            roof.register_blueprint(dashboard.door(opened))
            server = make_server(
                "127.0.0.1", int(url.rpartition(":")[2]), roof, threaded=True, request_handler=Quiet
            )
            serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            serving.start()
            try:
                yield World(github, opened, url, roof, env)
            finally:
                server.shutdown()
                serving.join()
                server.server_close()
