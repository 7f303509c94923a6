"""A team's month with Cursor, over HTTP, on both databases: once, whatever happens on the way (R33)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypotheses
from hypothesis import strategies as st

from bot import services, settings
from bot.clients.cursor import CursorApi, CursorError
from bot.core.caps import Cap, Names, Reached, Scope, applying, due, month_of, notice
from bot.core.ceilings import CLASSES
from bot.core.money import CENT, ZERO, Usd
from bot.core.overview import as_json as overview_json
from bot.core.replies import reached
from bot.services import Services
from bot.stores.cursor import LOOK, Superseded
from bot.stores.run_rows import NewRun
from bot.stores.runs import new_id
from bot.stores.tables import cursor_events, looks
from bot.stories.cursor import DAYS, hourly, imported
from bot.stories.durable import Story
from bot.stories.ruling import own_cap
from sandbox.cursor.month import month
from sandbox.processes import ROOT, Started, start

KEY, MONTH = "key_test_0123456789", "2026-10"
HOUR, DAY = 3_600_000, 86_400_000
MADE = month(MONTH, 3, 2)
FIRST = 1_790_812_800_000  # 2026-10-01, UTC
LAST = FIRST + 31 * DAY
POLICY = """
caps:
  people: {dev1: $40, dev2: $400}
cursor:
  people:
    Dev1@acme.example: dev1
    dev2@acme.example: dev2
    dev2@home.example: dev2
"""


@pytest.fixture
def cursor() -> Iterator[Started]:
    with start("cursor", key=KEY, month=MONTH, people=3, a_day=12, a_minute=0) as started:
        yield started


@pytest.fixture
def env(migrated_url: str, cursor: Started, private_key: str, tmp_path: Path) -> dict[str, str]:
    policy = tmp_path / "policy.yml"
    policy.write_text(POLICY)
    return settings.environment() | {
        "DATABASE_URL": migrated_url,
        "PUBLIC_URL": "https://tollgate.example",
        "GITHUB_APP_ID": "1",
        "GITHUB_APP_PRIVATE_KEY": private_key,
        "GITHUB_WEBHOOK_SECRET": "s",
        "ANTHROPIC_API_KEY": "sk-test",
        "CURSOR_ADMIN_KEY": KEY,
        "CURSOR_API_URL": cursor.url,
        "POLICY_FILE": str(policy),
    }


@pytest.fixture
def ready(env: dict[str, str]) -> Iterator[Services]:
    with services.opened(settings.read(env), "test") as opened:
        api = CursorApi(env["CURSOR_API_URL"], KEY, wait=lambda seconds: None, clock=lambda: 0.0)
        yield replace(opened, cursor=api)
        api.close()


def rows(ready: Services) -> list[dict[str, Any]]:
    with ready.database.read() as tx:
        found = tx.execute(sa.select(cursor_events).order_by(cursor_events.c.id)).mappings()
        return [dict(row) for row in found]


def team(cursor: Started) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = cursor.ask("/_sandbox/state")["events"]
    return events


def nanos(event: Mapping[str, Any]) -> int:
    return round(float(event["chargedCents"]) * CENT)


def told(cursor: Started, *emails: str) -> int:
    return sum(nanos(event) for event in team(cursor) if not emails or event["userEmail"] in emails)


def command(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bot", "cursor", *arguments],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def a_run(actor: str, actor_id: int, usd: str, thread: int, month: str = MONTH) -> NewRun:
    return NewRun(
        id=new_id(), origin="github", task_class="bugfix", engine="opus", price_book="p",
        model="claude-opus-4-7", actor=actor, actor_id=actor_id, month=month, installation=1,
        repository_id=3, thread=thread, ceilings=replace(CLASSES["bugfix"], usd=Usd.parse(usd)),
    )  # fmt: skip


def test_a_month_imported_twice_gives_the_same_ledger(cursor: Started, ready: Services) -> None:
    first = imported(ready, FIRST, LAST)
    ledger = rows(ready)
    assert first.outcome.events == len(ledger) == len(team(cursor)) > 300
    assert first.outcome.usd.nanos == sum(row["nanos"] for row in ledger) == told(cursor)
    assert {row["month"] for row in ledger} == {MONTH}
    assert first.cycle is not None
    assert first.cycle.apart == {}
    again = imported(ready, FIRST, LAST)
    assert (again.outcome.events, again.outcome.corrections) == (0, 0)
    assert rows(ready) == ledger
    # In other windows too: a day of it, and one that cuts days in two.
    imported(ready, FIRST + 5 * DAY, FIRST + 6 * DAY)
    imported(ready, FIRST + 3 * DAY + 7, FIRST + 19 * DAY + 12_345)
    assert rows(ready) == ledger


def test_a_past_event_that_is_told_otherwise_becomes_a_correction_row(
    cursor: Started, ready: Services
) -> None:
    imported(ready, FIRST, LAST)
    ledger, events = rows(ready), team(cursor)
    changed = max(events, key=lambda event: event["chargedCents"])
    dearer, gone, twin = dict(changed, chargedCents=changed["chargedCents"] + 12.5), events[5], events[9]
    assert changed not in (gone, twin)
    others = [event for event in events if event not in (changed, gone)]
    cursor.ask("/_sandbox/events", [*others, dearer, twin])
    second = imported(ready, FIRST, LAST)
    after = rows(ready)
    assert after[: len(ledger)] == ledger
    new = {row["at"]: row for row in after[len(ledger) :]}
    correction, back = new[int(changed["timestamp"])], new[int(gone["timestamp"])]
    assert (correction["nanos"], back["nanos"]) == (12_500_000_000 // 100, -nanos(gone))
    corrected = next(row for row in ledger if row["id"] == correction["corrects"])
    assert (corrected["at"], corrected["nanos"]) == (int(changed["timestamp"]), nanos(changed))
    assert new[int(twin["timestamp"])]["corrects"] is None
    assert (second.outcome.events, second.outcome.corrections) == (1, 2)
    assert sum(row["nanos"] for row in after) == told(cursor)
    imported(ready, FIRST, LAST)
    assert rows(ready) == after


@hypotheses(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_in_any_order_of_windows_changes_and_faults_the_ledger_is_what_is_told(
    cursor: Started, ready: Services, data: st.DataObject
) -> None:
    anchor = dict(MADE[0], timestamp=str(FIRST - DAY))  # something older is always told
    for _ in range(data.draw(st.integers(1, 3))):
        changes = st.tuples(st.sampled_from(MADE[:25]), st.integers(0, 2))
        state = [
            dict(one, chargedCents=one["chargedCents"] + more)
            for one, more in data.draw(st.lists(changes, max_size=40))
        ]
        cursor.ask("/_sandbox/events", [anchor, *state])
        cuts = sorted(data.draw(st.sets(st.integers(FIRST + 1, LAST - 1), max_size=3)) | {FIRST, LAST})
        windows = data.draw(st.permutations(list(pairwise(cuts))))
        faults = st.sampled_from([{}, {"cut": True}, {"status": 500}, {"status": 429}])
        cursor.ask("/_sandbox/faults", data.draw(st.lists(faults, max_size=2)))
        for since, until in windows:
            imported(ready, since, until)
        booked: dict[tuple[str, str], int] = {}
        wanted: dict[tuple[str, str], int] = {}
        for row in rows(ready):
            place = str(row["at"]), row["email"]
            booked[place] = booked.get(place, 0) + row["nanos"]
        for one in state:
            place = one["timestamp"], one["userEmail"]
            wanted[place] = wanted.get(place, 0) + nanos(one)
        assert {k: v for k, v in booked.items() if v} == {k: v for k, v in wanted.items() if v}


# -- under caps --


def test_a_person_over_their_cap_by_cursor_alone_starts_nothing(cursor: Started, ready: Services) -> None:
    used = Usd(told(cursor, "dev1@acme.example"))
    assert used > Usd.parse("5")
    imported(ready, FIRST, LAST)
    policy = ready.policy
    tight = replace(policy, caps=replace(policy.caps, people={"dev1": used, "dev2": Usd.parse("400")}))
    here = replace(ready, policy=tight)
    cap = own_cap(here, (1, "Dev1"))
    assert cap is not None
    refused = here.people.open(a_run("dev1", 1, "5", 7), (cap,))
    assert isinstance(refused, Reached)
    assert (refused.standing.spent, refused.standing.cursor, refused.standing.percent) == (used, used, 100)
    assert f"{used} of {used} spent, {used} of it with Cursor" in reached(refused.standing)
    assert due(refused.standing)
    assert f"{used} of it with Cursor" in notice(refused.standing, mention=False)
    # An acknowledgement opens a quarter, as of any other cap; on a line it is the line's month that counts.
    about = {"by": "dev1", "reason": "", "repository_id": 3, "comment": ("issue_comment", 1)}
    assert here.people.acknowledge(cap, MONTH, **about) is not None  # type: ignore[arg-type]
    assert here.people.open(a_run("dev1", 1, "5", 7), (cap,)) is True
    line = Cap(Scope.LINE, "evals", "the line evals", Usd.parse("5"))
    assert here.people.open(replace(a_run("dev1", 1, "1", 8), line="evals"), (line,)) is True


def test_cursor_counts_under_the_person_in_its_own_month_and_under_nothing_else(
    cursor: Started, ready: Services
) -> None:
    imported(ready, FIRST, LAST)
    caps = ready.policy.caps
    everything = replace(caps, repositories={"acme/calendar": Usd.parse("9")}, installation=Usd.parse("9"))
    where = (3, "acme/calendar")
    mine, its, whole = applying(everything, (2, "dev2"), where, 1)
    other = Cap(Scope.PERSON, "9", "dev2", Usd.parse("400"))
    november = ready.people.standings((mine,), "2026-11")[0]
    stand = ready.people.standings((mine, its, whole, other), MONTH)
    used = Usd(told(cursor, "dev2@acme.example"))
    assert [one.cursor for one in stand] == [used, ZERO, ZERO, ZERO]
    assert [one.spent for one in stand] == [used, ZERO, ZERO, ZERO]
    assert november.spent == ZERO
    assert ready.people.standings_of_people((other, mine), MONTH) == (stand[3], stand[0])
    # By a name that they had before, too.
    (renamed,) = applying(caps, (2, "dev-two"), where, 1, before=Names(person=frozenset({"dev2"})))
    assert renamed.accounts == mine.accounts == ("dev2@acme.example", "dev2@home.example")


def test_no_figure_of_the_ledger_knows_of_cursor(cursor: Started, ready: Services) -> None:
    now = ready.database.now_ms()
    before = overview_json(ready.signals.read(0, now))
    imported(ready, FIRST, LAST)
    assert overview_json(ready.signals.read(0, now)) == before
    assert ready.reconciliation.read(FIRST, LAST).entries == ()


def test_an_event_counts_in_the_month_that_people_have_there(cursor: Started, ready: Services) -> None:
    caps = replace(ready.policy.caps, zone="Pacific/Kiritimati")  # fourteen hours ahead
    here = replace(ready, policy=replace(ready.policy, caps=caps))
    imported(here, FIRST, LAST)
    late = [row for row in rows(here) if row["month"] == "2026-11"]
    assert late
    assert all(row["at"] >= LAST - 14 * HOUR for row in late)
    assert all(row["month"] == month_of(row["at"], caps.zone) for row in rows(here))


# -- what goes wrong --


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "number"),
    [("page", 1), ("page", 3), ("page", 5), ("inside", 1), ("inside", 9), ("after", 1), ("after", 20)],
)
def test_an_import_that_dies_anywhere_loses_and_doubles_nothing(
    cursor: Started, ready: Services, env: dict[str, str], where: str, number: int
) -> None:
    died = subprocess.run(
        [
            sys.executable, "-m", "tests.chaos.dying_cursor",
            str(FIRST), str(LAST), where, str(number),
        ],
        cwd=ROOT, env=env, timeout=300, check=False,
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL
    booked = rows(ready)
    assert {row["at"] // DAY for row in booked} == {FIRST // DAY + n for n in range(len_days(booked))}
    found = imported(ready, FIRST, LAST)  # at once: the dead one holds nobody up
    after = rows(ready)
    assert after[: len(booked)] == booked
    assert found.outcome.events + len(booked) == len(after) == len(team(cursor))
    assert sum(row["nanos"] for row in after) == told(cursor)


def len_days(booked: list[dict[str, Any]]) -> int:
    return len({row["at"] // DAY for row in booked})


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param([{"status": 401}], "answered 401", id="a key that is gone"),
        pytest.param([{"status": 500}] * 4, "answered 500", id="an outage"),
        pytest.param([{"status": 429, "retry_after": "1"}] * 4, "answered 429", id="a limit"),
        pytest.param([{"cut": True}] * 4, "did not answer", id="half a page"),
        pytest.param([{"body": '{"usageEvents": "none"}'}], "no list 'usageEvents'", id="another shape"),
        pytest.param([{"body": "<html>"}], "no JSON", id="a page for people"),
    ],
)
def test_what_cannot_be_read_is_said_and_what_was_booked_before_stands(
    cursor: Started, ready: Services, fault: list[dict[str, Any]], said: str
) -> None:
    cursor.ask("/_sandbox/faults", [{}, {}, *fault])  # what is older, the first week, and then
    with pytest.raises(CursorError, match=said) as refused:
        imported(ready, FIRST, LAST)
    assert KEY not in str(refused.value)
    week = rows(ready)
    assert len_days(week) == 7
    assert ready.looks.looked_at(LOOK) == 0
    imported(ready, FIRST, LAST)
    assert rows(ready)[: len(week)] == week
    assert sum(row["nanos"] for row in rows(ready)) == told(cursor)


def test_spend_by_user_that_cannot_be_read_takes_nothing_from_the_events(
    cursor: Started, ready: Services
) -> None:
    cursor.ask("/_sandbox/faults", [{}, {}, {"status": 403}])
    found = imported(ready, FIRST, FIRST + DAY)
    assert (found.cycle, found.outcome.events > 0) == (None, True)
    assert "spend by user was not read" in found.unread


def test_what_is_told_no_more_for_its_age_is_not_taken_back(cursor: Started, ready: Services) -> None:
    imported(ready, FIRST, LAST)
    ledger = rows(ready)
    cut = FIRST + 9 * DAY + HOUR
    cursor.ask("/_sandbox/conduct", {"oldest": cut})
    found = imported(ready, FIRST, LAST)
    assert rows(ready) == ledger
    first = min(int(one["timestamp"]) for one in team(cursor) if int(one["timestamp"]) >= cut)
    assert found.kept.nanos == sum(row["nanos"] for row in ledger if row["at"] < first)
    # Where something older is told, it was taken back, a whole day too.
    cursor.ask("/_sandbox/conduct", {"oldest": 0})
    left = [one for one in team(cursor) if int(one["timestamp"]) // DAY != FIRST // DAY + 9]
    cursor.ask("/_sandbox/events", left)
    imported(ready, FIRST + 9 * DAY, FIRST + 10 * DAY)
    assert sum(row["nanos"] for row in rows(ready)) == told(cursor)
    cursor.ask("/_sandbox/events", [])
    assert imported(ready, FIRST, LAST).outcome.corrections == 0


def test_only_one_imports_at_a_time(cursor: Started, ready: Services, env: dict[str, str]) -> None:
    with services.opened(settings.read(env), "other") as other:

        def meanwhile(report: str, page: int) -> None:
            if report == "/teams/filtered-usage-events" and page == 1:
                with pytest.raises(Superseded, match="another process imports"):
                    imported(replace(other, cursor=ready.cursor), FIRST, LAST)

        assert imported(ready, FIRST, FIRST + DAY, meanwhile).outcome.events
        # Whoever was thought dead and is not books nothing beside the one that took over.
        assert ready.looks.begin(LOOK) is not None
        with ready.database.begin() as tx:
            tx.execute(sa.update(looks).values(lease_until_at=1))
        assert other.looks.begin(LOOK) is not None
        with pytest.raises(Superseded):
            ready.cursor_events.book(FIRST, LAST, (), lambda at: MONTH)


def test_the_hourly_story_reads_the_last_days_and_a_month_once_a_day(
    cursor: Started, ready: Services
) -> None:
    now = ready.database.now_ms()

    def tell() -> list[dict[str, Any]]:
        before = len(cursor.ask("/_sandbox/state")["asked"])
        story = Story("cursor-1", ready, lambda name, do: do())
        assert "booked" in hourly(story) or "nothing new" in hourly(story)
        asked: list[dict[str, Any]] = cursor.ask("/_sandbox/state")["asked"]
        return [one for one in asked[before:] if one["pageSize"] > 1]

    first, then = tell(), tell()
    assert min(one["startDate"] for one in first) + 1 == (now // DAY - 31) * DAY
    assert min(one["startDate"] for one in then) + 1 == (now // DAY - DAYS) * DAY
    assert ready.looks.looked_at(LOOK) >= now
    # After an outage of weeks: from where the last one came to.
    with ready.database.begin() as tx:
        tx.execute(sa.update(looks).values(through_at=(now // DAY - 50) * DAY + 5))
    assert min(one["startDate"] for one in tell()) + 1 == (now // DAY - 50) * DAY
    assert (ready.looks.reached(LOOK) or 0) >= now


def test_an_import_of_the_past_does_not_count_as_one_of_now(cursor: Started, ready: Services) -> None:
    imported(ready, FIRST, FIRST + DAY)
    assert ready.looks.looked_at(LOOK) == 0


# -- the command --


def test_the_command_imports_tells_and_is_the_same_twice(
    cursor: Started, ready: Services, env: dict[str, str]
) -> None:
    window = "--from", "2026-10-01", "--to", "2026-11-01"
    done = command(env, *window)
    assert done.returncode == 0, done.stderr
    assert f"{len(team(cursor))} events and 0 corrections booked" in done.stdout
    assert "as Cursor's admin API tells; not metered here" in done.stdout
    assert "/teams/filtered-usage-events: page 1" in done.stderr
    assert "2026-10-31: " in done.stderr
    again = json.loads(command(env, *window, "--json").stdout)
    assert (again["events"], again["corrections"], again["usd"]) == (0, 0, "0")
    assert Usd.parse(again["cycle"]["booked_usd"]).nanos == told(cursor)
    assert again["cycle"]["apart"] == []
    assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"CURSOR_ADMIN_KEY": ""}, "CURSOR_ADMIN_KEY is not set", id="no key"),
        pytest.param({"CURSOR_ADMIN_KEY": "key_other"}, "answered 401 (Invalid API key)", id="another"),
        pytest.param({"CURSOR_API_URL": "nowhere"}, "CURSOR_API_URL is 'nowhere'", id="no address"),
    ],
)
def test_what_keeps_the_command_from_importing_is_said(
    ready: Services, env: dict[str, str], changed: dict[str, str], said: str
) -> None:
    done = command(env | changed)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
