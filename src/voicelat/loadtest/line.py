"""A scripted caller on a real WebSocket, in real time.

One task keeps the call's time and is the only one that touches the caller; a reader and a
writer move bytes. The caller's deadlines are absolute, so a late wake-up delays one frame and
no other, and `CallResult.trusted` says whether there were too many.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from voicelat.caller import (
    Caller,
    CallerEvent,
    CallResult,
    CallSetup,
    Closed,
    Heard,
    Leave,
    Opened,
    Output,
    Script,
    Tick,
)
from voicelat.clock import CallClock
from voicelat.errors import ConnectError, UsageError

__all__ = ["place_call"]

_OPEN_TIMEOUT_S: Final = 10
_CLOSE_TIMEOUT_S: Final = 2
_MAX_MESSAGE_BYTES: Final = 16 * 2**20
"""A server that sends a minute of audio in one message is unwise, not wrong."""


async def place_call(
    url: str,
    script: Script,
    *,
    setup: CallSetup | None = None,
    call_sid: str | None = None,
    custom_parameters: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    on_question: Callable[[Heard], None] | None = None,
    leave: asyncio.Event | None = None,
) -> CallResult:
    """Call the server at ``url`` (ws:// or wss://) and measure what a caller hears.

    Every call gets a stream id of its own, and a ``call_sid`` unless one is given.
    ``custom_parameters`` are added to those of ``setup``; ``headers`` go with the handshake.
    ``on_question`` is called as each question is closed. Setting ``leave`` has the caller hang
    up, whatever its script says.

    Returns what was measured, also when the socket dies in the middle. Raises `ConnectError`
    when the server cannot be reached or refuses, `UsageError` for a URL or a script that cannot
    work.
    """
    setup = setup or CallSetup()
    setup = msgspec.structs.replace(
        setup,
        stream_sid=f"MZ{uuid.uuid4().hex}",
        call_sid=call_sid or f"CA{uuid.uuid4().hex}",
        custom_parameters={**setup.custom_parameters, **(custom_parameters or {})},
    )
    caller = Caller(script, setup)
    socket = await _dial(url, headers or {})
    line = _Line(socket, caller, on_question)
    leaving = asyncio.create_task(line.leave_at(leave)) if leave is not None else None
    try:
        await line.run()
    finally:
        if leaving is not None:
            leaving.cancel()
        socket.transport.abort()
    return caller.result()


async def _dial(url: str, headers: Mapping[str, str]) -> ClientConnection:
    try:
        # As Twilio: no compression, no proxy, no pings of its own.
        return await connect(
            url,
            compression=None,
            proxy=None,
            ping_interval=None,
            additional_headers=headers,
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=_MAX_MESSAGE_BYTES,
        )
    except InvalidURI as error:
        raise UsageError(f"{url}: {error}") from None
    except TimeoutError:
        raise ConnectError(f"{url}: no answer within {_OPEN_TIMEOUT_S} s") from None
    except (OSError, InvalidHandshake) as error:
        raise ConnectError(f"{url}: {error}") from None


class _Line:
    """One call's socket, clock and timer."""

    def __init__(
        self,
        socket: ClientConnection,
        caller: Caller,
        on_question: Callable[[Heard], None] | None,
    ) -> None:
        self._socket = socket
        self._caller = caller
        self._on_question = on_question
        self._reported = 0
        self._inbox: deque[CallerEvent] = deque()
        self._outbox: asyncio.Queue[Output] = asyncio.Queue()
        self._wake = asyncio.Event()
        self._clock = CallClock()
        self._zero_s = asyncio.get_running_loop().time()
        self._now_ms = 0

    async def run(self) -> None:
        """Hold the call until its script or its socket ends."""
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        try:
            self._feed(Opened())
            while not self._caller.done:
                await self._next_wake()
                while self._inbox:
                    self._feed(self._inbox.popleft())
                self._feed(Tick())
            if self._caller.result().ended == "hung_up":
                # A server that does not read would hold the last words for ever.
                await asyncio.wait({writer}, timeout=_CLOSE_TIMEOUT_S)
        finally:
            reader.cancel()
            writer.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    async def leave_at(self, leave: asyncio.Event) -> None:
        """Have the caller hang up once ``leave`` is set."""
        await leave.wait()
        self._post(Leave())

    async def _next_wake(self) -> None:
        deadline_ms = self._caller.deadline_ms
        if deadline_ms is None:
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_at(self._zero_s + deadline_ms / 1000, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
        self._wake.clear()
        # A timer may fire a hair early; then its deadline is the time.
        if not self._inbox:
            self._now_ms = max(self._now_ms, deadline_ms)

    def _feed(self, event: CallerEvent) -> None:
        self._now_ms = max(self._now_ms, self._clock.now_ms())
        for output in self._caller.handle(event, self._now_ms):
            self._outbox.put_nowait(output)
        if self._on_question is not None:
            for heard in self._caller.heard[self._reported :]:
                self._on_question(heard)
        self._reported = len(self._caller.heard)

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                self._post(text)
        except ConnectionClosed:
            pass
        self._post(Closed())

    def _post(self, event: CallerEvent) -> None:
        self._inbox.append(event)
        self._wake.set()

    async def _write(self) -> None:
        try:
            while True:
                output = await self._outbox.get()
                if isinstance(output, str):
                    await self._socket.send(output)
                elif output.abrupt:
                    self._socket.transport.abort()
                    return
                else:
                    await self._socket.close()
                    return
        except ConnectionClosed:
            return  # the reader sees it too, and says so
