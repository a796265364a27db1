"""The ASGI application: ``/voice``, ``/media``, ``/stream-status``, ``/healthz``, ``/metrics``."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import get_args
from urllib.parse import urlsplit

from msgspec.structs import asdict
from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from voicelat import __version__
from voicelat.agentkit.runs.feed import CallFeed
from voicelat.engine.config import EngineConfig
from voicelat.engine.guards import LAG_BUCKETS_MS, LoopWatch
from voicelat.engine.recording import TapeDeck
from voicelat.engine.stack import Stack
from voicelat.engine.transport import Transport
from voicelat.engine.turn_loop import CallSummary, TurnLoop
from voicelat.errors import ConnectError, UsageError
from voicelat.metrics.exporters.live import LiveSink
from voicelat.metrics.exporters.prometheus import CONTENT_TYPE, PrometheusExporter
from voicelat.metrics.merge import Ratio, merge
from voicelat.metrics.record import StallKind, TurnRecord
from voicelat.metrics.recorder import MetricRecorder
from voicelat.serve.config import ServeConfig
from voicelat.serve.connections import CUT_OFF
from voicelat.serve.crew import Crew, State
from voicelat.serve.socket import AsgiTransport
from voicelat.serve.tokens import StreamTokens
from voicelat.turn.config import TurnConfig
from voicelat.turn.endpointing import EndpointPolicy
from voicelat.turn.tuner import EouTuner
from voicelat.twilio.messages import Start
from voicelat.twilio.signature import handshake_is_genuine, webhook_is_genuine
from voicelat.twilio.twiml import connect_stream

__all__ = ["TwilioServer"]

_LOG = logging.getLogger("voicelat.serve")

_MAX_FORM = 65_536
"""Bytes of a webhook's form. Twilio's have about 1000, and a stranger's are read into memory."""

_MAX_NUMBER = 32
"""Characters of a caller's number; Twilio's parameters have 500 in all."""

_FALLBACK_SAY = "Sorry, we have a technical problem. Please call again."
_BUSY_SAY = "Sorry, all lines are busy. Please call again in a few minutes."


class TwilioServer:
    """The reference server on one stack. ``app`` is its ASGI application.

    The application warms the stack at start-up, and at shutdown writes what is still queued.
    Mounted in an application of your own it does neither, because Starlette and FastAPI run the
    outermost lifespan alone: give that one `lifespan`. The media socket can also be had alone,
    as the endpoint `media` of a route of yours, beside a webhook of yours that puts
    `stream_token` into its TwiML.

    ``on_turn`` is called on the event loop with each closed turn; it must not block. ``sinks`` are
    given each turn, and closed with the server. ``feed``: tells the agents' process of turns and
    ended calls; None: there are no agents.
    ``lost_logs``: how many log lines were dropped so far, None: nobody counts. ``crew``: the other
    workers on the same port; None: this process is alone.
    """

    def __init__(
        self,
        stack: Stack,
        config: ServeConfig,
        *,
        turn: TurnConfig | None = None,
        policy: Callable[[], EndpointPolicy] | None = None,
        tuner: EouTuner | None = None,
        engine: EngineConfig | None = None,
        settings: dict[str, str | int | float | bool] | None = None,
        prewarm: bool = True,
        on_turn: Callable[[TurnRecord], None] | None = None,
        sinks: Sequence[LiveSink] = (),
        feed: CallFeed | None = None,
        lost_logs: Callable[[], int] | None = None,
        crew: Crew | None = None,
    ) -> None:
        config.check()
        self.config = config
        self.draining = False
        """Whether new calls are refused because the server is about to stop."""
        self._stack = stack
        self._prewarm = prewarm
        self._warm = False
        self._open_sockets = 0
        self.crew = crew
        life_s = config.token_life_s
        self._tokens = StreamTokens(life_s) if crew is None else crew.tokens(life_s)
        self._tell = on_turn or (lambda _record: None)
        self._sinks = tuple(sinks)
        self._feed = feed
        self._recorder = MetricRecorder(config.turns_file) if config.turns_file else None
        self._deck = TapeDeck(config.record_dir) if config.record_dir else None
        self._exporter = PrometheusExporter(self._recorder.counts if self._recorder else None)
        self._sockets: Counter[str] = Counter()
        """How sockets ended, were refused, or lost messages: reasons of ours, never a peer's."""
        self._audio_ms: Counter[str] = Counter()
        """Caller audio not heard as it was sent, of calls that are over."""
        self.watch = LoopWatch(lost_logs)
        self.loop = TurnLoop(
            stack,
            turn=turn,
            policy=policy,
            tuner=tuner,
            engine=engine,
            on_turn=self._on_turn,
            tape=self._deck.tape if self._deck else None,
            admit=self._admit,
            watch=self.watch,
            settings=settings,
        )
        self._show_metrics()
        self.app = Starlette(
            routes=[
                Route("/voice", self._voice, methods=["POST"]),
                Route("/stream-status", self._stream_status, methods=["POST"]),
                Route("/healthz", self._healthz),
                Route("/metrics", self._metrics),
                WebSocketRoute("/media", self.media),
            ],
            exception_handlers={ClientDisconnect: self._hung_up},
            lifespan=self.lifespan,
        )

    def _show_metrics(self) -> None:
        show = self._exporter
        show.watch_gauge("voicelat_calls", "Calls going on now", lambda: self.loop.calls)
        show.watch_counts(
            "voicelat_socket_events",
            "Sockets ended, refused, and messages dropped",
            "why",
            lambda: self._sockets,
        )
        show.watch_counts(
            "voicelat_caller_audio_ms",
            "Caller audio not heard as it was sent: missing, late, or the agent's echo",
            "what",
            lambda: self._audio_ms,
        )
        phrases = self._stack.phrases
        show.watch_counts(
            "voicelat_phrase_lookups",
            "Clauses looked up among the phrases in hand",
            "result",
            lambda: {"hit": phrases.hits, "miss": phrases.misses},
        )
        show.watch_gauge(
            "voicelat_phrase_hit_rate",
            "Hits per lookup since the start; NaN before the first",
            lambda: math.nan if phrases.hit_rate is None else phrases.hit_rate,
        )
        show.watch_gauge(
            "voicelat_phrase_bytes", "Audio of phrases in memory", lambda: phrases.memory.bytes
        )
        show.watch_counts(
            "voicelat_phrase_events",
            "Phrases made, failed, evicted, and what their tiers did",
            "what",
            phrases.counts,
        )
        show.watch_counts(
            "voicelat_vad_windows",
            "What the shared voice detector judged, in how many batches, and what it could not",
            "what",
            lambda: self._stack.detector_counts,
        )
        show.watch_histogram(
            "voicelat_loop_lag_ms",
            "How late the event loop was, every 20 ms",
            LAG_BUCKETS_MS,
            lambda: {"": (self.watch.lag.counts, self.watch.lag.total_ms)},
        )
        show.watch_histogram(
            "voicelat_gc_pause_ms",
            "What garbage collections took",
            LAG_BUCKETS_MS,
            lambda: {str(g): (one.counts, one.total_ms) for g, one in self.watch.gc.items()},
            label="generation",
        )
        show.watch_counts(
            "voicelat_loop_stalls",
            "Times the event loop stood still for 50 ms or more",
            "kind",
            lambda: {kind: self.watch.stalls[kind] for kind in get_args(StallKind)},
        )
        show.watch_counts(
            "voicelat_log_lines",
            "Log lines by what became of them",
            "fate",
            lambda: {"dropped": self.watch.lost_logs()},
        )
        for sink in self._sinks:
            show.watch_records(sink.name, sink.counts)
            show.watch_gauge(
                f"voicelat_{sink.name}_waiting",
                "Turn records that are not there yet",
                partial(_waiting, sink),
            )
        if self._feed is not None:
            events = self._feed.counts
            show.watch_counts(
                "voicelat_agent_events",
                "Events for the agents by what became of them",
                "fate",
                lambda: {key: value for key, value in asdict(events()).items() if key != "waiting"},
            )
            show.watch_gauge(
                "voicelat_agent_events_waiting",
                "Events the agents' process has not taken yet",
                lambda: events().waiting,
            )
        if self._deck is not None:
            lost = self._deck.lost
            show.watch_counts(
                "voicelat_recording_lost", "Writes the disk did not take", "why", lambda: dict(lost)
            )

    async def warm(self) -> None:
        """Get ready for the first call; the second time there is nothing to do.

        Raises what `Stack.warm` raises, and ConnectError when it takes too long.
        """
        if self._warm:
            return
        try:
            async with asyncio.timeout(self.config.warm_timeout_s):
                await self._stack.warm(self.loop.phrases if self._prewarm else ())
        except TimeoutError:
            limit = f"{self.config.warm_timeout_s:g} s"
            raise ConnectError(
                f"the providers were not ready within {limit} (WARM_TIMEOUT_S)"
            ) from None
        for phrase, why in self._stack.phrases.failed.items():
            _LOG.warning("cannot say %r: %s", phrase, why)
        self._warm = True

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """Warm up, and at the end write what is queued: as the ``lifespan`` of the outermost
        application, or inside one of your own (``async with server.lifespan():``)."""
        await self.warm()
        self.watch.start()
        try:
            yield
        finally:
            self.watch.stop()
            for sink in (self._recorder, *self._sinks):
                if sink is not None:
                    _close(sink)
            if self._feed is not None and (lost := self._feed.close()) is not None:
                _LOG.error("%s", lost)
            if self._deck is not None:
                self._deck.close()
            await self._stack.aclose()

    def _on_turn(self, record: TurnRecord) -> None:
        self._exporter.observe(record)
        if self._recorder is not None:
            self._recorder.record(record)
        for sink in self._sinks:
            sink.record(record)
        if self._feed is not None:
            self._feed.turn(record)
        self._tell(record)

    # -- Twilio -------------------------------------------------------------------------------

    async def _voice(self, request: Request) -> Response:
        """A call comes in: answer with the stream."""
        refusal = await self._refuse_forged(request)
        if refusal is not None:
            return refusal
        if self._busy:
            return _say(_BUSY_SAY)
        # Where we are mounted, if we are.
        base = self._public_base(request) + request.scope.get("root_path", "")
        stream_base = base.replace("http", "ws", 1)
        try:
            twiml = connect_stream(
                f"{stream_base}/media",
                parameters={"token": self.stream_token(), **await self._about_caller(request)},
                status_callback=f"{base}/stream-status",
                fallback_say=_FALLBACK_SAY,
                insecure=self.config.auth_token is None,
            )
        except UsageError as error:
            _LOG.error("PUBLIC_BASE_URL must be set to https://...: %s", error)
            return _say(_FALLBACK_SAY)
        return Response(twiml, media_type="text/xml")

    async def _about_caller(self, request: Request) -> dict[str, str]:
        """What agents are told of the caller, as parameters of the stream: its ``start`` does not
        say who calls."""
        if self._feed is None:
            return {}
        number = (await request.form()).get("From")
        return {"from": number} if isinstance(number, str) and len(number) <= _MAX_NUMBER else {}

    async def _stream_status(self, request: Request) -> Response:
        """What Twilio says about the stream; handshake errors show nowhere else."""
        refusal = await self._refuse_forged(request)
        if refusal is not None:
            return refusal
        form = await request.form()
        event, error = form.get("StreamEvent"), form.get("StreamError")
        level = logging.ERROR if error else logging.INFO
        _LOG.log(level, "stream %r: %r %r", form.get("StreamSid"), event, error or "")
        self._sockets[f"status {event}" if event in _STREAM_EVENTS else "status unknown"] += 1
        return Response(status_code=204)

    def stream_token(self) -> str:
        """For the ``<Parameter name="token">`` of a stream: without one, a server that has an
        auth token takes no call."""
        return self._tokens.issue(time.monotonic())

    async def media(self, socket: WebSocket) -> None:
        """The media socket, from its handshake to its end."""
        if not self._handshake_is_genuine(socket):
            self._sockets["forged handshake"] += 1
            await socket.close(1008, "bad signature")
            return
        if self._busy:
            self._sockets["refused: busy"] += 1
            await socket.close(1013, "busy")
            return
        if self._open_sockets >= self.config.max_sockets:
            self._sockets["refused: too many sockets"] += 1
            await socket.close(1013, "too many sockets")
            return
        await socket.accept()
        transport = AsgiTransport(socket)
        self._open_sockets += 1
        try:
            await self.take_call(transport)
        finally:
            self._open_sockets -= 1
        if transport.close_code in CUT_OFF:
            self._sockets[CUT_OFF[transport.close_code]] += 1

    async def take_call(self, transport: Transport) -> CallSummary:
        """Serve a socket somebody else has accepted, until it ends, and count what became of it."""
        if not self._warm:
            self._sockets["not warmed up"] += 1
            _LOG.error("a call before the server was warmed up: run TwilioServer.lifespan")
        try:
            summary = await self.loop.run(transport)
        finally:
            self._note_calls(self.loop.calls)
        self._sockets[summary.why] += 1
        if self._feed is not None and summary.call_id is not None:
            self._feed.ended(summary.call_id, summary.why)
        if summary.call_id is None:
            _LOG.warning("a media socket came to no call: %s", summary.why)
        self._sockets["recogniser lost"] += len(summary.recogniser_errors)
        self._sockets["broken inside"] += len(summary.errors)
        for reason, count in summary.drops.items():
            self._sockets[f"dropped: {reason}"] += count
        self._audio_ms.update(summary.audio_ms)
        return summary

    def drain(self) -> None:
        """Take no new call from now on."""
        self.draining = True
        if self.crew is not None:
            self.crew.note_state(State.DRAINING)

    def lost_connection(self) -> None:
        """Count a connection that could not be taken from the supervisor."""
        self._sockets["connection lost: too many open files"] += 1

    @property
    def _busy(self) -> bool:
        """Whether a call would be one too many for all workers. One of them may have a few more
        than its share: connections are handed out by how many there are, not by which are calls,
        and a call is not refused while there is room elsewhere."""
        if self.crew is None:
            return self.draining or self.loop.calls >= self.config.max_calls
        return self.draining or self.crew.calls >= self.config.max_calls * self.crew.takers

    def _note_calls(self, calls: int) -> None:
        if self.crew is not None:
            self.crew.note_calls(calls)

    def _admit(self, start: Start) -> str | None:
        if self._busy:  # sockets that were opened when it was not
            return "busy"
        token = start.custom_parameters.get("token", "")
        if self.config.auth_token is not None and not self._tokens.redeem(token, time.monotonic()):
            return "the stream token is missing, old or used"
        self._note_calls(self.loop.calls + 1)  # it begins now
        if self._feed is not None and start.call_sid is not None:
            self._feed.began(start.call_sid, start.custom_parameters.get("from"))
        return None

    async def _refuse_forged(self, request: Request) -> Response | None:
        headers = request.headers
        if "transfer-encoding" in headers or int(headers.get("content-length", 0)) > _MAX_FORM:
            self._sockets["oversized webhook"] += 1
            return JSONResponse({"error": "too large"}, status_code=413)
        token = self.config.auth_token
        if token is None:
            return None
        url = self._public_base(request) + request.url.path
        if request.url.query:
            url += f"?{request.url.query}"
        form = _lists(await request.form())
        if webhook_is_genuine(token, url, form, request.headers):
            return None
        self._sockets["forged webhook"] += 1
        _LOG.warning("refused %s: the signature is not Twilio's for %s", request.url.path, url)
        return JSONResponse({"error": "bad signature"}, status_code=403)

    async def _hung_up(self, _request: Request, _error: Exception) -> Response:
        """The peer went away in the middle of its form: nobody reads this answer."""
        self._sockets["webhook broken off"] += 1
        return Response(status_code=400)

    def _handshake_is_genuine(self, socket: WebSocket) -> bool:
        token = self.config.auth_token
        if token is None:
            return True
        url = self._public_base(socket).replace("http", "ws", 1) + socket.url.path
        return handshake_is_genuine(token, url, socket.headers)

    def _public_base(self, connection: HTTPConnection) -> str:
        if self.config.public_base_url:
            return self.config.public_base_url.rstrip("/")
        url = urlsplit(str(connection.url))
        scheme = {"ws": "http", "wss": "https"}.get(url.scheme, url.scheme)
        return f"{scheme}://{url.netloc}"

    # -- operators ----------------------------------------------------------------------------

    async def _healthz(self, _request: Request) -> Response:
        health = {
            "status": "draining" if self.draining else "ok",
            "calls": self.loop.calls if self.crew is None else self.crew.calls,
            "version": __version__,
        }
        if self.crew is not None:
            health["workers"] = self.crew.takers
        return JSONResponse(health, status_code=503 if self.draining else 200)

    async def _metrics(self, request: Request) -> Response:
        """Of all workers, whichever was asked; of this one alone with ``?of=me``."""
        told = self.exposition()
        if self.crew is not None and request.query_params.get("of") != "me":
            others = await self.crew.others()
            told = merge([told, *(one for one in others if one is not None)], _RATIOS)
            told += self.crew.exposition(missing=others.count(None))
        return Response(told, headers={"content-type": CONTENT_TYPE})

    def exposition(self) -> bytes:
        """Everything this process counts, in Prometheus' text format."""
        return self._exporter.exposition()


_LOOKUPS = "voicelat_phrase_lookups_total"
_RATIOS = {
    "voicelat_phrase_hit_rate": Ratio(
        f'{_LOOKUPS}{{result="hit"}}', f'{_LOOKUPS}{{result="miss"}}'
    ),
}
_STREAM_EVENTS = frozenset({"stream-started", "stream-stopped", "stream-error"})


def _waiting(sink: LiveSink) -> int:
    return sink.counts().waiting


def _close(sink: MetricRecorder | LiveSink) -> None:
    """Write what is queued, and say what could not be."""
    sink.close()
    counts = sink.counts()
    if counts.dropped or counts.failed or counts.waiting:
        _LOG.error("turns were lost (%s): %s", sink.last_error, counts)


def _lists(form: FormData) -> dict[str, str | list[str]]:
    """A form's text fields; a list where a name occurs more than once."""
    fields: dict[str, str | list[str]] = {}
    for name in form:
        values = [value for value in form.getlist(name) if isinstance(value, str)]
        fields[name] = values[0] if len(values) == 1 else values
    return fields


def _say(text: str) -> Response:
    twiml = f'<?xml version="1.0" encoding="UTF-8"?><Response><Say>{text}</Say></Response>'
    return Response(twiml, media_type="text/xml")
