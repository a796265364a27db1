"""Runs the doubles until Ctrl-C; prints one JSON line: settings that point to them, or the URL of
a voice agent with a vice (``--agent``)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys

from voicelat.doubles.agents import VICES, serve_agent
from voicelat.doubles.google import GoogleDouble
from voicelat.doubles.openai import OpenAiDouble
from voicelat.errors import VoicelatError
from voicelat.providers.simulated import profile


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m voicelat.doubles", description=__doc__)
    parser.add_argument("--profile", default="google-openai-google")
    parser.add_argument("--hang", type=float, default=0.0, help="share of replies that hang 5 s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--agent", choices=VICES, help="serve this voice agent instead")
    parser.add_argument("--port", type=int, default=0, help="of the agent; 0: any free one")
    options = parser.parse_args()
    work = (
        _serve(options.profile, options.hang, options.seed)
        if options.agent is None
        else _serve_agent(options.agent, options.port)
    )
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(work)
    except VoicelatError as error:
        sys.exit(f"voicelat: {error}")


async def _serve(name: str, hang: float, seed: int) -> None:
    chosen = profile(name)
    google, openai = GoogleDouble(chosen, seed), OpenAiDouble(chosen, hang, seed)
    async with google.run(), openai.run():
        settings = {
            "GOOGLE_SPEECH_ENDPOINT": google.endpoint,
            "GOOGLE_TTS_ENDPOINT": google.endpoint,
            "OPENAI_BASE_URL": openai.url,
            "OPENAI_API_KEY": "double",
        }
        sys.stdout.write(json.dumps(settings) + "\n")
        sys.stdout.flush()
        await asyncio.Future()


async def _serve_agent(name: str, port: int) -> None:
    async with serve_agent(VICES[name], port) as url:
        sys.stdout.write(json.dumps({"url": url}) + "\n")
        sys.stdout.flush()
        await asyncio.Future()


if __name__ == "__main__":
    main()
