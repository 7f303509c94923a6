"""Every page of the dashboard in a real browser, found by its own links: on few runs and on many.

A page that is added is walked by itself, and one to which no link leads fails here.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page

from tests.web import run_world
from tests.web.dashboard_world import World, dashboard_world
from tests.web.large_world import large_world

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
WALKERS = ("ada", "dana")  # who sees everything, and who sees themselves
NO_PAGES = ("/static/", "/api/", "/sign-in")
A_RULE = 2  # addresses of a page that are walked: the first that a link has, and one with filters

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["few", "many"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("pages")
    if request.param == "many":
        with large_world(folder) as made:
            yield made
        return
    with dashboard_world(folder) as made:
        for login, usd in (("dana", "38.5"), ("ada", "400")):
            made.run(login, usd, state="halted", reason="cost_ceiling")
        here = made.github.about["repository_id"], made.github.about["repository"]
        dear = run_world.every_kind(made, "dana")
        made.merge(here, made.thread(dear), "Mend the leap year", "dana")
        run_world.step(made, run_world.begun(made, "dana"), 5)
        yield made


def rules(world: World) -> set[str]:
    """Of the pages that somebody can look at."""
    there = (rule for rule in world.roof.url_map.iter_rules() if "GET" in (rule.methods or ()))
    return {rule.rule for rule in there if not rule.rule.startswith(NO_PAGES)}


def pages(world: World, login: str) -> dict[str, list[str]]:
    """By rule, addresses that links lead to, from the first page on."""
    browser, first = world.signed_in(login)
    adapter = world.roof.url_map.bind("here")
    found: dict[str, list[str]] = defaultdict(list, {"/": ["/"]})
    left = [urljoin(first.url, link) for link in first.links]
    while left:
        parts = urlsplit(left.pop(0))
        here = f"{parts.scheme}://{parts.netloc}" == world.url
        if not here or "csv=" in parts.query or parts.path.startswith(NO_PAGES):
            continue
        rule = adapter.match(parts.path, return_rule=True)[0].rule
        address = parts.path + (f"?{parts.query}" if parts.query else "")
        known = found[rule]
        plain = all("?" in one for one in known)
        if address in known or len(known) >= A_RULE or not (plain or parts.query):
            continue
        known.append(address)
        page = browser.open(world.url + address)
        assert page.status == 200, address
        left += [urljoin(world.url + address, link) for link in page.links]
    return {rule: addresses for rule, addresses in found.items() if addresses}


@pytest.fixture(scope="module")
def walks(world: World) -> dict[str, dict[str, list[str]]]:
    return {login: pages(world, login) for login in WALKERS}


def test_links_lead_to_every_page(world: World, walks: dict[str, dict[str, list[str]]]) -> None:
    assert set(walks["ada"]) == rules(world), "a page is in the head of every page (frame.links), or linked"
    assert len(walks["dana"]) >= 4


# What axe finds, it finds in one of two.
LOOKS = [(PHONE, "light", True), (PHONE, "dark", False), (DESK, "light", False), (DESK, "dark", True)]
# Rows and strokes after the first few are made as those are.
ALIKE = [["tr:nth-child(n+6)"], ["svg > :nth-child(n+12)"], ["option:nth-child(n+6)"]]
NAMES = ["phone, light", "phone, dark", "desk, light", "desk, dark"]


@pytest.mark.parametrize("login", WALKERS)
@pytest.mark.parametrize(("size", "scheme", "whole"), LOOKS, ids=NAMES)
def test_no_page_complains_or_is_wider_than_its_window_or_shuts_anybody_out(
    world: World,
    walks: dict[str, dict[str, list[str]]],
    chromium: Chromium,
    axe: str,
    login: str,
    size: Any,
    scheme: Any,
    whole: bool,
) -> None:
    context = chromium.new_context(viewport=size, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{world.url}/sign-in")
    page.get_by_role("button", name=f"Continue as {login}").click()
    page.get_by_role("button", name="Sign out").wait_for()
    page.close()
    wrong = []
    for address in itertools.chain(*walks[login].values()):
        page = context.new_page()
        found = complaints(page, world.url + address, size["width"], axe if whole else "")
        wrong += [f"{address}: {what}" for what in found]
        page.close()
    context.close()
    assert wrong == []


def complaints(page: Page, url: str, width: int, axe: str) -> list[str]:
    """What the browser says (and what the policy of contents refuses), what is too wide, what axe finds."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    page.goto(url)
    wide = page.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        said.append(f"is {wide} wide")
    if not page.title().endswith("Tollgate"):
        said.append(f"is called {page.title()!r}")
    if not axe:
        return said
    page.evaluate(axe)
    violations = page.evaluate(f"axe.run({json.dumps({'exclude': ALIKE})})")["violations"]
    return said + [f"{one['id']}: {one['nodes'][0]['html'][:300]}" for one in violations]
