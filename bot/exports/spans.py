"""A run as a trace: the run, its attempts, and each request to a model, as OpenTelemetry's GenAI conventions
name them (v1.41.0); what is ours is under `tollgate.`.

Ids come from the run's, so that what is sent again is the same span. A person's name is in it only where that
was asked for, and no text of a task ever is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from bot.core.money import Usd
from bot.stores.traces import Ended

PROVIDER = "anthropic"
SCOPE = InstrumentationScope("tollgate", schema_url="https://opentelemetry.io/schemas/1.41.0")
NANOS_A_MS = 1_000_000

Row = Mapping[str, Any]


def spans(ended: Ended, resource: Resource, people: bool = False) -> Iterator[ReadableSpan]:
    """All spans of a run, the root first. With `people` who asked for it is named."""
    run, root = ended.run, _context(ended.run["id"])
    end = max([run["ended_at"], *(turn["settled_at"] for turn in ended.turns)])
    yield _span(
        f"invoke_agent {run['engine']}",
        root,
        None,
        (run["opened_at"], end),
        _of_run(run, people),
        resource,
        error=(run["reason"] or run["state"]) if run["state"] != "done" else None,
    )
    attempts: dict[int, list[Row]] = {}
    for turn in ended.turns:
        attempts.setdefault(turn["attempt"], []).append(turn)
    for attempt, turns in attempts.items():
        context = _context(run["id"], f"attempt {attempt}")
        times = min(turn["held_at"] for turn in turns), max(turn["settled_at"] for turn in turns)
        about = {"tollgate.run": run["id"], "tollgate.attempt": attempt}
        yield _span(f"attempt {attempt}", context, root, times, about, resource)
        for turn in turns:
            yield _span(
                f"chat {turn['model_asked']}",
                _context(run["id"], f"turn {turn['id']}"),
                context,
                (turn["held_at"], turn["settled_at"]),
                about | _of_turn(run["id"], turn),
                resource,
                SpanKind.CLIENT,
                None if turn["state"] == "settled" else _failure(turn),
            )


def _of_run(run: Row, people: bool) -> dict[str, Any]:
    """Not its tokens: each request has its own, and who adds up spans would count them twice."""
    return _known(
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.agent.name": run["engine"],
            "gen_ai.request.model": run["model"],
            "gen_ai.conversation.id": run["id"],
            "tollgate.run": run["id"],
            "tollgate.origin": run["origin"],
            "tollgate.repository": run["repository"],
            "tollgate.thread": run["thread"],
            "tollgate.thread_kind": run["thread_kind"],
            "tollgate.task_class": run["task_class"],
            "tollgate.line": run["line"],
            "tollgate.state": run["state"],
            "tollgate.reason": run["reason"],
            "tollgate.attempts": run["attempt"],
            "tollgate.steps": run["steps"],
            "tollgate.tool_calls": run["tool_calls"],
            **_money("run_cost", run["spent_nanos"]),
            **_money("ceiling", run["ceiling_nanos"]),
            "tollgate.ceiling_tokens": run["ceiling_tokens"],
            "tollgate.ceiling_steps": run["ceiling_steps"],
            "tollgate.ceiling_seconds": run["ceiling_seconds"],
            "user.name": run["actor"] if people else None,
        }
    )


def _of_turn(run: str, turn: Row) -> dict[str, Any]:
    written = turn["cache_write_5m"] + turn["cache_write_1h"]
    return _known(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.conversation.id": run,
            "gen_ai.request.model": turn["model_asked"],
            "gen_ai.response.model": turn["model"],
            "gen_ai.request.max_tokens": turn["clamped_max_tokens"] or turn["max_tokens"],
            "gen_ai.response.finish_reasons": [turn["stop_reason"]] if turn["stop_reason"] else None,
            # The conventions count the cached ones among the input.
            "gen_ai.usage.input_tokens": turn["input"] + written + turn["cache_read"],
            "gen_ai.usage.cache_read.input_tokens": turn["cache_read"],
            "gen_ai.usage.cache_creation.input_tokens": written,
            "gen_ai.usage.output_tokens": turn["output"],
            "http.response.status_code": turn["status"] or None,
            "tollgate.step": turn["step"],
            "tollgate.booked": turn["state"],
            "tollgate.ending": turn["ending"],
            "tollgate.request_id": turn["request_id"],
            "tollgate.price_book": turn["price_book"],
            **_money("cost", turn["nanos"]),
            **_money("hold", turn["hold_nanos"]),
        }
    )


def _money(name: str, nanos: int) -> dict[str, Any]:
    """As a number to add up, and exact."""
    return {f"tollgate.{name}_usd": float(Usd(nanos).decimal), f"tollgate.{name}_nano_usd": nanos}


def _failure(turn: Row) -> str:
    return str(turn["status"]) if (turn["status"] or 0) >= 400 else turn["ending"] or turn["state"]


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value != ""}


def _context(run: str, part: str = "") -> SpanContext:
    """The same for the same part of the same run, for ever."""
    trace = hashlib.sha256(f"tollgate run {run}".encode()).digest()
    span = hashlib.sha256(f"tollgate run {run} {part}".encode()).digest()
    return SpanContext(
        int.from_bytes(trace[:16], "big"),
        int.from_bytes(span[:8], "big"),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def _span(
    name: str,
    context: SpanContext,
    parent: SpanContext | None,
    times: tuple[int, int],
    attributes: dict[str, Any],
    resource: Resource,
    kind: SpanKind = SpanKind.INTERNAL,
    error: str | None = None,
) -> ReadableSpan:
    failed = {} if error is None else {"error.type": error}
    return ReadableSpan(
        name,
        context,
        parent,
        resource,
        attributes | failed,
        kind=kind,
        status=Status(StatusCode.UNSET if error is None else StatusCode.ERROR),
        start_time=times[0] * NANOS_A_MS,
        end_time=max(times) * NANOS_A_MS,
        instrumentation_scope=SCOPE,
    )
