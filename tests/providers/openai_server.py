"""All of OpenAI on one loopback port: models, chat, Responses, speech, files, the live socket."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable
from email import message_from_bytes
from typing import Any, Final

from tests.providers.chat_server import ChatServer
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

__all__ = ["WORDS", "Live", "OpenAiServer", "event", "heard_in", "spoken"]

_HEAD: Final = "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{length}\r\n\r\n"

WORDS: Final = tuple(f"{tens}{ones}" for tens in ("al", "be", "co", "du") for ones in "abcdefghij")
"""What can be said to the live socket: each word is 100 ms of a byte of its own."""
_FIRST_BYTE: Final = 0x10
_WORD_BYTES: Final = 800
_SHORTEST: Final = 800

Send = Callable[..., Awaitable[None]]


def event(kind: str, **fields: Any) -> str:
    """One server-sent event of a streamed response."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


def spoken(*words: str) -> bytes:
    """Audio in which `heard_in` hears these words. Words of `WORDS`, in ascending order."""
    return b"".join(bytes([_FIRST_BYTE + WORDS.index(word)]) * _WORD_BYTES for word in words)


def heard_in(audio: bytes) -> str:
    """The words of which at least half is there. A word said twice is heard twice."""
    words: list[str] = []
    for run in re.finditer(rb"(.)\1*", audio, re.DOTALL):
        index = run[1][0] - _FIRST_BYTE
        if 0 <= index < len(WORDS):
            words += [WORDS[index]] * round(len(run[0]) / _WORD_BYTES)
    return " ".join(words)


class Live:
    """The live socket. Say how it behaves by its attributes, read the rest."""

    def __init__(self, changed: asyncio.Event) -> None:
        self.hear: Callable[[bytes], str] = heard_in
        self.deltas = True
        """Whether text is told while the audio still comes."""
        self.drafts = False
        """Whether items have another id before their commit."""
        self.die_after: list[int] = []
        """For each session: after how many messages to drop it, 0 never. Then never."""
        self.mute = False
        """Tell nothing at all."""
        self.hold = False
        """Tell no final as long as it is set."""
        self.backwards = False
        """Tell every second final before the one that is due."""
        self.failing = 0
        """So many commits are not transcribed."""
        self.garbage: str | None = None
        """Sent instead of each answer."""
        self.broken: dict[str, Any] | None = None
        """The ``error`` sent in answer to a configuration."""
        self.sessions = 0
        self.messages: list[dict[str, Any]] = []
        self.commits: list[bytes] = []
        """The audio of each."""
        self.changed = changed


class _Session:
    """One connection of it."""

    def __init__(self, live: Live, send: Send) -> None:
        self.live = live
        self._send = send
        live.sessions += 1
        self.number = live.sessions
        self._buffer = b""
        self._told = ""
        self._items = 0
        self._held: list[asyncio.Task[None]] = []
        self._kept: dict[str, Any] | None = None
        self._left = live.die_after[self.number - 1] if self.number <= len(live.die_after) else 0

    async def take(self, message: dict[str, Any]) -> bool:
        """Answer a message. Returns whether the connection goes on."""
        live = self.live
        live.messages.append(message)
        match message["type"]:
            case "session.update" if live.broken is not None:
                await self._tell("error", error={**live.broken, "event_id": message["event_id"]})
            case "session.update":
                await self._tell("session.updated", session=message["session"])
            case "input_audio_buffer.append":
                self._buffer += base64.b64decode(message["audio"])
                await self._delta()
            case "input_audio_buffer.commit":
                await self._commit(message["event_id"])
        live.changed.set()
        self._left -= 1
        return self._left != 0

    async def close(self) -> None:
        """The connection is over."""
        for task in self._held:
            task.cancel()
        await asyncio.gather(*self._held, return_exceptions=True)

    async def _delta(self) -> None:
        text = self.live.hear(self._buffer)
        if self.live.deltas and len(text) > len(self._told):
            kind = "conversation.item.input_audio_transcription.delta"
            item = self._item("draft" if self.live.drafts else "item")
            await self._tell(kind, item_id=item, delta=text[len(self._told) :])
            self._told = text

    async def _commit(self, event_id: str) -> None:
        if len(self._buffer) < _SHORTEST:
            error = {"code": "input_audio_buffer_commit_empty", "message": "buffer too small"}
            await self._tell("error", error={**error, "event_id": event_id})
            return
        item, audio = self._item("item"), self._buffer
        self.live.commits.append(audio)
        self._buffer, self._told, self._items = b"", "", self._items + 1
        await self._tell("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        if self.live.failing:
            self.live.failing -= 1
            kind = "conversation.item.input_audio_transcription.failed"
            await self._tell(kind, item_id=item, error={"message": "no luck"})
        elif self.live.hold:
            self._held.append(asyncio.create_task(self._release(item, self.live.hear(audio))))
        else:
            await self._final(item, self.live.hear(audio))

    async def _release(self, item: str, text: str) -> None:
        while self.live.hold:
            await self.live.changed.wait()
            self.live.changed.clear()
        await self._final(item, text)

    async def _final(self, item: str, text: str) -> None:
        final = {"item_id": item, "transcript": text}
        if self.live.backwards and self._kept is None:
            self._kept = final
            return
        kind = "conversation.item.input_audio_transcription.completed"
        await self._tell(kind, **final)
        if self._kept is not None:
            kept, self._kept = self._kept, None
            await self._tell(kind, **kept)

    def _item(self, kind: str) -> str:
        return f"{kind}_{self.number}_{self._items}"

    async def _tell(self, kind: str, **fields: Any) -> None:
        if not self.live.mute:
            await self._send(self.live.garbage or json.dumps({"type": kind, **fields}))


class OpenAiServer(ChatServer):
    """A `ChatServer` with the rest of the vendor's API, and more ways to behave badly."""

    def __init__(self) -> None:
        super().__init__()
        self.events = [
            event("response.created", response={}),
            event("response.output_text.delta", delta="Good "),
            event("response.output_text.delta", delta="morning."),
            event("response.completed", response={}),
        ]
        """Of a streamed response, as they go on the wire."""
        self.audio = [b"\0\x10" * 2400, b"\0\xf0" * 2400]
        """The pieces of a spoken text."""
        self.audio_kind = "audio/pcm"
        self.transcript: Any = {"text": " Are you open? "}
        """The answer to a file."""
        self.changed = asyncio.Event()
        self.live = Live(self.changed)
        self.hang_share = 0.0
        """The share of requests, but those for a model, that are never answered."""
        self.piece_s = 0.0
        """The pause before each piece of an answer."""
        self.uploads: list[dict[str, bytes]] = []
        """The fields of each form."""
        self.hung = 0
        self._asked_for = 0

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until the server saw something."""
        while not done():
            self.changed.clear()
            await self.changed.wait()

    def said(self, text: str) -> list[bytes]:
        """The pieces of audio of a text."""
        return self.audio

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            first, *lines = head.decode().split("\r\n")[:-2]
            path = first.split()[1]
            fields = dict(line.lower().split(": ", 1) for line in lines)
            self.keys.append(fields["authorization"])
            if "upgrade" in fields:
                await self._open_live(head, path, reader, writer)
                return
            body = await reader.readexactly(int(fields.get("content-length", 0)))
            self._note(path, head, body)
            self.changed.set()
            if not await self._answer(path, reader, writer):
                return
        self.gone.set()

    def _note(self, path: str, head: bytes, body: bytes) -> None:
        if b"multipart/form-data" not in head:
            self.asked.append((path, json.loads(body or b"{}")))
            return
        form = message_from_bytes(head.partition(b"\r\n")[2] + body)
        upload = {}
        for part in form.walk():
            if part.is_multipart():
                continue
            name = re.search(r'\bname="(\w+)"', str(part["Content-Disposition"]))
            content = part.get_payload(decode=True)
            assert name is not None
            assert isinstance(content, bytes)
            upload[name[1]] = content
        self.uploads.append(upload)
        self.asked.append((path, {}))

    async def _answer(
        self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer a request. Returns whether the connection can go on."""
        if "models" not in path and self._hangs():
            self.hung += 1
            await self._silence(reader)
        if self.stall == 0:
            await self._silence(reader)
        if self.status != "200 OK" or "models" in path:
            self._plain(writer, path)
            return True
        match path.rsplit("/", 1)[-1]:
            case "responses":
                pieces, kind = self._encoded(self.events), "text/event-stream"
            case "speech":
                pieces, kind = self.said(self.asked[-1][1]["input"]), self.audio_kind
            case "transcriptions":
                pieces, kind = [json.dumps(self.transcript).encode()], "application/json"
            case _:
                pieces, kind = self._encoded(self.pieces), "text/event-stream"
        return await self._send(pieces, kind, reader, writer)

    def _hangs(self) -> bool:
        self._asked_for += 1
        share = self.hang_share
        return int(self._asked_for * share) > int((self._asked_for - 1) * share)

    @staticmethod
    def _encoded(events: list[str]) -> list[bytes]:
        return [piece.encode("utf-8", "surrogateescape") for piece in events]

    async def _send(
        self,
        pieces: list[bytes],
        kind: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        chunked = "Transfer-Encoding: chunked"
        writer.write(_HEAD.format(status=self.status, kind=kind, length=chunked).encode())
        for number, piece in enumerate(pieces, start=1):
            if number == self.stall:
                await self._silence(reader)
            if number == self.die:
                writer.transport.abort()
                return False
            if self.piece_s:
                await asyncio.sleep(self.piece_s)
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _open_live(
        self, head: bytes, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.asked.append((path, {}))
        self.changed.set()
        if self.stall == 0:
            await self._silence(reader)
        if self.status != "200 OK":
            self._plain(writer, path)
            return
        protocol = ServerProtocol()
        protocol.receive_data(head)
        (request,) = protocol.events_received()
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))

        async def send(text: str) -> None:
            protocol.send_text(text.encode())
            flush()
            await writer.drain()

        def flush() -> None:
            for data in protocol.data_to_send():
                writer.write(data)

        flush()
        session = _Session(self.live, send)
        try:
            while data := await reader.read(65_536):
                protocol.receive_data(data)
                for frame in protocol.events_received():
                    if getattr(frame, "opcode", None) is Opcode.TEXT and not await session.take(
                        json.loads(getattr(frame, "data", b""))
                    ):
                        writer.transport.abort()
                        return
                flush()
                if protocol.close_expected():
                    break
        finally:
            await session.close()
        self.gone.set()
