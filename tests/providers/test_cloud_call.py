"""A whole call on Google's ears and voice and OpenAI's model, every one of them on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.providers.chat_server import ChatServer
from tests.serve.running import INSTANT, spawned, until

from voicelat.audio.mulaw import silence
from voicelat.caller import Say, Script, WaitForReply
from voicelat.loadtest.line import place_call
from voicelat.metrics.turnsfile import read_turns
from voicelat.providers.openai_llm import DEFAULT_MODEL

pytest.importorskip("google.cloud.speech")
pytest.importorskip("google.cloud.texttospeech")
pytest.importorskip("openai")

from tests.providers.google_server import GoogleServer
from tests.providers.scripted_recogniser import spoken

_WORDS = spoken("one", 300) + silence(60) + spoken("two", 400)


@pytest.mark.parametrize("ears", ["google", "google:v2"])
async def test_a_call_on_the_usual_stack_is_answered_and_measured(
    ears: str, tmp_path: Path
) -> None:
    async with GoogleServer().run() as google, ChatServer().run() as openai:
        settings = {
            "GOOGLE_SPEECH_ENDPOINT": f"127.0.0.1:{google.port}",
            "GOOGLE_TTS_ENDPOINT": f"localhost:{google.port}",
            "OPENAI_BASE_URL": openai.url,
            "OPENAI_API_KEY": "a-key",
            # Longer than a busy machine pauses in the middle of a word.
            "VAD_HANGOVER_MS": "800",
        }
        chosen = [word for pair in settings.items() for word in ("--set", "=".join(pair))]
        stack = ("--stt", ears, "--llm", "openai", "--tts", "google")
        async with spawned(tmp_path, *INSTANT, *stack, *chosen) as server:
            script: Script = [Say(_WORDS), WaitForReply()]
            result = await place_call(server.media, script)
            await until(server.idle)
    (heard,) = result.heard
    assert heard.v2v_ms is not None
    (record,) = read_turns([tmp_path / "turns.jsonl"]).records
    assert record.text == "one two"
    assert record.reply == "Good morning."
    assert record.TOTAL_LATENCY_MS is not None
    assert record.providers == {
        "stt": f"google:{'v2' if ears.endswith('v2') else 'v1'}:latest_long",
        "llm": f"openai:{DEFAULT_MODEL}",
        "tts": "google:Chirp3-HD-Aoede",
    }
    assert google.texts[-1] == "Good morning."
