"""A Twilio server of your own on the engine: Starlette, uvicorn, and providers by name.

    TWILIO_AUTH_TOKEN=... PUBLIC_BASE_URL=https://bot.example.com python examples/twilio_server.py

Its webhook is $PUBLIC_BASE_URL/voice, its turns go to turns.jsonl. No token: no call is checked.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from voicelat.engine import EngineConfig, MetricRecorder, Stack, TurnLoop
from voicelat.providers.registry import language_model, speech_to_text, text_to_speech
from voicelat.serve.socket import AsgiTransport
from voicelat.twilio.signature import handshake_is_genuine, webhook_is_genuine
from voicelat.twilio.twiml import connect_stream

PORT, TOKEN = int(os.environ.get("PORT", "8080")), os.environ.get("TWILIO_AUTH_TOKEN", "")
BASE = os.environ.get("PUBLIC_BASE_URL", f"http://127.0.0.1:{PORT}")
STREAM = BASE.replace("http", "ws", 1) + "/media"
STT, LLM, TTS = (os.environ.get(role, "local") for role in ("STT", "LLM", "TTS"))
stack = Stack(speech_to_text(STT), language_model(LLM), text_to_speech(TTS))
recorder = MetricRecorder("turns.jsonl")
loop = TurnLoop(stack, engine=EngineConfig(greeting="Hello!"), on_turn=recorder.record)


async def voice(request: Request) -> Response:
    form = await request.form()
    fields = {name: [str(value) for value in form.getlist(name)] for name in form}
    if TOKEN and not webhook_is_genuine(TOKEN, f"{BASE}/voice", fields, request.headers):
        return Response("bad signature", 403)
    return Response(connect_stream(STREAM, insecure=not TOKEN), media_type="text/xml")


async def media(socket: WebSocket) -> None:
    if TOKEN and not handshake_is_genuine(TOKEN, STREAM, socket.headers):
        await socket.close(1008)
        return
    await socket.accept()
    await loop.run(AsgiTransport(socket))


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    async with stack:
        await stack.phrases.prewarm(loop.phrases)
        with recorder:
            yield


routes = [Route("/voice", voice, methods=["POST"]), WebSocketRoute("/media", media)]
app = Starlette(routes=routes, lifespan=lifespan)
uvicorn.run(app, host="127.0.0.1", port=PORT, ws="websockets-sansio", ws_per_message_deflate=False)
