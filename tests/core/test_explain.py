"""`explain` says what would hold, and never fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.commands import HELP
from bot.core.explain import explain

KEYS = ["command", "error", "ceilings", "sources", "clamps"]


def test_one_object_with_every_source() -> None:
    told = explain("agent:cost=$9@admin,bug", "/agent fix steps=5", "write", None)
    assert list(told) == KEYS
    assert told["error"] is None
    assert told["ceilings"] == {"usd": "9", "tokens": 500_000, "steps": 5, "seconds": 600}
    assert told["sources"] == {
        "usd": "label (admin)",
        "tokens": "class bugfix",
        "steps": "comment",
        "seconds": "class bugfix",
    }


@pytest.mark.parametrize(
    ("labels", "comment", "role", "says"),
    [
        pytest.param("", "thanks!", "write", "no command", id="prose"),
        pytest.param("", "/agent fix cost=lots", "write", "not an amount", id="a wrong option"),
        pytest.param("", "/agent fix", "read", "write permission", id="who may not"),
        pytest.param("", "/agent fix", "emperor", "not a role", id="an unknown role"),
        pytest.param("agent:cost=$9@emperor", "/agent fix", "write", "not a role", id="an unknown labeler"),
    ],
)
def test_what_starts_nothing_says_why(labels: str, comment: str, role: str, says: str) -> None:
    told = explain(labels, comment, role, None)
    assert says in told["error"]
    assert told["ceilings"] is None


def test_a_bots_label_only_lowers() -> None:
    assert explain("agent:cost=$9@bot", "/agent fix", "write", None)["ceilings"]["usd"] == "5"
    assert explain("agent:cost=$1@bot", "/agent fix", "write", None)["ceilings"]["usd"] == "1"


def test_an_engine_that_the_policy_does_not_allow_starts_nothing() -> None:
    policy = "engines: [opus]"
    told = explain("", "/agent fix engine=aider", "write", policy)
    assert "allows the engines opus, not aider" in told["error"]
    assert told["ceilings"] is None
    assert explain("", "/agent fix", "write", policy)["error"] is None


def test_a_wrong_policy_is_named_and_nothing_falls_back() -> None:
    told = explain("", "/agent fix", "write", "classes:\n  bugfix:\n    cots: $5\n")
    assert "cots" in told["error"]
    assert told["ceilings"] is None


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=9), st.none() | st.text(max_size=60))
def test_nothing_that_is_typed_makes_it_fail(labels: str, comment: str, role: str, policy: Any) -> None:
    assert list(explain(labels, f"/agent fix {comment}", role, policy)) == KEYS


def test_the_readmes_table_of_commands_is_the_help() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for usage, does in HELP:
        shown = usage.replace(" · ", "` · `").replace("|", "\\|")
        assert f"| `{shown}` | {does} |" in readme
