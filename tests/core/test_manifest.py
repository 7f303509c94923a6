"""The App's manifest: every permission is used and none is missing, everywhere the same list."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.clients.github import scopes
from bot.core import manifest
from bot.stories.receive import ROUTES
from sandbox.github import founding

ROOT = Path(__file__).resolve().parents[2]
LEVELS = ("read", "write", "admin")
SCOPES = {name: scope for name, scope in vars(scopes).items() if isinstance(scope, dict) and name.isupper()}


def held() -> dict[str, str]:
    return {one.name: one.access for one in manifest.PERMISSIONS}


@pytest.mark.parametrize("name", SCOPES)
def test_no_token_asks_for_more_than_the_manifest(name: str) -> None:
    for permission, level in SCOPES[name].items():
        assert LEVELS.index(level) <= LEVELS.index(held()[permission]), permission


def test_none_of_the_permissions_is_unused() -> None:
    used: dict[str, str] = {}
    for scope in SCOPES.values():
        for name, level in scope.items():
            used[name] = max(used.get(name, "read"), level, key=LEVELS.index)
    assert used == held()


def test_the_app_hears_of_what_starts_a_story_and_of_nothing_else() -> None:
    assert {event for event, _ in ROUTES} - set(manifest.ALWAYS_SENT) == set(manifest.EVENTS)


def test_the_docs_have_the_same_table_and_events() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    rows = [f"| {one.title} | {one.access} | {one.why} |" for one in manifest.PERMISSIONS]
    there = [line.strip() for line in text.splitlines() if line.strip() in rows]
    assert there == rows
    assert ", ".join(f"`{event}`" for event in manifest.EVENTS) in " ".join(text.split())


def test_the_sandboxs_app_may_do_what_the_manifest_asks_for() -> None:
    assert held() == founding.PERMISSIONS
    assert set(founding.EVENTS) >= set(manifest.EVENTS)


def test_every_address_comes_from_the_services_own() -> None:
    made = manifest.manifest("https://t.example", "http://127.0.0.1:5/setup/registered")
    assert made["hook_attributes"] == {"url": "https://t.example/webhooks/github", "active": True}
    assert made["setup_url"] == "https://t.example/setup"
    assert made["callback_urls"] == ["https://t.example/sign-in/callback"]
    assert made["redirect_url"] == "http://127.0.0.1:5/setup/registered"
    assert made["public"] is False


@pytest.mark.parametrize(
    ("api", "web"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://ghe.example/api/v3", "https://ghe.example"),
        ("https://api.octo.ghe.com", "https://octo.ghe.com"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_the_pages_of_an_api(api: str, web: str) -> None:
    assert manifest.web_url(api) == web


def test_an_app_is_registered_for_a_person_or_an_organization() -> None:
    assert manifest.new_app_url("https://github.com") == "https://github.com/settings/apps/new"
    to = manifest.new_app_url("https://github.com", "acme")
    assert to == "https://github.com/organizations/acme/settings/apps/new"


@pytest.mark.parametrize("name", ["a/b", "..", "acme?x=1", "acme#", "é", "a" * 40, "-a", " "])
def test_what_is_no_organizations_name_leads_nowhere(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of an organization"):
        manifest.new_app_url("https://github.com", name)


def test_a_name_fits_whatever_the_host() -> None:
    for host in ("t.example", "x" * 60 + ".example", "a.very-long-subdomain.of.some-company.example"):
        name = manifest.default_name(f"https://{host}:8443/below")
        assert 0 < len(name) <= manifest.LONGEST_NAME
        assert name == name.strip(" .-")


def test_how_an_app_differs_is_said_one_by_one() -> None:
    assert manifest.differences(held(), manifest.EVENTS) == []
    assert manifest.differences(held(), [*manifest.EVENTS, "installation"]) == []
    changed = {**held(), "issues": "read", "members": "read", "checks": "admin"}
    del changed["actions"]
    events = [*manifest.EVENTS[1:], "push"]
    said = "; ".join(manifest.differences(changed, events))
    for phrase in (
        "lacks Issues: write",
        "lacks Actions: write",
        "has members: read, which is not needed",
        "has Checks: admin, where write is enough",
        f"does not hear of {manifest.EVENTS[0]}",
        "hears of push, which is not needed",
    ):
        assert phrase in said
