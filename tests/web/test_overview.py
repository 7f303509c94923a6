"""The overview: the figures of the ledger, as far as the visitor may see them, of what is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from bot.core.money import Usd
from bot.core.overview import as_json
from tests.web.dashboard_world import Office, dashboard_world

EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
DAY = 86_400_000


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A month over two repositories, one of which only `ada` may read; one merged pull request in each."""
    with dashboard_world(tmp_path_factory.mktemp("office")) as world:
        hidden = world.repository("acme/vault", max="none", dana="none", ren="none", tri="none")
        here = world.github.about["repository_id"], world.github.about["repository"]
        dear = world.run("dana", "41.5")
        world.run("dana", "3.5", line="evals", task_class="feature")
        world.run("tri", "25", state="halted", reason="cost_ceiling")
        secret = world.run("ada", "700.000000001", hidden, state="halted", reason="stuck_loop")
        world.run("dana", "9", hidden)
        world.merge(here, world.thread(dear), EVIL, "tri")
        world.merge(hidden, world.thread(secret), "The secret of the vault", "ada")
        yield Office(
            world, {login: world.signed_in(login)[0] for login in ("ada", "max", "dana", "ren", "tri")}
        )


def test_a_lead_is_told_the_bill_in_one_sentence_with_the_outliers_by_name(office: Office) -> None:
    page = office.page("ren", "/")
    for words in (
        "Agents cost $779.0001, and 2 pull requests were merged",
        "above the usual band",
        "acme/calendar#",
    ):
        assert words in page.text, words
    assert "vault" not in page.text
    rows = office.rows("ren", "/?csv=outliers")
    assert [row[0] for row in rows] == ["cost", "700.000000001", "41.5"]
    assert rows[1][1] == "a repository that you may not read"
    assert "100% on runs that were halted" in rows[1][-1]


def test_what_is_told_is_what_the_ledger_has(office: Office) -> None:
    whole = as_json(office.world.services.signals.read())
    told = office.json("ren", "/api/v1/overview?days=all")
    assert told["before"] is None
    for name in ("cost_per_merged_pr", "spend", "tokens_per_task", "days"):
        assert told[name] == whole[name], name
    assert told["budget_exhaustion"]["by_class"] == whole["budget_exhaustion"]["by_class"]


@pytest.mark.parametrize(
    ("login", "path", "usd"),
    [
        ("ren", "?by=repo", "779.000000001"),
        ("ada", "?by=repo", "779.000000001"),
        ("max", "?by=repo", "70"),
        ("dana", "", "70"),
        ("tri", "?by=line", "70"),
        ("dana", "?developer=Dana", "54"),
        ("tri", "?developer=tri", "25"),
        ("max", "?developer=ada", "0"),
        ("ren", "?developer=ada", "700.000000001"),
        ("ren", "?repo=acme/vault", "0"),
        ("ada", "?repo=acme/vault", "709.000000001"),
        ("dana", "?repo=acme/vault&developer=dana", "9"),
        ("ren", "?class=feature", "3.5"),
        ("ren", "?line=evals&class=feature", "3.5"),
        ("ren", "?line=(none)&repo=acme/calendar", "66.5"),
        ("ren", "?since=2024-01-01&until=2024-02-01", "0"),
    ],
)
def test_each_sees_the_sums_that_are_theirs_to_see(office: Office, login: str, path: str, usd: str) -> None:
    assert office.json(login, f"/api/v1/overview{path}")["spend"]["usd"] == usd


@pytest.mark.parametrize("path", ["?by=developer", "?developer=tri", "?developer=nobody"])
def test_who_may_not_see_people_sees_none_of_them(office: Office, path: str) -> None:
    for at in ("/", "/?csv=split", "/api/v1/overview"):
        page = office.page("dana", at + path.replace("?", "&") if "?" in at else at + path)
        assert page.status == 403
        assert "$" not in page.text
    page = office.page("dana", "/")
    assert page.status == 200
    for other in (">tri", "ada", "vault", "by=developer"):
        assert other not in page.text, other


def test_the_names_of_a_freed_login_show_nobody_else(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        hidden = world.repository("acme/vault", dana="none")
        run = world.run("ada", "700", hidden)
        world.services.runs.set(run, actor="dana")  # what ada was called when it ran
        browser, _ = world.signed_in("dana")
        told = json.loads(browser.open(f"{world.url}/api/v1/overview?developer=dana").text)
        assert told["spend"]["usd"] == "0"


def test_what_others_wrote_is_text_and_no_more(office: Office) -> None:
    for path in ("/", f"/?repo={quote(EVIL)}", f"/?class={quote(EVIL)}&line={quote(EVIL)}"):
        text = office.page("ada", path).text
        assert "<script" not in text
        assert "<img" not in text


def test_a_window_is_compared_with_the_one_before_it(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        world.run("dana", "10")
        world.forward(40 * 86_400)
        world.run("dana", "12.5")
        browser, page = world.signed_in("ren")
        assert "25% more than the 30 days before ($10.00)" in page.text
        told = json.loads(browser.open(f"{world.url}/api/v1/overview").text)
        assert (told["spend"]["usd"], told["before"]["usd"]) == ("12.5", "10")
        assert "before" not in browser.open(f"{world.url}/?days=all").text


@pytest.mark.parametrize("by", ["developer", "repo", "class", "engine", "model", "line"])
def test_each_split_adds_up_to_the_whole(office: Office, by: str) -> None:
    rows = office.rows("ada", f"/?by={by}&csv=split")
    assert sum(Usd.parse(row[1]).nanos for row in rows[1:]) == Usd.parse("779.000000001").nanos


def test_every_table_is_there_as_csv_and_filters_stand_in_the_address(office: Office) -> None:
    page = office.page("ren", "/?days=90&class=feature&repo=&line=")
    assert page.url.endswith("/?days=90&class=feature"), "what nobody filled in is left out"
    links = [link for link in page.links if "csv=" in link]
    assert len(links) >= 7
    for link in links:
        told = office.page("ren", link.replace("&amp;", "&"))
        assert told.headers["content-type"] == "text/csv; charset=utf-8"
        assert told.text.count("\n") >= 2


@pytest.mark.parametrize(
    "query",
    [
        "days=x", "days=0", "days=-1", "days=9999999", "days=%D9%A3", "since=2026-13-01", "since=yesterday",
        "until=0001-01-01", "until=9999-12-31", "since=2026-02-01&until=2026-02-01", "by=price",
        "since=1971-01-01&until=2899-12-31", "since=1971-01-01", "since=2016-11-01&until=2026-11-10",
        "repo=a%00b", "class=a%0ab", "line=" + "x" * 300, "developer=%1b[0m",
    ],
)  # fmt: skip
def test_what_cannot_be_a_window_or_a_filter_is_refused_with_a_sentence(office: Office, query: str) -> None:
    page = office.page("ren", f"/?{query}")
    assert page.status == 400
    assert "alert" in page.text
    assert office.page("ren", f"/api/v1/overview?{query}").status == 400


def test_where_nothing_was_spent_it_says_what_to_do(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        browser, page = world.signed_in("ren")
        assert "Try a longer window" in page.text
        assert "/agent fix" in browser.open(f"{world.url}/?days=all").text
