"""A simulated world: people, repositories, the service with its clock; and how its outcomes are held against
the model.

A wrong one is an AssertionError that says the seed and what was done before.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import yaml

from sandbox.github.client import Client
from sandbox.processes import Started
from tests.month.agents import Agent, Agents
from tests.month.clock import Clock
from tests.month.model import Book, Granted, Named, Rules, Run, Stand, usd
from tests.stories.service import ROOT, Service

DOLLAR = 1_000_000_000
INPUT = 5_000  # nano-dollars a token: Claude Opus 4.7, platform.claude.com, 2026-11
PATIENCE = 300.0  # seconds for anything to happen: the machine may be busy


@dataclass
class Live:
    """A run that an agent has, and where it was asked for."""

    run: Run
    agent: Agent
    thread: int
    attempt: int = 1
    asked: list[Future[int]] = field(default_factory=list)


@dataclass
class Broken:
    """A run that was handed in unfinished, and can go on."""

    run: Run
    thread: int
    attempt: int


@dataclass
class Waiting:
    """A run that is in line."""

    id: str
    person: Named
    repository: Named
    line: str
    cost: int
    thread: int


@dataclass
class Barred:
    """Somebody whose launch a cap has refused, and where."""

    person: int
    repository: int
    thread: int
    scope: str


class World:
    """One world: people, repositories, the service, and the book that says what must be."""

    def __init__(
        self,
        service: Service,
        claude: Started,
        agents: Agents,
        clock: Clock,
        rules: Rules,
        seed: int,
    ) -> None:
        self.service, self.claude, self.agents, self.clock = service, claude, agents, clock
        self.book, self.seed, self.chance = Book(rules), seed, random.Random(seed)
        self.people: dict[int, Named] = {}
        self.repositories: dict[int, Named] = {}
        self.github: dict[int, Client] = {}  # by repository
        self.live: list[Live] = []
        self.broken: list[Broken] = []
        self.barred: list[Barred] = []
        self.refused: dict[tuple[int, int], tuple[int, Run | None]] = {}  # by thread: who last, which run
        self.done: Counter[str] = Counter()  # what has happened, by kind
        self.did: list[str] = []
        self._owed: list[tuple[int, int, int, Sequence[str]]] = []  # answers that are still to be read
        self._billed = 0

    # -- the world --

    def settle(self, people: Sequence[str], repositories: Sequence[str]) -> None:
        """Everybody may write everywhere; ada, who approves, is there already."""
        first = self.service.github
        for login in people:
            made = first.control("users", repo=first.repo, login=login, role="write")
            self.people[made["id"]] = Named(made["id"], login)
        ada = first.control("users", login="ada")
        self.people[ada["id"]] = Named(ada["id"], "ada")
        self.ada = self.people[ada["id"]]
        workflow = (self.service.folder / "agent.yml").read_text()
        files = {"README.md": "# Something\n", ".github/workflows/agent.yml": workflow}
        for name in repositories:
            made = first.control("repos", full_name=name, files=files)
            self.repositories[made["id"]] = Named(made["id"], name)
            self.github[made["id"]] = Client(first.url, name)

    def move(self, now: datetime, slow: int = 1) -> None:
        """Time goes on, for the service and for GitHub."""
        before = self.clock.shift
        self.clock.set(now, slow)
        self.service.github.forward(self.clock.shift - before)
        for client in self.github.values():
            client._tokens.clear()
        self.now, self.slow = now, slow
        self.did.append(f"-- {now.isoformat()}")

    def _keep_up(self) -> None:
        """Where the service's time hardly goes on, GitHub's is set back to it."""
        if self.slow > 1:
            before, self.clock.shift = self.clock.shift, self.now.timestamp() - time.time()
            self.service.github.forward(self.clock.shift - before)

    def month(self) -> str:
        return self.book.rules.month(round(self.now.timestamp() * 1000))

    # -- what came of it --

    def read(self) -> None:
        """Every answer that is owed says what it must."""
        for repository, thread, comment, said in self._owed:
            asked = partial(self._answer, thread=thread, comment=comment)
            body = self.github[repository].wait(asked, PATIENCE, f"the answer to {comment}")
            for words in said:
                assert words in body, f"{words!r} is not in {body!r}\n{self._story()}"
        self._owed.clear()

    @staticmethod
    def _answer(github: Client, thread: int, comment: int) -> str | None:
        listed = github.do("ada", "GET", f"/issues/{thread}/comments?per_page=100")
        found = [one["body"] for one in listed if one["body"].partition("\n")[0].endswith(f":{comment} -->")]
        return found[0] if found else None

    def _report(self, run: Run, live: Live, words: str) -> None:
        github, mark = self.github[run.repository], f"tollgate-run:{run.id}:{live.attempt}"
        listed = github.do("ada", "GET", f"/issues/{live.thread}/comments?per_page=100")
        [body] = [one["body"] for one in listed if mark in one["body"]]
        assert words in body, f"{words!r} is not in {body!r}\n{self._story()}"

    def _reached(
        self,
        comment: int,
        person: Named,
        repository: Named,
        thread: int,
        stand: Stand,
        run: Run | None = None,
    ) -> None:
        self._refused(comment, stand.refusal, "cap_reached")
        rules, cap = self.book.rules, stand.cap
        own = cap.scope == "person" and rules.self_service
        who = " or ".join(f"`{name}`" for name in ((cap.name,) if own else rules.approvers))
        opens = f"`/agent ack` with a reason, by {who}, opens {usd(cap.amount // 4)} more"
        self._owed.append((repository.id, thread, comment, (stand.refusal, opens)))
        self.refused[repository.id, thread] = person.id, run
        self.barred.append(Barred(person.id, repository.id, thread, cap.scope))
        self.done[f"refused by a {cap.scope}"] += 1

    def _refused(self, comment: int, message: str, reason: str) -> None:
        query = f"SELECT reason, message FROM refusals WHERE comment_id = {comment}"
        row = self._until(query, comment)
        self._same(tuple(row), (reason, message))

    def _opened(self, granted: Granted, clamps: list[str]) -> None:
        self.done["opened"] += 1
        if granted.clamp:
            whose = granted.clamp.partition(" is more than what ")[2]
            scope = next(
                (
                    word
                    for word in ("line", "installation")
                    if f"the {word} " in whose or f"whole {word}" in whose
                ),
                "repository" if whose.startswith("the cap of") else "person",
            )
            self.done[f"clamped by a {scope}"] += 1

    def _until(self, query: str, comment: int) -> Any:
        """The row that a command leads to; an answer that is none of it is told at once."""
        either = (
            f"SELECT 1 FROM ({query}) AS it UNION ALL SELECT 1 FROM refusals WHERE comment_id = {comment}"
        )
        try:
            self.service.until(either, PATIENCE)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self._story()}") from error
        rows = self.service.rows(query)
        if not rows:
            [refusal] = self.service.rows(
                f"SELECT reason, message FROM refusals WHERE comment_id = {comment}"
            )
            raise AssertionError(f"refused: {tuple(refusal)}\n{self._story()}")
        return rows[0]

    def _invoice(self) -> None:
        """What the model's maker has billed each run."""
        rows = self.claude.ask(f"/invoice?after={self._billed}")["rows"]
        for row in rows:
            run = self.book.runs[row["user"]]
            run.spent += row["nanos"]
            run.context += row["input"] * INPUT
            run.steps += 1
        self._billed += len(rows)

    def _did(self, what: str) -> None:
        self.did.append(what)

    def _same(self, told: object, expected: object) -> None:
        assert told == expected, f"\nis       {told}\nmust be  {expected}\n{self._story()}"

    def _story(self) -> str:
        return "\n".join([f"MONTH_SEED={self.seed}", "…", *self.did[-25:]])

    def cli(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "bot", *words],
            env=self.service.env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


def policy(rules: Rules, zone: str) -> str:
    """The service's file that says these rules."""

    def amount(nanos: int) -> str:
        return f"${nanos // DOLLAR}.{nanos % DOLLAR:09d}"

    caps: dict[str, Any] = {
        "time_zone": zone,
        "people": {name: amount(nanos) for name, nanos in rules.people.items()},
        "repositories": {name: amount(nanos) for name, nanos in rules.repositories.items()},
        "acknowledge": "self" if rules.self_service else "approver",
        "mention": rules.mention,
    }
    if rules.everyone is not None:
        caps |= {"tiers": {"standard": amount(rules.everyone)}, "everyone": "standard"}
    if rules.installation is not None:
        caps["installation"] = amount(rules.installation)
    lines = {
        name: {"monthly": amount(nanos), "members": sorted(members)}
        | ({"concurrency": rules.at_once[name]} if name in rules.at_once else {})
        for name, (nanos, members) in rules.lines.items()
    }
    many = {"person": 100, "repository": 100}
    file = {"caps": caps, "concurrency": many, "approvers": list(rules.approvers)} | (
        {"lines": lines} if lines else {}
    )
    return yaml.safe_dump(file)
