"""Only the measuring: a bot with a loop of its own, and five calls that time its turns.

    PORT=8080 python examples/metrics_only.py && voicelat report turns.jsonl

The recogniser, the model and the voice are stand-ins of a few lines. The lines with ``meter``
are the point: put them where your bot learns the same things.
"""

import asyncio
import base64
import json
import os

import numpy as np
from websockets.asyncio.server import ServerConnection, serve

from voicelat.audio.level import is_audible
from voicelat.audio.mulaw import encode
from voicelat.metrics import CallInfo, CallMeter, MetricRecorder

PORT = int(os.environ.get("PORT", "8080"))
TONE = encode((8000 * np.sin(np.arange(8 * 600) / 3)).astype(np.int16))  # an answer of 600 ms
recorder = MetricRecorder("turns.jsonl")


class Bot:
    """One call."""

    def __init__(self, socket: ServerConnection, start: dict[str, str]) -> None:
        self.socket, self.sid = socket, start["streamSid"]
        call = CallInfo(call_id=start["callSid"], stream_sid=self.sid, source="metrics-only")
        self.meter = CallMeter(call, recorder.record)
        self.voiced_ms = self.silent_ms = 0
        self.reply: asyncio.Task[None] | None = None

    async def hear(self, audio: bytes) -> None:
        """The next 20 ms: a recogniser that hears a word in every 200 ms of sound."""
        if is_audible(audio):
            if not self.voiced_ms:
                self.meter.speech_started()
                if self.reply is not None and not self.reply.done():
                    self.reply.cancel()
                    await self.socket.send(json.dumps({"event": "clear", "streamSid": self.sid}))
                    self.meter.barge_in()
            self.voiced_ms, self.silent_ms = self.voiced_ms + 20, 0
            if self.voiced_ms % 200 == 0:
                self.meter.partial("word " * (self.voiced_ms // 200))
        elif self.voiced_ms:
            self.silent_ms += 20
            if self.silent_ms >= 300:
                self.meter.final("word " * (self.voiced_ms // 200))
                self.voiced_ms = 0
                self.reply = asyncio.create_task(self.answer())

    async def answer(self) -> None:
        """A model and a voice of 150 ms."""
        await asyncio.sleep(0.15)
        self.meter.tts_ready()
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        for n in range(0, len(TONE), 160):
            await asyncio.sleep(begin_s + n / 8000 - loop.time())
            payload = base64.b64encode(TONE[n : n + 160]).decode()
            media = {"event": "media", "streamSid": self.sid, "media": {"payload": payload}}
            await self.socket.send(json.dumps(media))
            self.meter.audio_sent(20)


async def media(socket: ServerConnection) -> None:
    bot: Bot | None = None
    async for text in socket:
        message = json.loads(text)
        if message["event"] == "start":
            bot = Bot(socket, message["start"])
        elif message["event"] == "media" and bot is not None:
            await bot.hear(base64.b64decode(message["media"]["payload"]))
    if bot is not None:
        bot.meter.close()


async def main() -> None:
    with recorder:
        async with serve(media, "127.0.0.1", PORT, compression=None):
            await asyncio.Future()


asyncio.run(main())
