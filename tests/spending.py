"""Two months of an organisation through the real ledger, and what was spent as plain numbers beside it.

Nothing is written into tables here: runs are opened, claimed and ended by the stores, each answer is held and
settled (or lost, or told late) by the ledger, pull requests merge and estimates are corrected by what does so
in the product. Time is the database's own, some days ago.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import sqlalchemy as sa

from bot import services as rooms
from bot import settings
from bot.core.caps import month_of
from bot.core.ceilings import CLASSES, Reason
from bot.core.money import Usd
from bot.core.reconcile import Sums, stretches
from bot.core.usage import Usage
from bot.services import Services
from bot.stores.account import Ask, Hold, Settlement, whole_hold
from bot.stores.database import NOW
from bot.stores.pulls import Facts
from bot.stores.run_rows import NewRun
from bot.stores.runs import new_id, new_token, token_hash

HOUR = 3_600_000
DAYS = (41, 33, 20, 9, 2, 0)  # ago, and an hour more: what is booked just now is not exported yet
MODELS = ("claude-opus-4-7", "claude-sonnet-4-5", "claude-haiku-4-5")
ENGINES = ("opus", "claude-code", "aider")
REASONS = (Reason.COST, Reason.TOKENS, Reason.STEPS, Reason.STUCK)
POOLED = "ANTHROPIC_API_KEY_POOLED"  # of runs whose estimates nobody can tell apart


Place = tuple[str, int | None]  # a repository and a thread there


@dataclass(frozen=True)
class Spent:
    """A run and what it came to: nano-dollars, and the part of them that is still an upper bound."""

    run: str
    actor: str
    repository: str
    thread: int | None
    line: str
    month: str
    model: str
    state: str
    days: int  # ago
    nanos: int
    estimated: int


@dataclass
class Office:
    """People and repositories by GitHub's numbers; `thread`: where the last runs were, which was merged."""

    people: dict[str, int]
    places: dict[str, int]
    installation: int
    thread: tuple[str, int]


@dataclass
class Months:
    runs: list[Spent] = field(default_factory=list)
    merged: dict[Place, int] = field(default_factory=dict)  # how many days ago
    pooled: dict[int, int] = field(default_factory=dict)  # by days ago

    def sum(self, which: Callable[[Spent], bool] = lambda run: True) -> int:
        """Of runs; what is of no run is in `pooled`."""
        return sum(run.nanos for run in self.runs if which(run))

    def by(self, name: str) -> dict[Any, int]:
        found: dict[Any, int] = {}
        for run in self.runs:
            found[getattr(run, name)] = found.get(getattr(run, name), 0) + run.nanos
        return found

    def on(self, place: Place) -> int:
        return self.sum(lambda run: (run.repository, run.thread) == place)


def months(env: dict[str, str], office: Office, count: int, seed: int = 1) -> Months:
    """`count` runs over DAYS, the last ten on the office's thread."""
    random, made, told = Random(seed), Months(), settings.read(env)
    for days in DAYS:
        with _ago(told, days) as services:
            world = _World(services, office, random, days)
            last = days == DAYS[-1]
            rest = count - len(made.runs) if last else count // len(DAYS)
            made.runs += [world.run() for _ in range(rest - 2 - 10 * last)]
            made.runs += [world.run(office.thread) for _ in range(10 * last)]
            both, pooled = world.pool()
            made.runs += both
            made.pooled[days] = pooled
            threads = sorted(
                {(run.repository, run.thread) for run in made.runs if run.thread} - {office.thread}
            )
            for place in random.sample(threads, 4) + [office.thread] * last:
                if place not in made.merged:
                    world.merge(*place)
                    made.merged[place] = days
    return made


def _ago(told: settings.Settings, days: int) -> AbstractContextManager[Services]:
    kind = sa.make_url(told.database_url).get_backend_name()
    return rooms.opened(told, "web", f"({NOW[kind]} - {days * 24 * HOUR + HOUR})")


@dataclass
class _World:
    services: Services
    office: Office
    random: Random
    days: int

    def run(self, place: Place | None = None) -> Spent:
        """A whole run: opened, claimed, some requests, its end; some go on."""
        random, services = self.random, self.services
        goes_on = place is None and random.random() < 0.05
        new = self._new(
            (random.choice(list(self.office.places)), random.randrange(900, 999)) if goes_on else place
        )
        requests = [self._request(new) for _ in range(random.choice((0, 1, 2, 3, 6)))]
        state = random.choice(("done", "done", "done", "halted", "failed", "lost"))
        if goes_on:
            state = "running"
            services.ledger.hold(new.id, 1, self._ask(new)[0])
        elif state == "halted":
            services.ledger.halt(new.id, 1, random.choice(REASONS), "halted")
        else:
            services.runs.end(new.id, state)
        if not goes_on:
            self._finish(new)
        return self._spent(new, state, requests)

    def pool(self) -> tuple[list[Spent], int]:
        """Two runs whose answers never came, in the same minutes by the same key: the invoice has less."""
        both = [self._new(None, POOLED) for _ in range(2)]
        found = []
        for new in both:
            ask, _ = self._ask(new, MODELS[0])
            self._settle(new, ask, whole_hold(ask, "reset"))
            self.services.runs.end(new.id, "failed")
            self._finish(new)
            found.append(self._spent(new, "failed", [(ask.nanos, ask.nanos)]))
        now, store = self.services.database.now_ms(), self.services.reconciliation
        entries = [one for one in store.read(now - HOUR, now + HOUR).entries if one.key == POOLED]
        [(stretch, mine, _)] = stretches(entries, ())
        less = Sums(input=1_000, cost_input_nanos=5_000_001)
        invoice = sum((one.booked for one in mine), Sums()) - less
        booked = store.book(stretch, invoice, now + 2 * HOUR, HOUR, self.services.prices.version)
        assert booked.pool == Sums() - less
        return found, -less.usd.nanos

    def merge(self, repository: str, number: int) -> None:
        now = self.services.database.now_ms()
        facts = Facts(
            installation=self.office.installation,
            repository_id=self.office.places[repository],
            repository=repository,
            number=number,
            title=f"A change, number {number}",
            author="dana",
            base="main",
            closed=True,
            merged_at=now // 1000 * 1000,
            updated_at=now,
        )
        assert self.services.pulls.record(facts) > 0

    # -- one of each --

    def _new(self, place: Place | None, key: str = "ANTHROPIC_API_KEY") -> NewRun:
        random, office = self.random, self.office
        actor = random.choice(list(office.people))
        if place is None:
            repository = random.choice([*office.places, ""])
            place = repository, random.randrange(100, 160) if repository else None
        repository, thread = place
        task_class = random.choice(("bugfix", "feature", "refactor"))
        new = NewRun(
            id=new_id(),
            origin="github" if repository else "laptop",
            ceilings=replace(CLASSES[task_class], usd=Usd.parse("900"), tokens=10**9, steps=200),
            task_class=task_class,
            engine=random.choice(ENGINES),
            model=random.choice(MODELS),
            price_book=self.services.prices.version,
            actor=actor,
            actor_id=office.people[actor],
            month=month_of(self.services.database.now_ms(), "UTC"),
            line=random.choice(("", "", "", "evals")),
            key_name=key,
            opened_by="" if repository else f"laptop:{new_id()}",
            installation=office.installation,
            repository_id=office.places.get(repository),
            repository=repository,
            thread=thread,
            thread_kind="pull" if thread else None,
            snapshot={"thread": {"url": f"https://github.example/{repository}/pull/{thread}"}},
        )
        if not self.services.runs.open(new):  # another one is live on that thread
            return self._new(("", None), key)
        assert self.services.runs.claim(new.id, 1, token_hash(new_token()))
        return new

    def _ask(self, new: NewRun, model: str = "") -> tuple[Ask, Settlement]:
        """A request's worst case, and what its answer will have been."""
        random = self.random
        usage = Usage(
            input=random.randrange(20_000),
            cache_write_5m=random.randrange(30_000),
            cache_write_1h=random.choice((0, random.randrange(9_000))),
            cache_read=random.randrange(150_000),
            output=random.randrange(1, 6_000),
            model=model or new.model,
        )
        cost = self.services.prices.cost(
            usage, datetime.fromtimestamp(self.services.database.now_ms() / 1000, UTC)
        )
        truth = Settlement(cost, usage, False, "end_turn", model=usage.model)
        worst = Ask(
            cost.total.nanos * 2, usage.metered * 2, usage.cache_read * 2, 8_000, usage.model, new_id(),
            price_book=new.price_book, key_name=new.key_name,
        )  # fmt: skip
        return worst, truth

    def _request(self, new: NewRun) -> tuple[int, int]:
        """One request, in one of the ways in which it can go: what it cost, and what of it is an estimate."""
        ledger, (ask, truth) = self.services.ledger, self._ask(new)
        how = self.random.choices(("told", "released", "reset", "orphaned", "late"), (70, 6, 8, 6, 10))[0]
        cost = truth.cost.total.nanos
        if how == "told":
            self._settle(new, ask, truth)
            return cost, 0
        if how == "reset":
            self._settle(new, ask, whole_hold(ask, "reset"))
            return ask.nanos, ask.nanos
        hold = ledger.hold(new.id, 1, ask)
        assert isinstance(hold, Hold)
        if how == "released":
            ledger.release(hold, 529, "refused")
            return 0, 0
        assert ledger.expire(new.id) == 1
        if how == "orphaned":
            return ask.nanos, ask.nanos
        ledger.settle(hold, truth)  # the truth comes after all: a correction beside what was charged
        return cost, 0

    def _finish(self, new: NewRun) -> None:
        """As the story does that tells of its end."""
        self.services.runs.finished(new.id, 1)
        if new.thread:
            self.services.pulls.follow(new.repository_id or 0, new.thread)

    def _settle(self, new: NewRun, ask: Ask, what: Settlement) -> None:
        hold = self.services.ledger.hold(new.id, 1, ask)
        assert isinstance(hold, Hold)
        self.services.ledger.settle(hold, what)

    def _spent(self, new: NewRun, state: str, requests: list[tuple[int, int]]) -> Spent:
        return Spent(
            new.id,
            new.actor,
            new.repository,
            new.thread,
            new.line,
            new.month,
            new.model,
            state,
            self.days,
            sum(nanos for nanos, _ in requests),
            sum(estimated for _, estimated in requests),
        )
