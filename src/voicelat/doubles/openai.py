"""OpenAI's chat completions and speech on loopback: HTTP, a profile's latencies."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from voicelat.audio.mulaw import LINEAR
from voicelat.providers.protocols import Prompt
from voicelat.providers.simulated import Profile, SimulatedLlm, SimulatedTts

__all__ = ["HANG_S", "OpenAiDouble"]

HANG_S: Final = 5.0
"""How long a request hangs that hangs."""


class OpenAiDouble:
    """The model and a voice. ``hang``: the share of completions that say nothing for `HANG_S`,
    0..1."""

    def __init__(self, profile: Profile, hang: float = 0.0, seed: int = 0) -> None:
        self._model = SimulatedLlm(profile, seed)
        self._voice = SimulatedTts(profile, seed)
        self._hang = hang
        self._rng = random.Random(seed)
        self.exhausted = False
        """Whether every request is refused for want of quota."""
        self.requests = 0
        """Completions asked for."""
        self.url = ""
        """The ``base_url`` while it runs."""

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[OpenAiDouble]:
        """Serve while the context lasts."""
        app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/audio/speech", self._speak, methods=["POST"]),
                Route("/v1/models/{name:path}", self._named),
                Route("/v1/models", self._named),
            ]
        )
        config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_keep_alive=600)
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
            serving = asyncio.create_task(server.serve([listening]))
            try:
                yield self
            finally:
                server.should_exit = server.force_exit = True
                await serving

    async def _named(self, request: Request) -> JSONResponse:
        name = request.path_params.get("name", "m")
        return JSONResponse({"id": name, "object": "model", "created": 1, "owned_by": "double"})

    async def _speak(self, request: Request) -> Response:
        """Speech, as raw samples at 24 kHz."""
        if self.exhausted:
            return _NO_QUOTA
        text = (await request.json())["input"]
        return StreamingResponse(self._samples(text), media_type="audio/pcm")

    async def _samples(self, text: str) -> AsyncIterator[bytes]:
        async with aclosing(self._voice.speak(text, "")) as chunks:
            async for chunk in chunks:
                yield np.repeat(LINEAR[np.frombuffer(chunk, np.uint8)], 3).tobytes()

    async def _complete(self, _request: Request) -> Response:
        self.requests += 1
        if self.exhausted:
            return _NO_QUOTA
        if self._rng.random() < self._hang:
            await asyncio.sleep(HANG_S)
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        prompt = Prompt(call_id="", turn=0, text="")
        async with aclosing(self._model.reply(prompt)) as pieces:
            async for piece in pieces:
                yield _event({"content": piece}, None)
        yield _event({}, "stop")
        yield "data: [DONE]\n\n"


_NO_QUOTA: Final = JSONResponse(
    {"error": {"message": "quota exceeded", "type": "insufficient_quota", "code": "429"}}, 429
)


def _event(delta: dict[str, Any], finish: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "double"}
    return f"data: {json.dumps({**body, 'choices': [choice]})}\n\n"
