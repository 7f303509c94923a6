"""One run's page: what the ledger has of it, for whoever may see it, and not a word more."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bot.core import reports
from bot.core.money import Usd
from bot.core.outcomes import Published
from tests.browser import Browser, Page
from tests.web import run_world
from tests.web.dashboard_world import World, dashboard_world

EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
SECRET = "the-word-of-the-vault"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with dashboard_world(tmp_path_factory.mktemp("run")) as made:
        yield made


@pytest.fixture(scope="module")
def dana(world: World) -> Browser:
    return world.signed_in("dana")[0]


@pytest.fixture(scope="module")
def halted(world: World) -> str:
    """dana's, with a request of every kind."""
    return run_world.every_kind(world, "dana")


def page(world: World, browser: Browser, path: str) -> Page:
    return browser.open(world.url + path)


def told(world: World, browser: Browser, path: str) -> dict[str, Any]:
    found = page(world, browser, path)
    assert found.status == 200, found.text
    answer: dict[str, Any] = json.loads(found.text)
    return answer


def rows(world: World, browser: Browser, path: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(page(world, browser, path).text)))


def test_a_report_leads_to_the_page_of_its_run(world: World, dana: Browser, halted: str) -> None:
    text = reports.comment(world.services.report(halted))
    found = re.search(rf"run \[`{halted}`\]\((http[^)]+)\)", text)
    assert found, text[-300:]
    opened = dana.open(found[1])
    assert (opened.status, f"<title>Run {halted}" in opened.text) == (200, True)


def test_a_halted_run_says_why_what_is_used_and_what_can_be_done(
    world: World, dana: Browser, halted: str
) -> None:
    text = page(world, dana, f"/runs/{halted}").text
    for words in (
        "Halted at step 17: $5.00 cost ceiling reached",
        "$0.98 of $5.00",
        "$0.35 of it estimated",
        "<code>/agent fix cost=$10 …</code> starts it again with twice the cost ceiling",
        "<code>/agent split</code>",
        "had the prompt cache missed, so it was not sent",
        "1 of its answers came from claude-haiku-4-5",
        "max_tokens lowered to 2,048",
        "not charged: ended with 529, overloaded error",
        "estimated, for it never said: orphan, corrected since",
        "the truth about step 13: the difference",
        "charged its whole bound",
    ):
        assert words in text, words


def test_page_json_and_csv_have_what_the_ledger_has(world: World, dana: Browser, halted: str) -> None:
    services = world.services
    report, account = services.runs.report(halted), services.ledger.account_of(halted)
    answer = told(world, dana, f"/api/v1/runs/{halted}")
    assert answer["report"] == json.loads(json.dumps(reports.to_json(report)))
    assert Usd.parse(answer["usd"]) == account.spent
    turns = told(world, dana, f"/api/v1/runs/{halted}/turns")["turns"]
    assert sum(
        Usd.parse(one["usd"].lstrip("-")).nanos * (-1 if "-" in one["usd"] else 1) for one in turns
    ) == (account.spent.nanos)
    assert sum(one["tokens"] for one in turns) == account.spent_tokens
    header, *lines = rows(world, dana, f"/runs/{halted}?csv=turns")
    assert [line[header.index("usd")] for line in lines].count("") == 0
    assert {line[header.index("id")] for line in lines} == {str(one["id"]) for one in turns}
    used = {line[0]: line[1:3] for line in rows(world, dana, f"/runs/{halted}?csv=ceilings")[1:]}
    assert used["cost"] == [account.spent.exact, "5"]
    assert used["steps"] == [str(account.steps), "20"]
    holds = rows(world, dana, f"/runs/{halted}?csv=holds")[1:]
    assert sum(int(line[1]) for line in holds) == len(turns)
    counters = rows(world, dana, f"/runs/{halted}?csv=counters")[1:]
    assert sum(Usd.parse(line[2]).nanos for line in counters) == account.spent.nanos


def test_a_long_timeline_comes_in_pages_that_have_every_request_once(world: World, dana: Browser) -> None:
    run = run_world.begun(world, "dana", "90", ceiling_steps=1_000, ceiling_tokens=10**8)
    for _ in range(230):
        run_world.step(world, run, 1)
    seen: list[str] = []
    path = f"/runs/{run}"
    while path:
        shown = page(world, dana, path)
        seen += [
            cell.partition("<")[0] for cell in shown.text.split('data-name="step" class="number"><span>')[1:]
        ]
        older = [link for link in shown.links if "before=" in link and "csv" not in link]
        path = older[-1] if "Older" in shown.text else ""
    assert [int(step) for step in seen if step] == list(range(230, 0, -1))
    assert seen.count("") == 2, "its launch and its beginning, once"
    ids, after = [], ""
    while True:
        answer = told(world, dana, f"/api/v1/runs/{run}/turns{after}")
        ids += [one["step"] for one in answer["turns"]]
        if answer["next"] is None:
            break
        after = f"?after={answer['next']}"
    assert ids == list(range(1, 231))


def test_of_a_repository_that_may_not_be_read_there_are_figures_and_no_word(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        vault = world.repository(f"acme/{SECRET}", dana="none", ren="none", max="none")
        run = run_world.every_kind(world, "ada", repository=vault, line="evals")
        published = Published("branch", SECRET, "a" * 40, f"https://x/{SECRET}", SECRET)
        world.services.runs.set(
            run, task=SECRET, message=SECRET, notice=SECRET, workflow_url=f"https://x/{SECRET}",
            branch=SECRET, sources={"usd": SECRET}, clamps=[SECRET], last_lines=[SECRET],
            published=asdict(published), settled_by=SECRET,
            result={"summary": SECRET, "check": {"command": SECRET, "exit_code": 1}},
            resumed={"by": SECRET, "tokens": 1, "nanos": 1},
        )  # fmt: skip
        named = world.signed_in("ren")[0]
        for path in ("", "?by=time", "?csv=turns", "?csv=ceilings", "?csv=holds", "?csv=counters"):
            shown = page(world, named, f"/runs/{run}{path}")
            assert shown.status == 200
            assert SECRET not in shown.text, path
        assert "Halted: cost ceiling" in page(world, named, f"/runs/{run}").text
        for path in (f"/runs/{run}", f"/runs/{run}/turns", "/runs"):
            assert SECRET not in page(world, named, f"/api/v1{path}").text
        assert told(world, named, f"/api/v1/runs/{run}")["usd"] == "0.98"
        own = page(world, world.signed_in("ada")[0], f"/runs/{run}").text
        assert own.count(SECRET) > 8


def test_who_sees_a_person_in_one_repository_reads_nothing_of_their_month(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        run = run_world.every_kind(world, "dana")
        world.services.runs.set(run, notice="dana has spent $39 of $40.00")
        for login, sees in (("max", False), ("dana", True), ("ren", True)):
            assert ("$39 of" in page(world, world.signed_in(login)[0], f"/runs/{run}").text) == sees, login


def test_what_others_wrote_is_text_and_no_more(world: World, dana: Browser) -> None:
    run = run_world.every_kind(world, "dana", url="javascript:alert(1)", line="=1+1")
    published = Published("branch", EVIL, "a" * 40, "javascript:alert(3)", EVIL)
    world.services.runs.set(
        run, task=EVIL, message=f"halted at step 3: stuck_loop: {EVIL}", notice=EVIL,
        workflow_url="javascript:x", sources={"usd": EVIL}, clamps=[EVIL], last_lines=[EVIL],
        published=asdict(published), result={"summary": EVIL, "check": {"command": EVIL, "exit_code": 1}},
    )  # fmt: skip
    text = page(world, dana, f"/runs/{run}").text
    assert "&lt;script&gt;" in text
    for bad in ("<script", "<img", 'href="javascript', 'onerror=alert(1)"'):
        assert bad not in text, bad


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/{run}?by=money", "by"),
        ("/{run}?before=x", "before"),
        ("/{run}?before=-1", "before"),
        ("/{run}?before=1e3", "before"),
        ("?state=over", "state"),
        ("?reason=tired", "reason"),
        ("?before=1", "before"),
        ("?since=2026-02-30", "since"),
        ("?until=soon", "until"),
        ("?engine=a%00b", "engine"),
        ("?developer=" + "x" * 201, "developer"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_sentence(
    world: World, dana: Browser, halted: str, path: str, says: str
) -> None:
    shown = page(world, dana, f"/runs{path.format(run=halted)}")
    assert shown.status == 400
    assert f"<code>{says}</code>" in shown.text
    if not path.startswith("/"):
        assert f"`{says}`" in json.loads(page(world, dana, f"/api/v1/runs{path}").text)["error"]


def test_a_live_page_is_sent_again_only_when_something_happened(world: World, dana: Browser) -> None:
    run = run_world.begun(world, "dana")
    flying = run_world.sent(world, run, 80)
    shown = page(world, dana, f"/runs/{run}")
    assert "in flight" in shown.text
    assert "$0.80" in shown.text
    etag = shown.headers["etag"]
    assert etag.startswith("W/")
    # The page of another person, or of another view of it, is another one.
    others = [
        page(world, browser, f"/runs/{run}{path}").headers["etag"]
        for browser, path in ((dana, "?by=time"), (world.signed_in("ren")[0], ""))
    ]
    assert len({etag, *others}) == 3
    world.services.ledger.settle(flying, run_world.used(5))
    assert page(world, dana, f"/runs/{run}").headers["etag"] != etag
    world.services.runs.end(run, "done")
    world.services.runs.finished(run, 1)
    over = page(world, dana, f"/runs/{run}")
    assert "etag" not in over.headers
    assert "<script" not in over.text
    assert "script-src" not in over.headers["content-security-policy"]


def test_a_run_before_its_first_request_says_so(world: World, dana: Browser) -> None:
    run = world.run("dana", "0", state="open", steps=0, cost_read_nanos=0)
    text = page(world, dana, f"/runs/{run}").text
    assert "Waiting for its workflow to start" in text
    assert "Nothing was sent to a model yet." in text
    assert "Against each ceiling" not in text
