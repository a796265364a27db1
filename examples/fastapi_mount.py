"""voicelat inside a FastAPI (or Starlette) application: all of it mounted, or its socket alone.

    uvicorn fastapi_mount:app --ws websockets-sansio --ws-per-message-deflate false

Twilio's webhook is /agent/voice if voicelat answers it, /voice if you do. Settings as for
``voicelat serve``: the environment, ``.env``, ``voicelat.toml``.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response

from voicelat.settings import load, wiring
from voicelat.twilio.signature import webhook_is_genuine
from voicelat.twilio.twiml import connect_stream

settings = load()
TOKEN = settings.twilio_auth_token
BASE = settings.public_base_url or f"http://127.0.0.1:{settings.port}"
voicelat = wiring.server(settings)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with voicelat.lifespan():  # a mounted application's own is never run
        yield


app = FastAPI(lifespan=lifespan)

# All of it: /agent/voice, /agent/media, /agent/healthz, /agent/metrics.
app.mount("/agent", voicelat.app)

# Or the socket alone, beside a webhook of your own.
app.add_api_websocket_route("/media", voicelat.media)


@app.post("/voice")
async def voice(request: Request) -> Response:
    form = await request.form()
    fields = {name: [str(value) for value in form.getlist(name)] for name in form}
    if TOKEN and not webhook_is_genuine(TOKEN, f"{BASE}/voice", fields, request.headers):
        return Response("bad signature", 403)
    stream = BASE.replace("http", "ws", 1) + "/media"
    token = {"token": voicelat.stream_token()}
    twiml = connect_stream(stream, parameters=token, insecure=not TOKEN)
    return Response(twiml, media_type="text/xml")
