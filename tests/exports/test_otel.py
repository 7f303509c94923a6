"""Runs told to a collector: each whole, none lost, the same again where it is told again, nobody named."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from bot.exports import families, figures
from bot.exports.otel import RUNS_AT_ONCE, Meter, Tracer, loops
from bot.services import Services
from bot.settings import Telemetry
from bot.stores.tables import looks, runs, turns
from sandbox.world_up import free_port
from tests.exports.collector import Taken, collecting, values
from tests.exports.lively import lively
from tests.stores.ledgers import Row, Rows, random_rows
from tests.stories.service import serving

MONTH = "2026-11"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Where the collector is, or will be."""
    port = free_port()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    return port


@pytest.fixture
def telling(service: Services) -> Services:
    telemetry = Telemetry(traces=True, metrics=True)
    return replace(service, settings=replace(service.settings, telemetry=telemetry))


@pytest.fixture
def rows(telling: Services) -> Rows:
    """Much happened; runs are told from the very beginning."""
    made = lively(telling.database, MONTH)
    telling.looks.begin("traces")
    telling.looks.end("traces", None)
    with telling.database.begin() as tx:
        tx.execute(sa.update(looks).values(through_at=0))
    return made


def ended(rows: Rows) -> list[Row]:
    held = {turn["run"] for turn in rows.turns if turn["state"] == "held"}
    return [run for run in rows.runs if run["ended_at"] is not None and run["id"] not in held]


def requests_of(rows: Rows) -> dict[str, list[Row]]:
    """By run, of those that are to be told."""
    found: dict[str, list[Row]] = {run["id"]: [] for run in ended(rows)}
    for turn in rows.turns:
        if turn["run"] in found and turn["state"] in ("settled", "estimated", "released"):
            found[turn["run"]].append(turn)
    return found


def spans(taken: Taken, operation: str | None) -> list[Any]:
    found = [(span, values(span.attributes)) for span in taken.by_id.values()]
    return [(span, about) for span, about in found if about.get("gen_ai.operation.name") == operation]


def test_a_run_is_a_trace_and_its_requests_are_spans_with_the_ledgers_own_figures(
    telling: Services, rows: Rows, port: int
) -> None:
    taken, expected = Taken(), requests_of(rows)
    with collecting(taken, port):
        assert Tracer(telling).tell() == len(expected) > RUNS_AT_ONCE
        assert Tracer(telling).tell() == 0, "once"
    assert len(taken.spans) == len(taken.by_id)
    roots = {about["tollgate.run"]: (span, about) for span, about in spans(taken, "invoke_agent")}
    assert set(roots) == set(expected)
    asked: dict[str, list[Any]] = {run: [] for run in expected}
    for span, about in spans(taken, "chat"):
        asked[about["tollgate.run"]].append((span, about))
    attempts = {span.span_id: span for span, _ in spans(taken, None)}
    for run, made in expected.items():
        root, told = roots[run]
        row = next(each for each in rows.runs if each["id"] == run)
        assert (root.parent_span_id, told["tollgate.run_cost_nano_usd"]) == (b"", row["spent_nanos"])
        assert told.get("error.type") == (None if row["state"] == "done" else row["reason"] or row["state"])
        assert len(asked[run]) == len(made)
        assert Counter(about["tollgate.cost_nano_usd"] for _, about in asked[run]) == Counter(
            turn.get("nanos", 0) for turn in made
        )
        total: Counter[str] = Counter()
        for span, about in asked[run]:
            assert span.trace_id == root.trace_id
            assert attempts[span.parent_span_id].parent_span_id == root.span_id
            assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.end_time_unix_nano <= root.end_time_unix_nano
            total += Counter(
                {name: int(about[f"gen_ai.usage.{name}"]) for name in ("input_tokens", "output_tokens")}
            )
        read = ("input", "cache_write_5m", "cache_write_1h", "cache_read")
        assert total["input_tokens"] == sum(turn.get(name, 0) for turn in made for name in read)
        assert total["output_tokens"] == sum(turn.get("output", 0) for turn in made)
    assert {each["service.name"] for each in taken.resources} == {"tollgate"}


def test_every_name_of_the_conventions_that_is_used_is_in_them(
    telling: Services, rows: Rows, port: int
) -> None:
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    taken = Taken()
    with collecting(taken, port):
        Tracer(telling).tell()
        Meter(telling).tell()
    names = {name for span in taken.spans for name in values(span.attributes)}
    names |= {
        name
        for metric in taken.metrics.values()
        for point in points(metric)
        for name in values(point.attributes)
    }
    others = {name for name in names if not name.startswith("tollgate.")} - known
    assert others == {"error.type", "http.response.status_code"}


def test_a_collector_that_dies_in_the_middle_has_every_span_in_the_end(
    telling: Services, rows: Rows, port: int
) -> None:
    taken, expected = Taken(dies_after=7), requests_of(rows)
    tracer = Tracer(telling)
    with collecting(taken, port):
        first = tracer.tell()
        assert first < len(expected)
    assert tracer.tell() == 0, "it is away"
    taken.dies_after = None
    with collecting(taken, port):
        assert tracer.tell() == len(expected) - first
    told = [about["tollgate.run"] for _, about in spans(taken, "invoke_agent")]
    assert sorted(told) == sorted(expected)
    again = Counter(span.span_id for span in taken.spans)
    assert max(again.values()) == 2, "the one on which it died came twice"
    for span in taken.spans:
        assert span == taken.by_id[span.span_id], "and was the same"


def test_what_a_collector_will_never_take_is_left_out_and_what_it_may_take_later_is_not(
    telling: Services, rows: Rows, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    in_order = sorted(ended(rows), key=lambda run: (run["ended_at"], run["id"]))
    taken = Taken(refuses={in_order[0]["id"]: 400, in_order[1]["id"]: 403})
    tracer = Tracer(telling)
    with collecting(taken, port), caplog.at_level(logging.WARNING, "tollgate.otel"):
        assert tracer.tell() == 1
        told_of = [getattr(record, "about", {}).get("run") for record in caplog.records]
        assert [run for run in told_of if run] == [in_order[0]["id"]]
        taken.refuses.clear()
        assert tracer.tell() == len(in_order) - 1
    told = {about["tollgate.run"] for _, about in spans(taken, "invoke_agent")}
    assert told == {run["id"] for run in in_order[1:]}


def test_a_run_that_is_resumed_and_ends_again_is_told_again_as_the_same_trace(
    telling: Services, rows: Rows, port: int
) -> None:
    taken, run = Taken(), next(iter(run for run, of in requests_of(rows).items() if of))
    with collecting(taken, port):
        Tracer(telling).tell()
        before = dict(taken.by_id)
        with telling.database.begin() as tx:
            mine = sa.update(runs).where(runs.c.id == run)
            tx.execute(mine.values(ended_at=runs.c.ended_at + 60_000, state="done", reason=None, attempt=9))
            copied = rows.turns[0] | {"id": 10**6, "run": run, "attempt": 9, "state": "settled"}
            tx.execute(sa.insert(turns).values(copied | {"settled_at": copied["held_at"] + 1}))
        taken.spans.clear()
        assert Tracer(telling).tell() == 1
    after = taken.by_id
    new = set(after) - set(before)
    assert len(new) == 2, "an attempt and its one request"
    changed = [span for id, span in after.items() if id in before and span != before[id]]
    assert [span.name.partition(" ")[0] for span in changed] == ["invoke_agent"]


def test_nobody_is_named_and_no_text_leaves_unless_names_were_asked_for(
    telling: Services, rows: Rows, port: int
) -> None:
    secret = {"actor": "a-person", "task": "a-text", "message": "a-text", "snapshot": '{"a": "a-text"}'}
    with telling.database.begin() as tx:
        tx.execute(sa.update(runs).values(secret))
        tx.execute(sa.update(turns).values(usage='{"a": "a-text"}'))
    taken = Taken()
    with collecting(taken, port):
        Tracer(telling).tell()
        Meter(telling).tell()
        everything = " ".join(map(str, [*taken.spans, *taken.metrics.values(), *taken.resources]))
        assert taken.spans
        assert taken.metrics
        assert "a-person" not in everything
        assert "a-text" not in everything
        with telling.database.begin() as tx:
            tx.execute(sa.update(runs).values(traced_at=None))
        telemetry = Telemetry(traces=True, people=True)
        named = replace(telling, settings=replace(telling.settings, telemetry=telemetry))
        taken.spans.clear()
        Tracer(named).tell()
    assert {about["user.name"] for _, about in spans(taken, "invoke_agent")} == {"a-person"}
    assert "a-text" not in " ".join(map(str, taken.spans))


def test_the_standard_variables_are_heeded(
    telling: Services, rows: Rows, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hidden")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "agents")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    taken = Taken()
    with collecting(taken, port):
        assert Tracer(telling).tell()
    assert {each["api-key"] for each in taken.headers} == {"hidden"}
    assert {each["content-encoding"] for each in taken.headers} == {"gzip"}
    about = {"service.name": "agents", "deployment.environment.name": "test"}
    assert all(each == about for each in taken.resources)


def points(metric: Any) -> Any:
    return getattr(metric, metric.WhichOneof("data")).data_points


def test_the_metrics_are_those_that_prometheus_reads(telling: Services, rows: Rows, port: int) -> None:
    taken, found = Taken(), figures.now(telling) | figures.window(telling)
    with collecting(taken, port):
        assert Meter(telling).tell()
        assert not Meter(telling).tell(), "by one process, once in an interval"
    for family, samples in found.items():
        changes = family.name.endswith(("_timestamp_seconds", "_free_bytes")) or "oldest" in family.name
        if not samples or changes:
            continue
        metric = taken.metrics[family.name.removesuffix("_total").replace("_", ".", 1)]
        kind = "sum" if family.kind == "counter" else "gauge"
        assert metric.WhichOneof("data") == kind
        if kind == "sum":
            assert (metric.sum.is_monotonic, metric.sum.aggregation_temporality) == (True, 2)
            assert points(metric)[0].start_time_unix_nano > 0
        told = {
            tuple(values(point.attributes).values()): point.as_double or point.as_int
            for point in points(metric)
        }
        assert told == {labels: pytest.approx(value / family.scale) for labels, value in samples.items()}
    names = {name for point in points(taken.metrics["tollgate.tokens"]) for name in values(point.attributes)}
    assert {"gen_ai.request.model", "gen_ai.token.type", "tollgate.repository"} <= names
    assert families.COST in found


def test_without_a_collector_nothing_is_told(service: Services) -> None:
    assert list(loops(service)) == []


@pytest.mark.slow
def test_the_worker_tells_and_the_web_process_does_not(tmp_path: Path, port: int) -> None:
    taken = Taken()
    with collecting(taken, port), serving(tmp_path, f"sqlite:///{tmp_path / 't.db'}") as made:
        assert not taken.metrics
        made.worker()
        made.until("SELECT looked_at > 0 FROM looks WHERE name = 'metrics'")
        made.until("SELECT through_at > 0 FROM looks WHERE name = 'traces'")
        assert "tollgate.workers" in taken.metrics
        ends = {"state": "done", "reason": None, "thread": None, "ended_at": made.database.now_ms()}
        with made.database.begin() as tx:
            tx.execute(sa.insert(runs).values(random_rows(Random(1), 1).runs[0] | ends | {"id": "run"}))
        made.until("SELECT traced_at = ended_at FROM runs WHERE id = 'run'")
    assert [about["tollgate.run"] for _, about in spans(taken, "invoke_agent")] == ["run"]
