"""Signing in with GitHub, by browser and by device, against the sandbox's pages over HTTP."""

from __future__ import annotations

import re
import secrets
import urllib.request
from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from bot.clients.github import GitHub, GitHubError, Unavailable
from bot.clients.github.oauth import (
    DEVICE_GRANT,
    Device,
    Granted,
    Refused,
    Waiting,
    authorize_url,
    begin_device,
    exchange,
    poll_device,
)
from bot.core.roles import Role
from sandbox.github.client import Client
from tests.browser import Browser, Page
from tests.clients.conftest import World, running

VERIFIER = secrets.token_urlsafe(48)
Credentials = tuple[str, str]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One of its own: its clock is moved by hours."""
    with running(tmp_path_factory.mktemp("oauth")) as world:
        yield world


@pytest.fixture
def credentials(world: World) -> Credentials:
    return world.client.about["client_id"], world.client.about["client_secret"]


@pytest.fixture
def back(world: World) -> str:
    """Where the browser comes back: any page will do, its address is what counts."""
    return f"{world.url}/webhooks"


def pressed(page: Page, label: str) -> Page:
    """The page after one button of its first form."""
    return Browser().send(page, button=[value for _, value in page.forms[0].buttons].index(label))


def brought_back(world: World, client_id: str, back: str, login: str = "dana") -> dict[str, str]:
    """What a browser brings back once this person has pressed their button."""
    asking = Browser().open(authorize_url(world.url, client_id, back, "a state", VERIFIER))
    landed = pressed(asking, login).url
    assert landed.startswith(f"{back}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(landed).query).items()}


def typed(world: World, device: Device, button: str) -> Page:
    page = Browser().open(device.verification_uri)
    number = [value for _, value in page.forms[0].buttons].index(button)
    return Browser().send(page, button=number, user_code=device.user_code)


def signed_in(world: World, credentials: Credentials, back: str, login: str) -> Granted:
    code = brought_back(world, credentials[0], back, login)["code"]
    return exchange(world.url, *credentials, code, back, VERIFIER)


# -- a browser --


def test_a_browser_comes_back_with_its_state_and_a_code_for_a_token_of_eight_hours(
    world: World, github: GitHub, credentials: Credentials, back: str
) -> None:
    brought = brought_back(world, credentials[0], back)
    assert brought["state"] == "a state"
    granted = exchange(world.url, *credentials, brought["code"], back, VERIFIER)
    assert granted.seconds == 8 * 3600
    assert github.user(granted.token).login == "dana"


def test_a_code_is_worth_a_token_once(world: World, credentials: Credentials, back: str) -> None:
    code = brought_back(world, credentials[0], back)["code"]
    exchange(world.url, *credentials, code, back, VERIFIER)
    with pytest.raises(Refused, match="used before, or is too old"):
        exchange(world.url, *credentials, code, back, VERIFIER)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        pytest.param({"verifier": "x" * 64}, "bad_verification_code", id="somebody else's verifier"),
        pytest.param({"secret": "0" * 40}, "incorrect_client_credentials", id="not the App's secret"),
        pytest.param({"back": "http://127.0.0.1:9/"}, "redirect_uri_mismatch", id="another address"),
        pytest.param({"code": "made up"}, "bad_verification_code", id="no code of GitHub's"),
    ],
)
def test_a_code_alone_is_worth_nothing(
    world: World, credentials: Credentials, back: str, wrong: dict[str, str], reason: str
) -> None:
    code = brought_back(world, credentials[0], back)["code"]
    told = {"secret": credentials[1], "code": code, "back": back, "verifier": VERIFIER} | wrong
    with pytest.raises(Refused) as refused:
        exchange(world.url, credentials[0], told["secret"], told["code"], told["back"], told["verifier"])
    assert refused.value.reason == reason
    assert credentials[1] not in str(refused.value)
    assert code not in str(refused.value)


def test_who_presses_cancel_brings_back_no_code(world: World, credentials: Credentials, back: str) -> None:
    asking = Browser().open(authorize_url(world.url, credentials[0], back, "a state", VERIFIER))
    brought = parse_qs(urlsplit(pressed(asking, "1").url).query)
    assert (brought["error"], brought["state"]) == (["access_denied"], ["a state"])
    assert "code" not in brought


# -- a device --


def test_a_device_waits_until_its_code_is_typed(
    world: World, github: GitHub, credentials: Credentials
) -> None:
    device = begin_device(world.url, credentials[0])
    assert re.fullmatch(r"[A-Z]{4}-[A-Z]{4}", device.user_code)
    assert (device.expires_in, device.interval) == (900, 5)
    assert poll_device(world.url, credentials[0], device) == Waiting(5)
    assert "signed in" in typed(world, device, "max").text
    world.client.forward(6)
    granted = poll_device(world.url, credentials[0], device)
    assert isinstance(granted, Granted)
    assert github.user(granted.token).login == "max"


def test_a_device_that_polls_too_soon_is_slowed_down(world: World, credentials: Credentials) -> None:
    device = begin_device(world.url, credentials[0])
    assert poll_device(world.url, credentials[0], device) == Waiting(5)
    assert poll_device(world.url, credentials[0], device) == Waiting(10)
    world.client.forward(6)
    assert poll_device(world.url, credentials[0], device) == Waiting(15)
    world.client.forward(16)
    assert poll_device(world.url, credentials[0], device) == Waiting(15)


def test_a_device_that_was_denied_or_forgotten_is_told(world: World, credentials: Credentials) -> None:
    denied, late = begin_device(world.url, credentials[0]), begin_device(world.url, credentials[0])
    assert "gets nothing" in typed(world, denied, "1").text
    with pytest.raises(Refused, match="you did not allow it"):
        poll_device(world.url, credentials[0], denied)
    world.client.forward(901)
    with pytest.raises(Refused, match="not typed in time"):
        poll_device(world.url, credentials[0], late)
    assert typed(world, late, "dana").status == 400


def test_a_github_that_does_not_answer_is_worth_another_try() -> None:
    nobody = "http://127.0.0.1:9"
    with pytest.raises(Unavailable, match="GitHub did not answer"):
        begin_device(nobody, "Iv1")
    with pytest.raises(Unavailable, match="GitHub did not answer"):
        exchange(nobody, "Iv1", "secret", "code", nobody, VERIFIER)


# -- what a token shows --


def test_a_person_sees_the_repositories_in_which_they_have_a_role_and_of_the_app_only(
    world: World, github: GitHub, credentials: Credentials, back: str
) -> None:
    name = f"acme/{secrets.token_hex(4)}"
    world.client.control("repos", full_name=name, private=True)
    Client(world.url, name).user("dana", "none")
    found = {
        login: {one.repo.full_name: one.role for one in github.access(world.client.app_token(login))}
        for login in ("ada", "max", "dana", "tri", "ren")
    }
    calendar = world.repo.full_name
    assert {login: held[calendar] for login, held in found.items()} == {
        "ada": Role.ADMIN,
        "max": Role.MAINTAIN,
        "dana": Role.WRITE,
        "tri": Role.TRIAGE,
        "ren": Role.READ,
    }
    assert name in found["max"]
    assert name not in found["dana"]


def test_that_anyone_may_read_a_public_repository_is_no_role(world: World, github: GitHub) -> None:
    assert github.access(world.client.app_token("eve")) == ()


def test_every_page_of_repositories_is_read(world: World, github: GitHub) -> None:
    before = len(github.access(world.client.app_token("ada")))
    for number in range(105):
        world.client.control("repos", full_name=f"acme/many-{number}", empty=True)
    assert len(github.access(world.client.app_token("ada"))) == before + 105


def test_a_token_that_was_taken_back_or_is_too_old_is_401(
    world: World, github: GitHub, credentials: Credentials, back: str
) -> None:
    mine = signed_in(world, credentials, back, "dana")
    world.client.revoke("dana")
    with pytest.raises(GitHubError) as revoked:
        github.user(mine.token)
    assert revoked.value.status == 401
    assert mine.token not in str(revoked.value)
    his = signed_in(world, credentials, back, "max")
    world.client.forward(8 * 3600 + 1)
    with pytest.raises(GitHubError) as old:
        github.access(his.token)
    assert old.value.status == 401


def test_a_suspended_installation_shows_nothing(world: World, github: GitHub) -> None:
    token = world.client.app_token("ada")
    world.client.suspend()
    try:
        assert github.access(token) == ()
    finally:
        world.client.suspend(False)


# -- the sandbox does as GitHub says it does --


def form(url: str, **fields: str) -> dict[str, list[str]]:
    """A POST as a program without a library would send it: the answer is a form's text."""
    with urllib.request.urlopen(url, urlencode(fields).encode(), timeout=30) as answer:  # noqa: S310 - loopback
        assert answer.status == 200
        return parse_qs(answer.read().decode(), keep_blank_values=True)


def test_a_refresh_token_is_worth_a_new_pair_once_and_ends_the_old_one(
    world: World, github: GitHub, credentials: Credentials, back: str
) -> None:
    url = f"{world.url}/login/oauth/access_token"
    app = dict(zip(("client_id", "client_secret"), credentials, strict=True))
    code = brought_back(world, credentials[0], back)["code"]
    first = form(url, **app, code=code, code_verifier=VERIFIER)
    asked = app | {"grant_type": "refresh_token", "refresh_token": first["refresh_token"][0]}
    second = form(url, **asked)
    assert second["expires_in"] == ["28800"]
    assert github.user(second["access_token"][0]).login == "dana"
    with pytest.raises(GitHubError):
        github.user(first["access_token"][0])
    assert form(url, **asked)["error"] == ["bad_refresh_token"]


def test_a_form_is_answered_with_a_form_and_every_refusal_with_200(
    world: World, credentials: Credentials
) -> None:
    url, id = f"{world.url}/login/oauth/access_token", credentials[0]
    assert form(url, client_id="nobody")["error"] == ["incorrect_client_credentials"]
    assert form(url, client_id=id, grant_type="password")["error"] == ["unsupported_grant_type"]
    unknown = form(url, client_id=id, grant_type=DEVICE_GRANT, device_code="x")
    assert unknown["error"] == ["incorrect_device_code"]


def test_nobody_is_sent_to_an_address_that_is_not_the_apps(world: World, credentials: Credentials) -> None:
    world.client.hook("http://127.0.0.1:9/webhooks/github")
    try:
        url = authorize_url(world.url, credentials[0], "http://evil.example/", "s", VERIFIER)
        page = Browser().open(url)
    finally:
        world.client.hook(None)
    assert page.status == 400
    assert page.forms == ()
