"""A Twilio that is not ours: JSON, base64 and HMAC by hand, after Twilio's documentation.

Nothing of voicelat's codec, caller or signatures is used on this side of the socket.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.serve.running import serving
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from voicelat.metrics.turnsfile import read_turns
from voicelat.serve.config import ServeConfig

STREAM, CALL, ACCOUNT = "MZ" + "1" * 32, "CA" + "2" * 32, "AC" + "3" * 32
SECRET = "12345"
SPOKEN = range(10, 40)
"""The frames in which the caller speaks: 600 ms of loud noise."""

Number = Callable[[int], Any]


def sign(text: str) -> dict[str, str]:
    digest = hmac.new(SECRET.encode(), text.encode(), hashlib.sha1).digest()
    return {"x-twilio-signature": base64.b64encode(digest).decode()}


class Carrier:
    """Twilio's end of one stream: audio every 20 ms, a buffer that plays, marks that come back.

    ``number`` writes what Twilio numbers; ``extra`` is put into every message.
    """

    def __init__(self, socket: ClientConnection, number: Number, extra: dict[str, Any]) -> None:
        self.socket = socket
        self.said: list[dict[str, Any]] = []
        """Every message of the server's."""
        self.silent = asyncio.Event()
        """Set when the mark behind the whole reply was played."""
        self._number = number
        self._extra = extra
        self._sequence = 0
        self._now = asyncio.get_running_loop().time
        self._played_s = 0.0
        self._marks: asyncio.Queue[tuple[float, str]] = asyncio.Queue()

    async def send(self, event: str, **fields: Any) -> None:
        self._sequence += 1
        numbered = {"sequenceNumber": self._number(self._sequence), "streamSid": STREAM}
        await self.socket.send(json.dumps({"event": event, **numbered, **fields, **self._extra}))

    async def open(self, parameters: dict[str, str]) -> None:
        greeting = {"event": "connected", "protocol": "Call", "version": "1.0.0", **self._extra}
        await self.socket.send(json.dumps(greeting))
        audio = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1, **self._extra}
        start = {
            "accountSid": ACCOUNT,
            "streamSid": STREAM,
            "callSid": CALL,
            "tracks": ["inbound"],
            "mediaFormat": audio,
            "customParameters": parameters,
            **self._extra,
        }
        await self.send("start", start=start)

    async def talk(self) -> None:
        noise = random.Random(1)
        start_s = self._now()
        for n in range(1_000_000):
            await asyncio.sleep(max(0.0, start_s + (n + 1) * 0.02 - self._now()))
            frame = noise.randbytes(160) if n in SPOKEN else b"\xff" * 160
            media = {
                "track": "inbound",
                "chunk": self._number(n + 1),
                "timestamp": self._number(n * 20),
                "payload": base64.b64encode(frame).decode(),
                **self._extra,
            }
            await self.send("media", media=media)

    async def listen(self) -> None:
        async for text in self.socket:
            message = json.loads(text)
            self.said.append(message)
            if message["event"] == "media":
                audio = base64.b64decode(message["media"]["payload"], validate=True)
                self._played_s = max(self._played_s, self._now()) + len(audio) / 8000
            elif message["event"] == "mark":
                self._marks.put_nowait((self._played_s, message["mark"]["name"]))

    async def echo(self) -> None:
        while True:
            played_s, name = await self._marks.get()
            await asyncio.sleep(max(0.0, played_s - self._now()))
            await self.send("mark", mark={"name": name, **self._extra})
            if name.endswith("end"):
                self.silent.set()

    async def stop(self) -> None:
        await self.send("stop", stop={"accountSid": ACCOUNT, "callSid": CALL, **self._extra})


async def converse(carrier: Carrier, parameters: dict[str, str]) -> None:
    """One call with one question, up to the last mark of its answer."""
    await carrier.open(parameters)
    listening = asyncio.create_task(carrier.listen())
    carrying = [asyncio.create_task(carrier.talk()), asyncio.create_task(carrier.echo())]
    await asyncio.wait_for(carrier.silent.wait(), 10)
    for task in carrying:
        task.cancel()
    await carrier.stop()
    await asyncio.wait_for(listening, 5)  # the server closes the socket


def check(said: list[dict[str, Any]]) -> None:
    """Strictly what Twilio takes from a server, and an answer in whole frames."""
    shapes = {
        "media": {"event", "streamSid", "media"},
        "mark": {"event", "streamSid", "mark"},
        "clear": {"event", "streamSid"},
    }
    for message in said:
        assert set(message) == shapes[message["event"]]
        assert message["streamSid"] == STREAM
    audio = [base64.b64decode(m["media"]["payload"]) for m in said if m["event"] == "media"]
    assert {len(frame) for frame in audio} == {160}
    assert len(set(b"".join(audio))) > 20, "silence is no answer"
    assert [m["mark"]["name"].rpartition(".")[2] for m in said if m["event"] == "mark"] == [
        "heard",
        "clause",
        "end",
    ]


@pytest.mark.parametrize(
    ("number", "extra"),
    [
        pytest.param(str, {}, id="as documented"),
        pytest.param(int, {}, id="numbers as numbers"),
        pytest.param(str, {"new": {"nested": [1, None]}, "vorläufig": "ש"}, id="unknown fields"),
    ],
)
async def test_a_call_from_the_webhook_to_the_stop(
    number: Number, extra: dict[str, Any], tmp_path: Path
) -> None:
    turns = tmp_path / "turns.jsonl"
    config = ServeConfig(auth_token=SECRET, public_base_url="https://bot.example", turns_file=turns)
    async with serving(config) as server:
        signed = sign(f"https://bot.example/voiceCallSid{CALL}")
        answer = await server.http.post("/voice", data={"CallSid": CALL}, headers=signed)
        (stream,) = ET.fromstring(answer.text).iter("Stream")
        parameters = {p.get("name", ""): p.get("value", "") for p in stream}
        headers = sign(stream.get("url", ""))
        async with connect(server.media, additional_headers=headers) as socket:
            carrier = Carrier(socket, number, extra)
            await converse(carrier, parameters)
        check(carrier.said)
        assert not [name for name in await server.metrics() if "dropped:" in name]
    (record,) = read_turns([turns]).records
    assert (record.call_id, record.stream_sid) == (CALL, STREAM)
    assert record.outcome == "answered"
    assert record.HEARD_LATENCY_MS is not None


async def test_events_nobody_documented_disturb_nothing() -> None:
    async with serving() as server, connect(server.media) as socket:
        carrier = Carrier(socket, str, {})
        talking = asyncio.create_task(converse(carrier, {}))
        while not carrier.said:
            await carrier.send("weather", weather={"rain": True})
            await asyncio.sleep(0.1)
        await talking
        check(carrier.said)
        assert await server.events("dropped: unknown_event") > 0


async def test_a_stranger_without_signature_and_token_hears_nothing() -> None:
    config = ServeConfig(auth_token=SECRET, public_base_url="https://bot.example")
    async with serving(config) as server:
        with pytest.raises(ConnectionClosed):
            async with connect(
                server.media, additional_headers=sign("wss://bot.example/media")
            ) as socket:
                await Carrier(socket, str, {}).open({})
                await socket.recv()
