"""``voicelat serve`` against a caller nobody here wrote: streamdouble, a Twilio simulator."""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from asyncio.subprocess import PIPE
from pathlib import Path

import numpy as np

from voicelat.demo.server import running_server
from voicelat.metrics.turnsfile import read_turns

INSTANT = {
    **dict.fromkeys(("STT_PROVIDER", "LLM_PROVIDER", "TTS_PROVIDER"), "simulated:instant"),
    "VAD": "energy",
    "GREETING": "Hello.",
}


def _save_question(path: Path) -> None:
    """Silence while the greeting plays, a second of noise as loud as a voice, silence."""
    quiet = np.zeros(8000, np.int16)
    voice = np.random.default_rng(1).normal(0, 4000, 8000).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.concatenate([quiet, voice, quiet]).tobytes())


async def test_streamdouble_hears_the_greeting_and_an_answer_and_finds_no_violation(
    tmp_path: Path,
) -> None:
    question, turns = tmp_path / "question.wav", tmp_path / "turns.jsonl"
    await asyncio.to_thread(_save_question, question)
    async with running_server(tmp_path, {**INSTANT, "TURNS_FILE": str(turns)}) as url:
        # Its own console script may not be on the PATH; the module is.
        command = [sys.executable, "-c", "from streamdouble.cli import main; main()", "call"]
        command += [f"{url.replace('http', 'ws', 1)}/media", "--audio", str(question), "--json"]
        called = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
        stdout, stderr = await called.communicate()
    result = json.loads(stdout)
    assert (result["exit_code"], result["violations"]) == (0, []), stderr
    assert not result["timed_out"]
    assert result["time_to_first_audio_ms"] is not None
    (turn,) = read_turns([turns]).records
    assert turn.outcome == "answered"
    assert turn.TOTAL_LATENCY_MS is not None
    assert turn.stamps.first_audio_heard is not None, "its echo of our mark was understood"
