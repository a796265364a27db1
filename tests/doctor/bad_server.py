"""A server with the faults that are planted in it, and none else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from aiohttp import WSMsgType, web

from voicelat.twilio.signature import handshake_is_genuine, webhook_is_genuine

__all__ = ["STREAM", "Site", "running"]

STREAM = (
    '<Response><Connect><Stream url="{stream}"><Parameter name="token" value="t"/></Stream>'
    "</Connect><Say>Sorry.</Say></Response>"
)


@dataclass(frozen=True, kw_only=True)
class Site:
    """The defaults are without fault."""

    status: int = 200
    kind: str = "text/xml"
    twiml: str = STREAM
    """``{stream}`` is the media socket's own URL."""
    headers: dict[str, str] = field(default_factory=dict)
    keeps: bool = True
    not_found: str = "nothing here"
    token: str | None = None
    """Whose signatures are asked for; None: nobody's."""
    deflates: bool = False
    reads: bool = True
    media: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    """In the media socket's place."""


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[str]:
    """The webhook's URL while it runs on loopback."""
    app = web.Application()
    app.router.add_post("/voice", partial(_voice, site))
    app.router.add_get("/media", site.media or partial(_media, site))
    app.router.add_route("*", "/{path:.*}", partial(_missing, site))
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/voice"
    finally:
        await runner.cleanup()


async def _voice(site: Site, request: web.Request) -> web.Response:
    if request.content_type != "application/x-www-form-urlencoded":
        return web.Response(status=415)
    form = {name: str(value) for name, value in (await request.post()).items()}
    url = str(request.url)
    if site.token and not webhook_is_genuine(site.token, url, form, request.headers):
        return web.Response(status=403)
    stream = f"ws://{request.host}/media"
    response = web.Response(
        status=site.status,
        text=site.twiml.replace("{stream}", stream),
        headers={"Content-Type": site.kind, **site.headers},
    )
    if not site.keeps:
        response.force_close()
    return response


async def _media(site: Site, request: web.Request) -> web.StreamResponse:
    url = f"ws://{request.host}/media"
    if site.token and not handshake_is_genuine(site.token, url, request.headers):
        return web.Response(status=403)
    socket = web.WebSocketResponse(compress=site.deflates)
    await socket.prepare(request)
    with suppress(ConnectionError):
        while site.reads:
            message = await socket.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR):
                return socket
        await asyncio.sleep(5)
    return socket


async def _missing(site: Site, _request: web.Request) -> web.Response:
    return web.Response(status=404, text=site.not_found)
