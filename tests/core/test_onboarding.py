"""What a repository gets: a policy file that cannot rot, labels that mean something, a body that tells."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from bot.core import labels, onboarding
from bot.core.ceilings import CLASSES
from bot.core.labels import Applied
from bot.core.onboarding import LABELS, SCHEMA, policy_file
from bot.core.policy import Policy
from bot.core.policy_keys import KEYS
from bot.core.roles import Role

ROOT = Path(__file__).resolve().parents[2]
UNCOMMENTED = re.sub(r"^#(?! \S)", "", policy_file(), flags=re.MULTILINE)


def test_the_file_as_it_comes_changes_nothing() -> None:
    assert Policy.parse(policy_file()) == Policy.default()


def test_every_key_stands_in_it_at_its_default() -> None:
    assert replace(Policy.parse(UNCOMMENTED), given=frozenset()) == Policy.default()
    for name in KEYS.keys:
        assert re.search(rf"^#{name}:|^# Not set.*Such as {name}: ", policy_file(), re.MULTILINE), name


def test_the_schema_takes_it_too() -> None:
    schema = json.loads((ROOT / "docs" / "policy.schema.json").read_text(encoding="utf-8"))
    jsonschema_rs.validator_for(schema).validate(yaml.safe_load(UNCOMMENTED))


def test_its_first_line_tells_editors_where_the_schema_is() -> None:
    first = policy_file().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA}"
    assert first in (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")


def test_no_line_is_longer_than_people_like() -> None:
    assert max(map(len, policy_file().splitlines()[1:])) <= 120


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label.name)
def test_each_label_means_something_here_and_is_one_that_github_takes(label: onboarding.Label) -> None:
    read = labels.read([Applied(label.name, "ada", Role.ADMIN)])
    assert len(read.settings) == 1
    assert read.notes == ()
    assert len(label.name) <= 50
    assert 0 < len(label.description) <= 100
    assert re.fullmatch("[0-9a-f]{6}", label.color)


def test_the_body_tells_what_it_costs_how_to_try_and_how_to_say_no() -> None:
    policy = Policy.parse("classes: {bugfix: {cost: $3}}\nmax: {write: {cost: $7}}")
    body = onboarding.body(policy, "https://t")
    for phrase in (
        "| bugfix | $3.00 |",
        "at most $7.00",
        "/agent help",
        "Close this pull request",
        "on merge",
    ):
        assert phrase in body
    for label in LABELS:
        assert label.name in body


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "at most 50 items, on a budget line"),
        ("sweep: {items: 8, total: $90}", "at most 8 items, $90.00 together, on a budget line"),
    ],
)
def test_the_body_tells_what_a_sweep_can_cost(text: str, says: str) -> None:
    body = onboarding.body(Policy.parse(text), "https://t")
    assert all(f"| {name} | " in body for name in CLASSES)
    assert says in body
