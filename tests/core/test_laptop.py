"""What a laptop asks is read strictly, and a checkout's origin for what it is."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.laptop import engine_name, read, remote
from bot.core.money import Usd
from bot.core.steps import Unclear

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
FIELDS = (
    "number", "native", "engine", "model", "task", "class", "cost", "tokens", "steps", "wall", "budgets",
    "check", "host", "repository", "branch", "sha", "run", "line",
)  # fmt: skip


@pytest.mark.parametrize(
    ("url", "host", "name"),
    [
        pytest.param("https://github.com/acme/calendar.git", "github.com", "acme/calendar", id="https"),
        pytest.param("https://github.com/acme/calendar", "github.com", "acme/calendar", id="without .git"),
        pytest.param("https://x:secret@github.com/acme/c.git", "github.com", "acme/c", id="a token in it"),
        pytest.param("http://127.0.0.1:8080/acme/c.git", "127.0.0.1", "acme/c", id="a port"),
        pytest.param("git@github.com:acme/calendar.git", "github.com", "acme/calendar", id="scp's form"),
        pytest.param("ssh://git@GitHub.com:22/acme/c.git/", "github.com", "acme/c", id="ssh"),
    ],
)
def test_an_origin_says_host_and_repository_and_nothing_of_who_may_read_it(
    url: str, host: str, name: str
) -> None:
    assert remote(url) == (host, name)


@pytest.mark.parametrize(
    "url",
    ["", "/srv/git/calendar.git", "../calendar", "file:///srv/acme/calendar", "https://github.com/acme",
     "https://gitlab.com/a/b/c.git", "https://github.com/acme/cal endar",
     "https://github.com/../orgs", "C:\\work\\calendar"],
)  # fmt: skip
def test_what_is_no_repository_of_a_github_is_none(url: str) -> None:
    assert remote(url) is None


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)))
def test_anything_is_read_or_unclear(raw: dict[str, Any]) -> None:
    with suppress(Unclear):
        asked = read(raw)
        assert asked.number > 0
        assert 0 < len(asked.engine) <= 32


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param({"number": None}, "number is missing", id="no number"),
        pytest.param({"class": "split"}, "class must be one of", id="a class for threads"),
        pytest.param({"run": "../../etc"}, "run must be the id", id="no id of a run"),
        pytest.param({"repository": "acme"}, "OWNER/NAME", id="half a repository"),
        pytest.param({"repository": "a/b/../../c"}, "OWNER/NAME", id="a path for a repository"),
        pytest.param({"repository": "../orgs"}, "OWNER/NAME", id="a step up for an owner"),
        pytest.param({"repository": "acme/.."}, "OWNER/NAME", id="a step up for a name"),
        pytest.param({"sha": "main"}, "whole name of a commit", id="no commit"),
        pytest.param({"cost": "-1"}, "cost", id="less than nothing"),
        pytest.param({"budgets": ["steps"]}, "budgets must be", id="a budget that is none"),
    ],
)
def test_what_cannot_be_meant_is_said(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(Unclear, match=says):
        read({"number": 7} | raw)


def test_what_is_asked_is_kept() -> None:
    asked = read({"number": 7, "cost": "2.50", "line": "evals", "engine": "/usr/bin/claude", "native": False})
    assert (asked.options.cost, asked.options.line, asked.engine) == (Usd.parse("2.50"), "evals", "claude")
    assert read({"number": 7, "native": True, "engine": "claude"}).engine == "opus"
    assert not read({"number": 7, "engine": "opus"}).native, "a command of that name is no agent of ours"


def test_a_command_is_called_by_its_file_whatever_a_terminal_would_make_of_it() -> None:
    assert engine_name("C:\\bin\\aider") == "aider"
    assert engine_name("/bin/\x1b[31mred" + "x" * 99) == ("[31mred" + "x" * 99)[:32]
    assert engine_name("/") == "?"
