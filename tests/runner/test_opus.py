"""The native engine: one loop, one model, a conversation that the cache can follow, a clean end."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from bot.core.ceilings import CLASSES, Ceilings, Reason
from bot.core.money import Usd
from bot.core.transcript import read, write
from bot.runner import prompts
from bot.runner.engines import Ending, Event
from bot.runner.engines.claude import RETRIES, Claude
from bot.runner.engines.context import NEWEST
from bot.runner.engines.named import UnknownEngine, named
from bot.runner.engines.opus import Opus
from sandbox.processes import start
from tests.runner.world import AMPLE, MODEL, TOKEN, Json, say, scripted, sh, task, think


@dataclass(frozen=True)
class Said:
    text: str
    error: bool = False


@dataclass
class Bench:
    """A workspace that answers every call, and remembers them."""

    calls: list[tuple[str, Any]] = field(default_factory=list)
    stops: bool = False
    says: str = ""

    def call(self, name: str, given: Any, stop: threading.Event) -> Said:
        self.calls.append((name, given))
        if self.stops:
            stop.set()
        return Said(self.says or f"output {len(self.calls)}")

    def ran(self, command: str, failed: bool) -> None:
        raise AssertionError(command)


def worked(
    *answers: Any, bench: Bench | None = None, ceilings: Ceilings = AMPLE, events: list[Event] | None = None
) -> tuple[Ending, list[Json]]:
    """An ending, and the requests that led to it."""
    told = events if events is not None else []
    with scripted(*answers) as (url, script):
        ending = opus().work(task(url, ceilings), bench or Bench(), told.append, threading.Event())
    return ending, script.requests


def opus() -> Opus:
    return Opus(lambda given: Claude(given, sleep=lambda seconds: None))


def unmarked(messages: list[Json]) -> list[Json]:
    text = json.dumps(messages).replace(', "cache_control": {"type": "ephemeral"}', "")
    found: list[Json] = json.loads(text)
    return found


WALL = {"type": "billing_error", "message": "halted at step 3: $5.00 cost ceiling reached"}
DEADLINE = WALL | {"reason": "wall_clock_ceiling"}
HALT: Json = {
    "status": 402,
    "error": WALL | {"reason": "cost_ceiling"},
    "headers": {"x-should-retry": "false"},
}
OVERLOADED = {"type": "overloaded_error", "message": "Overloaded"}
BUSY: Json = {"status": 529, "error": OVERLOADED, "headers": {"retry-after-ms": "1"}}
CLAMPED = {"tollgate-clamped-max-tokens": "900"}
REFUSED = {"stop_details": {"type": "refusal", "category": "cyber"}}


@pytest.mark.parametrize(
    ("answers", "outcome", "reason", "says"),
    [
        pytest.param([[say("All good.")]], "done", None, None, id="the model ends its turn"),
        pytest.param([[sh("ls")], [say("All good.")]], "done", None, None, id="a tool, then the end"),
        pytest.param([{"content": [say("x")], "stop": "stop_sequence"}], "done", None, None, id="a stop"),
        pytest.param(
            [{"content": [say("x")], "stop": "pause_turn"}, [say("All good.")]], "done", None, None,
            id="a paused turn goes on",
        ),
        pytest.param(
            [{"content": [say("x")], "stop": "max_tokens"}, [say("All good.")]], "done", None, None,
            id="an answer that was too long goes on",
        ),
        pytest.param(
            [{"content": [say("x")], "stop": "max_tokens"}], "failed", None, "3 answers in a row",
            id="answers that are too long do not go on for ever",
        ),
        pytest.param(
            [{"content": [say("x")], "stop": "max_tokens", "headers": CLAMPED}],
            "halted", None, "cut short at the ceiling",
            id="an answer that the ceiling cut short is a halt",
        ),
        pytest.param(
            [{"stop": "refusal", "delta": REFUSED}],
            "failed", None, "refused to go on (cyber)", id="a refusal",
        ),
        pytest.param(
            [{"content": [say("x")], "stop": "model_context_window_exceeded"}], "failed", None, "window",
            id="the window is full",
        ),
        pytest.param([{"content": [say("x")], "stop": "new_thing"}], "failed", None, "new_thing", id="news"),
        pytest.param(
            [HALT],
            "halted", "cost_ceiling", "step 3: $5.00 cost", id="a refusal of the gateway",
        ),
        pytest.param(
            [{"content": [say("x")], "error": DEADLINE}],
            "halted", "wall_clock_ceiling", "step 3", id="the deadline in mid-stream",
        ),
        pytest.param(
            [{"content": [], "error": OVERLOADED}, [say("All good.")]],
            "done", None, None, id="a stream that broke is tried again",
        ),
        pytest.param(
            [{"content": [], "error": OVERLOADED}],
            "failed", None, "broke off 3 times", id="streams that break do not go on for ever",
        ),
        pytest.param(
            [{"content": [sh("ls")], "cut": True}, [say("All good.")]],
            "done", None, None, id="a stream that ends in the middle is tried again",
        ),
        pytest.param(
            [{"content": [sh("ls")], "cut": True}],
            "failed", None, "broke off 3 times: the stream ended before its answer did",
            id="streams that end in the middle do not go on for ever",
        ),
        pytest.param(
            [BUSY, [say("ok")]],
            "done", None, None, id="an overloaded upstream is asked again",
        ),
        pytest.param(
            [{"status": 400, "error": {"type": "invalid_request_error", "message": "temperature: no"}}],
            "failed", None, "temperature: no", id="a request that is wrong",
        ),
        pytest.param(
            [{"status": 401, "error": {"type": "authentication_error", "message": "not a token"}}],
            "failed", None, "not a token", id="a token that is dead",
        ),
    ],
)  # fmt: skip
def test_every_way_an_answer_can_end_has_its_ending(
    answers: list[Any], outcome: str, reason: str | None, says: str | None
) -> None:
    ending, _ = worked(*answers)
    assert (ending.outcome, ending.reason) == (outcome, reason)
    assert (says or "") in (ending.message or "")
    assert (ending.message is None) == (says is None)


def test_a_halt_is_one_request() -> None:
    _, requests = worked(HALT)
    assert len(requests) == 1


def test_an_overloaded_upstream_is_asked_a_few_times_and_no_more() -> None:
    ending, requests = worked(BUSY)
    assert (ending.outcome, len(requests)) == ("failed", RETRIES + 1)


def test_what_the_model_said_last_is_the_summary() -> None:
    ending, _ = worked([say("I look."), sh("ls")], [sh("ls", "toolu_2")], HALT)
    assert ending.summary == "I look."
    ending, _ = worked([say("I look."), sh("ls")], [say("Fixed.")])
    assert (ending.summary, ending.tool_calls, ending.turns) == ("Fixed.", 1, 2)


def test_the_conversation_only_grows_and_its_prefix_never_changes_by_a_byte() -> None:
    many = [sh(f"echo {n}", f"toolu_{n}") for n in range(25)]
    _, requests = worked(
        [think("sig-1"), say("a"), *many], [think("sig-2"), sh("ls", "toolu_x")], [say("end")]
    )
    assert len(requests) == 3
    for before, after in pairwise(requests):
        for name in ("model", "system", "tools", "max_tokens", "thinking", "output_config"):
            assert json.dumps(before[name]) == json.dumps(after[name])
        old, new = unmarked(before["messages"]), unmarked(after["messages"])
        assert json.dumps(new[: len(old)]) == json.dumps(old)


def test_every_request_reads_what_the_last_one_wrote() -> None:
    _, requests = worked(*[[sh("ls", f"toolu_{n}")] for n in range(4)], [say("end")])
    for number, request in enumerate(requests):
        assert request["system"][-1]["cache_control"] == {"type": "ephemeral"}
        marked = [
            index
            for index, message in enumerate(request["messages"])
            for block in message["content"]
            if "cache_control" in block
        ]
        ours = [index for index, message in enumerate(request["messages"]) if message["role"] == "user"]
        assert marked == sorted({0, *ours[-2:]})
        assert len(marked) + 1 <= 4
        assert number == 0 or ours[-2] in marked


def test_old_results_are_cleared_once_and_the_rest_of_the_conversation_stays_as_it_was() -> None:
    bench, told = Bench(says="x" * 10_000), list[Event]()
    # Each turn adds 10,000 characters, which this upstream counts as 4,000 tokens.
    answers = [{"content": [sh("ls", f"t{n}")], "usage": {"input_tokens": 4_000 * n}} for n in range(1, 12)]
    with scripted(*answers, [say("end")]) as (url, script):
        given = task(url, context=50_000)
        opus().work(given, bench, told.append, threading.Event())
    sizes = [len(json.dumps(request)) for request in script.requests]
    falls = [number for number, (one, next_) in enumerate(pairwise(sizes), 1) if next_ < one]
    assert len(falls) == 1
    assert [event.kind for event in told].count("note") == 1
    before, after = (unmarked(script.requests[number]["messages"]) for number in (falls[0] - 1, falls[0]))
    short = [index for index, message in enumerate(before) if message != after[index]]
    assert short
    for index in short:
        assert "10,000 characters of output stood here" in after[index]["content"][0]["content"]
        assert after[index]["content"][0]["tool_use_id"] == before[index]["content"][0]["tool_use_id"]
    assert max(short) < len(after) - 2 * NEWEST + 1
    end = script.requests[-1]["messages"]
    assert unmarked(end)[: max(short) + 1] == after[: max(short) + 1]  # as it is now, so it stays
    assert "cache_control" in end[max(short)]["content"][-1]


def test_what_was_cleared_in_one_attempt_is_not_sent_again_in_the_next() -> None:
    answers = [{"content": [sh("ls", f"t{n}")], "usage": {"input_tokens": 4_000 * n}} for n in range(1, 12)]
    with scripted(*answers, [say("end")], [say("end")]) as (url, script):
        given = task(url, context=50_000)
        first = opus().work(given, Bench(says="x" * 10_000), lambda event: None, threading.Event())
        kept = first.so_far
        assert kept is not None
        assert kept.anchor
        again = replace(given, earlier=read(write(kept)))
        opus().work(again, Bench(), lambda event: None, threading.Event())
    before, after = (unmarked(request["messages"]) for request in script.requests[-2:])
    assert after[: len(before)] == before


def test_thinking_goes_back_as_it_came() -> None:
    _, requests = worked([think("sig-1"), sh("ls")], [say("end")])
    assert requests[1]["messages"][1]["content"][0] == think("sig-1")


def test_a_call_that_was_cut_in_the_middle_is_neither_executed_nor_sent_back() -> None:
    bench = Bench()
    cut = {"content": [say("I write it."), sh("cat > x <<EOF")], "stop": "max_tokens"}
    _, requests = worked(cut, [say("end")], bench=bench)
    assert bench.calls == []
    assert requests[1]["messages"][1]["content"] == [say("I write it.")]
    assert requests[1]["messages"][2]["content"][0]["text"] == prompts.text("cut_short")


def test_half_a_character_in_a_call_is_sent_back_as_it_came() -> None:
    _, requests = worked([sh("echo \ud83d")], [say("end")])
    assert requests[1]["messages"][1]["content"] == [sh("echo \ud83d")]


def test_every_call_gets_its_result_in_order_and_an_error_is_marked() -> None:
    _, requests = worked([sh("one", "toolu_1"), sh("two", "toolu_2")], [say("end")])
    results = unmarked(requests[1]["messages"])[2]["content"]
    assert [result["tool_use_id"] for result in results] == ["toolu_1", "toolu_2"]
    assert [result["content"] for result in results] == ["output 1", "output 2"]


def test_after_a_stop_nothing_more_is_executed() -> None:
    bench = Bench(stops=True)
    ending, requests = worked([sh("one", "toolu_1"), sh("two", "toolu_2")], bench=bench)
    assert (ending.outcome, len(bench.calls), len(requests)) == ("halted", 1, 1)


def test_the_model_is_the_one_of_the_brief_and_never_another() -> None:
    _, requests = worked(BUSY, BUSY, [sh("ls")], [say("end")])
    assert {request["model"] for request in requests} == {MODEL}


def test_thinking_is_adaptive_at_the_effort_of_the_class_and_left_out_where_a_model_has_none() -> None:
    with scripted([say("end")]) as (url, script):
        for model in (MODEL, "claude-haiku-4-5-20251001", "claude-opus-4-6"):
            opus().work(
                task(url, model=model, effort="xhigh"), Bench(), lambda event: None, threading.Event()
            )
    thinks = [request.get("thinking") for request in script.requests]
    assert thinks == [{"type": "adaptive"}, None, {"type": "adaptive"}]
    assert script.requests[0]["output_config"]["effort"] == "xhigh"
    assert script.requests[0]["max_tokens"] >= 64_000


@pytest.mark.parametrize(
    ("model", "tokens", "told"),
    [
        pytest.param(MODEL, 500_000, 500_000, id="its token ceiling"),
        pytest.param(MODEL, 20_000, 20_000, id="the least that there may be"),
        pytest.param(MODEL, 19_999, None, id="less than that"),
        pytest.param("claude-opus-4-6", 500_000, None, id="a model that takes none"),
        pytest.param("claude-opus-4-5-20251101", 500_000, None, id="a model that does not think either"),
    ],
)
def test_the_model_is_given_its_token_ceiling_as_an_advisory_budget_that_never_changes(
    model: str, tokens: int, told: int | None
) -> None:
    given = replace(AMPLE, tokens=tokens)
    with start("claude", character="measured") as claude:
        stop, turns = threading.Event(), list[Event]()

        def tell(event: Event) -> None:
            turns.append(event)
            if event.turn == 3:
                stop.set()

        Opus().work(task(claude.url, given, model=model), Bench(), tell, stop)
        requests = claude.ask("/_sandbox/requests")
        rows = claude.invoice()["rows"]
    asked = [json.loads(request["body"]).get("output_config", {}).get("task_budget") for request in requests]
    assert asked == [told and {"type": "tokens", "total": told}] * 3
    assert [request["headers"].get("anthropic-beta") for request in requests] == [
        told and "task-budgets-2026-03-13"
    ] * 3
    assert all(row["cache_read"] > 0 for row in rows[1:]) or model != MODEL


def headers(usd: str = "5", tokens: int = 500_000, steps: int = 20, seconds: int = 600) -> Json:
    names = {"usd": usd, "tokens": tokens, "steps": steps, "seconds": seconds}
    return {f"tollgate-remaining-{name}": str(value) for name, value in names.items()}


def test_the_model_is_told_once_that_its_budget_is_nearly_gone() -> None:
    events: list[Event] = []
    left = [20, 3, 2, 1]
    answers = [{"content": [sh("ls", f"t{n}")], "headers": headers(steps=n)} for n in left]
    ending, requests = worked(*answers, [say("I stop here.")], events=events)
    told = [
        index
        for index, message in enumerate(requests[-1]["messages"])
        if "1 step of 20" in json.dumps(message) and "Wrap up" in json.dumps(message)
    ]
    assert told == [6]  # after the results of the third turn
    assert [event.kind for event in events].count("wrap_up") == 1
    assert (ending.outcome, ending.wrapped_up) == ("done", Reason.STEPS)


def test_without_a_gateway_nobody_says_what_is_left() -> None:
    ending, requests = worked(*[[sh("ls", f"t{n}")] for n in range(30)], [say("end")])
    assert (ending.outcome, ending.wrapped_up, len(requests)) == ("done", None, 31)


def test_what_happens_is_told_as_it_happens() -> None:
    events: list[Event] = []
    answer = {"content": [say("I look."), sh("ls")], "headers": headers(usd="4.5")}
    worked(answer, [say("end")], events=events)
    assert [(event.kind, event.text, event.turn, event.tool_calls) for event in events] == [
        ("turn", "I look.", 1, 0),
        ("tool", "$ ls", 1, 1),
        ("results", "", 1, 1),
        ("turn", "end", 2, 1),
    ]
    assert events[0].before.usd == Usd.parse("4.5")


def test_the_run_token_is_the_key_and_stands_in_no_repr() -> None:
    with scripted([say("end")]) as (url, script):
        given = task(f"{url}/anthropic")
        opus().work(given, Bench(), lambda event: None, threading.Event())
    assert script.tokens == [f"Bearer {TOKEN}"]
    assert script.paths == ["/anthropic/v1/messages"]
    assert TOKEN not in repr(given)


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(UnknownEngine, match="no engine 'cobol'"):
        named("cobol")
    assert named("opus").name == "opus"


def test_against_honest_accounting_each_turn_after_the_first_reads_its_whole_prefix_from_the_cache() -> None:
    told: list[Event] = []
    with start("claude", character="stuck") as claude:
        ceilings = CLASSES["bugfix"]
        given = task(claude.url, ceilings, system=prompts.system("bugfix"))
        stop = threading.Event()

        def tell(event: Event) -> None:
            told.append(event)
            if event.turn == 8:
                stop.set()

        Opus().work(given, Bench(), tell, stop)
        rows = claude.invoice()["rows"]
    assert len(rows) == 8
    prefix = 0
    for row in rows:
        assert row["cache_read"] == prefix
        assert row["input"] == 0  # all of it was written or read
        prefix = row["cache_read"] + row["cache_write_5m"]
    assert prefix > 2_048
