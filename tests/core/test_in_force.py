"""Each setting as it holds is the launch's own, and is said to come from the file that it comes from."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bot.core import limits
from bot.core.ceilings import CLASSES
from bot.core.commands import Options
from bot.core.in_force import Source, changes, common, for_role, in_force, own, visible
from bot.core.labels import Labelled
from bot.core.policy import Policy, PolicyError, parse, tighten
from bot.core.policy_keys import SERVICE_KEYS
from bot.core.policy_values import Table
from bot.core.roles import Role
from bot.core.visibility import Sight
from tests.core.test_policy import ceilings as documents

SERVICE = parse(
    """
classes: {bugfix: {cost: 6}, feature: {cost: 12, steps: 40}}
max: {write: {cost: 50}, admin: {wall: 2h}}
publish: pull_request
admission: expected
paths: {forbidden: [infra/**]}
engines: [opus, aider]
retention: 20d
caps: {tiers: {usual: $200}, everyone: usual, people: {dana: $40}, repositories: {acme/vault: $9},
  installation: $90}
lines: {evals: {monthly: $500, members: [dana], api_key_env: ANTHROPIC_API_KEY_EVALS}}
teams: {search: {members: [eve], api_key_env: ANTHROPIC_API_KEY_SEARCH}}
approvers: [ada]
viewers: {role: maintain, people: [ren], admins: [ada]}
drift: $5
cursor: {people: {eve@example.org: eve}}
""",
    service=True,
)
REPO = parse(
    """
classes: {bugfix: {cost: 4}, feature: {cost: 20}, refactor: {cost: 30}}
max: {admin: {cost: 60}}
admission: counted
paths: {forbidden: [migrations/**]}
engines: [aider, claude-code]
retention: 90d
"""
)


@pytest.mark.parametrize(
    ("key", "value", "source", "instead"),
    [
        ("classes.bugfix.cost", "$4.00", Source.REPOSITORY, ""),
        ("classes.bugfix.steps", "20", Source.BUILT_IN, ""),
        ("classes.feature.cost", "$12.00", Source.SERVICE, "the repository's file says $20.00"),
        ("classes.feature.steps", "40", Source.SERVICE, ""),
        ("classes.refactor.cost", "$30.00", Source.REPOSITORY, ""),
        ("max.write.cost", "$50.00", Source.SERVICE, ""),
        ("max.maintain.cost", "$50.00", Source.SERVICE, ""),
        ("max.admin.cost", "$60.00", Source.REPOSITORY, ""),
        ("max.admin.wall", "2h", Source.SERVICE, ""),
        ("max.write.steps", "80", Source.BUILT_IN, ""),
        ("publish", "pull_request", Source.SERVICE, ""),
        ("admission", "strict", Source.BOTH, "the repository's file says counted"),
        ("engines", "aider", Source.BOTH, "the repository's file says aider, claude-code"),
        ("retention", "20d", Source.SERVICE, "the repository's file says 90d"),
        ("model", "claude-opus-4-7", Source.BUILT_IN, ""),
        ("caps.people.dana", "$40.00", Source.SERVICE, ""),
        ("caps.time_zone", "UTC", Source.BUILT_IN, ""),
        ("lines.evals.api_key_env", "ANTHROPIC_API_KEY_EVALS", Source.SERVICE, ""),
    ],
)
def test_each_key_holds_from_where_it_is_said_to(key: str, value: str, source: Source, instead: str) -> None:
    (held,) = [one for one in in_force(SERVICE, REPO) if one.key == key]
    assert (held.value, held.source, held.instead) == (value, source, instead)


def test_every_key_of_a_policy_file_is_there() -> None:
    def names(table: Table, above: str = "") -> set[str]:
        found: set[str] = set()
        for name, key in table.keys.items():
            found |= names(key.kind, f"{above}{name}.") if isinstance(key.kind, Table) else {above + name}
        return found

    listed = {one.key for one in in_force(SERVICE, REPO)}
    for key in names(SERVICE_KEYS):
        if not key.startswith("allow."):  # of those only what is allowed
            assert any(one == key or one.startswith(f"{key}.") for one in listed), key
    allowed = parse("allow: {web_search: {uses: 5, tokens: 20k}}", service=True)
    assert ("allow.web_search.uses", "5") in dict(common(allowed)).items()


@given(documents, documents, st.sampled_from([Role.WRITE, Role.MAINTAIN, Role.ADMIN]))
def test_what_a_class_has_is_what_a_launch_by_that_role_gets(
    above: dict[str, object], below: dict[str, object], role: Role
) -> None:
    service, repo = read(above), read(below)
    if service is None or repo is None:
        return
    both = tighten(service, repo)
    for row in for_role(service, repo, role):
        found = limits.resolve(
            row.name, Options(), Labelled({}, ()), role, classes=both.classes, most=both.most
        ).ceilings
        for (column, kind), held in zip(limits.KINDS, row.ceilings, strict=True):
            assert held.value == limits.show(kind, getattr(found, column))
    for held in in_force(service, repo):
        if held.source is Source.BUILT_IN:
            assert held.value == dict(common(Policy())).get(held.key, dict(own(Policy())).get(held.key))
        if held.source is Source.REPOSITORY and held.key in repo.given:
            assert held.value == dict(common(repo))[held.key]
        if held.source is Source.SERVICE:
            assert held.value == dict(common(service))[held.key]


def read(document: dict[str, object]) -> Policy | None:
    try:
        return parse(yaml.safe_dump(document))
    except PolicyError:
        return None


def test_a_class_above_what_the_role_may_have_says_so() -> None:
    write, admin = (
        {row.name: row.ceilings[0] for row in for_role(SERVICE, REPO, role)}
        for role in (Role.WRITE, Role.ADMIN)
    )
    tight = parse("max: {write: {cost: 3}}")
    (bugfix,) = [row.ceilings[0] for row in for_role(SERVICE, tight, Role.WRITE) if row.name == "bugfix"]
    assert (bugfix.key, bugfix.value, bugfix.source, bugfix.instead) == (
        "max.write.cost", "$3.00", Source.REPOSITORY, "the class has $6.00",
    )  # fmt: skip
    assert (write["refactor"].value, admin["refactor"].value) == ("$30.00", "$30.00")
    assert {row.name for row in for_role(SERVICE, REPO, Role.WRITE)} == set(CLASSES)


ME = 1
SECRETS = {
    "caps.people.dana", "caps.repositories.acme/vault", "caps.installation", "lines.evals.monthly",
    "lines.evals.members", "lines.evals.api_key_env", "lines.evals.concurrency", "teams.search.members",
    "teams.search.api_key_env", "drift", "cursor.people.eve@example.org",
}  # fmt: skip
KEYS = {"lines.evals.api_key_env", "teams.search.api_key_env"}
LINE = {"lines.evals.monthly", "lines.evals.members", "lines.evals.concurrency"}
VAULT = {"caps.repositories.acme/vault"}


@pytest.mark.parametrize(
    ("login", "sight", "reads", "seen"),
    [
        pytest.param("tri", Sight(ME), False, set(), id="a member"),
        pytest.param("Dana", Sight(ME), True, {"caps.people.dana"} | LINE, id="a member of the line"),
        pytest.param("max", Sight(ME, people_in=frozenset({3})), True, set(), id="sees people in one"),
        pytest.param("ren", Sight(ME, everyone=True), False, SECRETS - KEYS - VAULT, id="sees everybody"),
        pytest.param("ren", Sight(ME, everyone=True), True, SECRETS - KEYS, id="and reads the repository"),
        pytest.param("ada", Sight(ME, admin=True), True, SECRETS, id="an admin of the service"),
        pytest.param("ada", Sight(ME, admin=True), False, SECRETS - VAULT, id="who does not read it"),
    ],
)
def test_who_sees_which_keys_of_the_services_file(
    login: str, sight: Sight, reads: bool, seen: set[str]
) -> None:
    every = in_force(SERVICE, REPO)
    shown = {one.key for one in visible(every, SERVICE, sight, login, lambda name: reads)}
    assert {one.key for one in every} - shown == SECRETS - seen
    assert {"viewers.people", "viewers.admins", "approvers", "caps.everyone"} <= shown, "whom it concerns"


def test_what_changed_is_named_key_by_key() -> None:
    assert changes(Policy(), parse("classes: {bugfix: {cost: 4}}\nretention: 10d")) == (
        "classes.bugfix.cost: $5.00 → $4.00",
        "retention: 30d → 10d",
    )
    assert changes(SERVICE, SERVICE) == ()
    gone = changes(SERVICE, Policy())
    assert "caps.people.dana: $40.00 → none" in gone
    many = parse("caps: {people: {" + ", ".join(f"p{n}: $5" for n in range(60)) + "}}", service=True)
    assert len(changes(Policy(), many)) == 51
    assert changes(Policy(), many)[-1] == "and 10 more"
