"""Scripted calls to an application on loopback, and when each of their turns was.

The media route is found as Twilio finds it, by the webhook's TwiML, whatever host that names; else
among the WebSocket routes. Nothing but loopback is contacted here; the application itself calls
whatever services it is set up with.
"""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake

from voicelat.caller import CallResult, Heard, Say, Script, Silence, WaitForReply
from voicelat.doctor.probe.seen import Serving
from voicelat.errors import ConnectError
from voicelat.loadtest.line import place_call
from voicelat.loadtest.target import stream_of
from voicelat.loadtest.utterances import Utterance
from voicelat.settings import Settings
from voicelat.twilio.signature import signature_of

__all__ = ["Calls", "Door", "Placed", "Span"]

_WEBHOOK_S: Final = 15.0
_WEBHOOKS_TRIED: Final = 5
_GREETING_MS: Final = 3000
_REPLY_MS: Final = 12_000
_THINK_MS: Final = 300
_LAST_MS: Final = 200


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, on the monotonic clock, in seconds."""

    begin_s: float
    end_s: float

    def __contains__(self, at_s: object) -> bool:
        return isinstance(at_s, float) and self.begin_s <= at_s <= self.end_s


@dataclass(frozen=True, slots=True)
class Placed:
    """The calls that were placed."""

    turns: tuple[Span, ...]
    """Of the first call, which was alone: from reply to reply."""
    all: Span
    """From the beginning of the first call to the end of the last."""
    heard: tuple[Heard, ...]
    results: tuple[CallResult, ...]
    call_s: float
    """The lengths of all calls together."""


@dataclass(frozen=True, slots=True)
class _Way:
    """The way into one call."""

    url: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]


class Door:
    """Where calls enter the application that serves on ``port``."""

    def __init__(
        self,
        serving: Serving,
        settings: Settings,
        port: int,
        *,
        webhook: str | None = None,
        media: str | None = None,
    ) -> None:
        self._webhooks = [webhook] if webhook else serving.webhooks[:_WEBHOOKS_TRIED]
        self._given = webhook is not None
        self._media = media
        self._sockets = serving.sockets
        self._token = settings.twilio_auth_token
        self._base = (settings.public_base_url or f"http://127.0.0.1:{port}").rstrip("/")
        self._port = port
        self._found: str | None = None

    async def way(self) -> _Way:
        """Into one new call. Raises ConnectError when a webhook that was given names no stream."""
        if self._media is None:
            for path in [self._found] if self._found else self._webhooks:
                try:
                    way = await self._by_webhook(path)
                except ConnectError:
                    if self._given:
                        raise
                    continue
                self._found = path
                return way
        path = self._media or (self._sockets[0] if self._sockets else "/media")
        stream = self._base.replace("http", "ws", 1) + path
        return self._to(stream, {})

    async def _by_webhook(self, path: str) -> _Way:
        form = {
            "CallSid": f"CA{uuid4().hex}",
            "AccountSid": "AC00000000000000000000000000000000",
            "From": "+15550100",
            "To": "+15550199",
            "CallStatus": "ringing",
            "Direction": "inbound",
        }
        body = await asyncio.to_thread(self._post, path, form)
        found = stream_of(body, path)
        if isinstance(found, str):
            raise ConnectError(f"{path}: redirects to {found}: give the path it ends at")
        return self._to(*found)

    def _post(self, path: str, form: Mapping[str, str]) -> bytes:
        url = f"http://127.0.0.1:{self._port}{path}"
        headers = self._signed(self._base + path, form)
        request = urllib.request.Request(url, urlencode(form).encode(), headers)
        # A proxy of this machine's has nothing to do with loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_WEBHOOK_S) as answer:
                body: bytes = answer.read()
        except urllib.error.HTTPError as error:
            raise ConnectError(f"{path}: HTTP {error.code}") from None
        except OSError as error:
            raise ConnectError(f"{path}: {error}") from None
        return body

    def _to(self, stream: str, parameters: Mapping[str, str]) -> _Way:
        """The stream's path, on the port that the application really has here."""
        parts = urlsplit(stream)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = self._signed(stream, {})
        return _Way(f"ws://127.0.0.1:{self._port}{path}", parameters, headers)

    def _signed(self, url: str, form: Mapping[str, str]) -> dict[str, str]:
        if not self._token:
            return {}
        return {"X-Twilio-Signature": signature_of(self._token, url, form)}

    async def compression(self) -> str | None:
        """What the media socket negotiates when compression is offered; None: none. Raises
        ConnectError when it refuses."""
        way = await self.way()
        try:
            async with connect(
                way.url,
                compression="deflate",
                proxy=None,
                additional_headers=way.headers,
                close_timeout=1,
            ) as ws:
                extensions = [extension.name for extension in ws.protocol.extensions]
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise ConnectError(f"{way.url}: {error}") from None
        return ", ".join(extensions) or None


class Calls:
    """Places calls through a door: the first one alone, so that what happens in its turns is its
    own, then all of them together where there are several."""

    def __init__(self, door: Door, utterances: list[Utterance], turns: int) -> None:
        self._door = door
        self._utterances = utterances
        self._turns = turns

    async def place(self, calls: int) -> Placed:
        """Raises ConnectError when the application cannot be called at all."""
        closed: list[float] = []
        heard: list[Heard] = []
        began_s = time.monotonic()

        def on_question(one: Heard) -> None:
            closed.append(time.monotonic())
            heard.append(one)

        way = await self._door.way()
        results = [
            await place_call(
                way.url,
                self._script(0),
                custom_parameters=way.parameters,
                headers=way.headers,
                on_question=on_question,
            )
        ]
        edges = [began_s, *closed]
        turns = tuple(Span(*pair) for pair in pairwise(edges))
        if calls > 1:
            results += await asyncio.gather(*(self._one(number) for number in range(calls)))
        everything = Span(began_s, time.monotonic())
        length_s = sum(result.duration_ms for result in results) / 1000
        heard = [one for result in results for one in result.heard]
        return Placed(turns, everything, tuple(heard), tuple(results), length_s)

    async def _one(self, number: int) -> CallResult:
        way = await self._door.way()
        return await place_call(
            way.url,
            self._script(number),
            custom_parameters=way.parameters,
            headers=way.headers,
        )

    def _script(self, number: int) -> Script:
        wait = WaitForReply(_REPLY_MS)
        script: list[Say | Silence | WaitForReply] = [WaitForReply(_GREETING_MS)]
        for turn in range(self._turns):
            said = self._utterances[(number + turn) % len(self._utterances)]
            script += [Silence(_THINK_MS), Say(said.audio, said.text), wait]
        return [*script, Silence(_LAST_MS)]
