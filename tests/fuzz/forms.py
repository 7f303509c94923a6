"""What browsers send: the dashboard's forms, GitHub's answers to its sign-in, the pages that set it up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import sqlalchemy as sa
from flask.testing import FlaskClient
from hypothesis import strategies as st

from bot import settings
from bot.stores.sessions import hashed, new_cookie
from bot.stores.tables import policies, sessions
from bot.web import setup
from bot.web.dashboard.frame import HEADERS
from bot.web.seal import Seal
from sandbox.github.server import GitHub, Options
from tests.fuzz.target import Target
from tests.fuzz.trying import Law
from tests.fuzz.values import TENTHS, query, spoiled, words
from tests.fuzz.worlds import COOKIE, Place, Worlds
from tests.web.access import LOGINS, SECRET

Words = tuple[str, ...]
URLENCODED = "application/x-www-form-urlencoded"
KINDS = (URLENCODED, URLENCODED, URLENCODED, "multipart/form-data; boundary=x", "application/json", "", "é/x")
METHODS = ("POST", "POST", "POST", "POST", "POST", "GET", "HEAD", "OPTIONS", "DELETE", "PATCH")
FORMS = (
    "/settings/read",
    "/sign-out",
    "/sign-in",
    "/sign-in/callback",
    "/",
    "/runs",
    "/static/dashboard.css",
)
SET_UP = ("/setup", "/setup/registered", "/setup", "/setup/registered", "/healthz", "/", "/webhooks/github")


@dataclass(frozen=True, slots=True)
class Sent:
    """`{name}` stands for what only the law knows: a mark, a state, a cookie."""

    who: str
    method: str
    path: str
    fields: list[tuple[str, str]]
    kind: str
    body: bytes
    cookie: str


@st.composite
def sent(
    draw: st.DrawFn,
    who: tuple[str, ...],
    paths: tuple[str, ...],
    names: tuple[str, ...],
    known: tuple[str, ...],
) -> Sent:
    value = st.one_of(st.sampled_from(known), st.sampled_from(known), words)
    pairs = draw(st.lists(st.tuples(st.one_of(st.sampled_from(names), words), value), max_size=4))
    kind, body = draw(st.sampled_from(KINDS)), query(pairs).replace("%7B", "{").replace("%7D", "}").encode()
    if kind.startswith("multipart"):
        parts = (f'--x\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in pairs)
        body = ("".join(parts) + "--x--\r\n").encode("utf-8", "surrogatepass")
    if draw(st.sampled_from(TENTHS)) == 7:
        body = draw(st.sampled_from([body + b"&a=" + b"x" * 70_000, b"&" * 60_000, b"a=1&" * 5_000]))
    return Sent(
        draw(st.sampled_from(who)), draw(st.sampled_from(METHODS)), draw(st.sampled_from(paths)), pairs, kind,
        spoiled(draw, body), draw(st.one_of(st.sampled_from(("{cookie}", "{cookie}", "")), words)),
    )  # fmt: skip


def filled(text: str, known: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], found[0]), text)


def plain(text: str) -> str:
    """As a header can carry it."""
    return "".join(one for one in text if one.isprintable() and one.isascii() and one not in ';,"\\ ')


class Browsers:
    """Sessions of people, opened as a sign-in does; one that was signed out is opened anew."""

    def __init__(self, place: Place) -> None:
        self.place, self.seal = place, Seal(place.services.settings.secrets.session)
        self._cookies: dict[str, str] = {}

    def known(self, who: str) -> dict[str, str]:
        if who not in LOGINS:
            return {"cookie": "", "mark": ""}
        services = self.place.services
        cookie = self._cookies.get(who, "")
        if not cookie or services.sessions.find(cookie) is None:
            token = self.place.office.world.github.app_token(LOGINS[who])
            user, access, cookie = services.github.user(token), services.github.access(token), new_cookie()
            sealed = self.seal.seal(token, hashed(cookie))
            services.sessions.open(cookie, user.id, user.login, sealed, 28_800, access)
            self._cookies[who] = cookie
        return {"cookie": cookie, "mark": self.seal.mark(hashed(cookie))}


def stored(place: Place) -> tuple[Any, ...]:
    with place.services.database.read() as tx:
        open_ones = tuple(tx.execute(sa.select(sessions.c.id).order_by(sessions.c.id)).scalars())
        files = tuple(map(tuple, tx.execute(sa.select(policies).order_by(policies.c.repository_id))))
    return open_ones, files, place.counted()


def browsed(kind: str) -> Callable[[Worlds], Law]:
    def opened(worlds: Worlds) -> Law:
        place = worlds.place(kind)
        browsers = Browsers(place)

        def law(given: Sent) -> None:
            known = browsers.known(given.who)
            asking = place.ask("GET", "/sign-in")
            question = asking.headers["set-cookie"].partition(";")[0]
            known |= {"state": parse_qs(urlsplit(asking.headers["location"]).query)["state"][0]}
            own, before = known["mark"].encode(), stored(place)
            body = given.body
            for name, value in known.items():
                body = body.replace(f"{{{name}}}".encode(), value.encode())
            path, cookie = given.path, plain(filled(given.cookie, known))
            if path.startswith("/sign-in"):
                path += "?" + query([(name, filled(value, known)) for name, value in given.fields])
            headers = {"Cookie": f"{COOKIE}={cookie}; {question}", "Accept": "text/html"}
            answer = place.ask(given.method, path, body, headers | {"Content-Type": given.kind})
            assert answer.status in (200, 303, 400, 401, 403, 404, 405, 413), (answer.status, answer.text)
            assert {name.lower() for name in HEADERS} <= set(answer.headers)
            if answer.status in (200, 303) and "location" in answer.headers and given.path != "/sign-in":
                assert re.match(r"/(?!/)", answer.headers["location"])
            if given.who != "admin":
                assert SECRET not in answer.headers.get("location", "")
            if answer.status >= 400 and given.method != "HEAD":
                assert len(answer.text) > 20, "a refusal is a sentence"
            after = stored(place)
            if answer.status != 303 or not own or own not in body or cookie != known["cookie"]:
                assert after == before, "nothing but a form of ours changes anything"
            elif given.path == "/sign-out":
                gone = set(before[0]) - set(after[0])
                assert gone == {hashed(cookie)}
                assert after[1:] == before[1:]
            else:
                assert (after[0], after[2]) == (before[0], before[2])

        return law

    return opened


@dataclass(frozen=True, slots=True)
class SetUp:
    """A service that has no App yet, before a GitHub where nobody has registered one."""

    page: setup.Page
    client: FlaskClient
    file: Path
    cookie: str


@contextmanager
def setting_up(folder: Path) -> Iterator[SetUp]:
    with GitHub(Options(data=folder / "github", app=False, workflow=None)) as hub:
        file = folder / "app.json"
        env = {
            "PUBLIC_URL": "https://tollgate.example",
            "GITHUB_API_URL": hub.url,
            "CREDENTIALS_FILE": str(file),
            "DATABASE_URL": f"sqlite:///{folder / 'none.db'}",
        }
        page = setup.Page(settings.registering(env), env, "https://tollgate.example")
        roof = setup.waiting(page)
        roof.config["PROPAGATE_EXCEPTIONS"] = True
        client = FlaskClient(roof, roof.response_class, use_cookies=False)
        cookie = client.get(f"/setup?token={page.claim.token}").headers["Set-Cookie"]
        yield SetUp(page, client, file, cookie.partition(";")[0].partition("=")[2])


def set_up(worlds: Worlds) -> Law:
    world: SetUp = worlds.once("set-up", partial(setting_up, worlds.folder("set-up")))

    def law(given: Sent) -> None:
        known = {"state": world.page.claim.state(), "token": world.page.claim.token, "cookie": world.cookie}
        fields = [(name, filled(value, known)) for name, value in given.fields]
        cookie = plain(filled(given.cookie, known))
        with world.client.open(
            f"{given.path}?{query(fields)}",
            method=given.method,
            data=given.body,
            headers={"Cookie": f"{setup.COOKIE}={cookie}", "Content-Type": given.kind},
        ) as answer:
            text, status = answer.get_data(as_text=True), answer.status_code
            told = set(answer.headers.keys())
        assert status in (200, 400, 403, 409, 502, 503), (status, text)
        assert {"Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options"} <= told
        assert answer.headers["Cache-Control"] == "no-store"
        if cookie != world.cookie and given.path.startswith("/setup") and given.method in ("GET", "HEAD"):
            assert status == 403
        if status >= 400 and given.method != "HEAD":
            assert len(text) > 20, "a refusal is a sentence"
        assert world.page.claim.token not in text
        assert world.cookie not in text
        assert world.page.made is None
        assert not world.file.exists(), "nothing is kept of what GitHub did not give"

    return law


TARGETS = (
    *(
        Target(
            f"forms, {kind}",
            "a form of ours does what it says; any other changes nothing and is told so",
            sent(
                ("signed out", *LOGINS),
                FORMS,
                ("mark", "mark", "repository", "next", "state", "code", "error"),
                ("{mark}", "{mark}", "{state}", "acme/calendar", SECRET),
            ),
            browsed(kind),
            60,
        )
        for kind in ("sqlite", "postgresql")
    ),
    Target(
        "the set-up",
        "nobody registers an App but who has the console's address and GitHub's answer",
        sent(
            ("somebody",),
            SET_UP,
            ("token", "state", "state", "code", "organization"),
            ("{state}", "{state}", "{token}", "acme", "0123456789abcdef"),
        ),
        set_up,
        60,
    ),
)
