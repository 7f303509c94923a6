"""Apps from their registration by a manifest to their end: installed, suspended, removed."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.github.access import LEVELS, Refused
from sandbox.github.hooks import Hooks
from sandbox.github.state import Account, App, Hub, Installation, Json, Repository

CODE_SECONDS = 3_600.0  # source: GitHub Docs, "Registering a GitHub App from a manifest"
LONGEST_NAME = 34  # characters; source: GitHub Docs, "Registering a GitHub App"
# What an App must at least read to hear of an event; what is not here cannot be asked for in a manifest.
EVENT_NEEDS = {
    "check_run": ("checks",),
    "check_suite": ("checks",),
    "create": ("contents",),
    "delete": ("contents",),
    "issue_comment": ("issues", "pull_requests"),
    "issues": ("issues",),
    "label": ("metadata",),
    "pull_request": ("pull_requests",),
    "pull_request_review": ("pull_requests",),
    "pull_request_review_comment": ("pull_requests",),
    "push": ("contents",),
    "repository": ("metadata",),
    "workflow_dispatch": ("contents",),
    "workflow_job": ("actions",),
    "workflow_run": ("actions",),
}
PERMISSIONS = [
    "actions",
    "administration",
    "checks",
    "contents",
    "deployments",
    "environments",
    "issues",
    "members",
    "metadata",
    "packages",
    "pages",
    "pull_requests",
    "secrets",
    "statuses",
    "workflows",
]


def read_manifest(text: str) -> Json:
    """A manifest as it was posted. Raises Refused (422) with everything that is wrong with it."""
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise Refused(422, "the manifest is not JSON") from error
    if not isinstance(manifest, dict):
        raise Refused(422, "the manifest is not an object")
    wrong = []
    hook = manifest.get("hook_attributes") or {}
    asked, events = manifest.get("default_permissions") or {}, manifest.get("default_events") or []
    for name, value in (("url", manifest.get("url")), ("hook_attributes.url", hook.get("url"))):
        if not isinstance(value, str) or not re.match(r"https?://", value):
            wrong.append(f"{name} must be a URL")
    for name, level in asked.items():
        if name not in PERMISSIONS or level not in LEVELS:
            wrong.append(f"default_permissions: there is no {name}: {level}")
    for event in events:
        needs = EVENT_NEEDS.get(event)
        if needs is None:
            wrong.append(f"default_events: {event} is not supported")
        elif not any(name in (*asked, "metadata") for name in needs):
            wrong.append(f"default_events: {event} is not supported by the permissions")
    if wrong:
        raise Refused(422, "; ".join(wrong))
    return dict(manifest)


def new_key() -> tuple[str, str]:
    """A key of an App's as PEM, the public one and the private one, which is shown once."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return public.decode(), private.decode()


def register(hub: Hub, owner: Account, name: str, manifest: Json) -> tuple[App, str]:
    """The App that a manifest describes, and the code for its credentials. Raises Refused."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug or len(name) > LONGEST_NAME:
        raise Refused(422, f"the name must have 1 to {LONGEST_NAME} characters")
    if any(app.slug == slug for app in hub.apps.values()):
        raise Refused(422, f"the name {name} is already taken")
    public, private = new_key()
    id = hub.new_id()
    app = App(
        id=id,
        slug=slug,
        name=name,
        owner=owner,
        bot=hub.account(f"{slug}[bot]", "Bot"),
        client_id=f"Iv23li{id}",
        keys=[public],
        permissions={"metadata": "read"} | (manifest.get("default_permissions") or {}),
        events=list(manifest.get("default_events") or []),
        created_at=hub.now(),
        hook_url=manifest["hook_attributes"]["url"],
        hook_secret=secrets.token_hex(20),
        client_secret=secrets.token_hex(20),
        manifest=manifest,
    )
    hub.apps[app.id] = app
    code = secrets.token_hex(20)
    hub.manifest_codes[code] = (app, private, hub.now())
    hub.touch()
    return app, code


def convert(hub: Hub, code: str) -> tuple[App, str]:
    """The App of a code and its private key, once and within the hour. Raises Refused."""
    app, private, at = hub.manifest_codes.pop(code, (None, "", 0.0))
    if app is None or hub.now() - at > CODE_SECONDS:
        raise Refused(404, "Not Found")
    return app, private


def install(
    hooks: Hooks, app: App, account: Account, by: Account, chosen: set[int] | None = None
) -> Installation:
    """The App on an account, on the chosen repositories or on all. Raises Refused where it is already."""
    hub = hooks.hub
    if any(one.app is app and one.account is account for one in hub.installations.values()):
        raise Refused(422, f"{app.name} is installed on {account.login} already")
    if not app.manifest.get("public", True) and app.owner is not account:
        raise Refused(404, "this App is private: it can be installed on its owner's account only")
    made = Installation(hub.new_id(), app, account, dict(app.permissions), hub.now(), repositories=chosen)
    hub.installations[made.id] = made
    hooks.installation(made, "created", by)
    hub.touch()
    return made


def uninstall(hooks: Hooks, made: Installation, by: Account) -> None:
    """It is gone, and so is every token of it."""
    hub = hooks.hub
    hooks.installation(made, "deleted", by)
    hub.installations.pop(made.id, None)
    revoke(hub, lambda holder: holder is made)
    hub.touch()


def suspend(hooks: Hooks, made: Installation, by: Account, suspended: bool) -> None:
    hub = hooks.hub
    made.suspended_at = hub.now() if suspended else None
    hooks.installation(made, "suspend" if suspended else "unsuspend", by)
    hub.touch()


def choose(hooks: Hooks, made: Installation, by: Account, chosen: set[int]) -> None:
    """From now on exactly these repositories; the App hears of what was added and of what was removed."""
    hub = hooks.hub
    before = [repo for repo in hub.repositories.values() if made.covers(repo)]
    made.repositories = set(chosen)
    after = [repo for repo in hub.repositories.values() if made.covers(repo)]
    for action, changed in (
        ("added", [repo for repo in after if repo not in before]),
        ("removed", [repo for repo in before if repo not in after]),
    ):
        if changed:
            hooks.installation_repositories(made, action, by, changed)
    hub.touch()


def revoke(hub: Hub, which: Callable[[Installation], bool]) -> None:
    kept = {
        text: token
        for text, token in hub.tokens.items()
        if token.kind != "installation" or token.installation is None or not which(token.installation)
    }
    hub.tokens.clear()
    hub.tokens.update(kept)


def repositories_of(hub: Hub, account: Account) -> list[Repository]:
    return [repo for repo in hub.repositories.values() if repo.owner is account]
