"""The environment, read once: every missing or malformed value is named, all at once (INTERFACE 7)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bot import logs
from bot.clients.keys import Keys, is_key, is_path
from bot.core import manifest
from bot.stores import credentials
from bot.stores.credentials import CredentialsError, Place

ANTHROPIC = "https://api.anthropic.com"
CURSOR = "https://api.cursor.com"
SHORTEST_SECRET = 32  # characters
LONGEST = 86_400  # seconds of anything that is set in them
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
    github_client_id: str  # "" where nobody told; without it nobody can sign in, nor log a laptop in
    github_app_url: str  # the App's own page, "" where nobody told
    github_api_url: str
    github_web_url: str  # the pages that belong to the API
    github_oidc_issuer: str
    anthropic_base_url: str
    cursor_api_url: str
    policy_file: Path | None
    price_file: Path | None
    progress_seconds: float  # the live comment is edited at most this often
    content_per_minute: int  # comments, checks, commits … of an installation, before GitHub minds
    content_per_hour: int
    hold_lease_ms: int  # a gateway process that is silent for so long has died
    log_level: str
    telemetry: Telemetry
    secrets: Secrets


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What a collector is told over OTLP, by OpenTelemetry's own variables. `people`: with names of people;
    `interval`: seconds between two sendings of the metrics."""

    traces: bool = False
    metrics: bool = False
    people: bool = False
    interval: float = 60.0


class Secrets:
    """Keys, never printed: no repr, no dataclass."""

    __slots__ = (
        "anthropic_admin_key",
        "anthropic_keys",
        "cursor_admin_key",
        "github_client_secret",
        "github_private_key",
        "github_webhook_secret",
        "metrics_token",
        "session",
    )

    def __init__(
        self,
        anthropic_keys: dict[str, str],
        github_private_key: str,
        github_webhook_secret: str,
        anthropic_admin_key: str = "",
        github_client_secret: str = "",
        session: str = "",
        metrics_token: str = "",
        cursor_admin_key: str = "",
    ) -> None:
        self.anthropic_keys = anthropic_keys  # by the name of its variable: ANTHROPIC_API_KEY…
        self.github_private_key = github_private_key
        self.github_webhook_secret = github_webhook_secret
        self.anthropic_admin_key = anthropic_admin_key  # reads the reports; empty: nothing reconciles
        self.github_client_secret = github_client_secret
        self.session = session  # seals what the dashboard keeps; empty: there is no dashboard
        self.metrics_token = metrics_token  # opens /metrics; empty: nothing does
        self.cursor_admin_key = cursor_admin_key  # reads a team's use of Cursor; empty: nothing is imported

    def values(self) -> tuple[str, ...]:
        """All of them, for who takes them out of what is logged; of a key in a file what it says now."""
        plain = (
            self.github_private_key,
            self.github_webhook_secret,
            self.anthropic_admin_key,
            self.github_client_secret,
            self.session,
            self.metrics_token,
            self.cursor_admin_key,
        )
        return *Keys(self.anthropic_keys).all().values(), *(one for one in plain if one)


@dataclass(frozen=True, slots=True)
class Registering:
    """What is needed to register the App, before there is one."""

    public_url: str
    github_api_url: str
    github_web_url: str
    place: Place


class _Env:
    """The environment, and what is wrong with it so far."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.problems: list[str] = []

    def get(self, name: str) -> str:
        return self.env.get(name, "").strip()

    def need(self, name: str, what: str) -> str:
        value = self.get(name)
        if not value:
            self.problems.append(f"{name} is not set: {what}")
        return value

    def secret(self, name: str) -> str:
        """One that people make up; "" where there is none."""
        value = self.get(name)
        if value and len(value) < SHORTEST_SECRET:
            self.problems.append(
                f"{name} has {len(value)} characters, and {SHORTEST_SECRET} is the least: make one by "
                "`openssl rand -hex 32`"
            )
        return value

    def url(self, name: str, default: str) -> str:
        value = (self.get(name) or default).rstrip("/")
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            self.problems.append(
                f"{name} is {value!r}, which is not a URL such as {default or 'https://example.org'}"
            )
        return value

    def file(self, name: str) -> Path | None:
        value = self.get(name)
        if value and not Path(value).is_file():
            self.problems.append(f"{name} names {value}, which is not a file")
        return Path(value) if value else None

    def seconds(self, name: str, default: float) -> float:
        value = self.get(name)
        try:
            told = float(value) if value else default
        except ValueError:
            told = -1.0
        if not 0 <= told <= LONGEST:
            self.problems.append(f"{name} is {value!r}, which is not a number of seconds")
            return default
        return told

    def one_of(self, name: str, known: tuple[str, ...], default: str) -> str:
        value = self.get(name).lower() or default
        if value not in known:
            self.problems.append(f"{name} is {value!r}, which is none of {', '.join(known)}")
            return default
        return value

    def number(self, name: str, default: int) -> int:
        value = self.get(name)
        if value and not (value.isascii() and value.isdigit()):
            self.problems.append(f"{name} is {value!r}, which is not a whole number")
            return default
        return int(value) if value else default

    def public_url(self) -> str:
        if self.get("PUBLIC_URL"):
            return self.url("PUBLIC_URL", "")
        return self.need("PUBLIC_URL", "this service's address")

    def github(self) -> tuple[str, str]:
        """The API, and the pages that belong to it."""
        api = self.url("GITHUB_API_URL", "https://api.github.com")
        return api, self.url("GITHUB_WEB_URL", manifest.web_url(api))


def environment() -> dict[str, str]:
    """A copy of the process's environment; the only look at it in the service."""
    return dict(os.environ)  # noqa: TID251 - this is the place


def registered(env: Mapping[str, str]) -> bool:
    """Whether there is an App: in the environment, or in CREDENTIALS_FILE."""
    file = env.get("CREDENTIALS_FILE", "").strip()
    return bool(env.get("GITHUB_APP_ID", "").strip() or (file and Path(file).exists()))


def set_up_mode(env: Mapping[str, str]) -> bool:
    """Whether the service is to wait until its App is registered; only where SETUP asks for it."""
    return env.get("SETUP", "").strip().lower() in ("1", "true", "yes") and not registered(env)


def registering(env: Mapping[str, str]) -> Registering:
    """What registering the App needs. Raises SettingsError that names every problem."""
    told = _Env(env)
    file, command = told.get("CREDENTIALS_FILE"), told.get("CREDENTIALS_COMMAND")
    if bool(file) == bool(command):
        told.problems.append(
            "set one of CREDENTIALS_FILE (a file that is made) and CREDENTIALS_COMMAND (a command that gets "
            "the credentials as JSON on its standard input): where the App's credentials are to be kept"
        )
    public_url = told.public_url()
    api, web = told.github()
    if told.problems:
        raise SettingsError(told.problems)
    return Registering(public_url, api, web, Place(Path(file) if file else None, command))


def ending(env: Mapping[str, str]) -> tuple[float, int]:
    """How long (seconds) a web process that is told to end still takes requests while `/readyz` says that it
    ends, and how long all of it may take. What is malformed counts as not told: `look` names it."""
    return _ending(_Env(env))


def _ending(told: _Env) -> tuple[float, int]:
    notice = told.seconds("SHUTDOWN_NOTICE_SECONDS", 0)
    return notice, max(round(notice) + 3, told.number("SHUTDOWN_SECONDS", 30))


def look(env: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """The service's settings, and every problem with them; where there is one, its value means nothing."""
    told = _Env(env)
    if not told.get("GITHUB_APP_ID") and told.get("CREDENTIALS_FILE"):
        told.env = _with_credentials(told)
    where = "the number of the GitHub App; `python -m bot setup` registers one"
    app_id = told.need("GITHUB_APP_ID", where)
    if app_id and not (app_id.isascii() and app_id.isdigit()):
        told.problems.append(f"GITHUB_APP_ID is {app_id!r}, which is not a number")
    private_key = told.need("GITHUB_APP_PRIVATE_KEY", "the App's private key, PEM, or a path to its file")
    if private_key and "-----BEGIN" not in private_key:
        if Path(private_key).is_file():
            private_key = Path(private_key).read_text(encoding="utf-8")
        else:
            told.problems.append("GITHUB_APP_PRIVATE_KEY is neither a PEM key nor the path of one")
    secret = told.need("GITHUB_WEBHOOK_SECRET", "without it the webhook's door does not open")
    keys = {k: v.strip() for k, v in env.items() if k.startswith("ANTHROPIC_API_KEY") and v.strip()}
    if "ANTHROPIC_API_KEY" not in keys:
        told.problems.append("ANTHROPIC_API_KEY is not set: the key that the gateway sends upstream")
    for name, value in keys.items():
        if is_path(value) and not Path(value).is_file():
            told.problems.append(f"{name} names {value}, which is not a file")
        elif not is_path(value) and not is_key(value):
            told.problems.append(f"{name} is no key: it has spaces, line breaks or letters that none has")
    client_id, client_secret, session = _signing_in(told)
    public_url = told.public_url()
    api, web = told.github()
    _ending(told)
    settings = Settings(
        database_url=told.get("DATABASE_URL") or DATABASE,
        public_url=public_url.rstrip("/"),
        github_app_id=int(app_id) if app_id.isascii() and app_id.isdigit() else 0,
        github_client_id=client_id,
        github_app_url=told.get("GITHUB_APP_URL"),
        github_api_url=api,
        github_web_url=web,
        github_oidc_issuer=told.url("GITHUB_OIDC_ISSUER", "https://token.actions.githubusercontent.com"),
        anthropic_base_url=told.url("ANTHROPIC_BASE_URL", ANTHROPIC),
        cursor_api_url=told.url("CURSOR_API_URL", CURSOR),
        policy_file=told.file("POLICY_FILE"),
        price_file=told.file("PRICE_FILE"),
        progress_seconds=told.seconds("PROGRESS_SECONDS", 20),
        content_per_minute=told.number("GITHUB_CONTENT_PER_MINUTE", 80),
        content_per_hour=told.number("GITHUB_CONTENT_PER_HOUR", 500),
        hold_lease_ms=round(told.seconds("HOLD_LEASE_SECONDS", 60) * 1000),
        log_level=told.one_of("LOG_LEVEL", logs.LEVELS, "info"),
        telemetry=_telemetry(told),
        secrets=Secrets(
            keys,
            private_key,
            secret,
            told.get("ANTHROPIC_ADMIN_KEY"),
            client_secret,
            session,
            told.secret("METRICS_TOKEN"),
            told.get("CURSOR_ADMIN_KEY"),
        ),
    )
    return settings, told.problems


def read(env: Mapping[str, str]) -> Settings:
    """The service's settings. Raises SettingsError that names every problem."""
    settings, problems = look(env)
    if problems:
        raise SettingsError(problems)
    return settings


def _telemetry(told: _Env) -> Telemetry:
    """https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/, read 2026-11: where
    no endpoint is set nothing is told. The exporter itself reads the rest."""
    wanted = {}
    for signal in ("TRACES", "METRICS"):
        endpoint, exporter = f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", told.get(f"OTEL_{signal}_EXPORTER")
        there = [name for name in (endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT") if told.get(name)]
        for name in there[:1]:
            told.url(name, "")
        protocols = (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
        protocol = next((told.get(name) for name in protocols if told.get(name)), "http/protobuf")
        off = told.get("OTEL_SDK_DISABLED").lower() == "true" or exporter not in ("", "otlp")
        wanted[signal] = bool(there) and not off
        if wanted[signal] and protocol != "http/protobuf":
            told.problems.append(
                f"OTLP is spoken as http/protobuf, not as {protocol}: OTEL_EXPORTER_OTLP_PROTOCOL"
            )
    interval = told.number("OTEL_METRIC_EXPORT_INTERVAL", 60_000) / 1000
    people = told.get("TELEMETRY_NAMES_PEOPLE").lower() in ("1", "true", "yes")
    return Telemetry(wanted["TRACES"], wanted["METRICS"], people, max(1.0, interval))


def _signing_in(told: _Env) -> tuple[str, str, str]:
    """What signing in takes, client id, its secret and SESSION_SECRET: without the last nothing of it."""
    session = told.secret("SESSION_SECRET")
    if not session:
        return told.get("GITHUB_CLIENT_ID"), "", ""
    where = "SESSION_SECRET asks for it (the dashboard); the App's settings page at GitHub shows it"
    return told.need("GITHUB_CLIENT_ID", where), told.need("GITHUB_CLIENT_SECRET", where), session


def _with_credentials(told: _Env) -> dict[str, str]:
    """The environment with what CREDENTIALS_FILE has kept; the App's parts all come from there or none."""
    file = Path(told.get("CREDENTIALS_FILE"))
    if not file.exists():
        told.problems.append(f"CREDENTIALS_FILE {file} is not there yet: `python -m bot setup` makes it")
        return dict(told.env)
    try:
        kept = credentials.read(file)
    except CredentialsError as error:
        told.problems.append(str(error))
        return dict(told.env)
    return {name: value for name, value in told.env.items() if name not in credentials.NAMES} | kept
