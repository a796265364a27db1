"""A media socket, tried as Twilio would, and once as Twilio would not."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from voicelat.audio.mulaw import silence
from voicelat.doctor.catalog import fault, ok, skipped
from voicelat.doctor.result import CheckResult
from voicelat.errors import ConnectError
from voicelat.loadtest.target import Reached
from voicelat.metrics.durations import duration
from voicelat.twilio.messages import Connected, Media, Start
from voicelat.twilio.mirror import encode_inbound

__all__ = ["Handshake", "judged_handshake", "judged_reading", "shake_hands", "stranger_is_taken"]

_OPEN_S: Final = 10.0
_SLOW_MS: Final = 1000.0
_FRAMES: Final = 100
"""Two seconds of audio."""
_READ_S: Final = 1.0
_STRANGER_S: Final = 1.0
"""A server that checks closes the socket at once."""


class _Once(connect):
    """Follows no redirect, as Twilio does not."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """What it was."""
        return exc


def _dial(url: str, headers: Mapping[str, str], *, compression: str | None = None) -> _Once:
    return _Once(
        url,
        compression=compression,
        proxy=None,
        ping_interval=None,
        additional_headers=headers,
        open_timeout=_OPEN_S,
        close_timeout=0.5,
        max_size=2**24,
    )


@dataclass(frozen=True, slots=True)
class Handshake:
    """What one came to. ``refused``: why, None when it was taken."""

    ms: float
    refused: str | None = None
    redirected: str | None = None
    """Where to."""
    extensions: str = ""
    """Those the server took up of what was offered."""


async def shake_hands(reached: Reached) -> Handshake:
    """Offer compression, and leave. Raises ConnectError when there is nobody."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()

    def took_ms() -> float:
        return (loop.time() - begun_s) * 1000

    try:
        async with _dial(reached.url, reached.headers, compression="deflate") as socket:
            ms = took_ms()
            answer = socket.response
            taken = "" if answer is None else answer.headers.get("Sec-WebSocket-Extensions", "")
            socket.transport.abort()
            return Handshake(ms, extensions=taken)
    except InvalidStatus as error:
        status = error.response.status_code
        to = error.response.headers.get("Location") if 300 <= status < 400 else None
        return Handshake(took_ms(), f"HTTP {status}", to)
    except TimeoutError:
        return Handshake(took_ms(), f"no answer within {_OPEN_S:g} s")
    except (InvalidHandshake, InvalidURI, ValueError) as error:
        return Handshake(took_ms(), str(error))
    except (OSError, WebSocketException) as error:
        raise ConnectError(f"{reached.url}: {error}") from None


def judged_handshake(url: str, one: Handshake) -> Iterator[CheckResult]:
    """The handshake, its time, and what the server took up."""
    if one.redirected is not None:
        slash = " (a trailing slash)" if one.redirected.rstrip("/") == url.rstrip("/") else ""
        what = f"the stream's URL is redirected{slash}, which Twilio does not follow"
        yield fault("stream-url", what, f"{url} -> {one.redirected}")
    if one.refused is not None:
        yield fault("socket", f"the socket refuses the handshake: {one.refused}", url)
        return
    took = f"{duration(one.ms)} with TCP and TLS"
    if one.ms > _SLOW_MS:
        yield fault("socket", "callers wait for the socket", took)
    else:
        yield ok("socket", "the socket is there quickly", took)
    if "permessage-deflate" in one.extensions:
        yield fault("compression", "the socket compresses audio", one.extensions)
    else:
        yield ok("compression", "the socket does not compress")


async def read_ms(reached: Reached) -> float | None:
    """Start a call in fragments, send two seconds of audio at once, and a ping: how long until
    the pong, which comes behind all of it. None: not within a second. Raises ConnectionClosed
    when the server hangs up, InvalidHandshake and OSError when it is not reached."""
    loop = asyncio.get_running_loop()
    async with _dial(reached.url, reached.headers) as socket:
        await _begin(socket, reached.call_sid, reached.parameters)
        begun_s = loop.time()
        for number in range(_FRAMES):
            frame = Media(_SID, silence(20), "inbound", number + 2, number + 1, number * 20)
            await socket.send(encode_inbound(frame))
        pong = await socket.ping()
        try:
            async with asyncio.timeout(_READ_S):
                await pong
        except TimeoutError:
            return None
        finally:
            socket.transport.abort()
        return (loop.time() - begun_s) * 1000


async def judged_reading(reached: Reached) -> CheckResult:
    """Whether the server reads as fast as audio comes, or is late, or hangs up."""
    try:
        ms = await read_ms(reached)
    except ConnectionClosed as error:
        what = "the server hangs up on a caller who says nothing yet"
        return fault("reads-audio", what, str(error))
    except (TimeoutError, OSError, WebSocketException) as error:
        return skipped("reads-audio", f"the socket did not open a second time: {error}")
    evidence = "two seconds of audio and a ping, at once"
    if ms is None:
        what = f"audio is not read: no pong within {_READ_S:g} s"
        return fault("reads-audio", what, evidence)
    return ok("reads-audio", f"audio is read: the pong came after {duration(ms)}", evidence)


async def stranger_is_taken(url: str) -> bool:
    """Whether a socket with a forged signature and no parameters may stay, and send audio."""
    try:
        async with _dial(url, {"X-Twilio-Signature": "Zm9yZ2Vk"}) as socket:
            await _begin(socket, f"CA{uuid.uuid4().hex}", {})
            try:
                async with asyncio.timeout(_STRANGER_S):
                    async for _ in socket:
                        return True
            except TimeoutError:
                return True
            finally:
                socket.transport.abort()
            return False
    except (TimeoutError, OSError, WebSocketException):
        return False


_SID: Final = f"MZ{'0' * 32}"


async def _begin(socket: ClientConnection, call_sid: str, parameters: Mapping[str, str]) -> None:
    """Twilio's first two messages, the second in three fragments."""
    await socket.send(encode_inbound(Connected()))
    start = encode_inbound(
        Start(
            stream_sid=_SID,
            account_sid=f"AC{'0' * 32}",
            call_sid=call_sid,
            custom_parameters=dict(parameters),
            sequence=1,
        )
    )
    third = len(start) // 3
    await socket.send([start[:third], start[third : 2 * third], start[2 * third :]])
