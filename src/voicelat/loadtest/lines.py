"""The calls of a load test, held here as the driver (Locust, in another process) asks for them."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Final

import msgspec

from voicelat.caller import CallResult, Heard
from voicelat.errors import ConnectError, MissingExtra
from voicelat.loadtest.cast import Cast
from voicelat.loadtest.line import place_call
from voicelat.loadtest.plan import Calls
from voicelat.loadtest.target import Target
from voicelat.loadtest.wire import (
    Collect,
    Drive,
    Ended,
    Finish,
    Message,
    Over,
    Place,
    Plan,
    Split,
    Turn,
    encode,
)

__all__ = ["Lines", "PlacedCall", "drive_lines"]

_LET_GO_S: Final = 15.0
"""How long calls and driver may take to end once they are told to."""


class PlacedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call, as it travels from the machine that held it."""

    started_utc: str
    result: CallResult | None = None
    """None: it could not be placed."""
    failed: str | None = None
    """Why not."""


class Lines:
    """The calls, each a task of its own."""

    def __init__(
        self,
        on_turn: Callable[[Heard], None],
        on_call: Callable[[PlacedCall], None],
        on_open: Callable[[int], None],
    ) -> None:
        self.over: Over | None = None
        """What the driver said last; None: it has not said so yet."""
        self._on_turn = on_turn
        self._on_call = on_call
        self._on_open = on_open
        self._calls: Calls | None = None
        self._cast: Cast | None = None
        self._target: Target | None = None
        self._for_master = False
        self._held: set[asyncio.Task[None]] = set()
        self._leave = asyncio.Event()

    async def take(self, calls: Calls) -> None:
        """These are the calls to place. Raises UsageError for a target that is none."""
        self._cast = Cast(calls.utterances, calls.scenario, calls.seed)
        self._target = await Target(calls.target, calls.auth_token).__aenter__()
        self._calls = calls

    async def serve(self, driver: _Driver) -> None:
        """Do what the driver says until it is over. Raises ConnectError when it dies first."""
        try:
            async for message in driver:
                match message:
                    case Place(number=number):
                        self._place(number, driver)
                    case Plan(plan=plan):
                        self._for_master = True
                        await self.take(msgspec.json.decode(plan, type=Calls))
                    case Collect(rows=rows):
                        self._on_call(msgspec.json.decode(rows, type=PlacedCall))
                    case Finish():
                        self._leave.set()
                    case Over():
                        self.over = message
                        return
                    case _:
                        raise TypeError(f"{type(message).__name__} is not for the lines")
        finally:
            for task in self._held:
                task.cancel()
            if self._target is not None:
                await self._target.__aexit__()
        raise ConnectError("Locust ended in the middle of the test (above: why)")

    def leave(self, driver: _Driver) -> None:
        """Everybody hangs up, and the driver is told to end."""
        self._leave.set()
        driver.say(Finish())

    def _place(self, number: int, driver: _Driver) -> None:
        task = asyncio.create_task(self._hold(number, driver))
        self._held.add(task)
        task.add_done_callback(self._let_go)
        self._on_open(len(self._held))

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._held.discard(task)
        self._on_open(len(self._held))
        if not task.cancelled():
            task.result()

    async def _hold(self, number: int, driver: _Driver) -> None:
        assert self._calls is not None
        assert self._cast is not None
        assert self._target is not None

        def on_question(heard: Heard) -> None:
            self._on_turn(heard)
            if not heard.censored or heard.in_vain_ms is not None:
                driver.say(Turn(heard.v2v_ms))

        started_utc = datetime.now(UTC).isoformat(timespec="milliseconds")
        script, setup = self._cast.call(number, self._calls.turns)
        result, failed = None, None
        try:
            reached = await self._target.reach()
            result = await place_call(
                reached.url,
                script,
                setup=setup,
                call_sid=reached.call_sid,
                custom_parameters=reached.parameters,
                headers=reached.headers,
                on_question=on_question,
                leave=self._leave,
            )
        except ConnectError as error:
            failed = str(error)
        placed = PlacedCall(started_utc=started_utc, result=result, failed=failed)
        self._on_call(placed)
        driver.say(
            Ended(
                number,
                duration_ms=0 if result is None else result.duration_ms,
                failed=failed,
                rows=msgspec.json.encode(placed) if self._for_master else None,
            )
        )


async def drive_lines(lines: Lines, drive: Drive, calls: Calls | None) -> bool:
    """Run ``lines`` under a driver of its own until it is over. ``calls``: None, a master has
    them. Returns whether Ctrl-C ended it: then everybody has hung up, and nothing is lost.

    Raises MissingExtra without Locust, UsageError for calls that cannot be placed, ConnectError
    when the driver dies.
    """
    if calls is not None and not drive.workers:
        await lines.take(calls)
    async with _driving(drive) as driver:
        serving = asyncio.create_task(lines.serve(driver))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            me = asyncio.current_task()
            assert me is not None
            me.uncancel()
            lines.leave(driver)
            await asyncio.wait({serving}, timeout=_LET_GO_S)
            serving.cancel()
            return True
    return False


class _Driver:
    """The Locust process, as seen from here: ``async for`` gives what it says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, message: Message) -> None:
        """Tell it. One that has gone is noticed by whoever listens."""
        self._writer.write(encode(message))

    async def __aiter__(self) -> AsyncIterator[Message]:
        split = Split()
        with suppress(ConnectionError):
            while data := await self._reader.read(65_536):
                for message in split.feed(data):
                    yield message


@asynccontextmanager
async def _driving(drive: Drive) -> AsyncIterator[_Driver]:
    """The Locust process, told what to drive; gone at the end."""
    if find_spec("locust") is None:
        raise MissingExtra("loadtest", "voicelat loadtest (locust)")
    here, there = socket.socketpair()
    with there:
        command = [sys.executable, "-m", "voicelat.loadtest.driver", str(there.fileno())]
        # A session of its own: Ctrl-C is for us, and we tell it when it is time.
        process = await asyncio.create_subprocess_exec(
            *command, pass_fds=[there.fileno()], start_new_session=True
        )
    reader, writer = await asyncio.open_connection(sock=here)
    driver = _Driver(reader, writer)
    driver.say(drive)
    try:
        yield driver
    finally:
        writer.close()
        try:
            await asyncio.wait_for(process.wait(), _LET_GO_S)
        except TimeoutError:
            process.kill()
            await process.wait()
