"""What monitoring is told: the ledger's own figures, never falling, and about nobody."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot.core.caps import Line, month_of
from bot.core.cursor import Amounts, Event, Key
from bot.core.drift import KINDS, Drift
from bot.core.money import Usd
from bot.core.reconcile import COUNTERS
from bot.core.times import DAY_MS
from bot.exports import families, figures
from bot.exports.families import ALL
from bot.exports.figures import MOST_REPOSITORIES, Figures
from bot.services import Services
from bot.stores.cursor import LOOK
from bot.stores.looks import DELIVERIES
from bot.stores.tables import runs, turns
from tests.exports.lively import corrected, lively

MONTH = "2026-11"


def told(service: Services) -> Figures:
    return figures.now(service) | figures.window(service)


def by(found: Figures, family: families.Family, label: str) -> dict[str, float]:
    """The sum over everything but one label."""
    at = family.labels.index(label)
    sums: Counter[str] = Counter()
    for labels, value in found[family].items():
        sums[labels[at]] += value  # type: ignore[assignment]  # whole numbers here
    return dict(sums)


@pytest.mark.parametrize("seed", range(4))
def test_every_figure_is_the_ledgers(service: Services, seed: int) -> None:
    rows = lively(service.database, MONTH, seed)
    found = told(service)
    whole = service.signals.read(by="repo")
    total = sum(found[families.COST].values()) + sum(found[families.CORRECTIONS].values())
    assert total + found[families.POOLED][()] == whole.spent.nanos
    assert sum(found[families.ESTIMATED].values()) == whole.estimated.nanos
    first = [turn for turn in rows.turns if turn["state"] in ("settled", "estimated")]
    assert sum(found[families.COST].values()) == sum(turn["nanos"] for turn in first)
    assert sum(found[families.COST_BY_KIND].values()) == sum(turn["nanos"] for turn in first)
    tokens = by(found, families.TOKENS, families.TOKEN_TYPE)
    assert tokens == {name: sum(turn[name] for turn in first) for name in COUNTERS}
    cost, later = (by(found, of, "repository") for of in (families.COST, families.CORRECTIONS))
    assert {("(this machine)" if n == "none" else n): cost[n] + later[n] for n in cost if cost[n]} == {
        share.name: share.usd.nanos for share in whole.shares
    }
    states = Counter(row["state"] for row in rows.runs)
    assert by(found, families.RUNS, "state") == states
    assert sum(found[families.OPENED].values()) == len(rows.runs)
    assert found[families.IN_FLIGHT][()] == sum(turn["state"] == "held" for turn in rows.turns)
    month = service.signals.read(service.database.now_ms() - families.WINDOW_DAYS * DAY_MS)
    assert found[families.SPENT][()] == month.spent.nanos
    assert found[families.UNATTRIBUTED][()] == month.unattributed.nanos
    assert month.direct
    assert month.fully_loaded
    assert found[families.PER_PULL] == {
        ("direct",): month.direct.nanos,
        ("fully_loaded",): month.fully_loaded.nanos,
    }
    assert sum(found[families.EXHAUSTED].values()) == month.exhaustion.exhausted
    assert sum(found[families.ENDED].values()) == month.exhaustion.runs
    assert sum(found[families.MERGED].values()) == len(month.merged)


def test_no_counter_falls_whatever_is_corrected_resumed_or_renamed(service: Services) -> None:
    lively(service.database, MONTH)
    before = figures.now(service)
    assert corrected(service.database)
    with service.database.begin() as tx:
        tx.execute(sa.update(runs).where(runs.c.state == "halted").values(state="running", ended_at=None))
        tx.execute(sa.update(runs).where(runs.c.repository == "o/web").values(repository="o/web-new"))
    after = figures.now(service)
    assert sum(after[families.CORRECTIONS].values()) < sum(before[families.CORRECTIONS].values())
    for family in (family for family in ALL if family.kind == "counter"):
        there = {labels: value for labels, value in after[family].items() if labels in before[family]}
        assert all(value >= before[family][labels] for labels, value in there.items()), family.name
        gone = set(before[family]) - set(after[family])
        assert all("o/web" in labels for labels in gone)
        assert sum(after[family].values()) == sum(before[family].values())


def test_what_was_missed_is_counted(service: Services) -> None:
    assert figures.now(service)[families.MISSED] == {(): 0}
    service.looks.begin(DELIVERIES)
    service.looks.found(DELIVERIES)
    assert figures.now(service)[families.MISSED] == {(): 1}


def test_however_many_repositories_there_are_the_labels_are_few_and_the_sum_is_right(
    service: Services,
) -> None:
    rows = lively(service.database, MONTH, count=4)
    one = rows.runs[0] | {"spent_nanos": 7, "cost_output_nanos": 7, "state": "done", "reason": None}
    many = [
        one | {"id": f"x{n:011d}", "repository_id": n, "repository": f"r/{n}", "thread": None, "opened_at": n}
        for n in range(100, 100 + MOST_REPOSITORIES + 50)
    ]
    with service.database.begin() as tx:
        tx.execute(sa.insert(runs), many)
    before = by(figures.now(service), families.OPENED, "repository")
    assert len(before) <= MOST_REPOSITORIES + 2
    assert before["other"] >= 50
    assert sum(before.values()) == len(rows.runs) + len(many)
    # A repository that comes later, however dear, takes nobody's label.
    with service.database.begin() as tx:
        dear = one | {"id": "later", "repository_id": 9999, "repository": "r/later", "opened_at": 10**14}
        tx.execute(sa.insert(runs).values(dear | {"spent_nanos": 10**15}))
    after = by(figures.now(service), families.OPENED, "repository")
    assert after == before | {"other": before["other"] + 1}


def test_no_label_names_a_person_a_run_a_thread_or_their_words(service: Services) -> None:
    lively(service.database, MONTH)
    with service.database.begin() as tx:
        secret = {"actor": "a-person", "task": "a-text", "message": "a-text", "opened_by": "a-story"}
        tx.execute(sa.update(runs).values(secret))
        tx.execute(sa.update(turns).values(owner="a-process", request_id="a-request"))
    values = {value for samples in told(service).values() for labels in samples for value in labels}
    assert not [value for value in values if value.startswith("a-")]
    assert not [value for value in values if re.fullmatch(r"[0-9a-f]{12}", value)]
    named = {label for family in ALL for label in family.labels}
    assert not named & {"actor", "developer", "person", "run", "thread", "task", "title", "user"}


def test_lines_and_installations_show_how_their_caps_stand(service: Services) -> None:
    month = month_of(service.database.now_ms(), "UTC")
    rows = lively(service.database, month)
    assert not figures.now(service)[families.CAP], "where no cap is set there is none to show"
    lines = {"evals": Line(Usd(10**15), frozenset()), "idle": Line(Usd(7), frozenset())}
    caps = replace(service.policy.caps, installation=Usd(10**16))
    found = figures.now(replace(service, policy=replace(service.policy, caps=caps, lines=lines)))
    evals, idle, whole = ("line", "evals"), ("line", "idle"), ("installation", "9")
    assert found[families.CAP] == {evals: 10**15, idle: 7, whole: 10**16}
    spent = {evals: 0, idle: 0, whole: 0}
    for run in rows.runs:
        spent[whole] += run["spent_nanos"]
        spent[evals] += run["spent_nanos"] if run["line"] == "evals" else 0
    assert found[families.CAP_SPENT] == spent
    live = [row["line"] for row in rows.runs if row["state"] == "running"]
    assert found[families.CAP_LIVE] == {evals: live.count("evals"), idle: 0, whole: len(live)}


def test_names_are_as_prometheus_wants_them_and_each_is_there_once() -> None:
    assert len({family.name for family in ALL}) == len(ALL)
    for family in ALL:
        assert re.fullmatch(r"tollgate_[a-z0-9_]+", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert family.help.endswith(".")


def test_a_month_that_takes_too_long_is_missing_and_the_rest_is_there(service: Services) -> None:
    lively(service.database, MONTH)
    assert figures.window(service)[families.WINDOW_KNOWN] == {(): 1}
    with service.database.begin() as tx:
        if service.database.kind == "sqlite":
            tx.exec_driver_sql("ALTER TABLE pulls RENAME TO elsewhere")
        else:
            # A lock that outlasts every statement's patience.
            tx.exec_driver_sql("LOCK TABLE pulls IN ACCESS EXCLUSIVE MODE")
            assert figures.window(service) == {families.WINDOW_KNOWN: {(): 0}}
    if service.database.kind == "sqlite":
        assert figures.window(service) == {families.WINDOW_KNOWN: {(): 0}}
    assert sum(figures.now(service)[families.RUNS].values())


def test_what_the_invoice_has_more_or_less_is_told_by_kind(service: Services) -> None:
    found = figures.now(service)
    assert set(found[families.DRIFTS].values()) == {0}
    assert {kind for (kind,) in found[families.DRIFTS]} == set(KINDS)
    now = service.database.now_ms()
    days = [
        f"{datetime.fromtimestamp(now / 1000, UTC) - timedelta(days=back):%Y-%m-%d}" for back in (1, 2, 90)
    ]
    more, less = (
        Drift(days[0], "K", "m", "price", "", Usd(5), Usd(12)),
        Drift(days[1], "K", "m", "price", "", Usd(3)),
    )
    service.drifts.keep(
        "minutes", days, [more, less, Drift(days[2], "K", "m", "price", "", Usd(1), Usd(900))]
    )
    found = figures.now(service)
    assert found[families.DRIFTS]["price",] == 2, "of the last month"
    assert (found[families.DRIFT]["price", "more"], found[families.DRIFT]["price", "less"]) == (7, 3)


def test_what_the_disk_has_left_is_told_where_it_is_ours_to_see(service: Services) -> None:
    free = figures.now(service).get(families.DISK_FREE)
    ours = service.database.kind == "sqlite"
    assert (free is not None) == ours
    assert free is None or 0 < free[()] <= shutil.disk_usage(Path(service.database.file).parent).total


def test_how_long_the_first_in_line_has_waited_is_told(service: Services) -> None:
    lively(service.database, MONTH)
    assert figures.now(service)[families.WAITED] == {(): 0}
    first = sa.select(sa.func.min(runs.c.id)).scalar_subquery()
    with service.database.begin() as tx:
        waits = {"state": "queued", "queued_at": service.database.now - 90_000, "ended_at": None}
        tx.execute(sa.update(runs).where(runs.c.id == first).values(waits))
    found = figures.now(service)
    assert found[families.WAITED][()] >= 90_000
    assert by(found, families.RUNS, "state")["queued"] == 1


def test_what_people_use_with_cursor_is_told_apart_and_how_far_it_is_imported(service: Services) -> None:
    found = told(service)
    assert families.CURSOR_THROUGH not in found, "there is no key: nobody is alarmed"
    secrets = copy(service.settings.secrets)
    secrets.cursor_admin_key = "key"
    caps = replace(service.policy.caps, accounts={"dana@acme.example": "dana"})
    keyed = replace(
        service,
        settings=replace(service.settings, secrets=secrets),
        policy=replace(service.policy, caps=caps),
    )
    assert told(keyed)[families.CURSOR_THROUGH] == {(): 0}, "never: which is long ago"
    now = service.database.now_ms()
    events = [
        Event(Key(now, email, "gpt-5", "Usage-based"), Amounts(nanos))
        for email, nanos in (("dana@acme.example", 5), ("eve@x.example", 3), ("", 2))
    ]
    assert service.looks.begin(LOOK, -DAY_MS) is not None
    service.cursor_events.book(now, now + 1, events, lambda at: month_of(now, caps.zone))
    service.looks.end(LOOK, now)
    after = told(keyed)
    assert after[families.CURSOR_THROUGH] == {(): now}
    assert after[families.CURSOR] == {("known",): 5, ("unknown",): 5}
    assert {family for family in found if found[family] != after[family]} <= {
        families.CURSOR,
        families.WAITED,
        families.DISK_FREE,
    }
