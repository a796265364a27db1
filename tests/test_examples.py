"""The examples, run for real: a call is placed at each, answered and measured."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import numpy as np
import pytest
from tests.bridge.servers import UVICORN
from tests.bridge.servers import running as serving
from twilio.request_validator import RequestValidator

from voicelat.audio.mulaw import BYTES_PER_MS, encode
from voicelat.caller import BargeIn, CallResult, Say, Script, Silence, WaitForReply
from voicelat.errors import ConnectError
from voicelat.loadtest.line import place_call
from voicelat.metrics.turnsfile import read_turns

EXAMPLES = Path(__file__).parents[1] / "examples"
INSTANT = "simulated:instant"
QUESTION = encode(np.random.default_rng(1).normal(0, 3000, 600 * BYTES_PER_MS).astype(np.int16))

SCRIPT: Script = [BargeIn(QUESTION, after_ms=200), Silence(1500)]
"""A question into the greeting, and long enough on the line to hear that it is answered."""


@asynccontextmanager
async def running(example: str, folder: Path, settings: Mapping[str, str]) -> AsyncIterator[int]:
    """Run an example on a free port, once it listens there; stop it as Ctrl-C does."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, EXAMPLES / example),
        cwd=folder,
        env={**os.environ, "PORT": str(port), **settings},
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(30):
            await listening(process, port)
        yield port
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.communicate(), 20)


async def listening(process: Process, port: int) -> None:
    """Knock until somebody opens."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            assert process.returncode is None, "it ended at once"
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


def check(result: CallResult, folder: Path) -> None:
    """An answer was heard, and the server measured the same wait."""
    (heard,) = result.heard
    assert heard.v2v_ms is not None
    assert result.violations == {}
    (record,) = read_turns([folder / "turns.jsonl"]).records
    assert record.call_id == result.call_sid
    assert record.TOTAL_LATENCY_MS is not None


async def test_fifteen_lines(tmp_path: Path) -> None:
    async with running("fifteen_lines.py", tmp_path, {"PROVIDERS": INSTANT}) as port:
        result = await place_call(f"ws://127.0.0.1:{port}/", SCRIPT)
    check(result, tmp_path)
    assert result.greeting_ms is not None


PROVIDERS = dict.fromkeys(("STT", "LLM", "TTS"), INSTANT)


async def test_twilio_server(tmp_path: Path) -> None:
    settings = {**PROVIDERS, "TWILIO_AUTH_TOKEN": ""}
    async with running("twilio_server.py", tmp_path, settings) as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            answer = await http.post("/voice", data={"CallSid": "CA1"})
        (stream,) = ET.fromstring(answer.text).iter("Stream")
        result = await place_call(stream.get("url", ""), SCRIPT)
    check(result, tmp_path)


async def test_twilio_server_refuses_what_twilio_did_not_sign(tmp_path: Path) -> None:
    base = "https://bot.example"
    settings = {**PROVIDERS, "TWILIO_AUTH_TOKEN": "12345", "PUBLIC_BASE_URL": base}
    sign = RequestValidator("12345").compute_signature
    async with running("twilio_server.py", tmp_path, settings) as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            form = {"CallSid": "CA1"}
            assert (await http.post("/voice", data=form)).status_code == 403
            headers = {"X-Twilio-Signature": sign(f"{base}/voice", form)}
            answer = await http.post("/voice", data=form, headers=headers)
        assert 'url="wss://bot.example/media"' in answer.text
        media = f"ws://127.0.0.1:{port}/media"
        with pytest.raises(ConnectError, match="403"):
            await place_call(media, [])
        headers = {"X-Twilio-Signature": sign("wss://bot.example/media", {})}
        result = await place_call(media, [Silence(200)], headers=headers)
        assert result.greeting_ms is not None


MOUNTED = {
    **{f"{role}_PROVIDER": INSTANT for role in PROVIDERS},
    "VAD": "energy",
    "GREETING": "Hello.",
}
FASTAPI = (*UVICORN, "--ws", "websockets-sansio", "--ws-per-message-deflate", "false")


@pytest.mark.parametrize(
    ("webhook", "media"), [("/agent/voice", "/agent/media"), ("/voice", "/media")]
)
async def test_fastapi_mount(webhook: str, media: str, tmp_path: Path) -> None:
    base = "https://bot.example"
    settings = {**MOUNTED, "TWILIO_AUTH_TOKEN": "12345", "PUBLIC_BASE_URL": base}
    sign = RequestValidator("12345").compute_signature
    async with serving((*FASTAPI, "fastapi_mount:app"), tmp_path, settings) as address:
        async with httpx.AsyncClient(base_url=f"http://{address}") as http:
            assert (await http.post(webhook, data={"CallSid": "CA1"})).status_code == 403
            headers = {"X-Twilio-Signature": sign(f"{base}{webhook}", {"CallSid": "CA1"})}
            answer = await http.post(webhook, data={"CallSid": "CA1"}, headers=headers)
        (stream,) = ET.fromstring(answer.text).iter("Stream")
        assert stream.get("url") == f"wss://bot.example{media}"
        (parameter,) = stream
        result = await place_call(
            f"ws://{address}{media}",
            SCRIPT,
            headers={"X-Twilio-Signature": sign(f"wss://bot.example{media}", {})},
            custom_parameters={"token": parameter.get("value", "")},
        )
    check(result, tmp_path)
    assert "warmed up" not in (tmp_path / "server.log").read_text()


async def test_metrics_only(tmp_path: Path) -> None:
    script: Script = [Say(QUESTION), WaitForReply(), Say(QUESTION), BargeIn(QUESTION, after_ms=200)]
    script = [*script, WaitForReply()]
    async with running("metrics_only.py", tmp_path, {}) as port:
        result = await place_call(f"ws://127.0.0.1:{port}/", script)
    turns = read_turns([tmp_path / "turns.jsonl"]).records
    assert [turn.outcome for turn in turns] == ["answered", "barged_in", "answered"]
    # The bot learns of a word with the frame that completes it; each side may be late as well.
    slack_ms = 60 + 2 * (result.lateness_p99_ms or 0)
    for turn, heard in zip(turns, result.heard, strict=True):
        assert turn.call_id == result.call_sid
        early = [turn.STT_FIRST_PARTIAL_MS, turn.STT_FINAL_MS]
        late = [turn.TTS_READY_MS, turn.TOTAL_LATENCY_MS]
        assert early == pytest.approx([180, 300], abs=slack_ms)
        assert late == pytest.approx([150, heard.v2v_ms], abs=slack_ms)
        assert turn.EOU_REASON == "silence"
        assert turn.counted_from["TOTAL_LATENCY_MS"] == "last_partial"


def test_the_examples_are_as_short_as_they_say() -> None:
    fifteen = (EXAMPLES / "fifteen_lines.py").read_text().rpartition('"""')[2]
    assert len([line for line in fifteen.splitlines() if line.strip()]) == 15
    assert (EXAMPLES / "twilio_server.py").read_text().count("\n") <= 60
