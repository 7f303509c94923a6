"""What no door takes, or not so often: told in a sentence, with nothing of what is inside."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bot.core.places import Repo
from bot.services import Services
from bot.settings import Secrets
from bot.web import health, laptop, metrics, webhook
from bot.web.dashboard.door import door as dashboard
from bot.web.dashboard.signing_in import MOST_SIGN_INS

BROWSER = {"Accept": "text/html,application/xhtml+xml"}


def with_dashboard(service: Services) -> Services:
    secrets = Secrets({"ANTHROPIC_API_KEY": "k"}, "", "s", session="s" * 32)
    return replace(service, settings=replace(service.settings, secrets=secrets))


@pytest.fixture
def roof(service: Services) -> FlaskClient:
    """Doors for programs beside the dashboard's."""
    told = with_dashboard(service)
    made = Flask(__name__, static_folder=None)
    for door in (webhook.door, laptop.door, health.door, metrics.door, dashboard):
        made.register_blueprint(door(told))
    return made.test_client()


@pytest.fixture
def login(service: Services) -> dict[str, str]:
    """The headers of a laptop that is logged in."""
    secret, _ = service.laptops.make((7, "dana"), "a machine", Repo(1, 2, "acme/calendar"))
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize(
    ("method", "path", "takes"),
    [
        ("GET", "/api/laptop/login", "POST"),
        ("PUT", "/api/laptop/cost", "GET"),
        ("POST", "/api/v1/rollup", "GET"),
        ("GET", "/webhooks/github", "POST"),
        ("POST", "/metrics", "GET"),
        ("DELETE", "/healthz", "GET"),
    ],
)
def test_a_program_with_another_method_is_told_which_there_is(
    roof: FlaskClient, method: str, path: str, takes: str
) -> None:
    answer = roof.open(path, method=method, headers=BROWSER)
    assert answer.status_code == 405
    assert answer.get_json()["error"] == f"this address does not take {method}, but {takes}"
    assert takes in answer.headers["Allow"]


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/api/laptop/nothing", "/api/v1/people", "/webhooks/gitlab"]
)
def test_a_program_at_no_address_is_told_so_in_json(roof: FlaskClient, path: str) -> None:
    answer = roof.get(path, headers=BROWSER)
    assert (answer.status_code, answer.get_json()) == (
        404,
        {"error": "nothing is at this address of the service"},
    )


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/sign-out", 405), ("GET", "/nowhere", 404)])
def test_a_person_who_goes_astray_gets_a_page_that_leads_back(
    roof: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = roof.open(path, method=method, headers=BROWSER)
    assert answer.status_code == status
    assert 'href="/"' in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/laptop/logins/a%00b"),
        ("GET", "/people/a%00b"),
        ("GET", "/api/v1/people/%00"),
        ("GET", "/%00"),
    ],
)
def test_an_address_with_a_nul_is_none(
    roof: FlaskClient, login: dict[str, str], method: str, path: str
) -> None:
    assert roof.open(path, method=method, headers=login).status_code == 404


@pytest.mark.parametrize("path", ["/api/laptop/cost", "/api/v1/rollup", "/me"])
@pytest.mark.parametrize("headers", [{}, BROWSER], ids=["a program", "a browser"])
def test_an_accident_of_ours_is_told_without_what_is_inside(
    roof: FlaskClient, service: Services, login: dict[str, str], path: str, headers: dict[str, str]
) -> None:
    roof.set_cookie("__Host-tollgate", "x", secure=True)
    with service.database.begin() as tx:
        for table in ("laptops", "sessions", "switches"):
            tx.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}_elsewhere")
    answer = roof.get(path, headers=login | headers, base_url="https://localhost")
    assert answer.status_code == 500
    assert "something broke in the service itself" in answer.text
    for inside in ("sqlalchemy", "psycopg", "elsewhere", "SELECT", "Traceback"):
        assert inside not in answer.text
    page = path == "/me" and bool(headers)
    assert answer.mimetype == ("text/html" if page else "application/json")


def test_strangers_have_github_asked_so_often_a_minute_and_no_more(service: Services) -> None:
    now = [0.0]
    made = Flask(__name__, static_folder=None)
    made.register_blueprint(dashboard(with_dashboard(service), lambda: now[0]))
    browser = made.test_client()
    asked = browser.get("/sign-in", base_url="https://localhost")
    [state] = parse_qs(urlsplit(asked.headers["Location"]).query)["state"]

    def answer() -> int:
        answered = browser.get(f"/sign-in/callback?code=x&state={state}", base_url="https://localhost")
        return answered.status_code

    # 503: GitHub, which is not there, was asked.
    assert [answer() for _ in range(MOST_SIGN_INS + 1)] == [503] * MOST_SIGN_INS + [429]
    now[0] = 61.0
    assert answer() == 503


EVERYWHERE = ("/", "/people", "/nowhere", "/api/v1/rollup", "/api/nothing", "/healthz", "/metrics", "/%00")


@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PROPFIND"])
def test_every_answer_is_kept_by_no_cache_and_taken_for_nothing_else(
    roof: FlaskClient, path: str, method: str
) -> None:
    answer = roof.open(path, method=method, headers=BROWSER)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize("path", ["/api/v1//rollup", "/people//dana", "/people/", "/sign-in//callback"])
def test_nobody_is_led_to_the_host_that_their_request_names(roof: FlaskClient, path: str) -> None:
    answer = roof.open(path, base_url="https://elsewhere.example")
    assert "elsewhere" not in f"{answer.headers}{answer.text}"
    assert answer.status_code in (401, 404)
