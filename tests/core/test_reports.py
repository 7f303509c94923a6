"""What people read about a run: what happened, what it cost, what they can do. Others' words do nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core import reports
from bot.core.ceilings import CLASSES, Ceilings, Reason, halt_message
from bot.core.commands import Malformed, parse
from bot.core.comments import MAX_BYTES, final
from bot.core.marks import of_report
from bot.core.money import Usd
from bot.core.reports import Check, CostBy, Published, Report, Spent, Turn
from sandbox.markdown import render

TURNS = tuple(
    Turn(step, "claude-opus-4-7", Usd(45_123_456 * step), 120, 3400, 9000 * step, 700, "tool_use")
    for step in range(1, 10)
)
DONE = Report(
    run="0123456789ab",
    outcome="done",
    reason=None,
    message="",
    model="claude-opus-4-7",
    engine="opus",
    ceilings=CLASSES["bugfix"],
    spent=Spent(Usd.parse("0.421"), 54_321, 9, 23, 130, 1_001, 30_602, 203, 324_004, 6_305),
    cost_by=CostBy(*map(Usd.parse, ("0.011", "0.202", "0.163", "0.044", "0.001"))),
    estimated=Usd(),
    price_book="genai-prices 0.2.3",
    sources={"usd": "comment", "tokens": "label by ada (admin)", "steps": "class bugfix", "seconds": "class"},
    task_class="bugfix",
    actor="dana",
    turns=TURNS,
    summary="The month was off by one.",
    check=Check("python -m unittest", 0, "Ran 3 tests\n\nOK"),
    published=Published("pushed", "fix-dates", "a" * 40, "https://github.com/o/r/commit/aaa"),
    isolation="user",
    workflow_url="https://github.com/o/r/actions/runs/1",
)  # fmt: skip
FAILING = replace(DONE, check=Check("python -m unittest", 1, "FAILED (failures=1)"))
KEPT = Published(
    "branch", "agent/run-0123456789ab", "b" * 40, "https://github.com/o/r/tree/agent/run-0123456789ab"
)


def halted(reason: Reason, detail: str | None = None, ceilings: Ceilings = CLASSES["bugfix"]) -> Report:
    message = halt_message(reason, 42, ceilings, detail)
    return replace(
        DONE, outcome="halted", reason=reason, message=message, ceilings=ceilings, check=None, published=KEPT
    )


def first(text: str) -> str:
    """The first line that a reader sees."""
    return next(row for row in text.split("\n") if row and not row.startswith("<!--"))


@pytest.mark.parametrize(
    ("report", "headline"),
    [
        pytest.param(DONE, "**Done: tests pass** · $0.421 of $5.00 · 9 steps · 2m 10s", id="tests pass"),
        pytest.param(FAILING, "**Done: tests still fail** · $0.421 of $5.00", id="tests fail"),
        pytest.param(
            replace(DONE, check=None, published=None), "**Done: nothing was changed** ·", id="no changes"
        ),
        pytest.param(
            replace(DONE, check=None),
            "**Done: the changes are committed, no tests were run** ·",
            id="untested",
        ),
        pytest.param(
            replace(DONE, published=Published("held", "", "", "", "it is odd")),
            "**Done: its changes wait for a human** ·",
            id="held",
        ),
        pytest.param(
            halted(Reason.COST, ceilings=CLASSES["default"]),
            "**Halted at step 42: $10.00 cost ceiling reached** · $0.421 of $10.00",
            id="cost",
        ),
        pytest.param(
            halted(Reason.TOKENS),
            "**Halted at step 42: 500,000 token ceiling reached** ·",
            id="tokens",
        ),
        pytest.param(halted(Reason.STEPS), "**Halted at step 42: 20 step ceiling reached** ·", id="steps"),
        pytest.param(
            halted(Reason.WALL_CLOCK),
            "**Halted at step 42: 10m wall-clock ceiling reached** ·",
            id="time",
        ),
        pytest.param(
            halted(Reason.STUCK, "t.py failed 4 times"),
            "**Halted at step 42: stuck_loop: t.py failed 4 times** ·",
            id="stuck",
        ),
        pytest.param(
            halted(Reason.STOPPED, "stopped by dana"),
            "**Halted at step 42: stopped by dana** ·",
            id="stopped",
        ),
        pytest.param(
            replace(DONE, outcome="failed", message="no such model"),
            "**Failed: no such model** ·",
            id="failed",
        ),
        pytest.param(
            replace(DONE, outcome="lost", message="was lost: its runner fell silent"),
            "**Lost: its runner fell silent** ·",
            id="lost",
        ),
        pytest.param(
            replace(DONE, estimated=Usd.parse("0.1")),
            "**Done: tests pass** · $0.421 of $5.00 ($0.10 of it estimated) · 9 steps",
            id="estimates are told apart",
        ),
    ],
)
def test_the_first_line_tells_outcome_and_cost(report: Report, headline: str) -> None:
    text = reports.comment(report)
    assert text.startswith("<!-- tollgate-run:0123456789ab:1 -->\n")
    assert first(text).startswith(headline)
    assert reports.markdown(report) == text.partition("\n")[2]


@pytest.mark.parametrize("reason", list(Reason))
def test_every_halt_says_where_the_work_is_and_what_can_be_done(reason: Reason) -> None:
    text = reports.final(halted(reason))
    assert "kept on [`agent/run-0123456789ab`](https://github.com/o/r/tree/agent/run-0123456789ab)" in text
    offered = re.findall(r"`(/agent [^`]*?)(?: …)?`", text)
    assert offered
    wrong = [command for command in offered if isinstance(parse(command), Malformed | None)]
    assert wrong == [], "a command that would not be read"


@pytest.mark.parametrize(
    ("reason", "option"),
    [
        (Reason.COST, "cost=$10"),
        (Reason.TOKENS, "tokens=1M"),
        (Reason.STEPS, "steps=40"),
        (Reason.WALL_CLOCK, "wall=20m"),
    ],
)
def test_a_reached_ceiling_comes_with_the_option_that_raises_it(reason: Reason, option: str) -> None:
    assert f"`/agent fix {option} …`" in reports.final(halted(reason))


@pytest.mark.parametrize("outcome", ["halted", "failed", "lost"])
def test_no_work_is_said_too(outcome: str) -> None:
    assert "nothing to keep" in reports.final(replace(halted(Reason.COST), outcome=outcome, published=None))


def test_work_that_waits_for_a_human_says_why() -> None:
    note = "`.github/workflows/x.yml` is under `.github/workflows/**`, which the policy forbids"
    assert note in reports.final(replace(DONE, published=Published("held", "", "", "", note)))


def test_tests_that_fail_are_not_called_passing_anywhere() -> None:
    text = reports.final(FAILING)
    assert "tests pass" not in text.lower()
    assert "tests still fail: `python -m unittest` (exit code 1)" in text
    assert "FAILED (failures=1)" in text


def test_the_first_comment_says_what_holds_and_why() -> None:
    text = reports.markdown(replace(DONE, outcome="open", spent=Spent(), turns=(), clamps=("cost: less",)))
    assert "at most $5.00, 500,000 tokens, 20 steps, 10m" in first(text)
    assert "| tokens | 500,000 | label by ada (admin) |" in text
    assert "- cost: less" in text
    assert "(https://github.com/o/r/actions/runs/1)" in text


def test_a_live_comment_has_a_bar_for_each_ceiling_and_no_end() -> None:
    text = reports.markdown(replace(DONE, outcome="running"), ["reads dates.py", "@ada"])
    assert first(text).startswith("**Running: step 9 of 20** · $0.421 of $5.00 so far")
    assert len(re.findall(r"^(?:cost|tokens|steps|wall) +█*░+ +\d+ %  ", text, re.M)) == 4
    assert "reads dates.py" in text
    assert not re.search(r"^\W*(Done|Halted|Failed|Lost)\b", first(text))


def test_time_that_is_not_known_yet_is_not_drawn() -> None:
    text = reports.progress(replace(DONE, spent=replace(DONE.spent, seconds=0), outcome="running"))
    assert "wall    at most 10m" in text


def test_another_model_and_a_lowered_answer_are_shown() -> None:
    odd = replace(TURNS[0], model="claude-haiku-4-5", clamped_max_tokens=2048, estimated=True)
    text = reports.final(replace(DONE, turns=(odd,)))
    assert "tool_use, estimated, `max_tokens` lowered to 2,048, answered by `claude-haiku-4-5`" in text


def test_what_its_context_cost_is_said_with_its_largest_size() -> None:
    spent = CostBy(Usd.parse("0.10"), Usd.parse("0.20"), Usd.parse("0.30"), Usd.parse("5"))
    text = reports.final(replace(DONE, cost_by=spent))
    largest = max(turn.input + turn.cache_write + turn.cache_read for turn in DONE.turns)
    assert (
        f"Context, that is all but the output, cost $0.60; at its largest it had {largest:,} tokens." in text
    )
    assert "Context, that is" not in reports.final(replace(DONE, turns=DONE.turns[:1]))


def test_what_was_not_isolated_says_so() -> None:
    assert "Not isolated" in reports.final(replace(DONE, isolation="none"))
    assert "Not isolated" not in reports.final(DONE)


def test_what_fails_closed_has_a_check_title_with_its_cost() -> None:
    shown = of_report(halted(Reason.COST))
    assert shown.title == "Halted at step 42: $5.00 cost ceiling reached · $0.421 of $5.00 · 9 steps · 2m 10s"
    assert shown.summary == reports.final(halted(Reason.COST))


# -- a terminal and a program --


def test_a_terminal_shows_what_holds_and_then_what_was() -> None:
    start, end = reports.terminal_start(replace(DONE, spent=Spent())), reports.terminal(halted(Reason.COST))
    assert re.search(r"^  cost +\$5\.00  from comment$", start, re.M)
    assert end.startswith("Halted at step 42: $5.00 cost ceiling reached · $0.421 of $5.00")
    assert re.search(r"^  cache read +324,004  \$0\.163$", end, re.M)
    assert "--cost 10 raises the cost ceiling" in end  # a dollar sign would be the shell's


def test_who_went_in_circles_is_told_to_start_again_with_a_word_on_what_was_missed() -> None:
    stuck = halted(Reason.STUCK, "t.py failed 4 times")
    assert "say with a word or two what it has missed" in reports.final(stuck)
    assert "- `/agent fix …` starts it again" in reports.final(stuck)
    assert "`stuck` in the policy" in reports.final(stuck)
    assert reports.terminal(stuck).endswith("start it again, with a word on what it missed.")


def test_a_terminal_is_not_steered() -> None:
    text = reports.terminal(
        replace(DONE, summary="\x1b]0;owned\x07\x1b[2Jred\x9b31m\u202e", message="\x1b[1m")
    )
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_json_is_as_the_interface_says() -> None:
    number, money = {"type": "integer"}, {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}

    def shape(**keys: object) -> dict[str, object]:
        return {"type": "object", "properties": keys, "required": list(keys), "additionalProperties": False}

    counted = [name for name in Spent.__slots__ if name != "usd"]
    schema = shape(
        run={"type": "string"},
        outcome={"enum": ["done", "halted", "failed", "lost", "refused"]},
        reason={"enum": [*map(str, Reason), None]},
        message={"type": "string"},
        model={"type": "string"},
        engine={"type": "string"},
        ceilings=shape(usd=money, tokens=number, steps=number, seconds=number),
        spent=shape(usd=money, **dict.fromkeys(counted, number)),
        cost_by=shape(
            **dict.fromkeys(("input", "cache_write", "cache_read", "output", "server_tools"), money)
        ),
        estimated_usd=money,
        own_usd={"type": ["string", "null"]},
        price_book={"type": "string"},
        clamps={"type": "array", "items": {"type": "string"}},
    )
    for report in (DONE, halted(Reason.COST)):
        jsonschema.validate(json.loads(json.dumps(reports.to_json(report))), schema)


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ("0.421", "this attempt cost $0.421, as is counted here."),
        ("0.40", "$0.021 less than is counted here"),
        ("0.5", "$0.079 more than is counted here"),
    ],
)
def test_what_a_program_says_of_its_cost_stands_beside_ours_with_why_they_differ(own: str, says: str) -> None:
    report = replace(DONE, engine="claude-code", own=Usd.parse(own))
    for text in (reports.final(report), reports.terminal(report)):
        assert "claude-code itself says" in text
        assert says in text
    assert reports.to_json(report)["own_usd"] == Usd.parse(own).exact
    assert "itself says" not in reports.final(DONE)


def json_of(summary: str) -> object:
    return json.loads(summary.partition("```json\n")[2].partition("\n```")[0])


def test_a_jobs_summary_is_the_report_and_the_same_for_programs() -> None:
    report = replace(halted(Reason.COST), message="```\n@ada fixes #1 <!-- x -->")
    summary = reports.job_summary(report)
    assert summary.startswith(reports.final(report))
    assert json_of(summary) == json.loads(json.dumps(reports.to_json(report)))
    assert effects(OURS.sub("", summary)) == []


def test_a_run_that_belongs_to_no_thread_offers_no_commands() -> None:
    summary = reports.job_summary(halted(Reason.COST), "Its changes are in the working tree.")
    assert "Its changes are in the working tree." in summary
    assert "/agent" not in summary


def test_a_patch_stands_word_for_word_in_a_fence_that_nothing_in_it_can_end() -> None:
    text = (
        "diff --git a/x b/x\n@@ -1 +1,4 @@\n-a\n+````\n+@ada fixes #1\n+</details><img src=x>\n+```mermaid\n"
    )
    made = Published(
        "patch", "abc", "a" * 40, "https://github.com/o/r/commit/aaa", "it is eve's", text, ("`b`: big",)
    )
    body = reports.comment(replace(DONE, published=made))
    assert f"\n`````diff\n{text}`````\n" in body
    assert body.index("they were put on no branch") < body.index("diff --git")
    assert "Not in it: `b`: big." in body
    assert "<img" not in render(body), "nothing in it acts"
    assert "<span" not in render(body).partition("diff --git")[2].partition("</code>")[0]


def test_a_patch_that_makes_a_comment_too_long_is_left_out_and_that_is_said() -> None:
    noisy = replace(DONE, summary="word " * 4_000, check=Check("make test", 1, "x" * 20_000))
    body = reports.comment(replace(noisy, published=Published("patch", "a", "a" * 40, "", "", "ä" * 40_000)))
    assert len(body.encode()) <= MAX_BYTES + 100
    assert "The patch was left out" in body


# -- laws --

amounts = st.integers(0, 10**14).map(Usd)
counts = st.integers(0, 10**9)
ceilings = st.builds(Ceilings, amounts, st.integers(1, 10**9), st.integers(1, 10**4), st.integers(1, 604_800))
spents = st.builds(Spent, amounts, *[counts] * 9)
nasty = st.text(
    st.one_of(st.characters(), st.sampled_from("@#<>!&;`|~\\[]()-/\n\x1b0Ga1")), max_size=60
) | st.sampled_from(
    ["@ada", "@org/team", "fixes #1", "Closes o/r#2", "resolves https://github.com/o/r/issues/3", "GH-4",
     "<!-- x -->", "![x](https://e/x.png)", "<img src=x>", "&#64;ada", "&commat;ada", "```mermaid\nx",
     "~~~~suggestion\nx", "</details>", "<!-- tollgate-run:0123456789ab:1 -->", "@\u200bada", "@\x00ada",
     "<\x1b[0mimg>", "|", "`", "``````", "- [ ] @x"]
)  # fmt: skip
words = st.lists(nasty, max_size=4).map("".join)
anything = st.builds(
    Report,
    run=st.just("0123456789ab"),
    outcome=st.sampled_from(
        ["queued", "open", "running", "done", "halted", "failed", "lost", "refused"]
    ),
    reason=st.none() | st.sampled_from(list(Reason)),
    message=words,
    model=words,
    engine=words,
    ceilings=ceilings,
    spent=spents,
    cost_by=st.builds(CostBy, *[amounts] * 5),
    estimated=amounts,
    price_book=words,
    clamps=st.lists(words, max_size=3).map(tuple),
    sources=st.none() | st.dictionaries(st.sampled_from(["usd", "tokens", "steps", "seconds"]), words),
    task_class=st.sampled_from(list(CLASSES)),
    actor=words,
    turns=st.lists(
        st.builds(Turn, counts, words, amounts, *[counts] * 4, st.none() | words, st.booleans()), max_size=3
    ).map(tuple),
    summary=words,
    check=st.none() | st.builds(Check, words, st.integers(-9, 255), words),
    published=st.none()
    | st.builds(
        Published, st.sampled_from(["pushed", "branch", "pull_request", "held", "patch"]), *[words] * 4
    ),
    isolation=st.sampled_from(["", "user", "none"]),
    workflow_url=words,
    page=words,
)  # fmt: skip


def test_a_run_is_a_link_where_there_is_a_page_to_lead_to() -> None:
    assert "<sub>run `0123456789ab` · " in final(DONE)
    seen = "https://tollgate.example.com/runs/0123456789ab"
    assert f"<sub>run [`0123456789ab`]({seen}) · " in final(replace(DONE, page=seen))


MENTION = re.compile(r"@[\w-]")
REFERENCE = re.compile(r"#\d|\bGH-\d|/(?:issues|pulls?|discussions)/\d", re.IGNORECASE)
TAG = re.compile(r"<[A-Za-z/!?]")
ENTITY = re.compile(r"&#?\w+;")
OURS = re.compile(r"<(?:/?(?:details|summary|sub)>|!-- tollgate-run:0123456789ab:1 -->)")


def effects(text: str) -> list[str]:
    """What GitHub would act on in it."""
    return [m for law in (MENTION, REFERENCE, TAG, ENTITY) for m in law.findall(text)] + ["!["] * (
        "![" in text
    )


@settings(deadline=None)
@given(anything, st.lists(words, max_size=3))
def test_no_report_mentions_closes_or_embeds(report: Report, last: list[str]) -> None:
    text = reports.comment(report, last)
    assert effects(OURS.sub("", text)) == []
    assert text.count("<!--") == 1
    assert text.count("<details>") == text.count("</details>")
    assert effects(of_report(report).title) == []


@settings(deadline=None)
@given(anything)
def test_every_report_ends_or_does_not(report: Report) -> None:
    ended = report.outcome in ("done", "halted", "failed", "lost")
    assert ended == bool(re.match(r"\*\*(Done|Halted|Failed|Lost)\b", first(reports.comment(report))))


@settings(deadline=None)
@given(anything)
def test_comment_terminal_and_json_tell_the_same_numbers(report: Report) -> None:
    told = json.loads(json.dumps(reports.to_json(report)))
    money = [*told["cost_by"].values(), told["spent"]["usd"], told["ceilings"]["usd"], told["estimated_usd"]]
    spent, most = told["spent"], told["ceilings"]
    numbers = [spent[k] for k in ("tokens", "steps", "input", "cache_read", "output")] + [
        most["tokens"],
        most["steps"],
    ]
    numbers.append(spent["cache_write_5m"] + spent["cache_write_1h"])
    for text in (reports.final(replace(report, outcome="done")), reports.terminal(report)):
        assert all(str(Usd.parse(usd)) in text for usd in money if usd != "0")
        assert all(f"{number:,}" in text for number in numbers)
