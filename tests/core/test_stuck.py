"""A run that goes round in circles is seen at its end, and one that goes on never is."""

# ruff: noqa: E501, RUF001  what tools print is as wide as it is, in the letters that they use

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core import failures
from bot.core.rules import Stuck as Limits
from bot.core.stuck import judge
from tests.core.transcript_parts import (
    LEAP,
    Json,
    Step,
    attempt,
    cc,
    pytest_output,
    pytest_run,
    sh,
    swap,
    talk,
    tried,
    view,
)
from tests.core.transcripts import HEALTHY, STUCK

USUAL = Limits()


def requests(messages: Sequence[Json]) -> Iterator[Sequence[Json]]:
    """Each request of a conversation, the first to the last: those that end with what the user's side says."""
    for end in range(1, len(messages) + 1):
        if messages[end - 1]["role"] == "user":
            yield messages[:end]


@pytest.mark.parametrize("messages", HEALTHY.values(), ids=HEALTHY)
def test_who_goes_on_is_never_halted(messages: list[Json]) -> None:
    if messages is HEALTHY["resumed after it was stuck, with a word on what it missed"]:
        assert judge(messages, USUAL) is None
        return
    for request in requests(messages):
        assert judge(request, USUAL) is None, f"after {len(request)} messages"


@pytest.mark.parametrize(("messages", "pattern"), STUCK.values(), ids=STUCK)
def test_who_goes_round_in_circles_is_halted(messages: list[Json], pattern: str) -> None:
    found = judge(messages, USUAL)
    assert found is not None
    assert found.pattern == pattern, found.evidence
    assert found.evidence.isprintable()
    assert len(found.evidence) < 300


@pytest.mark.parametrize(
    ("messages", "evidence"),
    [
        pytest.param(
            talk(*tried(lambda n: pytest_run(LEAP), 4)),
            "tests/test_dates.py::test_leap failed the same way 4 times",
            id="a failure",
        ),
        pytest.param(
            talk(*[sh("ls -la", "a.py")] * 4), '"ls -la" gave the same result 4 times', id="an action"
        ),
        pytest.param(
            talk(*(swap("a.py", *("x", "y")[:: 1 if n % 2 else -1]) for n in range(4))),
            "a.py: the last 4 edits only undo and redo each other",
            id="edits",
        ),
        pytest.param(
            talk(*[cc("Read", "File does not exist.", True, file_path=f"/{n}") for n in range(4)]),
            '4 tool calls in a row failed alike, with "File does not exist."',
            id="errors",
        ),
    ],
)
def test_the_evidence_says_what_repeated(messages: list[Json], evidence: str) -> None:
    found = judge(messages, USUAL)
    assert found is not None
    assert found.evidence == evidence


@pytest.mark.parametrize("repeats", [2, 3, 4, 7])
def test_the_policy_says_how_often_is_too_often(repeats: int) -> None:
    limits = Limits(repeats=repeats)
    for steps in ([sh("ls", "a.py")] * 8, tried(lambda n: pytest_run(LEAP), 8)):
        per_turn = 1 if steps[0] == steps[1] else 2
        last = 1 + (repeats - 1) * per_turn
        assert judge(talk(*steps[: last - 1]), limits) is None
        assert judge(talk(*steps[:last]), limits) is not None


@pytest.mark.parametrize(("messages", "pattern"), STUCK.values(), ids=STUCK)
def test_one_new_thing_at_the_end_and_it_goes_on(messages: list[Json], pattern: str) -> None:
    new = talk(view("new.py", "     1\tnever seen before"))[1:]
    if messages[-1]["content"].__class__ is list:
        assert judge([*messages, *new], USUAL) is None


def test_a_persons_word_starts_it_anew() -> None:
    stuck = talk(*[sh("ls", "a.py")] * 5)
    assert judge(stuck, USUAL) is not None
    assert judge([*stuck, {"role": "user", "content": "Try the other folder."}], USUAL) is None


def test_what_a_client_says_at_every_turn_is_no_persons_word() -> None:
    stuck = talk(*[sh("ls", "a.py")] * 7)
    for number, message in enumerate(stuck[2::2]):
        message["content"].append({"type": "text", "text": f"{number} of 50 steps are used."})
        message["content"].append(
            {"type": "text", "text": f"<system-reminder>{'x' * number}</system-reminder>"}
        )
    assert judge(stuck, USUAL) is not None


def test_cleared_results_between_do_not_hide_it() -> None:
    cleared = [sh("pytest -q", "[cleared]"), attempt(99)] * 3
    assert judge(talk(*cleared, *tried(lambda n: pytest_run(LEAP), 4)), USUAL) is not None


def test_two_long_results_are_alike_only_if_their_stand_ins_are() -> None:
    def long(number: int) -> str:
        return f"(90,000 characters, sha256 {number:064x})"

    assert judge(talk(*(sh("cat big", long(7)) for _ in range(4))), USUAL) is not None
    assert judge(talk(*(sh("cat big", long(n)) for n in range(9))), USUAL) is None


@pytest.mark.parametrize(
    "between", [attempt(1), sh("./generate", "done"), sh("echo x > a.txt"), cc("apply", "ok", to=1)]
)
def test_a_change_in_between_makes_the_same_result_news(between: Step) -> None:
    assert judge(talk(*[sh("ls", "a.py")] * 3, between, sh("ls", "a.py")), USUAL) is None


@pytest.mark.parametrize(
    "between", [view("b.py", "1"), sh("git diff | head -3", "x"), cc("Grep", "1", pattern="x")]
)
def test_a_look_in_between_does_not(between: Step) -> None:
    assert judge(talk(*[sh("ls", "a.py")] * 3, between, sh("ls", "a.py")), USUAL) is not None


# -- laws --

texts = st.text("abc 123\n.:/-_=<>()[]{}'\"`#@~|\\", max_size=60)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["role", "type", "content", "text", "input", "id", "tool_use_id", "command", "path"]
            ),
            inner | st.sampled_from(["user", "assistant", "tool_use", "tool_result", "text", "x"]),
            max_size=6,
        )
    ),
    max_leaves=30,
)
names = st.sampled_from(["bash", "Bash", "Read", "Edit", "str_replace_based_edit_tool", "look", "TodoWrite"])
inputs = st.dictionaries(
    st.sampled_from(["command", "path", "old_str", "new_str", "file_text", "file_path", "edits", "patch"]), texts, max_size=4
)  # fmt: skip


@given(st.lists(st.dictionaries(st.sampled_from(["role", "content"]), junk), max_size=8))
def test_no_conversation_is_an_error(messages: list[Any]) -> None:
    judge(messages, USUAL)


@given(st.lists(st.tuples(names, inputs), max_size=30))
def test_it_goes_on_while_every_result_is_new(calls: list[tuple[str, Json]]) -> None:
    # New in substance: an error that is new each time is an error still, and edits may undo each other.
    looks: list[Step] = [
        (
            name,
            {key: text for key, text in put.items() if key in ("command", "path")},
            f"result {number}: {'x' * number}",
            False,
        )
        for number, (name, put) in enumerate(calls)
        if name not in ("Edit", "str_replace_based_edit_tool", "TodoWrite")
    ]
    assert judge(talk(*looks), USUAL) is None


@given(st.lists(st.tuples(names, inputs, texts, st.booleans()), max_size=14), st.integers(0, 3))
def test_looser_limits_halt_nothing_more(steps: list[Step], more: int) -> None:
    looser = Limits(USUAL.repeats + more, USUAL.idle + more, USUAL.errors + more)
    if judge(talk(*steps), USUAL) is None:
        assert judge(talk(*steps), looser) is None


@given(st.sampled_from(list(STUCK)), st.integers(0, 40))
def test_what_went_before_does_not_hide_it(name: str, length: int) -> None:
    messages, pattern = STUCK[name]
    if not isinstance(messages[0]["content"], list):
        return
    before = talk(*(view(f"before/{n}.py", f"     1\tbefore {n}") for n in range(length)))
    moved = copy.deepcopy(messages[1:])
    found = judge([*before, *moved], USUAL)
    assert found is not None
    assert found.pattern == pattern


@given(st.text(max_size=200) | texts)
def test_reading_failures_never_fails(text: str) -> None:
    failures.read(f"FAILED {text}\nerror: {text}\n{text}")


def test_a_text_made_to_be_slow_is_read_in_a_bounded_number_of_steps() -> None:
    """Not by the clock: what is looked at is bounded, whatever its size."""
    for part in ("FAIL: x (y)\n", "● x\n", "1) Error:\n", "_" * 50 + " x\n", "\n" * 50, "a.b:", "Traceback "):
        assert len(failures.read(part * (1 << 16)).failing) <= failures.MOST + 1


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param(
            pytest_output(LEAP, 3),
            {"tests/test_dates.py::test_leap": "AssertionError: assert 28 == 29"},
            id="pytest",
        ),
        pytest.param("ERROR tests/a.py - ImportError: no x", {"tests/a.py": "ImportError: no x"}, id="collecting"),
        pytest.param(" FAIL  src/a.test.ts > adds\nAssertionError: expected 1 to be 2\n ❯ src/a.test.ts:3:1\n",
                     {"src/a.test.ts > adds": "AssertionError: expected 1 to be 2"}, id="vitest"),
        pytest.param("not ok 1 - adds\n  ---\n  duration_ms: 0.2\n  error: '1 == 2'\n", {"adds": "error: '1 == 2'"},
                     id="node:test"),
        pytest.param("Failures:\n\n  1) Date leap\n     Failure/Error: expect(x).to eq(29)\n       expected: 29\n\nFinished in 1.2 s",
                     {"Date leap": "Failure/Error: expect(x).to eq(29) expected: 29"}, id="RSpec"),
        pytest.param("1) Tests\\DateTest::testLeap\nFailed asserting that 28 is identical to 29.\n",
                     {"Tests\\DateTest::testLeap": "Failed asserting that 28 is identical to 29."}, id="PHPUnit"),
        pytest.param("a.py:3: error: Incompatible types  [assignment]", {"a.py": "error: Incompatible types  [assignment]"}, id="mypy"),
        pytest.param("a.py:3:1: F401 `os` unused", {"a.py": "F401 `os` unused"}, id="ruff"),
        pytest.param("F401 [*] `os` unused\n --> a.py:3:8\n", {"a.py": "F401 [*] `os` unused"}, id="ruff, at length"),
        pytest.param("/w/a.js\n  3:1  error  'x' is not defined  no-undef\n\n✖ 1 problem",
                     {"/w/a.js": "'x' is not defined  no-undef"}, id="ESLint"),
        pytest.param("error[E0308]: mismatched types\n --> src/main.rs:3:5\n", {"src/main.rs": "error[E0308]: mismatched types"}, id="rustc"),
        pytest.param("./main.go:3:5: undefined: x", {"./main.go": "undefined: x"}, id="go build"),
        pytest.param('Traceback (most recent call last):\n  File "/w/a.py", line 3, in f\n    g()\nKeyError: 1\n',
                     {"/w/a.py": "KeyError: 1"}, id="a traceback"),
        pytest.param("41 passed in 0.3s", {}, id="all passed"),
        pytest.param("1) buy milk\n2) no errors here\n", {}, id="a list"),
    ],
)  # fmt: skip
def test_failures_are_read_out_of(output: str, expected: dict[str, str]) -> None:
    assert failures.read(output).failing == expected


def test_what_a_conversation_carries_again_is_not_read_again() -> None:
    failures._read.cache_clear()
    messages = talk(*tried(lambda n: pytest_run(LEAP, passed=n), 8))
    for request in requests(messages):
        judge(request, USUAL)
    assert failures._read.cache_info().misses == 8  # of 36 runs that the requests carry


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("41 passed in 0.31s", "41 passed in 12.4 seconds", True),
        ("ok TestLeap (0.01s)", "ok TestLeap (3ms)", True),
        ("Time: 00:00.012, Memory: 6 MB", "Time: 00:01.3, Memory: 6 MB", True),
        ("duration_ms 1.5", "duration_ms 0.81", True),
        ("<Order at 0x7f12ab34cd56>", "<Order at 0x7f00ab34cd00>", True),
        ("41 passed in 0.31s", "40 passed in 0.31s", False),
        ("min 3s", "min 4s", False),
        ("halftime: 3", "halftime: 4", False),
        ("retry in 3 minutes", "retry in 4 minutes", False),
    ],
)
def test_times_and_addresses_make_no_difference(one: str, other: str, alike: bool) -> None:
    assert (failures.timeless(one) == failures.timeless(other)) is alike
