"""The service gets its GitHub App: registered from the manifest, its credentials kept, everything checked."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bot import settings
from bot.clients.github import GitHub, GitHubError, Registered
from bot.core import manifest
from bot.services import check_database
from bot.settings import Registering, Settings, SettingsError
from bot.stores import credentials
from bot.stores.database import Database
from bot.stores.onboardings import Onboardings

AGAIN = "Set that right, then take the repository off the App's installation and add it again"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be right, and what to do where it is not."""

    right: bool
    says: str
    do: str = ""

    def __str__(self) -> str:
        return f"{'✓' if self.right else '✗'} {self.says}" + (f". {self.do}" if self.do else "")


def register(asked: Registering, code: str) -> Registered:
    """The App of this code; its credentials are kept before anything else is done.

    Raises CredentialsError and GitHubError. Call `asked.place.try_it()` first: a code works once.
    """
    nobody = GitHub(0, "", asked.github_api_url)
    try:
        made = nobody.register(code)
    finally:
        nobody.close()
    if made.webhook_secret:
        asked.place.keep(_kept(made))
        return made
    # GitHub gave none, and a webhook that is not signed is not let in.
    made.webhook_secret = secrets.token_hex(32)
    asked.place.keep(_kept(made))
    app = GitHub(made.id, made.private_key, asked.github_api_url)
    try:
        app.set_hook_secret(made.webhook_secret)
    except GitHubError as error:
        raise GitHubError(
            f"the App is there and its credentials are kept, but its webhook has no secret yet: {error}. "
            "Give it the GITHUB_WEBHOOK_SECRET that was kept, on its settings page at GitHub",
            error.status,
        ) from error
    finally:
        app.close()
    return made


def _kept(made: Registered) -> dict[str, str]:
    return {
        "GITHUB_APP_ID": str(made.id),
        "GITHUB_APP_PRIVATE_KEY": made.private_key,
        "GITHUB_APP_URL": made.url,
        "GITHUB_CLIENT_ID": made.client_id,
        "GITHUB_CLIENT_SECRET": made.client_secret,
        "GITHUB_WEBHOOK_SECRET": made.webhook_secret,
    }


def check(env: Mapping[str, str], made: Registered | None = None) -> tuple[Check, ...]:
    """Everything that must be right before the first comment; a ✗ has what to do.

    `made`: an App that was registered just now, where its credentials are not in `env` or its file.
    """
    known = dict(env)
    if made is not None and not settings.registered(env):
        known |= _kept(made)
    found, problems = settings.look(known)
    return tuple(_checks(known, found, problems))


def _checks(env: Mapping[str, str], found: Settings, problems: list[str]) -> Iterator[Check]:
    yield from (Check(False, problem) for problem in problems)
    if not problems:
        yield Check(True, "every setting is there, ANTHROPIC_API_KEY among them (Anthropic was not asked)")
    file = Path(env.get("CREDENTIALS_FILE", "").strip() or "/")
    if file.is_file():
        yield _private(file)
    database = _database(found)
    yield database
    yield _https(found)
    if found.github_app_id and found.secrets.github_private_key:
        github = GitHub(found.github_app_id, found.secrets.github_private_key, found.github_api_url)
        try:
            yield from _at_github(github, found)
        finally:
            github.close()
    if database.right:
        yield from _repositories(found)


def _private(file: Path) -> Check:
    if credentials.others_may_read(file):
        return Check(False, f"others may read {file}", f"`chmod 600 {file}`")
    return Check(True, f"only its owner may read {file}")


def _database(found: Settings) -> Check:
    try:
        check_database(found)
    except SettingsError as error:
        return Check(False, str(error))
    return Check(True, "the database answers, with this version's tables")


def _repositories(found: Settings) -> Iterator[Check]:
    """What became of each that the App was installed on."""
    database = Database(found.database_url)
    try:
        for one in Onboardings(database).all():
            says = f"{one.repository}: {one.state}, {one.message}" + (f" ({one.url})" if one.url else "")
            yield Check(one.state != "refused", says, AGAIN if one.state == "refused" else "")
    finally:
        database.close()


def _https(found: Settings) -> Check:
    parts = urlsplit(found.public_url)
    if parts.scheme == "https" or parts.hostname in LOOPBACK:
        return Check(True, f"PUBLIC_URL {found.public_url} is fit to carry tokens")
    return Check(
        False, f"PUBLIC_URL {found.public_url} is not https: tokens would travel in the clear",
        "Put a TLS proxy in front, and set the https address",
    )  # fmt: skip


def _at_github(github: GitHub, found: Settings) -> Iterator[Check]:
    try:
        app, hook = github.app(), github.hook()
    except GitHubError as error:
        yield Check(
            False, f"GitHub does not know App {found.github_app_id} by this private key: {error}",
            "Are GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY of one App, and GITHUB_API_URL where it lives?",
        )  # fmt: skip
        return
    yield Check(True, f"GitHub knows the App “{app.name}” ({app.url}) by its private key")
    differs = manifest.differences(app.permissions, app.events)
    yield Check(
        not differs,
        "its permissions and events are those of docs/deploy.md, and no more" if not differs
        else "its permissions and events differ from docs/deploy.md: " + "; ".join(differs),
        f"Change them on its settings page ({app.settings_url}), then accept them where it is installed"
        if differs else "",
    )  # fmt: skip
    wanted = manifest.hook_url(found.public_url)
    wrong = [
        said
        for said, there in (
            (f"goes to {hook.url or 'nowhere'}, not to {wanted}", hook.url != wanted),
            (f"sends {hook.content_type}, not json", hook.content_type != "json"),
            ("does not verify certificates", hook.insecure),
        )
        if there
    ]
    yield Check(
        not wrong,
        f"its webhook goes to {wanted}" if not wrong else f"its webhook {' and '.join(wrong)}",
        f"Set that right on its settings page ({app.settings_url})" if wrong else "",
    )


def next_step(app_url: str) -> str:
    """What a person does once all checks are right."""
    return f"Install the App on the repositories that may use it: {manifest.install_url(app_url)}"
