"""The page of ledger and invoice: what reconciliation found, in its words, with the runs that explain it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot.core.drift import DAYS, KINDS, LATE, OTHER_KEY, Drift
from bot.core.drift_words import sentence
from bot.core.money import Usd
from bot.core.statement import drift_as_json
from bot.stores.drifts import LOOK
from bot.stores.reconciliation import RECONCILED
from bot.stores.tables import looks, turns
from tests.browser import Browser
from tests.web.dashboard_world import World, dashboard_world

KEY = "ANTHROPIC_API_KEY"
ADMIN_KEY = "sk-ant-admin-that-nobody-may-see"


def a_drift(day: str, kind: str, run: str, more: str) -> Drift:
    """Of some tokens that one of the two has."""
    part = (
        "input → cache_read" if kind == "cache_price" else "claude-haiku-4-5" if kind == "wrong_model" else ""
    )
    usd = Usd.parse(more)
    return Drift(day, KEY, "claude-opus-4-7", kind, part, Usd(1), usd, 10, 4_000, (run,), "a hint")


def looked(world: World) -> None:
    now = world.services.database.now_ms()
    with world.services.database.begin() as tx:
        tx.execute(sa.insert(looks).values(name=LOOK, through_at=now, looked_at=now))


class Office:
    def __init__(self, world: World) -> None:
        self.world = world
        self.run = world.run("dana", "3")
        self.drifts = [a_drift(f"{world.month}-03", kind, self.run, "1.250000001") for kind in KINDS]
        store = world.services.drifts
        store.keep("minutes", [f"{world.month}-03"], self.drifts)
        store.keep(DAYS, ["2024-02-09"], [Drift("2024-02-09", "theirs", "m", OTHER_KEY, report=DAYS)])
        looked(world)
        self.browsers = {login: world.signed_in(login)[0] for login in ("ren", "ada", "dana", "max")}

    def open(self, login: str, path: str) -> Any:
        return self.browsers[login].open(self.world.url + path)

    def json(self, path: str = "/api/v1/drift") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.open("ren", path).text)
        return found


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("drift")
    with dashboard_world(folder, ANTHROPIC_ADMIN_KEY=ADMIN_KEY) as world:
        yield Office(world)


def test_each_kind_is_told_in_the_words_of_the_command(office: Office) -> None:
    told = office.json()
    assert {one["kind"] for one in told["drifts"]} == set(KINDS)
    for drift in office.drifts:
        (one,) = [one for one in told["drifts"] if one["kind"] == drift.kind]
        assert one == drift_as_json(drift) | {"found_ms": one["found_ms"], "resolved_ms": None}
    page = office.open("ren", "/drift").text
    for drift in office.drifts:
        first = sentence(drift).partition("'")[0][:60]
        assert first in page, drift.kind


def test_the_runs_that_explain_it_are_linked(office: Office) -> None:
    page = office.open("ren", "/drift")
    assert page.links.count(f"/runs/{office.run}") == len(KINDS)
    head, *drifts = csv.reader(io.StringIO(office.open("ren", "/drift?csv=drifts").text))
    told = [dict(zip(head, row, strict=True)) for row in drifts]
    assert {one["explanation"] for one in told} == {sentence(drift) for drift in office.drifts}
    assert {(one["model"], one["runs"]) for one in told} == {("claude-opus-4-7", office.run)}
    _, *rows = csv.reader(io.StringIO(office.open("ren", "/drift?csv=runs").text))
    assert {row[1] for row in rows} == set(KINDS)
    assert {row[0] for row in rows} == {office.run}


def test_a_correction_is_told_with_the_runs_that_were_corrected(tmp_path: Path) -> None:
    with dashboard_world(tmp_path, ANTHROPIC_ADMIN_KEY=ADMIN_KEY) as world:
        run = world.run("dana", "3")
        with world.services.database.begin() as tx:
            turn = dict(tx.execute(sa.select(turns).where(turns.c.run == run)).mappings().one())
            booked = {"state": "corrected", "corrects": turn.pop("id"), "ending": RECONCILED, "nanos": -5}
            tx.execute(sa.insert(turns).values(turn | booked))
        browser, _ = world.signed_in("ren")
        (told,) = json.loads(browser.open(f"{world.url}/api/v1/drift").text)["corrections"]
        page = browser.open(f"{world.url}/drift?csv=corrections")
        (row,) = csv.DictReader(io.StringIO(page.text))
        assert (row["of"], row["booked"], row["model"]) == (run, told["usd"], told["model"])
        assert "1 run<" in browser.open(f"{world.url}/drift").text


def test_what_stands_is_of_all_days_and_what_is_no_alarm_is_said_to_be_none(office: Office) -> None:
    standing = {one["kind"]: one["rows"] for one in office.json()["standing"]}
    assert standing == dict.fromkeys(KINDS, 1) | {OTHER_KEY: 2}
    page = office.open("ren", "/drift").text
    assert f"{len(KINDS) - 2} differences to look at" in page, f"neither {LATE} nor {OTHER_KEY}"


def test_a_month_has_its_own_days_and_what_is_resolved_is_asked_for(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        office = Office(world)
        day = office.drifts[0].day
        world.services.drifts.keep("minutes", [day], office.drifts[1:])
        kinds = {one["kind"] for one in office.json()["drifts"]}
        assert kinds == set(KINDS) - {office.drifts[0].kind}
        told = office.json("/api/v1/drift?resolved=yes")["drifts"]
        assert {one["kind"] for one in told if one["resolved_ms"]} == {office.drifts[0].kind}
        (old,) = office.json("/api/v1/drift?month=2024-02")["drifts"]
        assert (old["key"], old["alarm"]) == ("theirs", False)
        assert office.open("ren", "/drift?month=2024-13").status == 400


def test_only_who_sees_everybody_or_administers_the_service_sees_it(office: Office) -> None:
    for login, status in (("ren", 200), ("ada", 200), ("dana", 403), ("max", 403)):
        for path in ("/drift", "/drift?csv=drifts", "/api/v1/drift"):
            page = office.open(login, path)
            assert page.status == status, (login, path)
            assert ADMIN_KEY not in page.text
        assert ("/drift" in office.open(login, "/me").links) is (status == 200)


def test_without_a_key_and_without_a_look_it_says_what_to_do(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        browser, page = world.signed_in("ren", next="/drift")
        assert "set <code>ANTHROPIC_ADMIN_KEY</code>" in page.text
        assert json.loads(browser.open(f"{world.url}/api/v1/drift").text)["reads_reports"] is False
        looked(world)
        assert "whether anything still compares it cannot tell" in browser.open(f"{world.url}/drift").text
    (tmp_path / "more").mkdir()
    with dashboard_world(tmp_path / "more", ANTHROPIC_ADMIN_KEY=ADMIN_KEY) as world:
        _, page = world.signed_in("ren", next="/drift")
        assert "was not compared with the invoice yet" in page.text
        assert "python -m bot reconcile" in page.text
        looked(world)
        page = world.signed_in("ren", Browser(), next="/drift")[1]
        assert "Nothing stands" in page.text
