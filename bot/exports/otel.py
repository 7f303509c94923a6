"""Traces and metrics to a collector over OTLP/HTTP, told by the worker from the ledger afterwards.

At least once: a run is marked when the collector has taken the last of its spans. A collector that is away
loses nothing, and nobody waits for it but the thread that tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from bot.exports import figures
from bot.exports.families import MODEL, TOKEN_TYPE, Family, Samples
from bot.exports.spans import NANOS_A_MS, SCOPE, spans
from bot.logs import Log
from bot.services import Services
from bot.stores.totals import Totals
from bot.stores.traces import Ended, Traces

TRACES, METRICS = "traces", "metrics"
TELL_SECONDS = 10.0
RUNS_AT_ONCE = 20
SPANS_AT_ONCE = 512
MALFORMED = 400  # the one answer after which nothing may be sent again (OTLP 1.8.0)
CONVENTIONAL = {MODEL: "gen_ai.request.model", TOKEN_TYPE: "gen_ai.token.type"}

log = Log("otel")

Loop = tuple[float, Callable[[], object]]


def loops(services: Services) -> Iterator[Loop]:
    """What a worker does periodically to tell a collector, and how often (seconds)."""
    told = services.settings.telemetry
    if told.traces:
        tracer = Tracer(services)
        yield TELL_SECONDS, tracer.tell
    if told.metrics:
        meter = Meter(services)
        yield told.interval, meter.tell


def resource() -> Resource:
    """This service, and what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say of it."""
    return Resource({"service.name": "tollgate"}).merge(OTELResourceDetector().detect())


class Session(requests.Session):
    """Follows no redirect: the key in OTEL_EXPORTER_OTLP_HEADERS is for the collector's host alone."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class Tracer:
    """Tells of runs that have ended since it was first asked to."""

    def __init__(self, services: Services) -> None:
        self._services, self._store = services, Traces(services.database)
        self._resource, self._status = resource(), 0
        session = Session()
        session.hooks["response"].append(self._answered)
        self._exporter = OTLPSpanExporter(session=session)

    def tell(self) -> int:
        """Everything there is to tell; how many runs that was. 0 as well while another process is at it."""
        looks = self._services.looks
        since = looks.begin(TRACES)
        if since is None:
            return 0
        told = 0
        try:
            while ended := self._store.untold(since, RUNS_AT_ONCE):
                for each in ended:
                    if not self._tell(each):
                        return told
                    told += 1
                looks.go_on(TRACES)
        finally:
            looks.end(TRACES, None)
        return told

    def _tell(self, ended: Ended) -> bool:
        """Whether the collector has it, or never will."""
        people = self._services.settings.telemetry.people
        for part in _parts(spans(ended, self._resource, people), SPANS_AT_ONCE):
            self._status = 0
            if self._exporter.export(part) is not SpanExportResult.SUCCESS:
                if self._status != MALFORMED:
                    return False
                said = "the collector does not take the trace of this run: it is left out"
                log.warning("trace_left_out", said, run=ended.run["id"])
                break
        self._store.told(ended.run["id"], ended.run["ended_at"])
        return True

    def _answered(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._status = response.status_code


class Meter:
    """Tells what `/metrics` tells."""

    def __init__(self, services: Services) -> None:
        self._services, self._resource = services, resource()
        self._exporter = OTLPMetricExporter(session=Session())

    def tell(self) -> bool:
        """Whether the collector has them; False as well if another process told it just now."""
        looks, interval = self._services.looks, self._services.settings.telemetry.interval
        if looks.begin(METRICS) is None:
            return False
        now = None
        try:
            at = self._services.database.now_ms()
            if at - looks.looked_at(METRICS) < interval * 1000 / 2:
                return False
            found = figures.now(self._services) | figures.window(self._services)
            began = Totals(self._services.database).began() or at
            told = self._exporter.export(_data(found, self._resource, began, at))
            if told is MetricExportResult.SUCCESS:
                now = at
            return now is not None
        finally:
            looks.end(METRICS, now)


def _data(found: figures.Figures, resource: Resource, began: int, at: int) -> MetricsData:
    metrics = [_metric(family, samples, began, at) for family, samples in found.items() if samples]
    scope = ScopeMetrics(SCOPE, metrics, SCOPE.schema_url or "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metric(family: Family, samples: Samples, began: int, at: int) -> Metric:
    """Named so that whoever turns it into Prometheus' form comes to the name that `/metrics` has."""
    points = [
        NumberDataPoint(
            {
                CONVENTIONAL.get(name, f"tollgate.{name}"): value
                for name, value in zip(family.labels, labels, strict=True)
            },
            began * NANOS_A_MS if family.kind == "counter" else 0,
            at * NANOS_A_MS,
            value if family.scale == 1 else value / family.scale,
        )
        for labels, value in samples.items()
    ]
    name = family.name.removesuffix("_total").replace("_", ".", 1)
    counts = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return Metric(name, family.help, "", counts if family.kind == "counter" else Gauge(points))


def _parts(all_spans: Iterable[ReadableSpan], most: int) -> Iterator[Sequence[ReadableSpan]]:
    left = iter(all_spans)
    while part := list(islice(left, most)):
        yield part
