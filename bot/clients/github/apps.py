"""The App as GitHub knows it: its registration from a manifest, what it may do, where it delivers to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from bot.clients.github.errors import GitHubError
from bot.clients.github.shapes import Json

if TYPE_CHECKING:
    from bot.clients.github.connection import Connection


class Registered:
    """A new App with everything that GitHub tells of it once; no repr, no dataclass: it has secrets."""

    __slots__ = ("client_id", "client_secret", "id", "private_key", "slug", "url", "webhook_secret")

    def __init__(self, raw: Json) -> None:
        self.id = int(raw["id"])
        self.slug = str(raw.get("slug") or "")
        self.url = str(raw["html_url"])
        self.client_id = str(raw["client_id"])
        self.client_secret = str(raw["client_secret"])
        self.webhook_secret: str = raw.get("webhook_secret") or ""  # GitHub may leave it out
        self.private_key = str(raw["pem"])


@dataclass(frozen=True, slots=True)
class App:
    """The App that the private key belongs to. `events` are those it asked for."""

    id: int
    name: str
    url: str
    settings_url: str
    permissions: dict[str, str]
    events: tuple[str, ...]
    installations: int


@dataclass(frozen=True, slots=True)
class Hook:
    """Where the App's webhook goes, and how."""

    url: str
    content_type: str
    insecure: bool


def register(wire: Connection, code: str) -> Registered:
    """Exchanges the code of a manifest, which works once, for the App's credentials."""
    spelled = quote(code, safe="")
    try:
        return Registered(wire.as_nobody("POST", f"/app-manifests/{spelled}/conversions"))
    except GitHubError as error:  # whoever reads the sentence might still use the code
        error.args = (str(error).replace(spelled, "…"), *error.args[1:])
        raise


def app(wire: Connection) -> App:
    raw = wire.as_app("GET", "/app")
    owner, url = raw.get("owner") or {}, raw["html_url"]
    # `/apps/SLUG`; on an Enterprise Server `/github-apps/SLUG`.
    web, _, slug = re.sub(r"/(github-)?apps/", "\n", url).partition("\n")
    whose = f"/organizations/{owner.get('login')}" if owner.get("type") == "Organization" else ""
    return App(
        id=raw["id"],
        name=raw["name"],
        url=url,
        settings_url=f"{web}{whose}/settings/apps/{slug}",
        permissions=dict(raw["permissions"]),
        events=tuple(raw["events"]),
        installations=raw.get("installations_count") or 0,
    )


def hook(wire: Connection) -> Hook:
    raw = wire.as_app("GET", "/app/hook/config")
    insecure = str(raw.get("insecure_ssl") or "0") != "0"
    return Hook(raw.get("url") or "", raw.get("content_type") or "form", insecure)


def set_hook_secret(wire: Connection, secret: str) -> None:
    wire.as_app("PATCH", "/app/hook/config", body={"secret": secret})
