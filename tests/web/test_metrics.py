"""Prometheus' door: closed without a token, open to whoever has it, and cheap however often it is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bot.services import Services
from bot.settings import Secrets
from bot.web import metrics

TOKEN = "t" * 32


def door(service: Services, token: str) -> FlaskClient:
    secrets = Secrets({"ANTHROPIC_API_KEY": "k"}, "", "s", metrics_token=token)
    roof = Flask(__name__)
    told = replace(service, settings=replace(service.settings, secrets=secrets))
    roof.register_blueprint(metrics.door(told))
    return roof.test_client()


@pytest.mark.parametrize("sent", [None, "Bearer ", f"Bearer {TOKEN}", "Bearer"])
def test_without_a_token_of_ours_the_figures_are_told_to_nobody(service: Services, sent: str | None) -> None:
    answer = door(service, "").get("/metrics", headers={"Authorization": sent} if sent else {})
    assert answer.status_code == 503
    assert "METRICS_TOKEN" in answer.get_json()["error"]


@pytest.mark.parametrize(
    "sent",
    [None, "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[1:]}", "Bearer ünï"],
)
def test_whoever_has_not_the_token_is_told_no_figure(service: Services, sent: str | None) -> None:
    answer = door(service, TOKEN).get("/metrics", headers={"Authorization": sent} if sent else {})
    assert answer.status_code == 401
    assert b"tollgate_" not in answer.data


def test_whoever_has_the_token_gets_the_text_that_they_ask_for(service: Services) -> None:
    asked = {"Authorization": f"Bearer {TOKEN}"}
    plain = door(service, TOKEN).get("/metrics", headers=asked)
    assert (plain.status_code, plain.mimetype) == (200, "text/plain")
    assert b"\n# TYPE tollgate_workers gauge\ntollgate_workers 0.0\n" in plain.data
    open_metrics = {"Accept": "application/openmetrics-text; version=1.0.0"}
    other = door(service, TOKEN).get("/metrics", headers=asked | open_metrics)
    assert other.mimetype == "application/openmetrics-text"
    assert other.data.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ('application/openmetrics-text; version="1.0.0"', "application/openmetrics-text"),
        ("application/openmetrics-text;version=x", "text/plain"),
        ("application/openmetrics-text;version=1.0.0-rc1;escaping=y,*/*;q", "text/plain"),
        ("text/plain;version=a.b", "text/plain"),
        ("\xff;;=,", "text/plain"),
    ],
)
def test_whatever_form_is_asked_for_the_figures_are_told(service: Services, accept: str, kind: str) -> None:
    answer = door(service, TOKEN).get(
        "/metrics", headers={"Authorization": f"Bearer {TOKEN}", "Accept": accept}
    )
    assert (answer.status_code, answer.mimetype) == (200, kind)


def test_a_database_that_does_not_answer_is_a_503_with_a_sentence(service: Services) -> None:
    with service.database.begin() as tx:
        tx.exec_driver_sql("ALTER TABLE refusals RENAME TO elsewhere")
    answer = door(service, TOKEN).get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 503
    assert "database" in answer.get_json()["error"]
