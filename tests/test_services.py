"""Nothing starts half-configured: what is missing is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bot import services, settings
from bot.settings import SettingsError
from tests.gateways import ROOT


def told(tmp_path: Path, **more: str) -> settings.Settings:
    known = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'tollgate.db'}",
        "PUBLIC_URL": "https://tollgate.example",
        "GITHUB_APP_ID": "1",
        "GITHUB_APP_PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----",
        "GITHUB_WEBHOOK_SECRET": "s",
        "ANTHROPIC_API_KEY": "k",
    }
    return settings.read(known | more)


def test_a_database_without_tables_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="python -m bot migrate"):
        services.build(told(tmp_path), "web")


def test_the_database_is_migrated_before_there_is_an_app(tmp_path: Path) -> None:
    known = settings.environment()
    env = {k: v for k, v in known.items() if not k.startswith(("GITHUB_", "ANTHROPIC_", "PUBLIC_URL"))}
    env["DATABASE_URL"] = f"sqlite:///{tmp_path / 'tollgate.db'}"
    command = [sys.executable, "-m", "bot", "migrate"]
    subprocess.run(command, env=env, cwd=ROOT, capture_output=True, check=True)
    services.check_database(settings.look(env)[0])


def test_the_web_process_starts_without_what_only_other_processes_need(
    tmp_path: Path,
) -> None:
    """Each of these takes megabytes of every web worker; figures are in docs/benchmarks.md."""
    heavy = "alembic anthropic authlib cryptography dbos github jwt prometheus_client psycopg requests"
    heavy += " opentelemetry.sdk re2"
    env = settings.environment() | {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'tollgate.db'}",
        "PUBLIC_URL": "https://tollgate.example",
        "GITHUB_APP_ID": "1",
        "GITHUB_APP_PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----",
        "GITHUB_WEBHOOK_SECRET": "s",
        "ANTHROPIC_API_KEY": "k",
    }
    services.migrate(settings.read(env))
    look = f"import sys, app; print(*set({heavy!r}.split()) & set(sys.modules))"
    said = subprocess.run(
        [sys.executable, "-c", look], env=env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == ""


@pytest.mark.parametrize(
    ("variable", "content", "said"),
    [("POLICY_FILE", "max: 3\n", "POLICY_FILE"), ("PRICE_FILE", "[]", "PRICE_FILE")],
)
def test_a_wrong_file_of_the_service_is_named(tmp_path: Path, variable: str, content: str, said: str) -> None:
    file = tmp_path / "file"
    file.write_text(content)
    with pytest.raises(SettingsError, match=said):
        services.build(told(tmp_path, **{variable: str(file)}), "web")


def test_the_web_process_has_a_door_for_people(tmp_path: Path) -> None:
    env = settings.environment() | {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'tollgate.db'}",
        "PUBLIC_URL": "https://tollgate.example",
        "GITHUB_APP_ID": "1",
        "GITHUB_APP_PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----",
        "GITHUB_WEBHOOK_SECRET": "s",
        "GITHUB_CLIENT_ID": "Iv1",
        "GITHUB_CLIENT_SECRET": "c",
        "SESSION_SECRET": "s" * 32,
        "ANTHROPIC_API_KEY": "k",
    }
    services.migrate(settings.read(env))
    look = "import app; c = app.app.test_client(); print(*(c.get(p).status_code for p in ('/', '/sign-in')))"
    said = subprocess.run(
        [sys.executable, "-c", look], env=env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["401", "303"]
