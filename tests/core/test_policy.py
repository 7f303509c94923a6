"""A policy file is read strictly, names line and key of what is wrong, and can only tighten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bot.core import policy_keys, policy_values
from bot.core.ceilings import CLASSES
from bot.core.limits import MOST
from bot.core.money import Usd
from bot.core.policy import FORBIDDEN, Policy, PolicyError, Sweeping, forbidden, parse, tighten
from bot.core.roles import Role
from tests.core import schemas

ROOT = Path(__file__).parents[2]
COLUMNS = {"cost": "usd", "tokens": "tokens", "steps": "steps", "wall": "seconds"}
SCHEMA = jsonschema.Draft202012Validator(policy_keys.schema())

WHOLE = """\
# yaml-language-server: $schema=policy.schema.json
classes:
  bugfix: {cost: $4, tokens: 400k, steps: 15, wall: 8m, cached_tokens: 5M}
max:
  write: {cost: 12}
  admin: {wall: 1h}
engines: [aider, opus]
model: claude-opus-4-7
effort: medium
admission: expected
check: python -m pytest -q
sweep: {parallel: 2, items: 10, total: $90, line: refresh}
paths:
  forbidden: [migrations/**, "*.lock"]
publish: pull_request
stuck: {repeats: 3}
retention: 14d
"""


def test_every_key_reaches_the_policy() -> None:
    policy = parse(WHOLE)
    bugfix = policy.classes["bugfix"]
    assert (bugfix.usd, bugfix.tokens, bugfix.steps, bugfix.seconds, bugfix.cached_tokens) == (
        Usd.parse("4"), 400_000, 15, 480, 5_000_000,
    )  # fmt: skip
    assert policy.classes["feature"] == CLASSES["feature"]
    assert policy.most[Role.WRITE].usd == Usd.parse("12")
    assert policy.most[Role.ADMIN].seconds == 3600
    assert policy.engines == ("aider", "opus")
    assert (policy.effort, policy.admission, policy.publish) == ("medium", "expected", "pull_request")
    assert policy.check == "python -m pytest -q"
    assert (policy.stuck.repeats, policy.retention) == (3, 14)
    assert policy.sweep == Sweeping(2, 10, Usd.parse("90"), "refresh")
    assert policy.forbidden == (*FORBIDDEN, "migrations/**", "*.lock")
    assert SCHEMA.is_valid(yaml.safe_load(WHOLE))


@pytest.mark.parametrize("text", [None, "", "# nothing yet\n", b"\xef\xbb\xbf# a mark\n", "---\n"])
def test_without_a_word_the_defaults_hold(text: str | bytes | None) -> None:
    assert parse(text) == Policy.default()


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        pytest.param("clases: {}", 1, "clases", "did you mean classes?", id="a misspelt key"),
        pytest.param("max:\n  wriet: {}", 2, "max.wriet", "did you mean write?", id="a misspelt role"),
        pytest.param(
            "classes:\n  bugfix:\n    cots: $5", 3, "classes.bugfix.cots", "mean cost?", id="deep down"
        ),
        pytest.param("context: 10M", 1, "context", "is not one of 50k, 100k", id="more than there is"),
        pytest.param("effort: hihg", 1, "effort", "did you mean high?", id="a misspelt word"),
        pytest.param("model: a\nmodel: b", 2, "model", "there already, on line 1", id="a key twice"),
        pytest.param(
            "max:\n  write: {cost: 2.5}", 2, "max.write.cost", 'write "$2.5"', id="money as a float"
        ),
        pytest.param("max: {write: {cost: 1e3}}", 1, "max.write.cost", "not an amount", id="an exponent"),
        pytest.param("max: {write: {cost: 0}}", 1, "max.write.cost", "plain digits", id="nothing"),
        pytest.param('max: {write: {cost: "$0.00"}}', 1, "max.write.cost", "would start nothing", id="$0"),
        pytest.param("max: {write: {cost: -5}}", 1, "max.write.cost", "plain digits", id="less than nothing"),
        pytest.param("max: {write: {cost: .inf}}", 1, "max.write.cost", "float", id="without end"),
        pytest.param("max: {write: {cost: 010}}", 1, "max.write.cost", "plain digits", id="octal"),
        pytest.param("max: {write: {steps: 1_000}}", 1, "max.write.steps", "plain digits", id="underscores"),
        pytest.param("max: {write: {steps: 0x10}}", 1, "max.write.steps", "plain digits", id="hexadecimal"),
        pytest.param('max: {write: {steps: "٣"}}', 1, "max.write.steps", "whole number", id="other digits"),
        pytest.param("max: {write: {wall: 20:00}}", 1, "max.write.wall", "base 60", id="sexagesimal"),
        pytest.param("max: {write: {wall: 20}}", 1, "max.write.wall", "20 of what?", id="no unit"),
        pytest.param("max: {write: {wall: off}}", 1, "max.write.wall", "bool", id="off is a bool"),
        pytest.param("model: yes", 1, "model", "put it in quotes", id="yes is a bool"),
        pytest.param("check: 2024-01-01", 1, "check", "put it in quotes", id="a date"),
        pytest.param("on: push", 1, "on", "no such key", id="on"),
        pytest.param("publish:", 1, "publish", "has no value", id="no value"),
        pytest.param("publish: [push]", 1, "publish", "one value", id="a list for a value"),
        pytest.param("engines: opus", 1, "engines", "must be a list", id="a value for a list"),
        pytest.param("engines: []", 1, "engines", "1 to 100 items", id="no engine"),
        pytest.param(
            "engines:\n- opus\n- opus", 3, "engines[1]", "in the list already", id="an engine twice"
        ),
        pytest.param("classes: 5", 1, "classes", "list of keys", id="a value for keys"),
        pytest.param("- model: a", 1, "", "list of keys", id="a list for the file"),
        pytest.param("retention: 30", 1, "retention", "such as 30d", id="days without d"),
        pytest.param("sweep: {total: $0}", 1, "sweep.total", "nothing", id="a sweep of nothing"),
        pytest.param("sweep: {parallel: 21}", 1, "sweep.parallel", "from 1 to 20", id="too many at once"),
        pytest.param(
            "max:\n  write: {cost: 9}\n  admin:\n    cost: 8", 4, "max.admin.cost", "lesser", id="upside down"
        ),
        pytest.param("caps: {}", 1, "caps", "only the service's own", id="caps in a repository"),
        pytest.param("approvers: [a]", 1, "approvers", "only the service's own", id="approvers"),
        pytest.param("model: &m a", 1, "", "anchors", id="an anchor"),
        pytest.param("model: *m", 1, "", "anchors", id="an alias"),
        pytest.param("<<: {model: a}", 1, "<<", "merge keys", id="a merge key"),
        pytest.param("model: !!python/object:os.system x", 1, "", "tags", id="a tag"),
        pytest.param("model: a\n---\nmodel: b", 2, "", "one YAML document", id="two documents"),
        pytest.param("? [a]\n: b", 1, "", "plain word", id="a list as a key"),
        pytest.param("model: a\n\tb: c", 2, "", "not YAML", id="a tab"),
        pytest.param("[" * 5_000, 1, "", "nested too deeply", id="depth"),
        pytest.param("x: [" + "1," * 9_000 + "]", 1, "", "too many values", id="width"),
        pytest.param("#" * 70_000, 1, "", "larger than 64 KB", id="size"),
        pytest.param(b"a: 1\nb: \xff", 2, "", "not UTF-8", id="another encoding"),
        pytest.param("a: 1\nb: \x00", 2, "", "does not allow", id="a control character"),
        pytest.param('paths: {forbidden: ["*a*a*a*a*a*a*a"]}', 1, "paths.forbidden[0]", "six", id="stars"),
        pytest.param("paths: {forbidden: [../x]}", 1, "paths.forbidden[0]", "a path", id="outside"),
        pytest.param('paths: {forbidden: ["!src/**"]}', 1, "paths.forbidden[0]", "a path", id="a negation"),
        pytest.param('paths: {forbidden: ["a\\\\b"]}', 1, "paths.forbidden[0]", "a path", id="a backslash"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_line_and_key(text: str | bytes, line: int, key: str, says: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse(text)
    assert (caught.value.line, caught.value.key) == (line, key)
    assert says in caught.value.why
    assert str(caught.value).startswith(f"line {line}: ")


def test_an_error_quotes_nothing_that_would_act_in_a_comment() -> None:
    with pytest.raises(PolicyError) as caught:
        parse('"@ada <img> `x`": 1')
    assert "@" not in caught.value.why
    with pytest.raises(PolicyError) as caught:
        parse('effort: "@ada <!-- `"')
    assert not set("@<>`") & set(caught.value.why)


def test_what_is_not_enforced_yet_is_not_accepted_from_the_service_either() -> None:
    with pytest.raises(PolicyError) as caught:
        parse("model: a\nprices: {}", service=True)
    assert (caught.value.line, caught.value.key) == (2, "prices")


# -- laws --

cost = st.one_of(
    st.integers(-1, 100),
    st.sampled_from(["$5", "2.50", "$0", "010", "5 dollars", "$1,000"]),
    st.floats(),
    st.none(),
)
whole = st.one_of(
    st.integers(-1, 10**13), st.sampled_from(["800k", "1M", "0k", "1e3", "k", ""]), st.booleans()
)
wall = st.one_of(st.sampled_from(["20m", "90s", "1h", "0s", "20", "9999999s"]), st.integers(0, 99))
rows = st.dictionaries(
    st.sampled_from(["cost", "tokens", "steps", "wall", "cost "]), st.one_of(cost, whole, wall)
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "classes": st.dictionaries(st.sampled_from([*CLASSES, "bugfixes"]), rows, max_size=2),
        "max": st.dictionaries(st.sampled_from(["write", "maintain", "admin", "read"]), rows, max_size=2),
        "engines": st.lists(st.sampled_from(["opus", "aider", "cursor"]), max_size=3),
        "model": st.one_of(st.sampled_from(["claude-opus-4-7", "yes", "A B"]), st.integers()),
        "effort": st.sampled_from(["low", "max", "highest"]),
        "context": st.sampled_from(["50k", "1M", "2M", 100_000]),
        "admission": st.sampled_from(["strict", "expected"]),
        "check": st.one_of(st.text(max_size=9), st.just("make test")),
        "sweep": st.dictionaries(st.just("parallel"), st.integers(0, 21)),
        "paths": st.dictionaries(st.just("forbidden"), st.lists(st.text("a/*.?", max_size=12), max_size=3)),
        "publish": st.sampled_from(["push", "pull_request", "force"]),
        "stuck": st.dictionaries(st.sampled_from(["repeats", "idle", "errors"]), st.integers(1, 51)),
        "retention": st.sampled_from(["30d", "366d", "0d", "1h"]),
    },
)  # fmt: skip

# Most of the above is refused; of these none but a maximum that a lesser role's is above.
few = st.dictionaries(st.sampled_from(["cost", "tokens", "steps"]), st.integers(1, 200), max_size=3)
ceilings = st.fixed_dictionaries(
    {},
    optional={
        "classes": st.dictionaries(st.sampled_from(list(CLASSES)), few, max_size=3),
        "max": st.dictionaries(st.sampled_from(["write", "maintain", "admin"]), few, max_size=3),
    },
)


def read(text: str) -> Policy | None:
    try:
        return parse(text)
    except PolicyError:
        return None


def error_of(text: str | bytes) -> PolicyError | None:
    try:
        parse(text)
    except PolicyError as error:
        return error
    return None


@given(st.one_of(st.text(), st.binary(), documents.map(json.dumps), st.text("{}[]:&*!?-\n '\"ab<|>%@`#,\\")))
def test_nothing_in_a_file_raises_anything_else(text: str | bytes) -> None:
    error = error_of(text)
    assert error is None or error.line >= 1


@given(documents)
def test_what_is_accepted_the_published_schema_accepts(document: dict[str, Any]) -> None:
    text = yaml.safe_dump(document)
    if read(text) is not None:
        assert SCHEMA.is_valid(yaml.safe_load(text))


@given(documents)
def test_what_the_schema_accepts_is_accepted_but_for_what_it_cannot_say(document: dict[str, Any]) -> None:
    # A schema cannot compare two maxima, nor bound the days in `wall` or `retention`.
    if SCHEMA.is_valid(document):
        error = error_of(yaml.safe_dump(document))
        assert error is None or error.key.startswith("max.") or error.key.endswith(("wall", "retention"))


@given(st.one_of(documents, ceilings), st.one_of(documents, ceilings))
def test_a_repository_only_tightens(service: dict[str, Any], repo: dict[str, Any]) -> None:
    above, below = read(yaml.safe_dump(service)), read(yaml.safe_dump(repo))
    if above is None or below is None:
        return
    both = tighten(above, below)
    for role, row in both.most.items():
        for key, name in COLUMNS.items():
            most, own = getattr(above.most[role], name), getattr(below.most[role], name)
            assert getattr(row, name) <= most
            if f"max.{role}.{key}" in below.given:
                assert getattr(row, name) == min(most, own)
            elif not any(f"max.{other}.{key}" in below.given for other in Role):
                assert getattr(row, name) == most
    for name, row in both.classes.items():
        for key, column in COLUMNS.items():
            told = [
                getattr(one.classes[name], column)
                for one in (above, below)
                if f"classes.{name}.{key}" in one.given
            ]
            assert getattr(row, column) == min(told, default=getattr(CLASSES[name], column))
    assert set(both.engines) <= set(above.engines)
    assert set(both.forbidden) >= set(above.forbidden) | set(below.forbidden)
    assert both.retention <= above.retention
    assert both.admission == "strict" or above.admission == "expected"
    assert tighten(above, both) == both


@given(st.one_of(documents, ceilings), st.one_of(documents, ceilings))
def test_a_greater_role_may_no_less(service: dict[str, Any], repo: dict[str, Any]) -> None:
    above, below = read(yaml.safe_dump(service)), read(yaml.safe_dump(repo))
    found = [one for one in (above, below) if one is not None]
    if above is not None and below is not None:
        found.append(tighten(above, below))
    for policy in found:
        write, maintain, admin = (policy.most[role] for role in (Role.WRITE, Role.MAINTAIN, Role.ADMIN))
        for name in COLUMNS.values():
            assert getattr(write, name) <= getattr(maintain, name) <= getattr(admin, name)


def test_a_service_raises_what_no_repository_sets() -> None:
    service = parse("max: {write: {cost: 50}}\nclasses: {feature: {cost: 30}}", service=True)
    silent, own = (
        tighten(service, parse("check: pytest")),
        tighten(service, parse("max: {admin: {cost: 40}}")),
    )
    assert (silent.most[Role.WRITE].usd, silent.most[Role.ADMIN].usd) == (Usd.parse("50"), Usd.parse("100"))
    assert silent.classes["feature"].usd == Usd.parse("30")
    assert (own.most[Role.WRITE].usd, own.most[Role.ADMIN].usd) == (Usd.parse("40"), Usd.parse("40"))
    assert tighten(service, parse("classes: {feature: {cost: 12}}")).classes["feature"].usd == Usd.parse("12")
    # What a repository gives itself is never above the service's word.
    assert tighten(Policy.default(), parse("max: {write: {cost: 300}}")).most == Policy.default().most


def test_a_maximum_that_is_not_given_fits_those_that_are() -> None:
    assert parse("max: {maintain: {cost: 8}}").most[Role.WRITE].usd == Usd.parse("8")
    assert parse("max: {write: {cost: 300}}").most[Role.ADMIN].usd == Usd.parse("300")
    assert parse("max: {write: {cost: 300}}").most[Role.ADMIN].steps == MOST[Role.ADMIN].steps


def test_the_services_word_holds_where_the_repository_says_nothing() -> None:
    service = parse("model: claude-sonnet-4-6\ncheck: make test", service=True)
    both = tighten(service, parse("check: pytest"))
    assert (both.model, both.check, both.effort) == ("claude-sonnet-4-6", "pytest", None)


# -- paths --


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        (".github/workflows/agent.yml", ".github/workflows/**"),
        (".GitHub/Workflows/x.yml", ".github/workflows/**"),
        ("./.github//workflows/x.yml", ".github/workflows/**"),
        ("a/../.github/workflows/x.yml", ".github/workflows/**"),
        ("../.github/workflows/x.yml", ".github/workflows/**"),
        ("/.github/workflows/x.yml", ".github/workflows/**"),
        (".github\\workflows\\x.yml", ".github/workflows/**"),
        (".github./workflows /x.yml", ".github/workflows/**"),
        (".git\u200bhub/workflows/x.yml", ".github/workflows/**"),
        (".git\u202ehub/work\u206fflows/x.yml", ".github/workflows/**"),
        (".github/workflows", ".github/workflows/**"),
        (".github", ".github/workflows/**"),
        (".github/agent.yml", ".github/agent.yml"),
        (".github/AGENT.YML", ".github/agent.yml"),
        (".github/workflow/x.yml", None),
        ("docs/.github/workflows/x.yml", None),
        ("src/agent.yml", None),
        ("", None),
    ],
)
def test_however_a_path_is_written_it_is_forbidden(path: str, pattern: str | None) -> None:
    assert forbidden(path) == pattern


dressing = st.lists(st.sampled_from(["./", "/", "x/../", "\\", ".\\"]), max_size=4).map("".join)


@given(dressing, dressing, dressing, st.text("abc.-", min_size=1, max_size=9), st.booleans())
def test_no_dressing_hides_a_workflow(a: str, b: str, c: str, name: str, loud: bool) -> None:
    path = f"{a}.github/{b}workflows/{c}{name}"
    assert forbidden(path.upper() if loud else path) or set(name) <= {"."}


# -- what is published --


@pytest.mark.parametrize("name", schemas.SERVICE)
def test_the_published_schemas_are_the_models(name: str) -> None:
    published = (schemas.DOCS / name).read_text("utf-8")
    assert published == schemas.text(name), "`make schemas` writes it anew"
    jsonschema.Draft202012Validator.check_schema(json.loads(published))


def test_the_example_of_the_docs_is_accepted() -> None:
    text = (ROOT / "docs" / "policy.md").read_text("utf-8")
    examples = [part.partition("```")[0] for part in text.split("```yaml\n")[1:]]
    assert examples
    for example in examples:
        service = "\ncaps:" in f"\n{example}"
        parse(example, service=service)
        schema = jsonschema.Draft202012Validator(policy_keys.schema(service=service))
        assert schema.is_valid(yaml.safe_load(example))


def test_the_docs_name_every_key() -> None:
    text = (ROOT / "docs" / "policy.md").read_text("utf-8")
    for name, key in policy_keys.SERVICE_KEYS.keys.items():
        inner = key.kind.keys if isinstance(key.kind, policy_values.Table) else {}
        assert f"`{name}" in text
        if name == "allow":
            assert all(f"`{other}`" in text for other in inner)
        elif name == "caps":
            assert all(f"  {other}: " in text for other in inner)
        elif name not in ("classes", "max"):
            assert all(f"`{name}.{other}`" in text for other in inner)
