"""What people write: comments, labels, task lists and both policy files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from bot.core import commands, labels, limits, policy, tasklist
from bot.core.commands import Malformed, Resume, Start, Sweep
from bot.core.explain import explain
from bot.core.labels import Applied
from bot.core.money import ZERO
from bot.core.policy import Policy, PolicyError
from bot.core.roles import Role
from tests.core.test_policy import WHOLE
from tests.fuzz.target import Target, pure
from tests.fuzz.values import characters, repeated, words

ROOT = Path(__file__).parents[2]
ROLES = ("none", "read", "triage", "write", "maintain", "admin", "bot", "app")
_BITS = (
    "/agent", "fix", "feature", "refactor", "run", "split", "sweep", "resume", "approve", "ack", "stop",
    "help",
    "cost=$5", "cost=", "cost =5", "--cost=$5", "Cost=5", "tokens=800k", "steps=50", "wall=20m", "parallel=5",
    "total=$100", "engine=aider", "line=evals", "--", "-", ">", "    ", "```", "~~~", "`", "<!--", "-->",
    "<pre>",
    "</pre>", "- [ ] ", "* [x] ", "1. [ ] ", "\t", "#", "|", "<details>", "</details>", "&nbsp;", "[a](b)",
    "$",
    "0123456789abcdef0123456789abcdef01234567", "\u00a0", "\u2028", "\u200b",
)  # fmt: skip
bits = st.one_of(st.sampled_from(_BITS), words)
lines = st.lists(bits, max_size=8).map(" ".join)
texts = st.one_of(
    st.lists(lines, max_size=12).map("\n".join),
    st.lists(lines, min_size=1, max_size=6).map(lambda some: "/agent " + "\r\n".join(some)),
    repeated(st.lists(bits, min_size=1, max_size=3).map(lambda some: " ".join(some) + "\n")),
    st.text(characters, max_size=200),
)


def a_comment(body: str) -> None:
    asked = commands.parse(body)
    match asked:
        case Malformed(why, example):
            assert why
            assert "\n" not in why
            assert not isinstance(commands.parse(example), Malformed | None), example
        case Start(_, _, options, _) | Resume(options, _) | Sweep(options, _):
            for amount in (options.cost, options.total):
                assert amount is None or ZERO < amount <= commands.MOST_DOLLARS
            assert options.steps is None or options.steps > 0
            assert options.tokens is None or options.tokens > 0
            assert options.wall is None or 0 < options.wall <= 7 * 86_400
            assert options.engine is None or options.engine in commands.ENGINES
        case _:
            pass
    quoted = "\n".join(f"> {line}" for line in re.split(r"\r\n|\r|\n", body))
    assert commands.parse(quoted) is None, "a quote starts nothing"


_AMOUNTS = st.sampled_from(["$10", "0.5", "800k", "50", "20m", "2h", "bugfix", "split", "aider", "evals", ""])
label_names = st.one_of(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["agent:", "Agent:", "AGENT: ", "agent", "agent::", ""]),
        st.one_of(st.sampled_from([*labels.KINDS, "Cost", "budget"]), words),
        st.sampled_from(["=", " = ", ":", "", "=="]),
        st.one_of(_AMOUNTS, words),
    ),
    words,
)
applied = st.builds(
    Applied,
    label_names,
    words,
    st.sampled_from(list(Role)),
    st.booleans(),
    st.sampled_from(["", "then", "now"]),
)


def labelled(given: tuple[list[Applied], str, str]) -> None:
    """Whatever stands there, nobody gets more than the greatest of the roles that had a say."""
    put, task_class, role = given
    asked, read = Role.parse(role), labels.read(put)
    for note in read.notes:
        assert "\n" not in note
        assert "<!--" not in note
    resolved = limits.resolve(task_class, commands.Options(), read, asked)
    say = [asked, Role.WRITE, *(one.role for one in put if labels.ours(one.name) and one.raises)]
    most = limits.MOST[max(say)]
    for name, _ in limits.KINDS:
        assert getattr(resolved.ceilings, name) <= getattr(most, name)
    assert resolved.engine in commands.ENGINES


def explained(given: tuple[str, str, str, str | None]) -> None:
    put, comment, role, rules = given
    told = explain(put, comment, role, rules)
    assert set(told) == {"command", "error", "ceilings", "sources", "clamps"}
    json.dumps(told)
    if told["ceilings"]:
        assert told["error"] is None
        assert min(told["ceilings"][name] for name in ("tokens", "steps", "seconds")) > 0
        assert set(told["sources"]) == set(told["ceilings"])


def a_task_list(body: str) -> None:
    """A tick changes the line of the item and no other, and the item is then done."""
    found = tasklist.items(body)
    for item in found[:3]:
        ticked = tasklist.tick(body, item.text, 7, "https://github.example/acme/calendar/pull/7")
        assert ticked is not None
        before, after = (re.split(r"\r\n|\n|\r", text) for text in (body, ticked))
        assert len(before) == len(after)
        assert sum(one != other for one, other in zip(before, after, strict=True)) <= 1
        assert len(tasklist.items(ticked)) < len(found) or ticked == body


_SERVICE = """\
caps: {everyone: $100, people: {dana: $40}, repositories: {acme/calendar: $5000}}
lines: {evals: {monthly: $500, members: [dana], key: ANTHROPIC_API_KEY_EVALS}}
viewers: {role: maintain, people: [ren], admins: [ada, dana]}
approvers: [ada]
concurrency: {person: 3, repository: 10}
drift: $1
"""
_REPOSITORY = WHOLE + "allow: {claude-code: {models: [claude-opus-4-7], web_searches: 2}}\n"
_YAML = st.one_of(
    st.sampled_from(
        ["&a ", "*a", "!!python/object:os.system x", "<<: ", "- ", "? ", "|", ">", "{", "}", "[", "]",
        ": ", "#",
         "---\n", "...\n", "%YAML 1.1\n", "\t", '"', "'", "0o7", "1e3", ".inf", "20:00", "on", "~",
         "2024-01-01"]
    ),
    words,
)  # fmt: skip


@st.composite
def policies(draw: st.DrawFn) -> str:
    """Both files, one after the other or alone, with lines gone, moved, repeated and spoiled."""
    rows = draw(st.sampled_from([_REPOSITORY, _SERVICE, _REPOSITORY + _SERVICE])).splitlines()
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(rows) - 1))
        match draw(st.sampled_from(["gone", "twice", "moved", "put in", "put in", "word", "word"])):
            case "gone" if len(rows) > 1:
                del rows[at]
            case "twice":
                rows.insert(at, (rows[at] * draw(st.sampled_from([1, 1, 2_000])))[:100_000])
            case "moved":
                rows.append(rows.pop(at))
            case "put in":
                column = draw(st.integers(0, len(rows[at])))
                rows[at] = rows[at][:column] + draw(_YAML) + rows[at][column:]
            case _:
                said = re.findall(r"[\w$./*-]+", rows[at])
                if said:
                    rows[at] = rows[at].replace(draw(st.sampled_from(said)), draw(_YAML), 1)
    return "\n".join(rows)


def a_policy(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    for service in (False, True):
        try:
            read = policy.parse(raw, service=service)
        except PolicyError as error:
            named(error, text)
            continue
        assert set(policy.FORBIDDEN) <= set(read.forbidden)
        if not service:
            both = policy.tighten(Policy.default(), read)
            for role, row in both.most.items():
                for name, _ in limits.KINDS:
                    assert getattr(row, name) <= getattr(limits.MOST[role], name)


def named(error: PolicyError, text: str) -> None:
    """Where it is, in words that stand in a comment; the key in a code span."""
    assert 1 <= error.line <= len(re.split(r"\r\n|\r|\n|\x85|\u2028|\u2029", text)) + 1
    assert error.why.isprintable()
    assert error.key.isprintable()
    assert "`" not in error.key


def _roles(allowed: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.sampled_from(allowed)


_LABELS = st.lists(st.builds("{}@{}".format, label_names, st.one_of(_roles(ROLES), words)), max_size=3).map(
    ",".join
)
_CLASSES: Any = st.sampled_from(
    ["bugfix", "feature", "refactor", "default", "sweep", "split", "no such class"]
)

TARGETS = (
    Target(
        "comments",
        "a comment is a command, a sentence with a right form, or nothing",
        texts,
        pure(a_comment),
        150,
    ),
    Target(
        "labels",
        "labels never give more than the greatest role that had a say may",
        st.tuples(st.lists(applied, max_size=6), _CLASSES, _roles(ROLES[:6])),
        pure(labelled),
        150,
    ),
    Target(
        "explain",
        "what a comment would start is told as JSON, or why nothing would start",
        st.tuples(_LABELS, texts, st.one_of(_roles(ROLES), words), st.one_of(st.none(), policies())),
        pure(explained),
        100,
    ),
    Target("task lists", "a tick changes one line, and its item is done", texts, pure(a_task_list), 150),
    Target(
        "policies",
        "a policy is read, or its line is named; a repository's only tightens",
        policies(),
        pure(a_policy),
        150,
    ),
)
