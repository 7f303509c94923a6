"""The pages of pull requests and issues: the list, one of them, each as far as the visitor may see it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from bot.core import replies
from bot.stories import thread_bill
from bot.stories.names import line
from bot.web.dashboard.pulls import A_PAGE
from tests.browser import Page
from tests.web.dashboard_world import Office, dashboard_world

EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


@dataclass
class Threads(Office):
    """Three pull requests, one merged and dear, and one in a repository that only `ada` may read."""

    threads: dict[str, int]

    def page(self, login: str, path: str) -> Page:
        return super().page(login, path.format(**self.threads))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threads]:
    with dashboard_world(tmp_path_factory.mktemp("pulls")) as world:
        hidden = world.repository("acme/vault", max="none", dana="none", ren="none", tri="none")
        here = world.github.about["repository_id"], world.github.about["repository"]
        runs = {
            "dear": world.run("dana", "30.25", attempt=5),
            "open": world.run("tri", "2"),
            "halted": world.run("dana", "1.000000001", state="halted", reason="cost_ceiling"),
            "secret": world.run("ada", "700", hidden),
        }
        threads = {name: world.thread(run) for name, run in runs.items()}
        again = world.run("tri", "10", state="halted", reason="stuck_loop")
        world.services.runs.set(again, thread=threads["dear"])
        world.merge(here, threads["dear"], EVIL, "tri")
        browsers = {login: world.signed_in(login)[0] for login in ("ada", "max", "dana", "ren", "tri")}
        yield Threads(world, browsers, threads)


@pytest.mark.parametrize(
    ("login", "query", "costs"),
    [
        ("ren", "", ["700", "40.25", "2", "1.000000001"]),
        ("dana", "", ["40.25", "2", "1.000000001"]),
        ("ada", "?sort=cost&state=merged", ["40.25"]),
        ("dana", "?state=open", ["2", "1.000000001"]),
        ("dana", "?having=outlier", ["40.25"]),
        ("dana", "?having=halted", ["40.25", "1.000000001"]),
        ("dana", "?having=reverted", []),
        ("dana", "?developer=dana", ["30.25", "1.000000001"]),
        ("ren", "?developer=tri", ["10", "2"]),
        ("ren", "?repo=acme/vault", []),
        ("ada", "?repo=acme/vault", ["700"]),
        ("dana", "?class=feature", []),
        ("dana", "?since=2024-01-01&until=2024-02-01", []),
        ("dana", "?state=issue&having=reverted", []),
    ],
)
def test_each_sees_the_threads_that_are_theirs_to_see(
    office: Threads, login: str, query: str, costs: list[str]
) -> None:
    told = office.page(login, f"/pulls{query}{'&' if query else '?'}csv=pulls").text
    assert [row["usd"] for row in csv.DictReader(io.StringIO(told))] == costs
    assert [one["usd"] for one in office.json(login, f"/api/v1/pulls{query}")["threads"]] == costs


def test_an_outlier_is_told_with_why(office: Threads) -> None:
    (dear,) = office.json("dana", "/api/v1/pulls?having=outlier")["threads"]
    assert (dear["runs"], dear["attempts"], dear["causes"]) == (2, 6, ["6 attempts"])
    assert ">above the band: 6 attempts<" in office.page("dana", "/pulls").text
    assert "6 attempts" in office.page("dana", "/pulls/acme/calendar/{dear}").text


def test_a_named_viewer_learns_no_name_that_github_hides(office: Threads) -> None:
    page = office.page("ren", "/pulls")
    assert "a repository that you may not read" in page.text
    assert "vault" not in page.text
    assert office.page("ren", "/pulls/acme/vault/{secret}").status == 404
    assert office.page("ada", "/pulls/acme/vault/{secret}").status == 200


def test_whoever_may_not_see_people_sees_their_own_runs_and_the_sum_of_the_others(office: Threads) -> None:
    page = office.page("dana", "/pulls/acme/calendar/{dear}")
    assert ("$40.25" in page.text, "$30.25" in page.text, "1 of other people" in page.text) == (True,) * 3
    assert ">tri<" not in page.text
    told = office.json("dana", "/api/v1/pulls/acme/calendar/{dear}")
    assert [run["actor"] for run in told["list"]] == ["dana"]
    assert (told["others"], told["author"]) == ({"runs": 1, "usd": "10"}, "")
    assert "by tri" not in office.page("dana", "/pulls/acme/calendar/{dear}").text
    assert "by tri" in office.page("max", "/pulls/acme/calendar/{dear}").text
    whole = office.json("max", "/api/v1/pulls/acme/calendar/{dear}")
    assert [run["actor"] for run in whole["list"]] == ["dana", "tri"]
    assert (whole["others"], whole["author"]) == ({"runs": 0, "usd": "0"}, "tri")


@pytest.mark.parametrize("name", ["dear", "open", "halted"])
def test_a_threads_page_tells_the_figures_of_agent_cost(office: Threads, name: str) -> None:
    services, id = office.world.services, office.world.github.about["repository_id"]
    bill = thread_bill.read(services, id, office.threads[name])
    comment = replies.cost([line(run) for run in bill.runs], (), bill.counts, bill.merged)
    told = office.json("ren", f"/api/v1/pulls/acme/calendar/{{{name}}}")
    assert told["usd"] == bill.usd.exact
    assert f"has cost **{bill.usd}** in {len(bill.counted)} run" in comment
    assert str(bill.usd) in office.page("ren", f"/pulls/acme/calendar/{{{name}}}").text
    assert [run["run"] for run in told["list"]] == [run.id for run in bill.runs]


def test_a_page_leads_to_github_and_to_its_runs(office: Threads) -> None:
    page = office.page("ren", "/pulls/ACME/calendar/{open}")
    number = office.threads["open"]
    assert f"{office.world.github.url}/acme/calendar/pull/{number}" in page.links
    assert any(link.startswith("/runs/") for link in page.links)
    assert f"/pulls/acme/calendar/{number}" in office.page("ren", "/pulls").links


@pytest.mark.parametrize(
    "path",
    ["/acme/calendar/99999", "/acme/nothing/1", "/acme/vault/1", f"/acme/calendar/{10**30}"],
)
def test_what_is_not_there_and_what_may_not_be_read_are_told_alike(office: Threads, path: str) -> None:
    for at in ("/pulls", "/api/v1/pulls"):
        page = office.page("dana", at + path)
        assert page.status == 404
        assert "on which anything was spent" in page.text


@pytest.mark.parametrize(
    "query",
    ["after=1", "after=1.2.3.4", "after=" + "9" * 30 + ".1.1", "state=x", "having=x", "sort=name", "days=x"],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(office: Threads, query: str) -> None:
    for at in ("/pulls", "/api/v1/pulls"):
        assert office.page("dana", f"{at}?{query}").status == 400


def test_what_others_wrote_is_text_and_no_more(office: Threads) -> None:
    for path in ("/pulls", "/pulls/acme/calendar/{dear}", f"/pulls?repo={quote(EVIL)}"):
        text = office.page("ada", path).text
        assert "<script" not in text
        assert "<img" not in text


def test_a_long_list_goes_on_page_after_page(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        for number in range(A_PAGE + 7):
            world.run("dana", f"1.{number:02d}")
        browser, _ = world.signed_in("dana")
        first = json.loads(browser.open(f"{world.url}/api/v1/pulls").text)
        rest = json.loads(browser.open(f"{world.url}/api/v1/pulls?after={first['next']}").text)
        assert (len(first["threads"]), len(rest["threads"]), rest["next"]) == (A_PAGE, 7, None)
        costs = [one["usd"] for one in (*first["threads"], *rest["threads"])]
        assert costs == sorted(costs, reverse=True)
        page = browser.open(f"{world.url}/pulls?class=bugfix")
        (following,) = [link for link in page.links if "after=" in link]
        assert "class=bugfix" in following
        told = browser.open(world.url + following).text
        assert ("$1.00" in told, "$1.56" in told) == (True, False)
        assert (
            len(list(csv.reader(io.StringIO(browser.open(f"{world.url}/pulls?csv=pulls").text))))
            == A_PAGE + 8
        )
