"""The example under the servers people have, called over a real socket."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from tests.bridge.answering import INSTANT
from tests.bridge.servers import GUNICORN, running
from tests.bridge.test_bridge import SCRIPT
from tests.providers.chat_server import ChatServer
from tests.serve.running import scraped
from twilio.request_validator import RequestValidator

from voicelat.audio.mulaw import silence
from voicelat.caller import Say, Script, WaitForReply
from voicelat.loadtest.line import place_call
from voicelat.metrics.turnsfile import read_turns

pytest.importorskip("gunicorn")

SETTINGS = {**INSTANT, "TURNS_FILE": "turns.jsonl"}

each_worker = pytest.mark.parametrize(
    "worker",
    [("-k", "gthread", "--threads", "8"), ("-k", "gevent"), ("-k", "eventlet")],
    ids=["gthread", "gevent", "eventlet"],
)


@each_worker
async def test_a_flask_bot_greets_answers_and_lets_itself_be_interrupted(
    worker: tuple[str, ...], tmp_path: Path
) -> None:
    command = (*GUNICORN, *worker, "flask_server:app")
    async with running(command, tmp_path, SETTINGS) as address:
        result = await place_call(f"ws://{address}/media", SCRIPT)
        async with httpx.AsyncClient(base_url=f"http://{address}") as http:
            assert "voicelat_calls" in scraped((await http.get("/metrics")).text)
    assert result.ended == "hung_up"
    assert result.greeting_ms is not None
    assert [heard.v2v_ms is not None for heard in result.heard] == [True, True, True]
    assert result.violations == {}
    records = read_turns([tmp_path / "turns.jsonl"]).records
    assert [record.outcome for record in records] == ["answered", "barged_in", "answered"]
    assert {record.call_id for record in records} == {result.call_sid}


async def test_a_flask_bot_refuses_what_twilio_did_not_sign(tmp_path: Path) -> None:
    base = "https://bot.example"
    settings = {**SETTINGS, "TWILIO_AUTH_TOKEN": "12345", "PUBLIC_BASE_URL": base}
    sign = RequestValidator("12345").compute_signature
    command = (*GUNICORN, "-k", "gthread", "--threads", "8", "flask_server:app")
    async with running(command, tmp_path, settings) as address:
        async with httpx.AsyncClient(base_url=f"http://{address}") as http:
            form = {"CallSid": "CA1"}
            assert (await http.post("/voice", data=form)).status_code == 403
            headers = {"X-Twilio-Signature": sign(f"{base}/voice", form)}
            answer = await http.post("/voice", data=form, headers=headers)
            assert 'url="wss://bot.example/media"' in answer.text
        media = f"ws://{address}/media"
        forged = await place_call(media, [WaitForReply(timeout_ms=2000)])
        assert (forged.ended, forged.greeting_ms) == ("closed", None)
        headers = {"X-Twilio-Signature": sign("wss://bot.example/media", {})}
        result = await place_call(media, [WaitForReply()], headers=headers)
        assert result.greeting_ms is not None


@pytest.mark.parametrize("worker", ["eventlet", "gevent"])
async def test_googles_ears_and_voice_work_where_grpc_would_hang(
    worker: str, tmp_path: Path
) -> None:
    pytest.importorskip("google.cloud.speech")
    pytest.importorskip("google.cloud.texttospeech")
    pytest.importorskip("openai")
    from tests.providers.google_server import GoogleServer
    from tests.providers.scripted_recogniser import spoken

    question = spoken("one", 300) + silence(60) + spoken("two", 400)
    async with GoogleServer().run() as google, ChatServer().run() as openai:
        settings = {
            **SETTINGS,
            "STT_PROVIDER": "google",
            "LLM_PROVIDER": "openai",
            "TTS_PROVIDER": "google",
            "GOOGLE_SPEECH_ENDPOINT": f"127.0.0.1:{google.port}",
            "GOOGLE_TTS_ENDPOINT": f"localhost:{google.port}",
            "OPENAI_BASE_URL": openai.url,
            "OPENAI_API_KEY": "a-key",
            # Longer than a busy machine pauses in the middle of a word.
            "VAD_HANGOVER_MS": "800",
        }
        command = (*GUNICORN, "-k", worker, "flask_server:app")
        async with running(command, tmp_path, settings) as address:
            script: Script = [WaitForReply(), Say(question), WaitForReply()]
            result = await place_call(f"ws://{address}/media", script)
    (heard,) = result.heard
    assert heard.v2v_ms is not None
    (record,) = read_turns([tmp_path / "turns.jsonl"]).records
    assert (record.text, record.reply) == ("one two", "Good morning.")


async def test_a_server_whose_settings_cannot_work_does_not_start(tmp_path: Path) -> None:
    command = (*GUNICORN, "-k", "gthread", "--threads", "8", "flask_server:app")
    settings = {**SETTINGS, "VAD_HANGOVER_MS": "soon"}
    with pytest.raises(AssertionError, match="ended at once"):
        async with running(command, tmp_path, settings):
            pass
    assert "VAD_HANGOVER_MS='soon'" in (tmp_path / "server.log").read_text()
