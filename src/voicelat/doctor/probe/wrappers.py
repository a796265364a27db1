"""What the probe wraps, and what it hears from the interpreter's own audit events.

Wrapped: TLS handshakes, the construction of well-known clients and recogniser settings,
``requests`` and ``httpx`` sends, ``time.sleep`` and ``os.fsync`` on the loop, ``Handler.handle``,
and the calls that patch. Each costs under a few microseconds; none is called once per audio frame.
Connects, look-ups and imports are audit events.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable
from typing import Any, Final

from voicelat.doctor.probe.after_import import Hook, watch_imports
from voicelat.doctor.probe.clients import client, recogniser
from voicelat.doctor.probe.originals import get_ident, monotonic, thread_time
from voicelat.doctor.probe.place import Owner
from voicelat.doctor.probe.seen import HandlerTimes, Seen, Spot

__all__ = ["Watch"]

_CLIENTS: Final = {
    "openai._client": ("OpenAI", "AsyncOpenAI"),
    "httpx._client": ("Client", "AsyncClient"),
    "httpx2._client": ("Client", "AsyncClient"),
    "requests.sessions": ("Session",),
    "aiohttp.client": ("ClientSession",),
    "google.cloud.speech_v1.services.speech.client": ("SpeechClient",),
    "google.cloud.speech_v1.services.speech.async_client": ("SpeechAsyncClient",),
    "google.cloud.speech_v2.services.speech.client": ("SpeechClient",),
    "google.cloud.speech_v2.services.speech.async_client": ("SpeechAsyncClient",),
    "google.cloud.texttospeech_v1.services.text_to_speech.client": ("TextToSpeechClient",),
    "google.cloud.texttospeech_v1.services.text_to_speech.async_client": (
        "TextToSpeechAsyncClient",
    ),
}
_RECOGNISERS: Final = tuple(
    f"google.cloud.speech_{version}.types.cloud_speech" for version in ("v1", "v1p1beta1", "v2")
)
_BEFORE_PATCH: Final = (
    "threading",
    "socket",
    "ssl",
    "logging",
    "queue",
    "concurrent.futures",
    "urllib3",
    "requests",
    "httpx",
    "httpx2",
    "openai",
    "grpc",
    "google",
    "flask",
    "werkzeug",
)
"""Modules that keep locks or sockets of their own, or have copied names out of those that do."""
_STREAM: Final = 1


class Watch:
    """Everything that is watched from before the application is imported."""

    def __init__(self, seen: Seen, owner: Owner) -> None:
        self.seen = seen
        self.owner = owner
        self.loop_thread: int | None = None
        """Where the loop or hub runs; None before it does, and where there is none."""
        self.quiet: set[int] = set()
        """Threads of the probe's own."""
        self._baseline: frozenset[str] | None = None
        """Modules that were loaded before the application; None before its import."""
        self._building: set[int] = set()
        self._handlers: dict[int, HandlerTimes] = {}
        self._last_record: Any = None
        self._began: dict[int, float] = {}
        self._collecting_s = self._collecting_cpu_s = 0.0

    def install(self) -> None:
        """Begin."""
        sys.addaudithook(self._audited)
        gc.callbacks.append(self._collected)
        hooks: dict[str, Hook] = {
            "ssl": self._tls,
            "logging": self._logging,
            "time": lambda module: self._blocks(module, "sleep", "time.sleep"),
            "os": lambda module: self._blocks(module, "fsync", "os.fsync"),
            "requests.adapters": self._requests,
            "eventlet.patcher": lambda module: self._patches(module, "monkey_patch", "eventlet"),
            "gevent.monkey": lambda module: self._patches(module, "patch_all", "gevent"),
            "grpc.experimental.gevent": self._grpc,
        }
        for name, classes in _CLIENTS.items():
            hooks[name] = functools.partial(self._constructs, classes)
        hooks.update(dict.fromkeys(_RECOGNISERS, self._recognises))
        watch_imports(hooks)

    def loading(self) -> None:
        """The application is about to be imported: what is loaded now is none of its doing."""
        self._baseline = frozenset(sys.modules)

    # -- audit events and collections -----------------------------------------------------------

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "import":
            self.seen.imports.append(Spot(monotonic(), str(arguments[0])))
            if arguments[0] == "eventlet":
                self.seen.green.greendns = os.environ.get("EVENTLET_NO_GREENDNS")
        elif event == "socket.connect":
            sock, address = arguments
            # Only IPv4 and IPv6 have (host, port); a UDP socket connects to nobody.
            if isinstance(address, tuple) and len(address) >= 2 and sock.type & 0xF == _STREAM:
                self._note(self.seen.connects, f"{address[0]}:{address[1]}")
        elif event == "socket.getaddrinfo":
            host = arguments[0]
            name = host.decode() if isinstance(host, bytes) else str(host or "")
            if name and not _is_address(name):
                self._note(self.seen.lookups, name)

    def _note(self, spots: list[Spot], what: str) -> None:
        if get_ident() not in self.quiet:
            spots.append(Spot(monotonic(), what, None, self.owner.here()))

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_s, self._collecting_cpu_s = monotonic(), thread_time()
            return
        # Computing time: what a busy machine adds to it is not the collector's.
        took_ms = (thread_time() - self._collecting_cpu_s) * 1000
        if info["generation"] == 2 or took_ms > 1:
            self.seen.collections.append(Spot(self._collecting_s, str(info["generation"]), took_ms))

    # -- what blocks ----------------------------------------------------------------------------

    def on_loop(self) -> bool:
        """Whether this thread runs the loop."""
        return self.loop_thread is not None and get_ident() == self.loop_thread

    def _blocks(self, module: Any, name: str, what: str) -> None:
        real = getattr(module, name)

        @functools.wraps(real)
        def timed(*arguments: Any, **keywords: Any) -> Any:
            if not self.on_loop():
                return real(*arguments, **keywords)
            began_s = monotonic()
            try:
                return real(*arguments, **keywords)
            finally:
                took_ms = (monotonic() - began_s) * 1000
                where = self.owner.here()
                if where:
                    self.seen.blocking.append(Spot(began_s, what, took_ms, where))

        setattr(module, name, timed)

    def _requests(self, module: Any) -> None:
        self._blocks(module.HTTPAdapter, "send", "requests")
        real = module.HTTPAdapter.send

        @functools.wraps(real)
        def send(adapter: Any, request: Any, *arguments: Any, **keywords: Any) -> Any:
            timeout = keywords.get("timeout", arguments[1] if len(arguments) > 1 else None)
            if timeout is None:
                self._note(self.seen.unlimited, "requests")
            return real(adapter, request, *arguments, **keywords)

        module.HTTPAdapter.send = send

    # -- clients --------------------------------------------------------------------------------

    def _constructs(self, classes: tuple[str, ...], module: Any) -> None:
        library = module.__name__.split(".")[0]
        for name in classes:
            self._constructs_one(getattr(module, name), f"{library}.{name}")
            if name == "Client":
                self._blocks(getattr(module, name), "send", f"{library}.Client")

    def _constructs_one(self, kind: Any, what: str) -> None:
        real = kind.__init__

        @functools.wraps(real)
        def made(self_: Any, *arguments: Any, **keywords: Any) -> None:
            thread = get_ident()
            if thread in self._building:  # one inside another: OpenAI's client holds one of httpx
                real(self_, *arguments, **keywords)
                return
            self._building.add(thread)
            try:
                real(self_, *arguments, **keywords)
            finally:
                self._building.discard(thread)
            self.seen.clients.append(client(self_, what, monotonic(), self.owner.here()))

        kind.__init__ = made

    def _recognises(self, module: Any) -> None:
        kind = module.StreamingRecognitionConfig
        real = kind.__init__

        @functools.wraps(real)
        def made(self_: Any, *arguments: Any, **keywords: Any) -> None:
            real(self_, *arguments, **keywords)
            where = self.owner.here()
            if where:
                self.seen.recognisers.append(recogniser(self_, monotonic(), where))

        kind.__init__ = made

    # -- TLS ------------------------------------------------------------------------------------

    def _tls(self, module: Any) -> None:
        for kind in (module.SSLSocket, module.SSLObject):
            self._shakes(kind, (module.SSLWantReadError, module.SSLWantWriteError))

    def _shakes(self, kind: Any, unfinished: tuple[type[Exception], ...]) -> None:
        real = kind.do_handshake

        @functools.wraps(real)
        def shake(self_: Any, *arguments: Any, **keywords: Any) -> None:
            began_s = self._began.setdefault(id(self_), monotonic())
            try:
                real(self_, *arguments, **keywords)
            except unfinished:
                raise
            except OSError:
                self._began.pop(id(self_), None)
                raise
            self._began.pop(id(self_), None)
            if not self_.server_side:
                took_ms = (monotonic() - began_s) * 1000
                spot = Spot(monotonic(), _peer(self_), took_ms, self.owner.here())
                self.seen.handshakes.append(spot)

        kind.do_handshake = shake

    # -- logs -----------------------------------------------------------------------------------

    def _logging(self, module: Any) -> None:
        real = module.Handler.handle
        filename = module.__file__

        @functools.wraps(real)
        def handle(handler: Any, record: Any) -> Any:
            caller = sys._getframe(1).f_code
            # A listener's thread calls it too: what that waits for costs nobody anything.
            if caller.co_filename != filename:
                return real(handler, record)
            began_s = monotonic()
            try:
                return real(handler, record)
            finally:
                took_ms = (monotonic() - began_s) * 1000
                self.handled(handler, began_s, took_ms)
                if record is not self._last_record:  # several handlers have it one by one
                    self._last_record = record
                    self.seen.records.append(began_s)

        module.Handler.handle = handle

    def handled_by(self, handler: Any) -> HandlerTimes | None:
        """What this handler has cost so far; None when it has seen nothing."""
        return self._handlers.get(id(handler))

    def handled(self, handler: Any, at_s: float, ms: float) -> HandlerTimes:
        """A record cost its logger so much in this handler."""
        times = self._handlers.get(id(handler))
        if times is None:
            times = self._handlers[id(handler)] = HandlerTimes(what=_sink(handler))
            self.seen.handlers.append(times)
        times.at_s.append(at_s)
        times.ms.append(ms)
        return times

    # -- green servers --------------------------------------------------------------------------

    def _patches(self, module: Any, name: str, by: str) -> None:
        real: Callable[..., Any] = getattr(module, name)

        @functools.wraps(real)
        def patch(*arguments: Any, **keywords: Any) -> Any:
            green = self.seen.green
            if green.by is None:
                green.by = by
                green.loaded_before = self._loaded_by_app()
            return real(*arguments, **keywords)

        setattr(module, name, patch)

    def _loaded_by_app(self) -> list[str]:
        if self._baseline is None:  # its server patches before it is imported: as it should be
            return []
        loaded = sys.modules.keys() - self._baseline
        return [name for name in _BEFORE_PATCH if name in loaded]

    def _grpc(self, module: Any) -> None:
        real = module.init_gevent

        @functools.wraps(real)
        def ready() -> None:
            real()
            self.seen.green.grpc_ready = True

        module.init_gevent = ready


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()


def _peer(sock: Any) -> str:
    name = getattr(sock, "server_hostname", None)
    try:
        host, port = sock.getpeername()[:2]
    except (AttributeError, OSError, ValueError):
        return str(name or "unknown")
    return f"{name or host}:{port}"


def _sink(handler: Any) -> str:
    kind = type(handler)
    name = f"{kind.__module__}.{kind.__qualname__}"
    for attribute in ("baseFilename", "host", "address"):
        if (value := getattr(handler, attribute, None)) is not None:
            return f"{name} to {value}"
    stream = getattr(getattr(handler, "stream", None), "name", None)
    return f"{name} to {stream}" if stream else name
