"""Turns as OpenTelemetry spans, over OTLP/HTTP. Needs the ``otel`` extra.

A call is a trace, and its turns are the trace's roots: no span of a whole call would be there
before its end. Every id is made of what the turn is, so a turn that is sent again, or told by the
server and by the caller, falls into the same trace. What the OTEL_* environment says (endpoint,
headers, resource, sampling, limits) is the SDK's to read.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from voicelat import __version__
from voicelat.errors import ConnectError, MissingExtra, UsageError
from voicelat.metrics.exporters.columns import started_at
from voicelat.metrics.exporters.spans import OPERATION, Event, Part, events_of, parts_of
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.turnsfile import encode

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from requests import Response

__all__ = ["CAPTURE_CONTENT", "OtlpWriter"]

CAPTURE_CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""With ``true`` in this variable of the environment, spans have what was said on them."""

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Where the SDK looks for the collector's address, in this order."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_NS: Final = 2**63
_NS_PER_MS: Final = 1_000_000


class OtlpWriter:
    """Sends turns to a collector. ``url``: its address, None: what the environment says
    (``OTEL_EXPORTER_OTLP_ENDPOINT`` and its kin), else port 4318 here.

    What was said goes along only when `CAPTURE_CONTENT` asks for it: it is personal. Raises
    UsageError for a URL that is none, MissingExtra without the packages.
    """

    def __init__(self, url: str | None = None) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from requests import Session
        except ImportError:
            raise MissingExtra("otel", "sending spans") from None
        named = (os.environ.get(name) for name in _ENDPOINTS)
        self._place = url or next(filter(None, named), "http://localhost:4318")
        # It would log every try. What went wrong is said by whoever uses this.
        logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
        session = Session()
        session.hooks["response"].append(self._answered)
        self._status: int | None = None
        self._exporter = OTLPSpanExporter(_endpoint(url), session=session)
        self._content = os.environ.get(CAPTURE_CONTENT, "").strip().lower() == "true"
        self._spans = _Spans()

    def write(self, records: Sequence[TurnRecord]) -> list[str]:
        """Send them; returns why, for each that cannot be placed in time or was refused.

        Raises ConnectError when the collector cannot be reached or is overloaded.
        """
        from opentelemetry.sdk.trace.export import SpanExportResult

        unplaced = [why for record in records if (why := self._spans.add(record, self._content))]
        spans = self._spans.take()
        self._status = None
        if not spans or self._exporter.export(spans) is SpanExportResult.SUCCESS:
            return unplaced
        if self._status is None:
            raise ConnectError(f"{self._place}: no answer")
        if self._status in _AGAIN or self._status >= 500:
            raise ConnectError(f"{self._place}: answered {self._status}")
        refused = f"{self._place}: answered {self._status}"
        return [*unplaced, *[refused] * (len(records) - len(unplaced))]

    def close(self) -> None:
        """Close the connections."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _answered(self, response: Response, *_args: Any, **_kwargs: Any) -> None:
        self._status = response.status_code


_AGAIN: Final = (408, 429)
"""Answers below 500 after which the same request may be taken later."""


def _endpoint(url: str | None) -> str | None:
    """The address for spans, as the environment's base address is made one."""
    if url is None:
        return None
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url}: give the collector's address, like http://localhost:4318")
    base = url.rstrip("/")
    return base if base.endswith("/v1/traces") else f"{base}/v1/traces"


class _Spans:
    """Makes spans of turns with the SDK, which has the resource and what else is set."""

    def __init__(self) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.id_generator import IdGenerator

        class Ids(IdGenerator):
            trace_id = span_id = 0

            def generate_trace_id(self) -> int:
                return self.trace_id

            def generate_span_id(self) -> int:
                return self.span_id

        class Kept(SpanProcessor):
            def __init__(self) -> None:
                self.spans: list[ReadableSpan] = []

            def on_end(self, span: ReadableSpan) -> None:
                self.spans.append(span)

        self._ids, self._kept = Ids(), Kept()
        named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        provider = TracerProvider(
            resource=Resource.create({} if named else {"service.name": "voicelat"}),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._kept)
        self._tracer = provider.get_tracer("voicelat", __version__)

    def take(self) -> list[ReadableSpan]:
        """The spans made since the last time."""
        spans, self._kept.spans = self._kept.spans, []
        return spans

    def add(self, record: TurnRecord, content: bool) -> str | None:
        """Make the spans of a turn; else why there are none."""
        parts, events = parts_of(record, content), events_of(record)
        why = _unfit(record, parts, events)
        start = started_at(record)
        if why is not None or start is None:
            return f"{record.call_id} turn {record.turn}: {why}"
        base_ns = _since_1970_ns(start)
        self._ids.trace_id = _number(16, record.call_id)
        self._make(record, base_ns, parts, events)
        return None

    def _make(
        self, record: TurnRecord, base_ns: int, parts: Sequence[Part], events: Sequence[Event]
    ) -> None:
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        key = (record.call_id, record.started_utc, record.source, record.turn)
        nowhere = Context()
        inside = nowhere
        for part in parts:
            self._ids.span_id = _number(8, *key, part.name)
            span = self._tracer.start_span(
                part.name,
                inside,
                SpanKind.CLIENT if OPERATION in part.attributes else SpanKind.INTERNAL,
                part.attributes,
                start_time=base_ns + part.start_ms * _NS_PER_MS,
            )
            if inside is nowhere:
                inside = set_span_in_context(span, nowhere)
                for event in events:
                    at_ns = base_ns + event.at_ms * _NS_PER_MS
                    span.add_event(event.name, event.attributes, at_ns)
                silent = record.outcome == "censored"
                if silent or record.failure is not None:
                    span.set_attribute("error.type", "no_reply" if silent else "half_reply")
                    span.set_status(StatusCode.ERROR, record.failure or "never answered")
            span.end(base_ns + part.end_ms * _NS_PER_MS)


def _unfit(record: TurnRecord, parts: Sequence[Part], events: Sequence[Event]) -> str | None:
    """Why a turn cannot be spans; None when it can."""
    start = started_at(record)
    if start is None:
        return "when its call began is unknown (started_utc)"
    if not parts:
        return "it has no stamps"
    base_ns = _since_1970_ns(start)
    instants = (*(part.start_ms for part in parts), parts[0].end_ms, *(e.at_ms for e in events))
    if not all(0 <= base_ns + at * _NS_PER_MS < _LATEST_NS for at in instants):
        return "its time is out of range"
    try:
        encode(record)
    except UnicodeEncodeError:
        return "its text is no Unicode"
    return None


def _since_1970_ns(when: datetime) -> int:
    return (when - _EPOCH) // timedelta(microseconds=1) * 1000


def _number(size: int, *parts: object) -> int:
    """An id of ``size`` bytes that is always the same for the same parts; never 0."""
    told = msgspec.json.encode(parts)
    return int.from_bytes(hashlib.sha256(told).digest()[:size]) or 1
