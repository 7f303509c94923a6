"""The GitHub App that this service is: what it may do and hears of, each with its reason.

The page that registers it, `python -m bot setup` and docs/deploy.md say the same: it comes from here.
Source of the form: GitHub Docs, "Registering a GitHub App from a manifest" (read 2026-11-26).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LONGEST_NAME = 34  # characters of an App's name
ORGANIZATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}")
_URL = re.compile(r"(?P<scheme>https?)://(?P<host>[^/:?#]+)")
LEVELS = ("", "read", "write", "admin")


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that the App may do. `name` is the API's, `title` the one on GitHub's pages."""

    name: str
    title: str
    access: str
    why: str


PERMISSIONS = (
    Permission("metadata", "Metadata", "read", "GitHub asks for it; people's roles"),
    Permission("contents", "Contents", "write", "read the policy file, commit the agent's work"),
    Permission("issues", "Issues", "write", "comments on issues, reactions, labels as ceilings"),
    Permission(
        "pull_requests", "Pull requests", "write", "comments on pull requests, open one for the agent's work"
    ),
    Permission(
        "checks", "Checks", "write", "one check run for each run, with its buttons; one on a wrong policy"
    ),
    Permission("actions", "Actions", "write", "dispatch the agent's workflow, see how it ends, cancel it"),
    Permission(
        "workflows",
        "Workflows",
        "write",
        "the onboarding pull request alone, which adds the agent's workflow; no token that commits what an "
        "agent made has it",
    ),
)
# Those that GitHub sends to every App (installation, installation_repositories …) are not asked for.
EVENTS = (
    "check_run",
    "issue_comment",
    "issues",
    "pull_request",
    "pull_request_review_comment",
    "workflow_run",
)
ALWAYS_SENT = ("installation", "installation_repositories", "ping")


def hook_url(public_url: str) -> str:
    """Where GitHub delivers to."""
    return f"{public_url}/webhooks/github"


def manifest(public_url: str, redirect_url: str, name: str = "") -> dict[str, Any]:
    """What GitHub is asked to register. `redirect_url`: where the person's browser comes back with a code."""
    return {
        "name": name or default_name(public_url),
        "url": public_url,
        "description": "Claude in your pull requests, under four hard ceilings.",
        "hook_attributes": {"url": hook_url(public_url), "active": True},
        "redirect_url": redirect_url,
        "callback_urls": [f"{public_url}/sign-in/callback"],
        "setup_url": f"{public_url}/setup",
        # Only its owner's account may install it: whoever may start runs here spends the service's money.
        "public": False,
        "default_permissions": {one.name: one.access for one in PERMISSIONS},
        "default_events": list(EVENTS),
    }


def default_name(public_url: str) -> str:
    """A name that is likely to be free: they are unique in all of GitHub. The person may change it there."""
    found = _URL.match(public_url)
    return f"Tollgate {found['host'] if found else ''}"[:LONGEST_NAME].rstrip(" .-")


def new_app_url(web_url: str, organization: str = "") -> str:
    """Where a manifest is posted to. Raises ValueError for what is no organization's name."""
    if not organization:
        return f"{web_url}/settings/apps/new"
    if not ORGANIZATION.fullmatch(organization):
        raise ValueError(f"{organization!r} is not the name of an organization")
    return f"{web_url}/organizations/{organization}/settings/apps/new"


def web_url(api_url: str) -> str:
    """The pages that belong to an API: of github.com, of GHE.com and of an Enterprise Server.

    Anything else is taken to serve both. Source: GitHub Docs, "REST API: getting started" for each of them.
    """
    found = _URL.match(api_url)
    host = found["host"] if found else ""
    if host == "api.github.com":
        return "https://github.com"
    if host.startswith("api.") and host.endswith(".ghe.com"):
        return f"https://{host.removeprefix('api.')}"
    return api_url.removesuffix("/api/v3")


def install_url(app_url: str) -> str:
    """Where a person installs the App, by the address of its own page."""
    return f"{app_url}/installations/new"


def differences(permissions: Mapping[str, str], events: Iterable[str]) -> list[str]:
    """How an App at GitHub differs from this manifest, one phrase each; none if it is the same."""
    found, heard = [], set(events)
    for one in PERMISSIONS:
        level = permissions.get(one.name, "")
        if _rank(level) < _rank(one.access):
            found.append(f"it lacks {one.title}: {one.access} ({one.why})")
        elif _rank(level) > _rank(one.access):
            found.append(f"it has {one.title}: {level}, where {one.access} is enough")
    wanted = {one.name for one in PERMISSIONS}
    found += [f"it has {name}: {level}, which is not needed" for name, level in sorted(permissions.items())
              if name not in wanted]  # fmt: skip
    found += [f"it does not hear of {name}" for name in EVENTS if name not in heard]
    found += [f"it hears of {name}, which is not needed" for name in sorted(heard - {*EVENTS, *ALWAYS_SENT})]
    return found


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)
