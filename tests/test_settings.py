"""The environment, read once: what is missing is named, and the App's parts come from one place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bot import settings
from bot.settings import SettingsError

KEPT = {
    "GITHUB_APP_ID": "7",
    "GITHUB_APP_PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----",
    "GITHUB_APP_URL": "https://github.com/apps/t",
    "GITHUB_WEBHOOK_SECRET": "kept",
}
REST = {"PUBLIC_URL": "https://t.example", "ANTHROPIC_API_KEY": "k"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "app.json"
    made.write_text(json.dumps(KEPT))
    return made


def test_the_apps_credentials_come_from_the_file(file: Path) -> None:
    found = settings.read(REST | {"CREDENTIALS_FILE": str(file)})
    assert (found.github_app_id, found.secrets.github_webhook_secret) == (7, "kept")
    assert found.github_app_url == "https://github.com/apps/t"


def test_the_environment_rules_over_the_file_as_a_whole(file: Path) -> None:
    env = REST | {"CREDENTIALS_FILE": str(file), "GITHUB_APP_ID": "8", "GITHUB_APP_PRIVATE_KEY": "-----BEGIN"}
    with pytest.raises(SettingsError, match="GITHUB_WEBHOOK_SECRET is not set"):
        settings.read(env)  # never the key of one App and the secret of another
    found = settings.read(env | {"GITHUB_WEBHOOK_SECRET": "mine"})
    assert (found.github_app_id, found.secrets.github_webhook_secret) == (8, "mine")
    stray = REST | {"CREDENTIALS_FILE": str(file), "GITHUB_WEBHOOK_SECRET": "stray"}
    assert settings.read(stray).secrets.github_webhook_secret == "kept"


def test_a_file_that_is_not_there_is_named_with_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="python -m bot setup") as caught:
        settings.read(REST | {"CREDENTIALS_FILE": str(tmp_path / "app.json")})
    assert len(caught.value.problems) == 4


def test_signing_in_takes_a_secret_and_the_apps_credentials_or_nothing(file: Path) -> None:
    env, long = REST | {"CREDENTIALS_FILE": str(file)}, "s" * 32
    assert settings.read(env).secrets.session == ""
    with pytest.raises(SettingsError) as caught:
        settings.read(env | {"SESSION_SECRET": "short"})
    for problem in (
        "SESSION_SECRET has 5 characters",
        "GITHUB_CLIENT_ID is not",
        "GITHUB_CLIENT_SECRET is not",
    ):
        assert problem in str(caught.value)
    file.write_text(json.dumps(KEPT | {"GITHUB_CLIENT_ID": "Iv1", "GITHUB_CLIENT_SECRET": "hidden"}))
    found = settings.read(env | {"SESSION_SECRET": long})
    assert (found.github_client_id, found.secrets.github_client_secret) == ("Iv1", "hidden")
    assert (found.secrets.session, "hidden" in repr(found), long in repr(found)) == (long, False, False)


@pytest.mark.parametrize(
    ("env", "traces", "metrics"),
    [
        ({}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/v1/traces"}, True, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_METRICS_EXPORTER": "none"}, True, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "console"}, False, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, False, False),
    ],
)
def test_a_collector_is_told_what_its_own_variables_say(
    file: Path, env: dict[str, str], traces: bool, metrics: bool
) -> None:
    found = settings.read(REST | {"CREDENTIALS_FILE": str(file)} | env).telemetry
    assert (found.traces, found.metrics, found.people) == (traces, metrics, False)


def test_a_collector_that_cannot_be_spoken_to_is_named_at_the_start(file: Path) -> None:
    env = REST | {"CREDENTIALS_FILE": str(file), "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert not settings.read(env).telemetry.traces, "without a collector the rest does not matter"
    with pytest.raises(SettingsError, match="not as grpc"):
        settings.read(env | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"})
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT is 'c:4318'"):
        settings.read(env | {"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": ""})


def test_a_token_that_could_be_guessed_does_not_open_the_metrics(file: Path) -> None:
    env = REST | {"CREDENTIALS_FILE": str(file)}
    with pytest.raises(SettingsError, match="METRICS_TOKEN has 6 characters"):
        settings.read(env | {"METRICS_TOKEN": "secret"})
    assert settings.read(env | {"METRICS_TOKEN": "s" * 32}).secrets.metrics_token == "s" * 32
    assert settings.read(env).secrets.metrics_token == ""


@pytest.mark.parametrize(
    ("env", "waits"),
    [
        ({}, False),
        ({"SETUP": "1"}, True),
        ({"SETUP": "yes", "CREDENTIALS_FILE": "/nowhere/app.json"}, True),
        ({"SETUP": "0"}, False),
        ({"SETUP": "1", "GITHUB_APP_ID": "1"}, False),
        ({"CREDENTIALS_FILE": "/nowhere/app.json"}, False),
    ],
)
def test_the_service_waits_for_its_app_only_where_that_was_asked_for(
    env: dict[str, str], waits: bool
) -> None:
    assert settings.set_up_mode(env) is waits


def test_a_service_that_has_its_app_does_not_wait_for_one(file: Path) -> None:
    assert not settings.set_up_mode({"SETUP": "1", "CREDENTIALS_FILE": str(file)})


@pytest.mark.parametrize(
    "places", [{}, {"CREDENTIALS_FILE": "a", "CREDENTIALS_COMMAND": "b"}], ids=["no place", "two places"]
)
def test_registering_needs_one_place_for_the_credentials(places: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="set one of CREDENTIALS_FILE"):
        settings.registering({"PUBLIC_URL": "https://t.example"} | places)


def test_what_registering_needs_is_named_all_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.registering({"GITHUB_API_URL": "nonsense"})
    said = str(caught.value)
    for name in ("PUBLIC_URL", "GITHUB_API_URL", "CREDENTIALS_FILE"):
        assert name in said
    found = settings.registering(
        {
            "PUBLIC_URL": "https://t.example",
            "GITHUB_API_URL": "https://g.example/api/v3",
            "CREDENTIALS_FILE": "a",
        }
    )
    assert found.github_web_url == "https://g.example"


@pytest.mark.parametrize("name", ["PROGRESS_SECONDS", "HOLD_LEASE_SECONDS"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e300", "soon", "20 s"])
def test_what_is_no_number_of_seconds_is_named(file: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is '{value}', which is not a number of seconds"):
        settings.read(REST | {"CREDENTIALS_FILE": str(file), name: value})


def test_every_variable_that_is_read_is_in_the_deployment_guide() -> None:
    root = Path(__file__).parents[1]
    read = (root / "bot" / "settings.py").read_text(encoding="utf-8")
    names = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+|SETUP)"', read))
    assert {"SETUP", "PUBLIC_URL", "METRICS_TOKEN", "OTEL_SDK_DISABLED", "PROGRESS_SECONDS"} <= names
    guide = (root / "docs" / "deploy.md").read_text(encoding="utf-8")
    exports = (root / "docs" / "exports.md").read_text(encoding="utf-8")
    missing = [name for name in names if name not in (exports if name.startswith("OTEL_") else guide)]
    assert not missing
