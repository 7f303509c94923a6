"""Every line is one JSON object with its ids, and no secret is in it."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from bot import logs
from bot.logs import Lines, Log

KEY = "made-up-and-of-no-known-form-0123456789"
TOKEN = "run_" + "a" * 43
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"


def line(message: str, *, secrets: tuple[str, ...] = (), **extra: Any) -> dict[str, Any]:
    record = logging.LogRecord(
        "tollgate.x", logging.INFO, __file__, 1, message, None, extra.pop("error", None)
    )
    for name, value in extra.items():
        setattr(record, name, value)
    told = Lines("web", secrets).format(record)
    assert "\n" not in told
    assert told.isascii()
    made: dict[str, Any] = json.loads(told)
    return made


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param(f"sent with {KEY}!", "sent with [left out]!", id="a value that the service was told"),
        pytest.param(f"token {TOKEN}", "token [left out]", id="a run's token"),
        pytest.param("user_" + "b" * 43, "[left out]", id="a laptop's token"),
        pytest.param("sk-ant-api03-abcdefgh", "[left out]", id="a key that was changed since the start"),
        pytest.param("ghs_" + "A1" * 18, "[left out]", id="an installation's token"),
        pytest.param("github_pat_" + "A1" * 30, "[left out]", id="a person's token"),
        pytest.param(f"Authorization: Bearer {JWT}", "Authorization: [left out]", id="the App's own word"),
        pytest.param(JWT, "[left out]", id="a job's identity"),
        pytest.param(f"key {PEM} read", "key [left out] read", id="a private key"),
        pytest.param(
            "postgresql://tollgate:pass-word@db/x", "postgresql://[left out]@db/x", id="a database's password"
        ),
        pytest.param(
            "GET /sign-in/callback?code=0a1b2c&state=x", "GET /sign-in/callback?[left out]&[left out]",
            id="what GitHub hands a browser",
        ),
        pytest.param("a line\nand another\x1b[2J", "a line\nand another\x1b[2J", id="breaks are escaped"),
        pytest.param("run 0123456789ab is done", "run 0123456789ab is done", id="ids stay"),
    ],
)  # fmt: skip
def test_no_secret_is_in_a_line_wherever_it_stands(text: str, kept: str) -> None:
    assert line(text, secrets=(KEY,))["message"] == kept
    assert line("x", secrets=(KEY,), about={"why": text})["why"] == kept
    try:
        raise RuntimeError(text)
    except RuntimeError:
        told = line("x", secrets=(KEY,), error=sys.exc_info())
    assert kept in told["error"]


def test_a_secret_that_is_a_part_of_another_leaves_nothing_of_either() -> None:
    assert line(f"{KEY}-and-more", secrets=(KEY, f"{KEY}-and-more"))["message"] == "[left out]"


def test_a_line_says_what_its_thread_is_about_and_nothing_of_the_request_before() -> None:
    logs.begin(request="r1", run="one")
    with logs.about(delivery="d", run=None):
        logs.add(repository="acme/calendar", installation=0)
        told = line("x")
        assert (told["request"], told["run"], told["delivery"]) == ("r1", "one", "d")
        assert told["repository"] == "acme/calendar"
        assert "installation" not in told
    assert "delivery" not in line("x")
    logs.begin(request="r2")
    assert line("x", about={"status": 503}) | {"time": "", "pid": 0} == {
        "time": "", "level": "info", "process": "web", "pid": 0, "event": "tollgate.x", "message": "x",
        "request": "r2", "status": 503,
    }  # fmt: skip


def test_ours_are_named_by_their_area_and_others_by_their_logger(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Log("gateway").warning("cut", "100 % of it")
        logging.getLogger("dbos").warning("of %s", "theirs")
    ours, theirs = (json.loads(Lines("worker").format(record)) for record in caplog.records)
    assert (ours["event"], ours["message"], ours["level"]) == ("gateway.cut", "100 % of it", "warning")
    assert (theirs["event"], theirs["message"]) == ("dbos", "of theirs")
