"""A month of 40 people over 12 repositories, in minutes: every refusal, clamp, notice, acknowledgement and
roll-over as the policy says, by an independent calculation (R20-R24, P4).

`MONTH_SEED=7 python -m pytest tests/month` lives another one.
"""

from __future__ import annotations

import ast
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import settings
from sandbox.processes import start
from tests import servers
from tests.month import model
from tests.month.agents import Agents
from tests.month.clock import Clock
from tests.month.life import OUTPUT, Life
from tests.month.model import Named, Rules
from tests.month.world import DOLLAR, Barred, Live, policy
from tests.stories.service import serving

pytestmark = pytest.mark.slow

SEED = int(settings.environment().get("MONTH_SEED", "20261126"))
PEOPLE = [f"dev-{number:02}" for number in range(1, 41)]
REPOSITORIES = [f"acme/part-{number:02}" for number in range(1, 13)]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def starts(*months: tuple[str, str]) -> list[tuple[int, str]]:
    """Months by the instant, in UTC, at which they begin."""
    return [(round(utc(at).timestamp() * 1000), month) for at, month in months]


# New Zealand has summer time from September to April: midnight there is 11:00 UTC of the day before.
AUCKLAND = starts(
    ("2026-10-31T11:00", "2026-11"), ("2026-11-30T11:00", "2026-12"), ("2026-12-31T11:00", "2027-01")
)
# In California summer time ends on 1 November 2026, at 02:00: that month begins at 07:00 UTC.
CALIFORNIA = starts(
    ("2026-10-01T07:00", "2026-10"), ("2026-11-01T07:00", "2026-11"), ("2026-12-01T08:00", "2026-12")
)


def rules(kind: str) -> Rules:
    if kind == "self":
        return Rules(
            AUCKLAND,
            everyone=4 * DOLLAR,
            people={"dev-01": 9 * DOLLAR, "dev-02": 9 * DOLLAR, "dev-03": 20 * DOLLAR,
                    "dev-04": 6_500_000_000, "dev-05": 1_333_333_333, "dev-06": 12 * DOLLAR},
            repositories={"acme/part-01": 22 * DOLLAR, "acme/part-02": 15 * DOLLAR},
            installation=115 * DOLLAR,
            lines={"evals": (14 * DOLLAR, frozenset({"dev-01", "dev-07", "dev-08", "dev-09"})),
                   "nightly": (3 * DOLLAR, frozenset({"dev-02", "dev-07", "ada"}))},
            at_once={"nightly": 1},
            approvers=("ada",),
        )  # fmt: skip
    return Rules(
        CALIFORNIA,
        everyone=5 * DOLLAR,
        people={"dev-01": 8 * DOLLAR, "dev-02": 3 * DOLLAR},
        repositories={"acme/part-01": 14 * DOLLAR},
        installation=60 * DOLLAR,
        lines={
            "evals": (6 * DOLLAR, frozenset({"dev-01", "dev-03"})),
            "nightly": (3 * DOLLAR, frozenset({"dev-02", "dev-07", "ada"})),
        },
        at_once={"nightly": 1},
        self_service=False,
        mention=True,
        approvers=("ada",),
    )


@pytest.fixture
def postgresql_url(postgresql: str) -> str:
    """An empty database of the server."""
    return servers.create(postgresql, f"month{secrets.token_hex(4)}")


@contextmanager
def living(folder: Path, url: str, kind: str, zone: str, now: datetime) -> Iterator[Life]:
    held, agents = rules(kind), Agents()
    clock = Clock(url, now)
    with ExitStack() as stack:
        stack.callback(clock.close)
        claude = stack.enter_context(start("claude", character="expensive", invoice=folder / "invoice"))
        service = stack.enter_context(
            serving(
                folder,
                url,
                upstream=claude.url,
                service_policy=policy(held, zone),
                jobs=agents,
                roof="tests.month.roof:app",
                now_ms=round(now.timestamp() * 1000),
            )
        )
        service.worker("-m", "tests.month.worker")
        yield Life(service, claude, agents, clock, held, SEED)


# -- what people do --


def day(life: Life, busy: int) -> None:
    """Some people ask for runs, go on with them, are refused, acknowledge and ask again."""
    chance = life.chance
    people, repositories = list(life.people.values()), list(life.repositories.values())
    weights = [12 if number < 8 else 3 for number in range(len(people))]
    for person in chance.choices(people, weights, k=busy):
        repository = chance.choices(repositories, [6, 5] + [1] * (len(repositories) - 2))[0]
        ask(life, person, repository)
    work(life, [live for live in life.live if chance.random() < 0.5])
    for broken in chance.sample(life.broken, min(2, len(life.broken))):
        line = broken.run.line
        entitled = [p for p in people if not line or p.name in life.book.rules.lines[line][1]]
        if line and life.people[broken.run.person] not in entitled:
            continue
        who = life.people[broken.run.person] if chance.random() < 0.6 else chance.choice(entitled)
        life.resume(broken, who, chance.choice((1_500_000_000, 3 * DOLLAR)))
    for barred in life.barred[-4:]:
        insist(life, barred)
    life.read()
    life.barred.clear()
    work(life, life.live)
    life.hand_in(list(life.live), [live for live in life.live if chance.random() < 0.3])


def ask(life: Life, person: Named, repository: Named, thread: int | None = None) -> Live | None:
    chance = life.chance
    member = person.name in life.book.rules.lines["evals"][1]
    line = "evals" if chance.random() < (0.5 if member else 0.05) else ""
    verb = chance.choices(("fix", "feature", "refactor", "run"), (6, 1, 1, 2))[0]
    cost = chance.choice((None, 400_000_000, DOLLAR, 1_750_000_000, 2 * DOLLAR, 3 * DOLLAR))
    return life.launch(person, repository, verb, cost, line, thread)


def work(life: Life, some: Sequence[Live]) -> None:
    """Each spends a part of what it may, in one or two answers; now and then it tries to spend more."""
    for live in some:
        left = live.run.ceiling - live.run.spent
        tokens = round(left * life.chance.choice((0.1, 0.4, 0.7, 0.9, 0.9, 1.3)) / OUTPUT)
        life.spend(live, *([tokens // 2] * 2 if life.chance.random() < 0.5 else [tokens]))
    life.spent()


def insist(life: Life, barred: Barred) -> None:
    """Whoever was refused acknowledges, or has it acknowledged, and asks again."""
    person, repository = life.people[barred.person], life.repositories[barred.repository]
    opened = life.ack(barred, person)
    if not opened and life.chance.random() < 0.8:
        opened = life.ack(barred, life.ada)
    if opened and all(live.thread != barred.thread for live in life.live):
        waits = any((b.run.repository, b.thread) == (repository.id, barred.thread) for b in life.broken)
        if not waits:
            ask(life, person, repository, barred.thread)


def turn_of_the_month(life: Life, midnight: datetime) -> None:
    """A second before midnight and at midnight, where the people live."""
    life.move(midnight - timedelta(seconds=1), slow=50)
    book, before = life.book, life.month()
    repositories = list(life.repositories.values())[-4:]

    def own(person: Named) -> model.Stand:
        [cap] = [one for one in book.caps(person, repositories[0]) if one.scope == "person"]
        return book.stand(cap, before)

    everybody = [person for person in life.people.values() if person is not life.ada]
    reached = [person for person in everybody if own(person).reached]
    untold = [person for person in everybody if (person.id, before) not in book.told]
    near = [person for person in untold if DOLLAR < own(person).left < own(person).most < 8 * DOLLAR]
    crosses = late = waiting = None
    if near:
        crosses = life.launch(max(near, key=lambda person: own(person).spent), repositories[0], "feature")
    if reached:
        assert life.launch(reached[0], repositories[1], cost=2 * DOLLAR) is None
        late = life.barred[-1]
    night = life.launch(life.ada, repositories[2], cost=2 * DOLLAR, line="nightly")
    if night is not None:
        waiting = life.wait(life.ada, repositories[3], "nightly", 5 * DOLLAR)
    resumable = [one for one in life.broken if not one.run.line and one.run.month == before]
    if waiting is not None:  # who comes after one that waits would stand in line too
        resumable = [one for one in resumable if one.run.repository != waiting.repository.id]
    life.read()
    life.move(midnight, slow=50)
    assert life.month() > before
    if late is not None:
        # What was refused a second ago is a new month's now, and there is nothing to acknowledge.
        life.ack(late, reached[0])
        life.launch(reached[0], repositories[1], cost=2 * DOLLAR, thread=late.thread)
    if crosses is not None:
        life.launch(life.people[crosses.run.person], repositories[2], cost=DOLLAR)
        life.spend(crosses, round(crosses.run.ceiling * 0.95 / OUTPUT))
    for broken in resumable[:3]:
        life.resume(broken, life.people[broken.run.person], 2 * DOLLAR)
    if night is not None and waiting is not None:
        life.spend(night, 40_000)
        life.spent()
        life.hand_in([night])
        assert life.let_in(waiting).run.month > night.run.month
    life.read()
    work(life, [live for live in life.live if live is not crosses])
    life.hand_in(list(life.live))
    life.barred.clear()


def span(since: str, until: str, days: int) -> Iterator[datetime]:
    """So many times, evenly spread."""
    first, last = utc(since), utc(until)
    for number in range(days):
        yield first + (last - first) * number / days


# -- the two worlds --


def test_the_model_is_not_the_products(tmp_path: Path) -> None:
    tree = ast.parse(Path(model.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported <= {"__future__", "collections", "collections.abc", "dataclasses", "decimal"}


def test_a_month_of_forty_people_is_as_the_policy_says(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tollgate.db'}"
    with living(tmp_path, url, "self", "Pacific/Auckland", utc("2026-11-27T00:00")) as life:
        life.settle(PEOPLE, REPOSITORIES)
        for now in span("2026-11-27T00:00", "2026-11-30T08:00", 5):
            life.move(now)
            day(life, 8)
        turn_of_the_month(life, utc("2026-11-30T11:00"))
        for now in span("2026-11-30T20:00", "2026-12-16T00:00", 7):
            life.move(now)
            day(life, 9)
        changes(life, "Pacific/Auckland")
        for now in span("2026-12-16T20:00", "2026-12-30T22:00", 7):
            life.move(now)
            day(life, 9)
        turn_of_the_month(life, utc("2026-12-31T11:00"))
        for now in span("2026-12-31T20:00", "2027-01-05T00:00", 5):
            life.move(now)
            day(life, 8)
        tally(life, ("2026-11", "2026-12", "2027-01"))
        assert len(life.book.runs) + refused(life) >= 250
        assert {kind for kind in EVERYTHING if not life.done[kind]} == set(), f"seed {SEED}: {life.done}"


def test_a_month_with_approvers_and_a_change_of_the_clocks(postgresql_url: str, tmp_path: Path) -> None:
    with living(tmp_path, postgresql_url, "approver", "America/Los_Angeles", utc("2026-10-29T20:00")) as life:
        life.settle(PEOPLE[:12], REPOSITORIES[:5])
        for now in span("2026-10-29T20:00", "2026-11-01T06:00", 3):
            life.move(now)
            day(life, 7)
        turn_of_the_month(life, utc("2026-11-01T07:00"))
        for now in span("2026-11-01T09:30", "2026-11-30T20:00", 4):
            life.move(now)
            day(life, 7)
        turn_of_the_month(life, utc("2026-12-01T08:00"))
        tally(life, ("2026-10", "2026-11", "2026-12"))


# What must have happened at least once, or the month has shown too little.
EVERYTHING = (
    "clamped by a person", "clamped by a repository", "refused by a person", "refused by a repository",
    "refused by a installation", "a slice of a person", "a slice of a repository", "not a member", "paused",
    "a slice that is another's", "nothing to acknowledge", "a notice", "a notice about the month before",
    "a resume", "a resume is refused", "a resume in a later month", "let in",
    "an acknowledgement for a run that goes on",
)  # fmt: skip


def changes(life: Life, zone: str) -> None:
    """New names, a lower cap in the middle of a month, and a pause."""
    people, repositories = list(life.people.values()), list(life.repositories.values())
    life.rename_person(people[3], "amy")  # dev-04, whose own cap is 6.50
    life.rename_repository(repositories[0], "core")  # whose cap is 22
    lower = replace(life.book.rules, everyone=3 * DOLLAR)
    lower.people = lower.people | {"dev-01": 5 * DOLLAR}
    life.obey(lower, zone)
    untouched = [
        person for person in people if not any(r.person == person.id for r in life.book.runs.values())
    ]
    whoever = untouched[0] if untouched else people[20]
    broken = life.pause(repositories[6], whoever)
    life.resume(broken, whoever, 1_500_000_000)
    for person in (people[3], people[0]):
        life.launch(person, repositories[0], cost=3 * DOLLAR)
    for barred in life.barred:
        insist(life, barred)
    life.barred.clear()
    life.read()
    work(life, life.live)
    life.hand_in(list(life.live))


def refused(life: Life) -> int:
    return sum(count for kind, count in life.done.items() if kind.startswith(("refused", "not a member")))


def tally(life: Life, months: Sequence[str]) -> None:
    """The ledger is the invoice, and the roll-up of each month is what its runs have cost."""
    runs = list(life.book.runs.values())
    billed = life.claude.ask("/invoice?limit=0")["total_nanos"]
    [(spent,)] = life.service.rows("SELECT sum(spent_nanos) FROM runs")
    assert int(spent) == billed == sum(run.spent for run in runs), f"seed {SEED}"
    for month in months:
        told = json.loads(life.cli("metrics", "--month", month, "--json"))
        people = life.book.spends(month)
        spends = sorted(sum(run.spent for run in his) for his in people.values())
        median = rank(spends, 50)
        expected = []
        for his in people.values():
            total, tasks = sum(run.spent for run in his), sum(run.steps > 0 for run in his)
            expected.append({
                "name": max(his, key=lambda run: run.number).name,
                "usd": exact(total),
                "tasks": tasks,
                "usd_per_task": exact(-(-total // tasks)),
                "on_lines_usd": exact(sum(run.spent for run in his if run.line)),
                "halted_usd": exact(sum(run.spent for run in his if run.halted)),
                "context_usd": exact(sum(run.context for run in his)),
                "cursor_usd": "0",
                "far": len(people) >= 3 and median > 0 and total >= 10 * median,
            })  # fmt: skip
        expected.sort(key=lambda one: (-nanos(str(one["usd"])), one["name"]))
        for one in told["people"]:
            del one["causes"]
        assert told["people"] == expected, f"{month}, seed {SEED}"
        spread = {"median": exact(median), "p90": exact(rank(spends, 90)), "max": exact(spends[-1])}
        assert (told["usd"], told["spread"]) == (exact(sum(spends)), spread)
        dearest = sorted((run for run in runs if run.month == month), key=lambda run: (-run.spent, run.id))
        assert [one["run"] for one in told["top"]] == [run.id for run in dearest[:5]]


def rank(spends: Sequence[int], percent: int) -> int:
    """The smallest that at least so many percent are not above."""
    return next(one for one in spends if sum(other <= one for other in spends) * 100 >= percent * len(spends))


def exact(amount: int) -> str:
    whole = f"{amount // 10**9}.{amount % 10**9:09d}"
    return whole.rstrip("0").rstrip(".")


def nanos(text: str) -> int:
    dollars, _, rest = text.partition(".")
    return int(dollars) * 10**9 + int(rest.ljust(9, "0"))
