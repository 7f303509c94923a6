"""A page that shows what is live updates by itself in a real browser; it rests, and ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route

from bot.core.money import Usd
from bot.stores.runs import new_token, token_hash
from sandbox.processes import start
from tests.web import run_world
from tests.web.dashboard_world import World, dashboard_world
from tests.web.gates import gated

pytestmark = pytest.mark.slow


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with dashboard_world(tmp_path) as made:
        yield made


@pytest.fixture
def context(world: World, chromium: Browser) -> Iterator[BrowserContext]:
    """A browser in which dana has signed in."""
    made = chromium.new_context()
    page = made.new_page()
    page.goto(f"{world.url}/sign-in")
    page.get_by_role("button", name="Continue as dana").click()
    page.get_by_role("button", name="Sign out").wait_for()
    page.close()
    yield made
    made.close()


def watched(context: BrowserContext, url: str) -> Page:
    """The page, which would tell of a reload."""
    page = context.new_page()
    page.clock.install()
    page.goto(url)
    page.evaluate("window.here = true")
    return page


def test_a_list_of_live_runs_takes_over_what_came_and_what_ended(
    world: World, context: BrowserContext
) -> None:
    first = world.run("dana", "0.5", state="open")
    page = watched(context, f"{world.url}/runs?state=live")
    page.get_by_text(first).wait_for()
    second = world.run("dana", "0.25", state="open")
    page.get_by_text(second).wait_for()
    world.services.runs.end(first, "done")
    page.get_by_text(first).wait_for(state="detached")
    world.services.runs.set(second, spent_nanos=Usd.parse("0.75").nanos)
    page.get_by_text("$0.75").first.wait_for()
    assert page.evaluate("window.here"), "it was not loaded anew"


def test_what_somebody_is_about_to_ask_for_is_left_as_it_is(world: World, context: BrowserContext) -> None:
    page = watched(context, f"{world.url}/runs?state=live")
    page.get_by_label("Class").fill("bug")
    came = world.run("dana", "0.25", state="open")
    page.get_by_text(came).wait_for()
    assert page.get_by_label("Class").input_value() == "bug"
    assert page.evaluate("document.activeElement.name") == "class"


def test_a_session_that_is_over_says_so_and_asks_no_more(world: World, context: BrowserContext) -> None:
    world.run("dana", "0.5", state="open")
    page = watched(context, f"{world.url}/runs?state=live")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    context.clear_cookies()
    page.get_by_role("link", name="Sign in again").wait_for()
    before = len(asked)
    page.clock.run_for(600_000)
    assert len(asked) == before
    assert "not signed in any more" in page.get_by_role("status").inner_text()


def test_a_run_through_the_gateway_moves_its_page_and_ends_it(
    world: World, context: BrowserContext, tmp_path: Path
) -> None:
    """Real requests of a client to a model: each is on the page when it was answered, without a reload."""
    services = world.services
    run, token = world.run("dana", "0", state="open", ceiling="5", steps=0, cost_read_nanos=0), new_token()
    page = watched(context, f"{world.url}/runs/{run}")
    page.get_by_text("Waiting for its workflow to start").wait_for()
    with (
        start("claude", character="echo", invoice=tmp_path / "invoice", answer_tokens=50) as claude,
        gated(services.database, claude.url) as gate,
    ):
        assert services.runs.claim(run, 1, token_hash(token), 1)
        client = anthropic.Anthropic(base_url=gate.url, api_key=token, max_retries=0, timeout=60)
        for step in range(1, 4):
            talk: Any = [{"role": "user", "content": f"hello {step}"}]
            client.messages.create(model="claude-opus-4-7", max_tokens=1_000, messages=talk)
            page.get_by_text(f"Running: step {step} of 20").wait_for()
        spent = str(gate.account(run).spent)
        page.locator(".outcome").get_by_text(f"{spent} of $5.00").wait_for()
        assert page.locator("#turns-title").is_visible()
        services.runs.end(run, "done")
        services.runs.finished(run, 1)
    page.get_by_text("Done: nothing was changed").first.wait_for()
    assert page.evaluate("window.here"), "it was not loaded anew"
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(600_000)
    assert asked == [], "what is over is asked for no more"


def test_what_is_unfolded_and_where_one_is_stay_as_they_are(world: World, context: BrowserContext) -> None:
    run = run_world.begun(world, "dana")
    world.services.runs.set(run, task="Mend the leap years.")
    run_world.step(world, run, 5)
    page = watched(context, f"{world.url}/runs/{run}")
    page.get_by_text("What was asked").click()
    link = page.get_by_role("link", name="CSV of Ceilings")
    link.focus()
    run_world.step(world, run, 7)
    page.locator(".outcome").get_by_text("$0.12 of $5.00").wait_for()
    assert page.get_by_text("Mend the leap years.").is_visible()
    assert page.evaluate("document.activeElement.textContent") == "CSV of Ceilings"


def test_it_is_said_once_and_not_with_every_step(world: World, context: BrowserContext) -> None:
    run = run_world.begun(world, "dana")
    page = watched(context, f"{world.url}/runs/{run}")
    for cents in (5, 6, 7):
        run_world.step(world, run, cents)
        page.locator(".outcome").get_by_text(str(world.services.ledger.account_of(run).spent)).wait_for()
    assert page.get_by_role("status").inner_text() == "running: $0.05 of $5.00"


def test_a_service_that_is_away_is_asked_less_and_less_and_found_again(
    world: World, context: BrowserContext
) -> None:
    run = run_world.begun(world, "dana")
    page, asked = context.new_page(), list[str]()

    def away(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    page.clock.install()
    page.goto(f"{world.url}/runs/{run}")
    page.route("**/runs/**", away)
    for _ in range(20):
        page.clock.run_for(30_000)
    page.locator("#live-state").get_by_text("The service does not answer").wait_for()
    assert 2 <= len(asked) <= 20, "ten minutes of once in three seconds would be two hundred"
    before = len(asked)
    for _ in range(50):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.clock.run_for(100)
    assert len(asked) <= before + 1, "who goes to and fro between tabs asks no more often"
    page.unroute("**/runs/**")
    run_world.step(world, run, 5)
    again = list[str]()
    page.on("request", lambda request: again.append(request.url))
    for _ in range(90):
        if not again:  # once it has asked, its patience is not used up before the answer can come
            page.clock.run_for(1_000)
    page.locator(".outcome").get_by_text("$0.05 of $5.00").wait_for()
    assert "updates by itself" in page.locator("#live").inner_text()


def test_without_scripts_it_says_how_it_is_brought_up_to_date(
    world: World, chromium: Browser, context: BrowserContext
) -> None:
    run = run_world.begun(world, "dana")
    plain = chromium.new_context(java_script_enabled=False, storage_state=context.storage_state())
    page = plain.new_page()
    page.goto(f"{world.url}/runs/{run}")
    run_world.step(world, run, 5)
    page.get_by_role("link", name="load it anew").click()
    page.locator(".outcome").get_by_text("$0.05 of $5.00").wait_for()
    plain.close()
