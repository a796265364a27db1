"""Runs a `TwilioServer` until a signal: first gracefully, on the second at once."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from voicelat.serve.app import TwilioServer
from voicelat.serve.connections import MediaConnection, impatient
from voicelat.serve.crew import Crew, State
from voicelat.serve.door import Arrivals
from voicelat.serve.listen import base_url, listen_on

__all__ = ["run", "uvicorn_config"]

_LOG = logging.getLogger("voicelat.serve")


def run(server: TwilioServer, *, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM, or SIGINT, which is raised on as KeyboardInterrupt.

    ``on_ready`` is called with the server's base URL once calls are taken. A worker of several
    tells its crew instead, and also ends with its supervisor. Raises UsageError when the address
    cannot be listened on, and what `Stack.warm` raises.
    """
    crew = server.crew
    if crew is None:
        sockets = [listen_on(server.config.host, server.config.port)]
    else:
        sockets = [crew.listen()]
        watcher = threading.Thread(
            target=_end_with_supervisor, args=[crew], name="voicelat-crew", daemon=True
        )
        watcher.start()
    runner = _Uvicorn(uvicorn_config(server), server, on_ready)
    runner.run(sockets=sockets)
    if signal.SIGINT in runner.signals:
        raise KeyboardInterrupt


def uvicorn_config(server: TwilioServer) -> uvicorn.Config:
    """How uvicorn must be set up, for a server that runs in somebody's own event loop."""
    return uvicorn.Config(
        server.app,
        # Compressing base64 of mu-law costs time and saves nothing.
        ws=MediaConnection,
        ws_per_message_deflate=False,
        ws_max_size=server.config.max_message_bytes,
        http=impatient(server.config.handshake_timeout_s),
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=5,
    )


class _Uvicorn(uvicorn.Server):
    """Uvicorn that lets calls finish: on the first signal no new call is taken, and sockets
    are closed when the last call has ended or the grace period has."""

    def __init__(
        self,
        config: uvicorn.Config,
        server: TwilioServer,
        on_ready: Callable[[str], None] | None,
    ) -> None:
        super().__init__(config)
        self._server = server
        self._on_ready = on_ready
        self._drain_until_s: float | None = None
        self._warming: asyncio.Task[None] | None = None
        self._arrivals: Arrivals | None = None
        self.signals: list[int] = []
        """Those that asked it to stop, in order."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Warm up, listen, and say so."""
        # Before the lifespan would do it: its errors end in uvicorn's log, with a traceback.
        self._warming = asyncio.create_task(self._server.warm())
        try:
            await self._warming
        except asyncio.CancelledError:
            if not self.signals:
                raise
            self.should_exit = True
            return
        await super().startup(sockets)
        if self.should_exit or not sockets:
            return
        # Models and modules live as long as the process: a full collection need not walk them
        # (374 ms over 1.5 M objects, measured 2026-11).
        gc.collect()
        gc.freeze()
        if self._server.crew is not None:
            self._join(self._server.crew)
        elif self._on_ready is not None:
            self._on_ready(base_url(sockets[0]))

    def _join(self, crew: Crew) -> None:
        """Take what the supervisor hands over."""
        connections = self.server_state.connections
        self._arrivals = Arrivals(crew, self._protocol, connections, self._server.lost_connection)
        crew.note_state(State.DRAINING if self._server.draining else State.OPEN)

    def _protocol(self) -> asyncio.Protocol:
        """What uvicorn makes for a connection that it accepts itself."""
        config = self.config
        make = config.http_protocol_class
        protocol: asyncio.Protocol = make(  # type: ignore[call-arg]
            config=config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, the second closes the calls, the third gives up; while the
        providers are being warmed, which may be for ever, the first is enough.

        Uvicorn's own would raise the signal again after the shutdown, and SIGTERM would end
        the process before its last logs are written.
        """
        self.signals.append(sig)
        if self._warming is not None and not self._warming.done():
            self._warming.get_loop().call_soon_threadsafe(self._warming.cancel)
        if len(self.signals) == 1:
            self._server.drain()
            self._drain_until_s = time.monotonic() + self._server.config.grace_s
            if calls := self._server.loop.calls:
                _LOG.info("stopping: %d calls may finish (again to stop at once)", calls)
        elif len(self.signals) == 2:
            self.should_exit = True
        else:
            self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Every 100 ms: whether to shut down."""
        if self._server.crew is not None:
            self._server.crew.note_open(len(self.server_state.connections))
        if self._drain_until_s is not None:
            over = time.monotonic() >= self._drain_until_s
            self.should_exit = self.should_exit or over or not self._server.loop.calls
        return await super().on_tick(counter)


def _end_with_supervisor(crew: Crew) -> None:
    """Its end closes our standard input, however it ended: then our calls may finish, and what it
    would have tidied up is ours."""
    while os.read(0, 4096):
        pass
    shutil.rmtree(crew.folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)
