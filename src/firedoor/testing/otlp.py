"""A receiver of OTLP over HTTP, for tests: it keeps what it was sent, and may be slow or refuse.

``python -m firedoor.testing.otlp --port 0 --into FOLDER`` prints ``listens at URL`` and appends a
line of JSON for each span, metric and log record to ``spans.jsonl``, ``metrics.jsonl`` and
``logs.jsonl`` in the folder. It needs ``firedoor[otel]``, whose messages it decodes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

Told = dict[str, object]
BODY_MAX = 64 * 2**20
Decode = Callable[[bytes], Iterator[Told]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a receiver answers."""

    slow_s: float = 0.0
    """Before each answer."""
    status: int = 200


def spans_of(body: bytes) -> Iterator[Told]:
    """Yield the spans of a request, each with what is told of its process."""
    request = ExportTraceServiceRequest.FromString(body)
    for resource in request.resource_spans:
        about = _attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "name": span.name,
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "kind": span.kind,
                    "began_ns": span.start_time_unix_nano,
                    "ended_ns": span.end_time_unix_nano,
                    "error": span.status.message if span.status.code == _ERROR else "",
                    "attributes": _attributes(span.attributes),
                    "events": [
                        {"name": event.name, "attributes": _attributes(event.attributes)}
                        for event in span.events
                    ],
                    "links": [link.span_id.hex() for link in span.links],
                    "resource": about,
                }


def metrics_of(body: bytes) -> Iterator[Told]:
    """Yield the metrics of a request."""
    request = ExportMetricsServiceRequest.FromString(body)
    for resource in request.resource_metrics:
        about = _attributes(resource.resource.attributes)
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield {"resource": about, **MessageToDict(metric)}


def lines_of(body: bytes) -> Iterator[Told]:
    """Yield the log records of a request."""
    request = ExportLogsServiceRequest.FromString(body)
    for resource in request.resource_logs:
        about = _attributes(resource.resource.attributes)
        for scope in resource.scope_logs:
            for line in scope.log_records:
                yield {
                    "body": _value(line.body),
                    "severity": line.severity_text,
                    "trace": line.trace_id.hex(),
                    "span": line.span_id.hex(),
                    "attributes": _attributes(line.attributes),
                    "resource": about,
                }


_ERROR = 2
_PATHS: dict[str, tuple[str, Decode]] = {
    "/v1/traces": ("spans.jsonl", spans_of),
    "/v1/metrics": ("metrics.jsonl", metrics_of),
    "/v1/logs": ("logs.jsonl", lines_of),
}


def receiver(folder: Path, *, port: int = 0, manners: Manners = Manners()) -> ThreadingHTTPServer:
    """Return a server that keeps what it is sent; ``serve_forever`` has it work.

    Args:
        folder: into which lines are appended.
        port: where it listens; 0: any that is free.
        manners: how it answers.
    """
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        """Takes one request."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Keep what is sent."""
            size = min(int(self.headers.get("Content-Length", 0)), BODY_MAX)
            body = _plain(self.rfile.read(size), self.headers.get("Content-Encoding", ""))
            if manners.slow_s:
                threading.Event().wait(manners.slow_s)
            known = _PATHS.get(self.path)
            if known is not None and manners.status == 200:  # noqa: PLR2004 - HTTP's
                name, decode = known
                lines = "".join(f"{json.dumps(told)}\n" for told in decode(body))
                with lock, (folder / name).open("a", encoding="utf-8") as file:
                    file.write(lines)
            self.send_response(manners.status if known is not None else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - of the base
            """Print nothing."""

    folder.mkdir(parents=True, exist_ok=True)
    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def _plain(body: bytes, encoding: str) -> bytes:
    """Return a body as it was before it was compressed."""
    match encoding:
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)
        case _:
            return body


def _attributes(pairs: Iterable[KeyValue]) -> Told:
    """Return attributes as a dict."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> object:
    """Return a value as Python has it."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)


def main() -> None:
    """Receive until it is ended."""
    parser = argparse.ArgumentParser(description="Keep what is sent by OTLP over HTTP.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--slow-s", type=float, default=0.0)
    parser.add_argument("--status", type=int, default=200)
    told = parser.parse_args()
    manners = Manners(slow_s=told.slow_s, status=told.status)
    server = receiver(told.into, port=told.port, manners=manners)
    sys.stdout.write(f"listens at http://127.0.0.1:{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
