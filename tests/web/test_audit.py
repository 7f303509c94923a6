"""Who looked at whose figures is kept, and with who changed what shown to the service's admins alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bot.core.places import Repo
from bot.stores.switch import record
from tests.browser import Browser
from tests.web.dashboard_world import World, dashboard_world


def told(world: World, browser: Browser, query: str = "") -> dict[str, Any]:
    page = browser.open(f"{world.url}/api/v1/audit{query}")
    assert page.status == 200, page.text
    found: dict[str, Any] = json.loads(page.text)
    return found


def test_only_who_is_named_and_administers_a_repository_sees_it(tmp_path: Path) -> None:
    """`ada` is both; `dana` is named and writes, `max` maintains, `ren` sees everybody's figures."""
    with dashboard_world(tmp_path) as world:
        for login in ("dana", "max", "ren"):
            browser, _ = world.signed_in(login)
            for path in ("/audit", "/audit?csv=views", "/api/v1/audit"):
                page = browser.open(world.url + path)
                assert page.status == 403, (login, path)
                assert "viewers.admins" in page.text
            assert "/audit" not in browser.open(f"{world.url}/me").links
        browser, _ = world.signed_in("ada")
        assert browser.open(f"{world.url}/audit").status == 200
        assert "/audit" in browser.open(f"{world.url}/me").links
        world.github.user("ada", "maintain")
        world.forward(301)
        assert browser.open(f"{world.url}/audit").status == 403, "their role was taken away"


def test_who_has_other_peoples_figures_before_them_is_kept_and_nobody_else(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        world.run("dana", "2")
        lead, _ = world.signed_in("ren", next="/people")
        for path in ("/people/dana", "/people?csv=people", "/api/v1/people/dana", "/people/ren", "/me"):
            assert lead.open(world.url + path).status == 200, path
        assert lead.open(f"{world.url}/people/nobody").status == 404
        developer, _ = world.signed_in("dana")
        for path in ("/people", "/me", "/people/dana", "/people/ren"):
            developer.open(world.url + path)
        admin, _ = world.signed_in("ada", next="/audit")
        found = {(one["login"], one["what"]) for one in told(world, admin)["views"]}
        assert found == {
            ("ren", "/sign-in"), ("ren", "/people"), ("ren", "/people/dana"), ("ren", "/people?csv=people"),
            ("ren", "/api/v1/people/dana"), ("dana", "/sign-in"), ("ada", "/sign-in"), ("ada", "/audit"),
        }  # fmt: skip
        mine = told(world, admin, "?by=DANA")
        assert [one["what"] for one in mine["views"]] == ["/sign-in"]
        assert "is recorded" in lead.open(f"{world.url}/people").text
        assert "is recorded" not in developer.open(f"{world.url}/me").text
        assert {one["login"] for one in mine["signed_in"]} == {"ren", "dana", "ada"}


def test_who_changed_what_is_told_in_words_and_in_pages(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        services = world.services
        services.switch.pause("", "ada", "an outage")
        services.switch.unpause("", "max")
        world.laptop("dana")
        home = Repo(1, world.github.about["repository_id"], world.github.about["repository"])
        for state in ("proposed", "proposed", "ready"):
            services.onboardings.record(home, state, "why")
        browser, _ = world.signed_in("ada")
        found = [(one["by"], one["action"], one["what"]) for one in told(world, browser)["changes"]]
        assert [one[1] for one in found] == ["onboarded", "onboarded", "logged in", "unpaused", "paused"]
        assert found[0][2] == "ready: why"
        assert found[2][0] == "dana"
        assert found[4] == ("ada", "paused", "an outage")
        first = told(world, browser)["changes"][-1]["id"]
        assert told(world, browser, f"?before={first}")["changes"] == []
        assert len(told(world, browser, f"?before={first + 1}&by=ada")["changes"]) == 1
        assert browser.open(f"{world.url}/audit?before=x").status == 400
        page = browser.open(f"{world.url}/audit").text
        assert "an outage" in page


def test_a_repository_that_the_admin_may_not_read_is_not_named_to_them(tmp_path: Path) -> None:
    with dashboard_world(tmp_path) as world:
        secret = "other/cellar"
        world.repository(secret, ada="none")
        services = world.services
        services.switch.pause(secret, "max", f"the {secret} leaks")
        services.views.record(7, "max", f"/pulls/{secret}/3")
        services.views.record(7, "max", f"/api/v1/pulls/{secret}/3")
        about = {"scope": "repository", "cap": secret, "month": "2026-11", "reason": ""}
        changes = {"changes": [f"caps.repositories.{secret}: none → $5.00", "caps.everyone: $1.00 → $2.00"]}
        with services.database.begin() as tx:
            record(tx, services.database, "max", "acknowledged", "", about)
            there = about | {"reason": "whoever digs in the cellar needs it"}
            record(tx, services.database, "max", "acknowledged", secret, there)
            record(tx, services.database, "", "policy changed", "", changes)
        browser, _ = world.signed_in("ada")
        for path in ("/api/v1/audit", "/audit", "/audit?csv=changes", "/audit?csv=views"):
            page = browser.open(world.url + path)
            assert page.status == 200
            assert "cellar" not in page.text, path
        assert "caps.everyone: $1.00" in browser.open(f"{world.url}/audit").text
