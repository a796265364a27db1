"""A Starlette bot that blocks its loop, and opens everything anew in each turn."""

import asyncio
import logging
import os
import time

import httpx
from bots import Ear
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

logging.basicConfig(level=logging.INFO)


async def voice(request: Request) -> Response:
    return Response("<Response><Say>Hello</Say></Response>", media_type="text/xml")


async def think() -> None:
    async with httpx.AsyncClient(verify=False, timeout=None) as client:
        await client.get(os.environ["VENDOR_URL"])
    time.sleep(0.12)  # noqa: ASYNC251 - planted
    loop = asyncio.get_running_loop()
    for _ in range(60):
        loop.run_in_executor(None, time.sleep, 0.1)


async def media(ws: WebSocket) -> None:
    await ws.accept()
    import slow_to_import  # noqa: F401

    ear = Ear()
    async for text in ws.iter_text():
        print("message", len(text))  # noqa: T201 - planted
        if ear.over(text):
            return
        if ear.hears_the_end(text):
            await think()
            await ws.send_text(ear.reply())


def create_app() -> Starlette:
    routes = [Route("/incoming", voice, methods=["POST"]), WebSocketRoute("/media", media)]
    return Starlette(debug=True, routes=routes)
