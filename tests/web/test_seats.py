"""What one visitor may take of a web process: the gateway's runs are served by the same threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import pytest
from flask import Flask, Response
from werkzeug.test import TestResponse

from bot.core.places import Repo
from bot.core.roles import Role
from bot.core.visibility import Access
from bot.stores.sessions import new_cookie
from bot.web.dashboard.frame import AT_ONCE, Frame
from bot.web.dashboard.shapes import COUNT, record
from bot.web.who import Visitor
from tests.web.dashboard_world import World, dashboard_world

HOME = (Access(Repo(1, 1, "acme/shop"), Role.WRITE),)


@dataclass
class Slow:
    """A frame whose pages stand until they are let go."""

    world: World
    frame: Frame
    roof: Flask
    within: threading.Semaphore
    go: threading.Event

    def session(self, person: int, login: str) -> str:
        """A browser's cookie."""
        cookie = new_cookie()
        self.world.services.sessions.open(cookie, person, login, "sealed", 600, HOME)
        return cookie

    def ask(self, path: str, cookie: str = "", token: str = "", method: str = "GET") -> TestResponse:
        client = self.roof.test_client()
        if cookie:
            client.set_cookie(self.frame.who.cookie, cookie)
        return client.open(path, method=method, headers={"Authorization": f"Bearer {token}"} if token else {})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with dashboard_world(tmp_path_factory.mktemp("seats")) as made:
        yield made


@pytest.fixture
def slow(world: World) -> Slow:
    frame = Frame(world.services, time.monotonic)
    within, go = threading.Semaphore(0), threading.Event()

    def stand() -> None:
        within.release()
        assert go.wait(60)

    @frame.get("/slow")
    def page(visitor: Visitor) -> Response:
        stand()
        return Response(visitor.login)

    @frame.api("/api/v1/slow", answers=record({"number": COUNT}))
    def told(visitor: Visitor) -> dict[str, int]:
        """The same as JSON."""
        stand()
        return {"number": 1}

    @frame.get("/broken")
    def broken(visitor: Visitor) -> Response:
        raise ZeroDivisionError

    roof = Flask("slow", static_folder=None)
    roof.register_blueprint(frame.blueprint)
    return Slow(world, frame, roof, within, go)


def test_one_person_has_so_many_pages_made_at_once_and_everybody_else_theirs(slow: Slow) -> None:
    """However they came: by two browsers, and by a program with the login of a laptop."""
    dana = slow.world.number("dana")
    browsers = [slow.session(dana, "dana"), slow.session(dana, "dana")]
    token, other = slow.world.laptop("dana"), slow.session(77, "ren")
    asks: list[Callable[[], TestResponse]] = [
        lambda: slow.ask("/slow", browsers[0]),
        lambda: slow.ask("/slow", browsers[1]),
        lambda: slow.ask("/api/v1/slow", token=token),
    ]
    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        asked: list[Future[TestResponse]] = [pool.submit(asks[n % 3]) for n in range(AT_ONCE)]
        try:
            for _ in asked:
                assert slow.within.acquire(timeout=60)
            page = slow.ask("/slow", browsers[1])
            assert (page.status_code, page.headers["Retry-After"]) == (429, "2")
            assert f"You have {AT_ONCE} of this service" in page.text
            assert page.headers["Cache-Control"] == "no-store"
            told = slow.ask("/api/v1/slow", token=token)
            assert (told.status_code, told.headers["Retry-After"]) == (429, "2")
            assert "ask for this again" in told.get_json()["error"]
            theirs = pool.submit(slow.ask, "/slow", other)
            assert slow.within.acquire(timeout=60), "somebody else waits for nobody"
        finally:
            slow.go.set()
        assert {one.result().status_code for one in wait([*asked, theirs]).done} == {200}
    assert slow.ask("/slow", browsers[0]).text == "dana", "each gives its seat back"


def test_a_page_that_breaks_or_is_refused_gives_its_seat_back(slow: Slow) -> None:
    cookie = slow.session(78, "tri")
    for _ in range(AT_ONCE + 1):
        assert slow.ask("/broken", cookie).status_code == 500
        assert slow.ask("/broken?a=1&a=2", cookie).status_code == 400
    slow.go.set()
    assert slow.ask("/slow", cookie).status_code == 200
