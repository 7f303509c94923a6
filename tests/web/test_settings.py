"""The settings page: what holds is what a launch gets, each value with the file that it is from."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.core.onboarding import POLICY
from bot.core.places import Repo
from bot.core.policy import Policy, tighten
from bot.core.roles import Role
from bot.stories import policy_file
from tests.browser import Browser
from tests.web.dashboard_world import World, dashboard_world

SERVICE = """
caps: {everyone: $100, people: {dana: $40, max: $60}, repositories: {acme/calendar: $5000}}
lines: {evals: {monthly: $500, members: [dana], api_key_env: ANTHROPIC_API_KEY_EVALS}}
max: {write: {cost: $12}}
viewers: {role: maintain, people: [ren], admins: [ada]}
"""
REPO = "classes:\n  bugfix: {cost: $4}\ncheck: pytest -q\n"
KEY = "sk-ant-of-the-evals-that-nobody-may-see"


class Office:
    def __init__(self, world: World) -> None:
        self.world = world
        self.browsers: dict[str, Browser] = {}

    def browser(self, login: str) -> Browser:
        if login not in self.browsers:
            self.browsers[login] = self.world.signed_in(login)[0]
        return self.browsers[login]

    def page(self, login: str, query: str = "") -> str:
        page = self.browser(login).open(f"{self.world.url}/settings{query}")
        assert page.status == 200, page.text
        return page.text

    def json(self, login: str, query: str = "") -> dict[str, Any]:
        page = self.browser(login).open(f"{self.world.url}/api/v1/settings{query}")
        assert page.status == 200, page.text
        found: dict[str, Any] = json.loads(page.text)
        return found

    def values(self, login: str) -> dict[str, tuple[str, str]]:
        return {one["key"]: (one["value"], one["source"]) for one in self.json(login)["settings"]}

    @property
    def repo(self) -> Repo:
        about = self.world.github.about
        return Repo(about["installation_id"], about["repository_id"], about["repository"])

    def commit(self, text: str | None) -> None:
        """The file on the default branch as it is from now on, and have it read as a command would."""
        self.world.github.commit("ada", "main", {POLICY: text}, "The policy")
        policy_file.read(self.world.services, self.repo, "main")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with dashboard_world(tmp_path, SERVICE, ANTHROPIC_API_KEY_EVALS=KEY) as world:
        yield Office(world)


def test_a_file_that_was_never_read_is_said_to_be_and_read_at_a_press(office: Office) -> None:
    office.world.github.commit("ada", "main", {POLICY: REPO}, "The policy")
    browser = office.browser("dana")
    page = browser.open(f"{office.world.url}/settings")
    assert "has not been read here yet" in page.text
    assert office.json("dana")["file"] is None
    assert office.values("dana")["classes.bugfix.cost"] == ("$5.00", "built in")
    number = next(at for at, form in enumerate(page.forms) if form.action == "/settings/read")
    shown = browser.send(page, number)
    assert shown.status == 200
    assert "has not been read here yet" not in shown.text
    assert office.values("dana")["classes.bugfix.cost"] == ("$4.00", "the repository's file")
    told = office.json("dana")["file"]
    assert (told["there"], told["branch"], told["error"]) == (True, "main", None)
    assert f"/blob/{told['sha']}/{POLICY}" in shown.text


def test_what_holds_is_what_a_launch_gets_by_role(office: Office) -> None:
    office.commit(REPO)
    both = tighten(office.world.services.policy, Policy.parse(REPO))
    for role in ("write", "maintain", "admin"):
        rows = {row["class"]: row for row in office.json("dana", f"?role={role}")["classes"]}
        for name, row in both.classes.items():
            cost, tokens, steps, _ = (one["value"] for one in rows[name]["ceilings"])
            most = both.most[Role.parse(role)]
            assert cost == str(min(row.usd, most.usd)), (role, name)
            assert tokens == f"{min(row.tokens, most.tokens):,}"
            assert steps == str(min(row.steps, most.steps))
    refactor = next(row for row in office.json("dana")["classes"] if row["class"] == "refactor")
    assert refactor["ceilings"][0] == {
        "key": "max.write.cost", "value": "$12.00", "source": "the service's file",
        "instead": "the class has $20.00",
    }  # fmt: skip
    assert office.json("ada")["role"] == "admin", "one's own role is the first that is shown"
    assert office.json("dana")["role"] == "write"


@pytest.mark.parametrize("query", ["?role=read", "?role=owner", "?role=%00"])
def test_what_is_no_role_is_refused(office: Office, query: str) -> None:
    assert office.browser("dana").open(f"{office.world.url}/settings{query}").status == 400


def test_a_wrong_file_is_shown_with_line_and_key_and_the_services_word(office: Office) -> None:
    office.commit("classes:\n  bugfix: {cost: 2.50}\n")
    page = office.page("dana")
    assert "nothing starts there" in page
    assert re.search(r"line 2: <code>classes\.bugfix\.cost</code>", page)
    assert "#L2" in page
    assert "classes.bugfix.cost" in office.json("dana")["file"]["error"]
    assert office.values("dana")["classes.bugfix.cost"] == ("$5.00", "built in")


def test_a_file_that_was_taken_away_is_said_to_be_none(office: Office) -> None:
    office.commit(REPO)
    office.commit(None)
    assert "has no <code>.github/agent.yml</code>" in office.page("dana")
    assert office.json("dana")["file"]["there"] is False


def test_no_key_is_shown_and_its_name_to_an_admin_alone(office: Office) -> None:
    for login in ("dana", "max", "ren", "ada"):
        text = office.page(login) + json.dumps(office.json(login))
        assert KEY not in text
        assert "sk-ant" not in text
        assert ("ANTHROPIC_API_KEY_EVALS" in text) is (login == "ada"), login


def test_what_others_may_spend_is_theirs_and_the_leads(office: Office) -> None:
    seen = {login: set(office.values(login)) for login in ("dana", "max", "ren", "ada", "tri")}
    people = {"caps.people.dana", "caps.people.max"}
    assert {login: keys & people for login, keys in seen.items()} == {
        "dana": {"caps.people.dana"}, "max": {"caps.people.max"}, "ren": people, "ada": people, "tri": set(),
    }  # fmt: skip
    assert {login for login, keys in seen.items() if "lines.evals.monthly" in keys} == {"dana", "ren", "ada"}
    assert {login for login, keys in seen.items() if "caps.repositories.acme/calendar" in keys} == {
        "ren", "ada",
    }  # fmt: skip
    assert all("viewers.people" in keys for keys in seen.values()), "who may see one's figures is no secret"


def test_a_repository_that_one_may_not_read_is_not_there(office: Office) -> None:
    office.world.repository("acme/vault", dana="none")
    browser = office.browser("dana")
    for name in ("acme/vault", "acme/nothing", "acme/calendar/x"):
        for path in ("/settings", "/api/v1/settings"):
            page = browser.open(f"{office.world.url}{path}?repository={name}")
            assert page.status == 404
    page = browser.open(f"{office.world.url}/settings")
    number = next(at for at, form in enumerate(page.forms) if form.action == "/settings/read")
    assert browser.send(page, number, repository="acme/vault").status == 404
    assert "acme/vault" not in page.text
    assert "acme/vault" in office.page("ada")


def test_the_switch_and_the_price_book_are_told(office: Office) -> None:
    services = office.world.services
    assert "Nothing is paused" in office.page("dana")
    services.switch.pause("acme/calendar", "ada", "a leak")
    assert office.json("dana")["paused"][0]["reason"] == "a leak"
    prices = office.json("dana")["prices"]
    assert prices["name"] == services.prices.version
    (opus,) = [one for one in prices["models"] if one["model"] == "claude-opus-4-7"]
    assert (opus["input"], opus["cache_read"], opus["output"], opus["source"]) == ("5", "0.5", "25", "list")


def test_a_price_file_is_said_to_rule(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    row = {
        "input": "15",
        "cache_write_5m": "18.75",
        "cache_write_1h": "30",
        "cache_read": "1.5",
        "output": "75",
    }
    file.write_text(json.dumps({"claude-opus-4-7": row}))
    with dashboard_world(tmp_path, SERVICE, PRICE_FILE=str(file)) as world:
        prices = Office(world).json("dana")["prices"]
        (opus,) = [one for one in prices["models"] if one["model"] == "claude-opus-4-7"]
        assert (opus["input"], opus["source"]) == ("15", "PRICE_FILE")
        assert "file" in prices["name"]


def test_every_table_is_there_as_csv(office: Office) -> None:
    office.commit(REPO)
    page = office.browser("dana").open(f"{office.world.url}/settings?csv=runs")
    head, *rows = csv.reader(io.StringIO(page.text))
    assert head == ["key", "value", "from", "beside"]
    assert ["check", "pytest -q", "the repository's file", ""] in rows
    page = office.browser("dana").open(f"{office.world.url}/settings?csv=classes")
    (bugfix,) = [row for row in csv.DictReader(io.StringIO(page.text)) if row["class"] == "bugfix"]
    assert (bugfix["cost"], bugfix["cost from"]) == ("$4.00", "the repository's file")
    assert bugfix["steps from"] == "built in"
    page = office.browser("dana").open(f"{office.world.url}/settings?csv=max")
    (write,) = [row for row in csv.DictReader(io.StringIO(page.text)) if row["role"] == "write"]
    assert (write["cost"], write["cost from"]) == ("$12.00", "the service's file")


def test_a_change_of_a_file_is_kept_for_the_audit(office: Office) -> None:
    for text in (REPO, REPO.replace("$4", "$3"), "classes: 1", None, None):
        office.commit(text)
    found = [one for one in office.world.services.switch.log() if one.action == "policy changed"]
    changes = [one.about["changes"] for one in reversed(found)]
    assert changes[0] == ["classes.bugfix.cost: $4.00 → $3.00"]
    assert changes[1][0].startswith("it is wrong now: line 1")
    assert changes[2] == ["it was wrong before, and can be read again"]
    assert len(changes) == 3, "what was read again and is the same is no change"
    assert {one.repository for one in found} == {office.repo.full_name}


def test_a_change_of_the_services_own_file_is_kept_when_a_worker_starts_with_it(tmp_path: Path) -> None:
    with dashboard_world(tmp_path, SERVICE) as world:
        policy_file.of_the_service(world.services)
        policy_file.of_the_service(world.services)
        assert world.services.switch.log() == ()
        (tmp_path / "service.yml").write_text(SERVICE.replace("dana: $40", "dana: $400"))
        policy_file.of_the_service(world.services)
        (entry,) = world.services.switch.log()
        assert (entry.action, entry.repository) == ("policy changed", "")
        assert entry.about["changes"] == ["caps.people.dana: $40.00 → $400.00"]
