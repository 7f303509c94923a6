"""A collector of OpenTelemetry's: takes OTLP over HTTP, decodes it, and may be away, refuse, or die."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Taken:
    """What a collector was sent; `spans` whole, by id, in the order in which they came."""

    spans: list[Span] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    resources: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    dies_after: int | None = None  # requests; of the last one it takes all and says nothing
    refuses: dict[str, int] = field(default_factory=dict)  # status by the id of a run

    @property
    def by_id(self) -> dict[bytes, Span]:
        return {span.span_id: span for span in self.spans}


def values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs if isinstance(pair, KeyValue)}


def _value(of: AnyValue) -> Any:
    kind = of.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in of.array_value.values]
    return getattr(of, kind) if kind else None


@contextmanager
def collecting(taken: Taken, port: int) -> Iterator[None]:
    """On this port of loopback, until the end or its death."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            taken.headers.append({name.lower(): value for name, value in self.headers.items()})
            status = _trace(taken, body) if self.path.endswith("/v1/traces") else _metrics(taken, body)
            if taken.dies_after is not None:
                taken.dies_after -= 1
                if taken.dies_after <= 0:
                    self.close_connection = True
                    Thread(target=server.shutdown).start()
                    self.connection.close()
                    return
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

        def handle_error(self) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # of the connection that it died on

    server = Server(("127.0.0.1", port), Door)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _trace(taken: Taken, body: bytes) -> int:
    asked = ExportTraceServiceRequest.FromString(body)
    spans = [span for of in asked.resource_spans for scope in of.scope_spans for span in scope.spans]
    for span in spans:
        status = taken.refuses.get(values(span.attributes).get("tollgate.run", ""))
        if status:
            return status
    taken.spans += spans
    taken.resources += [values(of.resource.attributes) for of in asked.resource_spans]
    return 200


def _metrics(taken: Taken, body: bytes) -> int:
    asked = ExportMetricsServiceRequest.FromString(body)
    for of in asked.resource_metrics:
        taken.resources.append(values(of.resource.attributes))
        for scope in of.scope_metrics:
            taken.metrics |= {metric.name: metric for metric in scope.metrics}
    return 200
