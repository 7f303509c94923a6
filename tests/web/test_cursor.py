"""What Cursor tells of people, on pages and as JSON: apart from what is metered, and their own."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from bot.core import person_month, rollup
from bot.core.cursor import NOBODY, SOURCE, Amounts, Event, Key
from bot.core.money import Usd
from bot.stores.cursor import LOOK
from tests.web.dashboard_world import Office, World, dashboard_world

POLICY = """
caps: {everyone: $40, people: {dana: $20}}
viewers: {role: maintain, people: [ren]}
cursor:
  people: {dana@acme.example: dana, d@home.example: dana, kim@acme.example: kim}
"""
USED = {
    "dana@acme.example": "12.30", "d@home.example": "3.000000001", "kim@acme.example": "31",
    "eve@elsewhere.example": "0.55", "": "0.05",
}  # fmt: skip


def used(world: World, told: dict[str, str]) -> None:
    """As an import books it, at this moment."""
    services, now = world.services, world.services.database.now_ms()
    events = [
        Event(Key(now, email, "gpt-5", "Usage-based"), Amounts(Usd.parse(usd).nanos))
        for email, usd in told.items()
    ]
    assert services.looks.begin(LOOK) is not None
    services.cursor_events.book(now, now + 1, events, lambda at: world.month)
    services.looks.end(LOOK, now)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """`ren` sees everybody, `max` maintains; `dana` has runs and Cursor, `kim` Cursor alone, `tri` runs."""
    with dashboard_world(tmp_path_factory.mktemp("cursor"), POLICY) as world:
        world.run("dana", "2")
        world.run("tri", "1.5")
        used(world, USED)
        yield Office(world, {login: world.signed_in(login)[0] for login in ("ren", "max", "dana", "tri")})


def test_the_month_tells_it_apart_and_names_whom_the_policy_does_not_know(office: Office) -> None:
    told = office.json("ren", "/api/v1/rollup")
    assert (told["usd"], told["spread"]["max"]) == ("3.5", "2")
    assert told["cursor"] == {
        "usd": "46.900000001",
        "source": SOURCE,
        "people": [{"name": "kim", "usd": "31"}, {"name": "dana", "usd": "15.300000001"}],
        "unknown": [{"email": "eve@elsewhere.example", "usd": "0.55"}, {"email": "", "usd": "0.05"}],
    }
    assert {one["name"]: one["cursor_usd"] for one in told["people"]} == {"dana": "15.300000001", "tri": "0"}


def test_the_leads_page_shows_each_account_and_how_its_persons_cap_stands(office: Office) -> None:
    page = office.page("ren", "/people")
    assert "on no invoice of Anthropic" in page.text
    rows = list(csv.reader(office.page("ren", "/people?csv=cursor").text.splitlines()))
    assert rows[0] == ["account", "spend", "of their cap"]
    assert {row[0]: row[1:] for row in rows[1:]} == {
        "kim": ["31", "77"],
        "dana": ["15.300000001", "86"],
        "eve@elsewhere.example": ["0.55", "whose it is, `cursor.people` of POLICY_FILE does not say"],
        NOBODY: ["0.05", "whose it is, `cursor.people` of POLICY_FILE does not say"],
    }


def test_ones_own_month_has_it_under_the_cap_and_the_notice_too(office: Office) -> None:
    told = office.json("dana", "/api/v1/people/dana")
    (cap,) = told["caps"]
    assert (told["usd"], told["cursor_usd"]) == ("2", "15.300000001")
    assert (cap["spent_usd"], cap["cursor_usd"], cap["percent"]) == ("17.300000001", "15.300000001", 86)
    assert sum(Usd.parse(run["usd"]).nanos for run in told["runs"]) == Usd.parse("2").nanos
    page = office.page("dana", "/me").text
    assert "dana has spent $17.3001 of $20.00" in page
    assert "$15.3001 of it with Cursor" in page
    assert "With Cursor" not in office.page("tri", "/me").text


@pytest.mark.parametrize("path", ["/people", "/api/v1/rollup", "/people?csv=cursor", "/api/v1/people/dana"])
def test_who_sees_some_repositories_sees_nothing_of_it(office: Office, path: str) -> None:
    """Cursor's events are in no repository, so that no role in one tells of them."""
    page = office.page("max", path)
    for sum_or_name in ("15.3", "46.9", "kim", "eve@"):
        assert sum_or_name not in page.text
    if path.startswith("/api"):
        told = json.loads(page.text)
        assert (told.get("cursor"), told.get("cursor_usd")) == (None, None)
    for login in ("dana", "tri"):
        assert "eve@" not in office.page(login, path).text


def test_a_month_without_runs_still_tells_it(office: Office) -> None:
    with_runs, world = office.world.month, office.world
    quiet = rollup.as_text(rollup.Rollup("2026-01", 1.0, (), (), ()))
    assert quiet == "2026-01: no run with a person was launched in this month."
    now = world.services.database.now_ms()
    used_before = Event(Key(now, "kim@acme.example", "gpt-5", "Usage-based"), Amounts(Usd.parse("7").nanos))
    assert world.services.looks.begin(LOOK) is not None
    world.services.cursor_events.book(now, now + 1, [used_before], lambda at: "2024-02")
    world.services.looks.end(LOOK, now)
    page = office.page("ren", "/people?month=2024-02")
    assert ("kim" in page.text, "$7.00" in page.text) == (True, True)
    assert office.json("ren", "/api/v1/rollup")["cursor"]["usd"] == "46.900000001", with_runs


def test_the_terminal_says_it_in_the_same_words(office: Office) -> None:
    services = office.world.services
    told = services.rollups.read(office.world.month, _now(office), accounts=services.policy.caps.accounts)
    text = rollup.as_text(told)
    assert f"Cursor: $46.9001, {SOURCE}" in text
    assert "$0.55  eve@elsewhere.example  (whose it is, `cursor.people` of POLICY_FILE does not say)" in text
    mine = person_month.as_text(office.json("dana", "/api/v1/people/dana"))
    assert f"With Cursor: $15.3001 beside it, {SOURCE}." in mine
    assert "$17.3001 of $20.00 spent, $15.3001 of it with Cursor (86 %)" in mine


def _now(office: Office) -> datetime:
    return datetime.fromtimestamp(office.world.services.database.now_ms() / 1000, UTC)
