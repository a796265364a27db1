"""The engine in a WebSocket server of your own: point Twilio's <Connect><Stream> at it.

    PORT=8080 python examples/fifteen_lines.py

Ears, model and voice are the ``local`` ones; any object with the methods of
`voicelat.providers.protocols` will do. Each turn becomes a line of turns.jsonl, and
``voicelat report turns.jsonl`` says where its time went.
"""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve

from voicelat.engine import MetricRecorder, Stack, TurnLoop, WebsocketsTransport
from voicelat.providers.registry import language_model, speech_to_text, text_to_speech

PORT, NAME = int(os.environ.get("PORT", "8080")), os.environ.get("PROVIDERS", "local")


async def main() -> None:
    stack = Stack(speech_to_text(NAME), language_model(NAME), text_to_speech(NAME))
    with MetricRecorder("turns.jsonl") as recorder:
        loop = TurnLoop(stack, on_turn=recorder.record)

        async def media(socket: ServerConnection) -> None:
            await loop.run(WebsocketsTransport(socket))

        async with stack, serve(media, "127.0.0.1", PORT, compression=None):
            await asyncio.Future()


asyncio.run(main())
