"""The dashboard in a real browser: nothing is complained of, at any width, in light and dark, by any hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, StorageState

from tests.web import run_world
from tests.web.dashboard_world import World, dashboard_world

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
LONG = "acme/a-repository-whose-name-is-as-long-as-anybody-ever-made-one-without-a-space-in-it"

RUNS: dict[str, str] = {}  # whose ids stand in addresses, once there is a world

pytestmark = pytest.mark.slow


@dataclass
class Opened:
    """A page, and everything that the browser complained of."""

    page: Page
    said: list[str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A month with everything on its pages: a cap that is near, one that is reached, a line, long names."""
    with dashboard_world(tmp_path_factory.mktemp("browser")) as made:
        far = made.repository(LONG)
        spends = ("dana", "38.5", "done"), ("max", "12.0301", "halted"), ("tri", "80", "done")
        for login, usd, state in (*spends, ("ada", "400", "halted")):
            reason = "cost_ceiling" if state == "halted" else None
            made.run(login, usd, far, state=state, reason=reason)
        made.run("dana", "2.25", line="evals")
        made.run("dana", "1", state="open", ceiling="5")
        RUNS["halted"] = run_world.every_kind(made, "dana", repository=far)
        RUNS["live"] = run_world.begun(made, "dana")
        run_world.step(made, RUNS["live"], 5)
        run_world.sent(made, RUNS["live"], 80)
        yield made


@pytest.fixture(scope="module")
def signed_in(world: World, chromium: Browser) -> Callable[[str], StorageState]:
    """What the browser of a person keeps who has signed in on GitHub's page."""

    @cache
    def kept(login: str) -> StorageState:
        context = chromium.new_context()
        page = context.new_page()
        page.goto(f"{world.url}/sign-in")
        page.get_by_role("button", name=f"Continue as {login}").click()
        page.get_by_role("button", name="Sign out").wait_for()
        state = context.storage_state()
        context.close()
        return state

    return kept


@pytest.fixture
def opened(
    world: World, chromium: Browser, signed_in: Callable[[str], StorageState]
) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def open(login: str, path: str, size: Any = DESK, scheme: Any = "light") -> Opened:
        kept = signed_in(login) if login else None
        context = chromium.new_context(viewport=size, color_scheme=scheme, storage_state=kept)
        contexts.append(context)
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
        page.goto(world.url + path.format(**RUNS))
        return Opened(page, said)

    yield open
    for context in contexts:
        context.close()


PAGES = [
    pytest.param("ren", "/people", id="people"),
    pytest.param("ren", "/people/dana", id="somebody"),
    pytest.param("dana", "/me", id="me"),
    pytest.param("dana", "/me?month=2024-02", id="an empty month"),
    pytest.param("ren", "/people?month=2024-02", id="an empty month of all"),
    pytest.param("ren", "/runs", id="runs"),
    pytest.param("dana", "/runs?state=live", id="live runs"),
    pytest.param("dana", "/runs?state=lost&since=2024-02-01", id="no runs"),
    pytest.param("ren", "/lines", id="lines"),
    pytest.param("dana", "/lines?line=evals&month=2024-02", id="one line in an empty month"),
    pytest.param("tri", "/lines", id="no line"),
    pytest.param("ren", "/ceilings?cost=%242&steps=3", id="ceilings"),
    pytest.param("tri", "/ceilings?since=2024-02-01&until=2024-03-01", id="no run to learn from"),
    pytest.param("ada", "/settings", id="settings"),
    pytest.param("dana", "/settings?role=admin", id="settings for another role"),
    pytest.param("ren", "/drift", id="drift"),
    pytest.param("ada", "/audit", id="audit"),
    pytest.param("dana", "/runs/{halted}", id="a halted run"),
    pytest.param("dana", "/runs/{live}?by=time", id="a live run"),
    pytest.param("ren", "/runs/nothing", id="no run"),
    pytest.param("", "/", id="signed out"),
    pytest.param("dana", "/people", id="not allowed"),
    pytest.param("dana", "/nowhere", id="not there"),
]


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize(("login", "path"), PAGES)
def test_no_page_complains_or_is_wider_than_its_window(
    opened: Callable[..., Opened], login: str, path: str, size: Any
) -> None:
    made = opened(login, path, size)
    # That a refusal is no 200 is all that a browser may have to say.
    assert [one for one in made.said if "Failed to load resource" not in one] == []
    assert made.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert made.page.title().endswith("Tollgate")


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESK, "dark")], ids=["phone", "desk"])
@pytest.mark.parametrize(("login", "path"), PAGES)
def test_axe_finds_nothing(
    opened: Callable[..., Opened], axe: str, login: str, path: str, size: Any, scheme: str
) -> None:
    page = opened(login, path, size, scheme).page
    page.evaluate(axe)
    found = page.evaluate("axe.run()")["violations"]
    assert [f"{one['id']}: {one['nodes'][0]['html']}" for one in found] == []


def test_everything_is_reached_and_done_by_the_keyboard(
    opened: Callable[..., Opened],
) -> None:
    page = opened("ren", "/people").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the figures"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(document.activeElement.textContent || '').trim()"))
    assert {"People", "Me", "Sign out", "Show", "dana", "ada"} <= set(reached)


def test_who_signs_out_is_out(opened: Callable[..., Opened]) -> None:
    page = opened("tri", "/me").page
    page.get_by_role("button", name="Sign out").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Sign in with GitHub").wait_for()
    page.go_back()
    assert "$" not in page.inner_text("main"), "the page before is kept by no cache"


def test_a_month_is_chosen_and_stands_in_the_address(opened: Callable[..., Opened]) -> None:
    page = opened("dana", "/me").page
    page.get_by_label("Month", exact=True).fill("2026-01")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/me?month=2026-01")
    page.get_by_role("link", name="Month before").click()
    page.wait_for_url("**/me?month=2025-12")
    page.get_by_role("link", name="Month after").click()
    page.wait_for_url("**/me?month=2026-01")


def test_a_table_is_downloaded_as_csv(opened: Callable[..., Opened], tmp_path: Path) -> None:
    page, kept = opened("ren", "/people").page, tmp_path / "people.csv"
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV of By person").click()
    download.value.save_as(kept)
    assert kept.read_text().startswith("person,spend,tasks")
