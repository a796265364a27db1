"""Runs the doubles until Ctrl-C; prints one JSON line of settings that point to them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys

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
    options = parser.parse_args()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(options.profile, options.hang, options.seed))
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


if __name__ == "__main__":
    main()
