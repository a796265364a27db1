"""A collector that takes OTLP over HTTP on loopback, and keeps what came."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Collector", "collecting"]


class Collector:
    """``spans`` that came, with those of the resource's attributes. ``answers``: with this HTTP
    status."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers = 200
        self.requests = 0
        self.paths: set[str] = set()
        self.headers: dict[str, str] = {}
        self.spans: list[Any] = []
        self.resource: dict[str, str] = {}

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """One request."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        self.requests += 1
        self.paths.add(path)
        self.headers = headers
        if self.answers == 200:
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource = plain(group.resource.attributes)
                for scope in group.scope_spans:
                    self.spans += scope.spans
        return self.answers


def plain(attributes: Any) -> dict[str, Any]:
    """Attributes as Python values."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(collector.take(self.path, headers, body))
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
