"""Signing in: with GitHub's word only, into a session that nobody else can have made, and out again."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import sqlalchemy as sa

from bot.web.dashboard.signing_in import ours
from bot.web.seal import Seal
from tests.browser import Browser, Page
from tests.web.dashboard_world import SECRET, World, dashboard_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with dashboard_world(tmp_path_factory.mktemp("sign-in")) as made:
        made.run("dana", "12.5")
        yield made


def answered(url: str) -> Message:
    """The headers of one answer, wherever it leads."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().headers
    finally:
        connection.close()


def pressed(browser: Browser, page: Page, login: str) -> Page:
    return browser.send(page, button=[value for _, value in page.forms[0].buttons].index(login))


def cookie_of(browser: Browser) -> str:
    return next((str(one.value) for one in browser.cookies if one.name == "tollgate"), "")


def back(world: World, browser: Browser, **query: str) -> Page:
    return browser.open(f"{world.url}/sign-in/callback?{urlencode(query)}")


def test_without_a_session_there_is_a_page_that_says_how_to_get_one(world: World) -> None:
    page = Browser().open(f"{world.url}/people?month=2026-10")
    assert page.status == 401
    assert "/sign-in?next=%2Fpeople%3Fmonth%3D2026-10" in page.links
    assert "$" not in page.text


def test_who_signs_in_comes_back_to_the_page_that_they_wanted(world: World) -> None:
    browser, page = world.signed_in("dana", next="/people/dana?month=2026-10")
    assert page.url == f"{world.url}/people/dana?month=2026-10"
    assert "dana" in page.text
    assert not [one.name for one in browser.cookies if one.name.endswith("-asked")]


def test_a_code_counts_in_the_browser_that_asked_for_it_with_its_state_and_once(world: World) -> None:
    browser = Browser()
    asking = browser.open(f"{world.url}/sign-in")
    [state] = [value for name, value in asking.forms[0].fields if name == "state"]
    assert back(world, browser, code="0" * 20, state="another").status == 400
    assert back(world, browser, code="0" * 20).status == 400
    assert "used before, or is too old" in back(world, browser, code="0" * 20, state=state).text
    landed = pressed(browser, asking, "dana")
    assert landed.status == 200
    assert back(world, browser, code="0" * 20, state=state).status == 400, "the question is answered"


def test_another_browsers_answer_signs_nobody_in(world: World) -> None:
    """Login CSRF: somebody sends their own code to a victim, who would then work in their account."""
    attacker, victim = Browser(), Browser()
    asking = attacker.open(f"{world.url}/sign-in")
    form = asking.forms[0]
    [state] = [value for name, value in form.fields if name == "state"]
    assert back(world, victim, code="whatever", state=state).status == 400
    victim.open(f"{world.url}/sign-in")
    page = back(world, victim, code="whatever", state=state)
    assert (page.status, cookie_of(victim)) == (400, "")
    assert "belongs to no question" in page.text


def test_a_session_that_was_there_before_is_not_the_one_after_signing_in(world: World) -> None:
    """Session fixation: what a browser brings along never becomes a session, and an old one is over."""
    browser, _ = world.signed_in("dana")
    before = cookie_of(browser)
    world.signed_in("max", browser)
    after = cookie_of(browser)
    assert before != after
    assert world.services.sessions.find(before) is None
    found = world.services.sessions.find(after)
    assert found is not None
    assert found.login == "max"


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/people/dana?month=2026-10", "/people/dana?month=2026-10"),
        ("", "/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("/%0d%0aSet-Cookie:x=y", "/%0d%0aSet-Cookie:x=y"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        (" /people", "/"),
        ("javascript:alert(1)", "/"),
        ("people", "/"),
        ("/ünï", "/"),
        (f"/people?{'x' * 900}", f"/people?{'x' * 900}"),
        (f"/people?{'x' * 6_000}", "/"),
    ],
)
def test_nobody_is_sent_to_another_host(world: World, path: str, where: str) -> None:
    assert ours(path) == where
    browser = Browser()
    asking = browser.open(f"{world.url}/sign-in?{urlencode({'next': path})}")
    assert urlsplit(pressed(browser, asking, "dana").url).netloc == urlsplit(world.url).netloc


def test_who_says_no_at_github_is_not_signed_in(world: World) -> None:
    browser = Browser()
    page = pressed(browser, browser.open(f"{world.url}/sign-in"), "1")
    assert (page.status, cookie_of(browser)) == (403, "")


def test_a_stranger_with_a_github_account_gets_no_session(world: World) -> None:
    browser, page = world.signed_in("eve")
    assert (page.status, cookie_of(browser)) == (403, "")
    assert "no role in any repository" in page.text


def test_signing_out_ends_the_session_on_the_server(world: World) -> None:
    browser, page = world.signed_in("dana")
    cookie = cookie_of(browser)
    assert browser.send(page).status == 401
    assert world.services.sessions.find(cookie) is None
    asked = urllib.request.Request(f"{world.url}/me", headers={"Cookie": f"tollgate={cookie}"})  # noqa: S310
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(asked, timeout=30)  # noqa: S310 - loopback


def test_a_form_that_another_site_sends_does_nothing(world: World) -> None:
    browser, page = world.signed_in("dana")
    for forged in ({}, {"mark": ""}, {"mark": "0" * 64}, {"mark": "ü"}):
        assert browser.open(f"{world.url}/sign-out", {"x": "y"} | forged).status == 403
    other = Browser()
    _, theirs = world.signed_in("max", other)
    [mark] = [value for name, value in theirs.forms[0].fields if name == "mark"]
    assert browser.open(f"{world.url}/sign-out", {"mark": mark}).status == 403, "another session's"
    assert browser.open(f"{world.url}/me").status == 200
    assert browser.open(f"{world.url}/sign-out?mark={page.forms[0].fields[0][1]}", {"x": "y"}).status == 403


def test_githubs_token_is_in_no_page_cookie_or_row(world: World) -> None:
    browser, page = world.signed_in("dana")
    with world.services.database.read() as tx:
        rows = str(tx.execute(sa.text("SELECT * FROM sessions")).all())
    told = page.text + rows + "".join(str(one.value) for one in browser.cookies)
    assert not re.search(r"gh[ur]_[A-Za-z0-9]", told)
    assert browser.open(f"{world.url}/me").status == 200


def test_a_session_ends_with_the_eight_hours_of_its_token(world: World) -> None:
    browser, _ = world.signed_in("dana")
    world.forward(8 * 3600 - 60)
    assert browser.open(f"{world.url}/me").status == 200
    world.forward(120)
    assert browser.open(f"{world.url}/me").status == 401


def test_what_a_person_took_back_at_github_ends_the_session_with_the_next_look(world: World) -> None:
    browser, _ = world.signed_in("dana")
    world.github.revoke("dana")
    assert browser.open(f"{world.url}/me").status == 200, "looked at just now"
    world.forward(301)
    assert browser.open(f"{world.url}/me").status == 401
    assert world.services.sessions.find(cookie_of(browser)) is None


def test_where_github_cannot_be_asked_nothing_is_shown(world: World) -> None:
    browser, _ = world.signed_in("dana")
    world.forward(301)
    world.github.fault("GET", "^/user", 502, times=50)
    try:
        page = browser.open(f"{world.url}/me")
        assert page.status == 503
        assert "$" not in page.text
    finally:
        world.github.clear_faults()
    assert browser.open(f"{world.url}/me").status == 200, "the session is still there"


def test_cookies_are_for_this_host_alone_and_no_script_reads_them(tmp_path: Path) -> None:
    """As a deployment has it: PUBLIC_URL is HTTPS, whatever stands before the service ends it."""
    with dashboard_world(tmp_path, PUBLIC_URL="https://tollgate.example") as world:
        headers = answered(f"{world.url}/sign-in")
        name, *flags = [part.strip() for part in headers["Set-Cookie"].split(";")]
        assert name.startswith("__Host-tollgate-asked=")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=600"} <= set(flags)
        assert not [flag for flag in flags if flag.lower().startswith("domain")]
        query = parse_qs(urlsplit(headers["Location"]).query)
        asked = {name: values[0] for name, values in query.items()}
        assert asked["redirect_uri"] == "https://tollgate.example/sign-in/callback"
        assert asked["code_challenge_method"] == "S256"
        assert len(asked["code_challenge"]) == 43
        assert len(asked["state"]) == 43
        assert headers["Strict-Transport-Security"]


def test_a_service_without_a_session_secret_says_what_to_set(tmp_path: Path) -> None:
    with dashboard_world(tmp_path, SESSION_SECRET="") as world:
        for path in ("/", "/sign-in", "/people"):
            page = Browser().open(world.url + path)
            assert page.status == 503
            assert "SESSION_SECRET" in page.text


# -- sealing --


def test_what_is_sealed_opens_for_what_it_is_about_and_under_its_secret_only() -> None:
    seal, other = Seal(SECRET), Seal(SECRET + "x")
    sealed = seal.seal("ghu_secret", "a session")
    assert seal.open(sealed, "a session") == "ghu_secret"
    assert sealed != seal.seal("ghu_secret", "a session"), "never twice the same"
    for opened in (
        seal.open(sealed, "another session"),
        other.open(sealed, "a session"),
        seal.open(sealed[:-4] + "AAAA", "a session"),
        seal.open("", "a session"),
        seal.open("ü", "a session"),
        seal.open("AAAA", "a session"),
    ):
        assert opened is None


def test_a_mark_is_of_one_session_and_an_empty_one_is_none() -> None:
    seal = Seal(SECRET)
    assert seal.same(seal.mark("a"), seal.mark("a"))
    assert not seal.same(seal.mark("a"), seal.mark("b"))
    assert not seal.same("", "")
