"""OpenAI's live transcription: the realtime socket, with turns cut by our own voice detector.

Only the voice goes there, with a little before it: a model that hears the line hum or our own
echo invents words, and each second is paid for. The vendor's detector stays off; ours commits
when the voice falls silent, a hangover before the turn can end, so that the text is on its way
while the turn machine still waits.

The socket is spoken to directly: the vendor's client has no deadlines for it, waits 10 s to
close, and would reconnect without the audio.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from voicelat.errors import Advice, ProviderError
from voicelat.providers.openai_client import (
    CONNECT_S,
    OPENAI_URL,
    language_code,
    one_line,
    refusal,
)
from voicelat.providers.openai_segments import COMMIT, TRANSCRIPTION, Segments
from voicelat.providers.protocols import Transcript

__all__ = ["DEFAULT_MODEL", "OpenAiStt", "OpenAiSttStream"]

_LOG = logging.getLogger("voicelat.providers")

DEFAULT_MODEL: Final = "gpt-live-transcribe"
# No end announced as of openai 3.54 (2026-11); whisper-1 and gpt-4o*-transcribe end 2027-02-26.

_FINAL_S: Final = 4.0
"""The longest wait for a final. Published P95 from commit to final: 965 ms."""
_RECONNECT_AFTER_S: Final = (0.0, 0.25)
"""The waits before a lost connection is made again, as long as no text comes. Behind the last of
them the stream is lost: whoever reads it may open another."""
_STEADY_S: Final = 30.0
"""A connection that held so long was a good one: the next loss is a first one."""
_CLOSE_S: Final = 1.0
_MAX_MESSAGE: Final = 1 << 20

_CONFIGURE: Final = "configure"
"""The event id of the session's configuration."""


class OpenAiStt:
    """Ears for many calls, one socket each. ``name`` is ``openai:MODEL``.

    ``model``: None takes `DEFAULT_MODEL`. ``final_s``: the longest wait for a final before the
    connection counts as lost. Key and URL as in `OpenAiLlm`, but without the ``openai`` package.

    Raises ProviderError (fix_key) without a key for OpenAI itself.
    """

    def __init__(
        self,
        model: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        final_s: float = _FINAL_S,
    ) -> None:
        self._line = _Line(model or DEFAULT_MODEL, api_key, base_url)
        self.name = self._line.name
        self._final_s = final_s
        self._streams: set[OpenAiSttStream] = set()

    async def warm(self) -> None:
        """Open a session and close it: name look-up, key and model are as good as a call's.

        Raises ProviderError when key or model are refused. A server that cannot be reached may
        come up later: that is only logged.
        """
        try:
            async with self._line.open("en-US") as socket, asyncio.timeout(self._final_s):
                while (event := _read(await socket.recv())).get("type") != "session.updated":
                    if event.get("type") == "error":
                        raise self._line.refused(event)
        except (TimeoutError, ConnectionClosed, ValueError) as error:
            _LOG.warning("not warmed up: %s", self._line.told(error, self._final_s))
        except ProviderError as error:
            if error.advice != "retry":
                raise
            _LOG.warning("not warmed up: %s", error)

    async def open(self, language: str) -> OpenAiSttStream:
        """Start one call. Returns at once: the socket opens while the greeting plays."""
        stream = OpenAiSttStream(self._line, language, self._final_s, self._streams.discard)
        self._streams.add(stream)
        return stream

    async def aclose(self) -> None:
        """Close every stream."""
        await asyncio.gather(*(stream.aclose() for stream in tuple(self._streams)))


class OpenAiSttStream:
    """One call's ears. See `SttStream`; beyond it:

    - Only what is fed between ``voice(True)`` and ``voice(False)`` is heard, and 300 ms before.
    - ``voice(False)`` and `finalize` each close a segment of at least 100 ms, which gets one
      final, "" when there were no words in it. With nothing voiced they do nothing.
    - A lost connection is made again, and what has no final yet is said again.
    """

    def __init__(
        self,
        line: _Line,
        language: str,
        final_s: float,
        on_close: Callable[[OpenAiSttStream], None],
    ) -> None:
        self.reconnects = 0
        """Connections lost and made again."""
        self._line = line
        self._language = language
        self._final_s = final_s
        self._on_close = on_close
        self._segments = Segments()
        self._fed = asyncio.Event()
        self._out: asyncio.Queue[Transcript | ProviderError | None] = asyncio.Queue()
        self._failures = 0
        self._patience: asyncio.Timeout | None = None
        self._awaited: int | None = None
        self._closed = False
        self._task = asyncio.create_task(self._run(), name=f"ears of {line.name}")
        self._task.add_done_callback(self._broke)

    def feed(self, audio: bytes) -> None:
        """Take the next mu-law audio, any length. Never blocks."""
        if not self._closed:
            self._segments.feed(audio)
            self._moved()

    def voice(self, active: bool) -> None:
        """The voice detector heard speech begin (True) or fall silent (False)."""
        if not self._closed:
            self._segments.voice(active)
            self._moved()

    def finalize(self) -> None:
        """Give the final for what was fed so far as soon as possible. Never blocks."""
        if not self._closed:
            self._segments.finalize()
            self._moved()

    async def __aiter__(self) -> AsyncIterator[Transcript]:
        """Transcripts until `aclose`. Raises ProviderError when the recogniser is lost."""
        while not (self._closed and self._out.empty()):
            item = await self._out.get()
            if isinstance(item, ProviderError):
                raise item
            if item is not None:
                yield item

    async def aclose(self) -> None:
        """Stop, close the socket. Safe to call twice."""
        self._end(None)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._on_close(self)

    # -- the connection -----------------------------------------------------------------------

    async def _run(self) -> None:
        """Converse until closed, or until the connection is lost for good."""
        loop = asyncio.get_running_loop()
        while True:
            begin_s = loop.time()
            try:
                await self._converse()
            except ProviderError as error:
                if loop.time() - begin_s >= _STEADY_S:
                    self._failures = 0
                if error.advice != "retry" or self._failures >= len(_RECONNECT_AFTER_S):
                    self._end(error)
                    return
                _LOG.info("connecting again: %s", error)
                self.reconnects += 1
                self._failures += 1
                await asyncio.sleep(_RECONNECT_AFTER_S[self._failures - 1])

    async def _converse(self) -> None:
        """One connection from open to its loss, which raises ProviderError."""
        try:
            async with self._line.open(self._language) as socket:
                self._segments.restart()
                self._awaited = None
                async with asyncio.timeout(None) as patience:
                    self._patience = patience
                    self._moved()
                    try:
                        await _first_of(self._send(socket), self._receive(socket))
                    finally:
                        self._patience = None
        except (TimeoutError, ConnectionClosed, ValueError) as error:
            raise self._line.told(error, self._final_s) from error

    async def _send(self, socket: ClientConnection) -> None:
        while True:
            while (message := self._segments.next_message()) is not None:
                await socket.send(message)
            self._fed.clear()
            await self._fed.wait()

    async def _receive(self, socket: ClientConnection) -> None:
        while True:
            for transcript in self._heard(_read(await socket.recv())):
                self._failures = 0
                self._out.put_nowait(transcript)
            if self._segments.again:
                raise self._line.failed("the transcription failed", "retry")
            self._moved()

    def _heard(self, event: Mapping[str, Any]) -> list[Transcript]:
        if event.get("type") != "error":
            self._check_failure(event)
            return self._segments.heard(event)
        error = _part(event, "error")
        by = error.get("event_id")
        if error.get("code") == "input_audio_buffer_commit_empty" or _is_commit(by):
            _LOG.warning("%s", self._line.refused(event))
            return self._segments.refused(by)
        raise self._line.refused(event)

    def _check_failure(self, event: Mapping[str, Any]) -> None:
        """Whether an item could not be transcribed for a reason that will not go away."""
        if event.get("type") == f"{TRANSCRIPTION}failed":
            failure = self._line.refused(event)
            if failure.advice != "retry":
                raise failure
            _LOG.warning("%s", failure)

    def _moved(self) -> None:
        """Something was fed or heard: there may be more to send, or more to wait for."""
        self._fed.set()
        patience = self._patience
        if patience is None or patience.expired() or self._segments.awaited == self._awaited:
            return
        self._awaited = self._segments.awaited
        now_s = asyncio.get_running_loop().time()
        patience.reschedule(None if self._awaited is None else now_s + self._final_s)

    def _broke(self, task: asyncio.Task[None]) -> None:
        """A bug of ours must not leave a reader waiting for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            lost = self._line.failed(f"the stream broke: {error!r}", "retry")
            lost.__cause__ = error
            self._end(lost)

    def _end(self, error: ProviderError | None) -> None:
        if not self._closed:
            self._closed = True
            self._out.put_nowait(error)


class _Line:
    """Opens connections to one model, and says in our words how they fail."""

    def __init__(self, model: str, api_key: str | None, base_url: str | None) -> None:
        self.name = f"openai:{model}"
        if not api_key and base_url is None:
            raise self.failed("no key; set OPENAI_API_KEY", "fix_key")
        self._model = model
        self._key = api_key or "none"
        self._url = base_url or OPENAI_URL

    @asynccontextmanager
    async def open(self, language: str) -> AsyncGenerator[ClientConnection]:
        """A configured connection, closed behind the block. Raises ProviderError for what went
        wrong before there was one."""
        connecting = _Connect(
            "ws" + self._url.removeprefix("http").rstrip("/") + "/realtime?intent=transcription",
            additional_headers={"Authorization": f"Bearer {self._key}"},
            open_timeout=CONNECT_S,
            close_timeout=_CLOSE_S,
            max_size=_MAX_MESSAGE,
            compression=None,
        )
        try:
            socket = await connecting
        except InvalidStatus as error:
            raise self._turned_away(error) from error
        except (OSError, WebSocketException) as error:  # a TimeoutError is an OSError
            why = str(error) or f"no answer in {CONNECT_S:g} s"
            raise self.failed(f"cannot reach {self._url}: {why}", "retry") from error
        async with socket:
            await socket.send(self._configuration(language))
            yield socket

    def _configuration(self, language: str) -> str:
        transcription = {"model": self._model}
        if (code := language_code(language)) is not None:
            transcription["language"] = code
        heard = {
            "format": {"type": "audio/pcmu"},
            "transcription": transcription,
            "turn_detection": None,
        }
        session = {"type": "transcription", "audio": {"input": heard}}
        return json.dumps({"type": "session.update", "event_id": _CONFIGURE, "session": session})

    def told(self, error: Exception, final_s: float) -> ProviderError:
        """What the end of a connection means."""
        if isinstance(error, TimeoutError):
            return self.failed(f"no text from {self._url} in {final_s:g} s", "retry")
        if isinstance(error, ConnectionClosed):
            reason = error.rcvd.reason if error.rcvd is not None else ""
            if "invalid_api_key" in reason:
                why, advice = refusal(401, "invalid_api_key", reason, self._url)
                return self.failed(why, advice)
            return self.failed(reason or f"the connection to {self._url} was lost", "retry")
        return self.failed(f"the answer is garbled: {error}", "retry")

    def refused(self, event: Mapping[str, Any]) -> ProviderError:
        """What an error event means. One about the configuration will come again."""
        error = _part(event, "error")
        code, said = error.get("code"), error.get("message")
        again = error.get("event_id") == _CONFIGURE and error.get("type") != "server_error"
        why, advice = refusal(
            400 if again else 500,
            code if isinstance(code, str) else None,
            said if isinstance(said, str) else "an error without a message",
            self._url,
        )
        return self.failed(why, advice)

    def _turned_away(self, error: InvalidStatus) -> ProviderError:
        body = error.response.body or b""
        try:
            told = _part(_read(body), "error")
        except ValueError:
            told = {}
        code, said = told.get("code"), told.get("message")
        why, advice = refusal(
            error.response.status_code,
            code if isinstance(code, str) else None,
            said if isinstance(said, str) else str(error),
            self._url,
        )
        return self.failed(why, advice)

    def failed(self, why: str, advice: Advice) -> ProviderError:
        """An error of this provider, in one line."""
        return ProviderError(self.name, one_line(why), advice)


class _Connect(connect):
    """Follows no redirect: a key goes only where it was meant to go."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def _first_of(*works: Any) -> None:
    """Run all until one ends, then none. Raises what that one raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _read(message: str | bytes | bytearray) -> Mapping[str, Any]:
    """An event. Raises ValueError for what is none."""
    event = json.loads(message)
    if not isinstance(event, dict):
        raise ValueError("not an event")  # noqa: TRY004 - data, not an argument
    return event


def _part(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = event.get(name)
    return part if isinstance(part, dict) else {}


def _is_commit(event_id: object) -> bool:
    return isinstance(event_id, str) and event_id.startswith(COMMIT)
