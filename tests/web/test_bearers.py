"""The API by the token of a laptop's login: what its person may see or less, for as long as they may."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot.web.bearers import MOST_FAILURES
from sandbox.github.client import Client
from tests.browser import Browser
from tests.web.dashboard_world import World, dashboard_world

MINE = "/api/v1/people/{}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with dashboard_world(tmp_path) as made:
        made.run("dana", "12.5")
        made.run("max", "3")
        yield made


def ask(world: World, token: str, path: str = "/api/v1/rollup") -> tuple[int, Any]:
    page = Browser(token).open(world.url + path)
    return page.status, json.loads(page.text)


def still(answer: tuple[int, Any]) -> tuple[int, Any]:
    """Without what moves with the clock."""
    status, told = answer
    return status, {name: value for name, value in told.items() if name not in ("elapsed", "projected_usd")}


def test_a_program_gets_what_its_persons_browser_gets(world: World) -> None:
    for login in ("dana", "max", "ada"):
        browser, _ = world.signed_in(login)
        token = world.laptop(login)
        for path in ("/api/v1/rollup", MINE.format("dana"), MINE.format("max"), MINE.format("nobody")):
            page = browser.open(world.url + path)
            assert still(ask(world, token, path)) == still((page.status, json.loads(page.text))), (
                login,
                path,
            )


def test_who_is_removed_gets_nothing_with_the_next_look(world: World) -> None:
    token = world.laptop("dana")
    assert ask(world, token, MINE.format("dana"))[0] == 200
    world.github.user("dana", "none")
    world.forward(301)
    status, told = ask(world, token, MINE.format("dana"))
    assert (status, list(told)) == (403, ["error"])
    world.github.user("dana", "write")
    world.forward(301)
    assert ask(world, token, MINE.format("dana"))[0] == 200, "they are back, and the login is still theirs"


def test_a_role_that_was_lowered_shows_less(world: World) -> None:
    token = world.laptop("max")
    assert ask(world, token)[0] == 200
    world.github.user("max", "write")
    world.forward(301)
    assert ask(world, token)[0] == 403
    assert ask(world, token, MINE.format("max"))[0] == 200


def test_that_anybody_may_read_a_repository_is_no_role(tmp_path: Path) -> None:
    """The App's word on a stranger is `read` where a repository is public."""
    with dashboard_world(tmp_path) as world:
        public = world.repository("acme/open", private=False, dana="write")
        world.run("ada", "7", public)
        token = world.laptop("dana")
        Client(world.github.url, "acme/open").user("dana", "none")
        world.github.user("dana", "none")
        world.forward(301)
        assert ask(world, token, MINE.format("dana"))[0] == 403


def test_where_github_cannot_be_asked_nothing_is_told(world: World) -> None:
    token = world.laptop("dana")
    world.forward(301)
    world.github.fault("GET", "/collaborators/", 502, times=50)
    try:
        status, told = ask(world, token, MINE.format("dana"))
    finally:
        world.github.clear_faults()
    assert (status, list(told)) == (503, ["error"])
    assert ask(world, token, MINE.format("dana"))[0] == 200


def test_a_login_that_is_over_reads_nothing(world: World) -> None:
    token, other = world.laptop("dana"), world.laptop("dana")
    with world.services.database.begin() as tx:
        tx.execute(sa.text("UPDATE laptops SET expires_at = 1"))
    for one in (token, other, "user_made-up", "run_made-up", "\u00fc"):
        page = Browser(one.encode().decode("latin-1")).open(world.url + MINE.format("dana"))
        assert (page.status, "$" in page.text) == (401, False)


def test_a_token_that_is_not_good_is_not_helped_by_a_session(world: World) -> None:
    browser, _ = world.signed_in("ada")
    program = Browser("user_made-up")
    for cookie in browser.cookies:
        program.cookies.set_cookie(cookie)
    assert program.open(world.url + MINE.format("ada")).status == 401


def test_a_token_reads_the_api_and_opens_no_page_and_no_other_method(world: World) -> None:
    token = world.laptop("ada")
    program = Browser(token)
    for path in ("/", "/me", "/people", "/people/dana", "/me?csv=runs"):
        assert program.open(world.url + path).status == 401, path
    assert program.open(f"{world.url}/api/v1/rollup", {"x": "y"}).status == 405
    assert program.open(f"{world.url}/sign-out", {"x": "y"}).status == 401


def test_tokens_that_are_tried_out_are_refused_unseen_and_a_known_one_goes_on(world: World) -> None:
    known, new = world.laptop("dana"), world.laptop("dana")
    assert ask(world, known, MINE.format("dana"))[0] == 200
    tried = [ask(world, f"user_{number}")[0] for number in range(MOST_FAILURES + 5)]
    assert tried == [401] * MOST_FAILURES + [429] * 5
    assert ask(world, known, MINE.format("dana"))[0] == 200
    assert ask(world, new, MINE.format("dana"))[0] == 429, "for this minute"
