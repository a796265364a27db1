"""Ears of your own in 60 lines, for a vendor with a WebSocket, as Deepgram and others have one.

    VENDOR_URL=wss://... VENDOR_API_KEY=... PYTHONPATH=examples \
        voicelat serve --stt websocket_stt:WebsocketStt

Audio and ``{"type": "finalize"}`` go out; ``{"text": ..., "final": ...}`` comes back.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from voicelat.errors import Advice, ProviderError
from voicelat.providers.protocols import Transcript

FINAL_S = float(os.environ.get("VENDOR_FINAL_S", "3"))
ADVICE: dict[int, Advice] = {400: "give_up", 401: "fix_key", 403: "fix_key", 404: "give_up"}


class WebsocketStt:
    name = "vendor"

    def __init__(self) -> None:
        self.streams: set[WebsocketStream] = set()

    async def warm(self) -> None:
        try:
            await (await dial("en-US")).close()
        except ProviderError as error:
            if error.advice != "retry":  # it may come up later
                raise

    async def open(self, language: str) -> "WebsocketStream":
        stream = WebsocketStream(await dial(language))
        self.streams.add(stream)
        return stream

    async def aclose(self) -> None:
        await asyncio.gather(*(stream.aclose() for stream in self.streams))


async def dial(language: str) -> ClientConnection:
    url = f"{os.environ['VENDOR_URL']}?encoding=mulaw&sample_rate=8000&language={language}"
    key = {"Authorization": f"Token {os.environ.get('VENDOR_API_KEY', '')}"}
    try:
        return await connect(url, additional_headers=key, compression=None, close_timeout=1)
    except (OSError, TimeoutError, WebSocketException) as error:
        status = error.response.status_code if isinstance(error, InvalidStatus) else 503
        why = f"refused, check VENDOR_API_KEY: {error}" if status in (401, 403) else str(error)
        raise ProviderError("vendor", why or "timed out", ADVICE.get(status, "retry")) from None


class WebsocketStream:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.voiced, self.owed, self.closed = socket, False, False, False
        self.outbox: asyncio.Queue[bytes | str] = asyncio.Queue()
        self.sender = asyncio.create_task(self.send())

    async def send(self) -> None:
        while True:
            await self.socket.send(await self.outbox.get())

    def feed(self, audio: bytes) -> None:
        self.outbox.put_nowait(audio)

    def voice(self, active: bool) -> None:
        self.voiced = self.voiced or active

    def finalize(self) -> None:
        if self.voiced:
            self.voiced, self.owed = False, True
            self.outbox.put_nowait(json.dumps({"type": "finalize"}))

    async def __aiter__(self) -> AsyncIterator[Transcript]:
        while not self.closed:
            try:
                async with asyncio.timeout(FINAL_S):
                    said = json.loads(await self.socket.recv())
                self.owed = self.owed and not said["final"]
                transcript = Transcript(said["text"], said["final"])
            except TimeoutError:
                if self.owed:
                    raise ProviderError("vendor", "owes a final", "retry") from None
            except (ConnectionClosed, KeyError, TypeError, ValueError) as error:
                if not self.closed:
                    raise ProviderError("vendor", f"broke off: {error!r}", "retry") from None
            else:
                yield transcript

    async def aclose(self) -> None:
        self.closed = True
        self.sender.cancel()
        await asyncio.gather(self.sender, return_exceptions=True)
        await self.socket.close()
