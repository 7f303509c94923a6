"""The environment, read once: every missing or malformed value is named, all at once (INTERFACE 7)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ANTHROPIC = "https://api.anthropic.com"
DATABASE = "sqlite:///tollgate.db"


class SettingsError(Exception):
    """What is missing or malformed, one sentence each; nothing starts half-configured."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service was told. Secrets are kept out of its repr."""

    database_url: str
    public_url: str
    github_app_id: int
    github_api_url: str
    github_oidc_issuer: str
    anthropic_base_url: str
    policy_file: Path | None
    price_file: Path | None
    progress_seconds: float  # the live comment is edited at most this often
    hold_lease_ms: int  # a gateway process that is silent for so long has died
    secrets: Secrets


class Secrets:
    """Keys, never printed: no repr, no dataclass."""

    __slots__ = ("anthropic_admin_key", "anthropic_keys", "github_private_key", "github_webhook_secret")

    def __init__(
        self,
        anthropic_keys: dict[str, str],
        github_private_key: str,
        github_webhook_secret: str,
        anthropic_admin_key: str = "",
    ) -> None:
        self.anthropic_keys = anthropic_keys  # by the name of its variable: ANTHROPIC_API_KEY…
        self.github_private_key = github_private_key
        self.github_webhook_secret = github_webhook_secret
        self.anthropic_admin_key = anthropic_admin_key  # reads the usage report; empty: nothing reconciles


def environment() -> dict[str, str]:
    """A copy of the process's environment; the only look at it in the service."""
    return dict(os.environ)  # noqa: TID251 - this is the place


def read(env: Mapping[str, str]) -> Settings:
    """The service's settings. Raises SettingsError that names every problem."""
    problems: list[str] = []

    def need(name: str, what: str) -> str:
        value = env.get(name, "").strip()
        if not value:
            problems.append(f"{name} is not set: {what}")
        return value

    def url(name: str, default: str) -> str:
        value = (env.get(name, "").strip() or default).rstrip("/")
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            problems.append(
                f"{name} is {value!r}, which is not a URL such as {default or 'https://example.org'}"
            )
        return value

    def file(name: str) -> Path | None:
        value = env.get(name, "").strip()
        if value and not Path(value).is_file():
            problems.append(f"{name} names {value}, which is not a file")
        return Path(value) if value else None

    app_id = need("GITHUB_APP_ID", "the number of the GitHub App")
    if app_id and not (app_id.isascii() and app_id.isdigit()):
        problems.append(f"GITHUB_APP_ID is {app_id!r}, which is not a number")
    private_key = need("GITHUB_APP_PRIVATE_KEY", "the App's private key, PEM, or a path to its file")
    if private_key and "-----BEGIN" not in private_key:
        if Path(private_key).is_file():
            private_key = Path(private_key).read_text(encoding="utf-8")
        else:
            problems.append("GITHUB_APP_PRIVATE_KEY is neither a PEM key nor the path of one")
    secret = need("GITHUB_WEBHOOK_SECRET", "without it the webhook's door does not open")
    keys = {k: v.strip() for k, v in env.items() if k.startswith("ANTHROPIC_API_KEY") and v.strip()}
    if "ANTHROPIC_API_KEY" not in keys:
        problems.append("ANTHROPIC_API_KEY is not set: the key that the gateway sends upstream")
    public_url = (
        url("PUBLIC_URL", "") if env.get("PUBLIC_URL") else need("PUBLIC_URL", "this service's address")
    )

    def seconds(name: str, default: float) -> float:
        value = env.get(name, "").strip()
        try:
            return float(value) if value else default
        except ValueError:
            problems.append(f"{name} is {value!r}, which is not a number of seconds")
            return default

    settings = Settings(
        database_url=env.get("DATABASE_URL", "").strip() or DATABASE,
        public_url=public_url.rstrip("/"),
        github_app_id=int(app_id) if app_id.isascii() and app_id.isdigit() else 0,
        github_api_url=url("GITHUB_API_URL", "https://api.github.com"),
        github_oidc_issuer=url("GITHUB_OIDC_ISSUER", "https://token.actions.githubusercontent.com"),
        anthropic_base_url=url("ANTHROPIC_BASE_URL", ANTHROPIC),
        policy_file=file("POLICY_FILE"),
        price_file=file("PRICE_FILE"),
        progress_seconds=seconds("PROGRESS_SECONDS", 20),
        hold_lease_ms=round(seconds("HOLD_LEASE_SECONDS", 60) * 1000),
        secrets=Secrets(keys, private_key, secret, env.get("ANTHROPIC_ADMIN_KEY", "").strip()),
    )
    if problems:
        raise SettingsError(problems)
    return settings
