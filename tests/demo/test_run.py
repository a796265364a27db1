"""The demo for real: a server process, real sockets, real time; simulated speech is short."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.loadtest.test_utterances import quiet, save, speech

from voicelat.demo import DemoPlan, LiveTurn, run_demo
from voicelat.demo import run as run_module
from voicelat.errors import UsageError
from voicelat.metrics.targets import parse_gate
from voicelat.providers import local
from voicelat.turn.trace import Trace, replay

INSTANT = {
    "STT_PROVIDER": "simulated:instant",
    "LLM_PROVIDER": "simulated:instant",
    "TTS_PROVIDER": "simulated:instant",
    "VAD": "energy",
}


@pytest.fixture
def two_utterances(tmp_path: Path) -> Path:
    folder = tmp_path / "said"
    folder.mkdir()
    save(folder / "1.wav", quiet(200), speech(700), quiet(900))
    save(folder / "2.wav", quiet(200), speech(900), quiet(900))
    return folder


async def test_the_demo_measures_every_turn_on_both_sides(
    two_utterances: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    notes: list[str] = []
    turns: list[LiveTurn] = []
    plan = DemoPlan(
        calls=2,
        callers=2,
        turns=2,
        utterances=two_utterances,
        providers=INSTANT,
        settings={"GREETING": "Hello."},
        gates=parse_gate("censored=0"),
        out=out,
    )
    result = await run_demo(plan, on_note=notes.append, on_turn=turns.append)

    summary = result.report.summary
    assert (summary.calls, summary.turns, summary.censored) == (2, 4, 0)
    assert [turn.record.outcome for turn in turns] == ["answered"] * 4
    assert all(turn.heard_ms is not None for turn in turns)
    assert not result.interrupted
    assert not result.failed
    assert result.report.gate_failures == []
    assert "2 utterances in 2 files" in notes[0]
    traces = sorted((out / "calls").glob("*.trace.jsonl"))
    assert len(traces) == 2
    for path in traces:
        with path.open("rb") as file:
            assert replay(Trace.decode(file, path)) is None


async def test_a_server_that_cannot_start_says_why(two_utterances: Path) -> None:
    broken = {**INSTANT, "LLM_PROVIDER": "no-such-model"}
    plan = DemoPlan(calls=1, utterances=two_utterances, providers=broken)
    with pytest.raises(UsageError, match=r"did not start: .*no-such-model"):
        await run_demo(plan, on_note=lambda _: None, on_turn=lambda _: None)


async def test_a_place_that_cannot_be_written_to_is_refused(
    two_utterances: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    plan = DemoPlan(
        calls=1, utterances=two_utterances, providers=INSTANT, out=tmp_path / "file" / "out"
    )
    with pytest.raises(UsageError, match="cannot write into"):
        await run_demo(plan, on_note=lambda _: None, on_turn=lambda _: None)


async def test_the_turns_of_an_earlier_run_are_not_mixed_in(
    two_utterances: Path, tmp_path: Path
) -> None:
    (tmp_path / "turns.jsonl").write_text("")
    plan = DemoPlan(calls=1, utterances=two_utterances, providers=INSTANT, out=tmp_path)
    with pytest.raises(UsageError, match="an earlier run: give another --out"):
        await run_demo(plan, on_note=lambda _: None, on_turn=lambda _: None)


def test_where_local_speech_has_no_packages_the_demo_says_so_and_simulates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "available", lambda: "local speech lacks onnxruntime")
    asked = dict.fromkeys(("STT_PROVIDER", "LLM_PROVIDER", "TTS_PROVIDER"), "local")
    notes: list[str] = []
    chosen = run_module._speech_that_runs_here({**asked, "VAD": "silero"}, notes.append)
    assert chosen["STT_PROVIDER"].startswith("simulated:")
    assert chosen["TTS_PROVIDER"].startswith("simulated:")
    assert chosen["VAD"] == "energy"
    assert notes == ["local speech lacks onnxruntime; running on simulated speech instead"]


async def test_ctrl_c_leaves_what_was_measured_so_far(two_utterances: Path) -> None:
    command = [sys.executable, "-m", "voicelat", "demo", "--json", "--profile", "instant"]
    command += ["--utterances", str(two_utterances), "--callers", "1", "--turns", "40"]
    command += ["--set", "VAD=energy", "--set", "GREETING=Hello."]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    while b"call-1" not in (line := await process.stderr.readline()):
        assert line, "the demo ended before its first turn"
    process.send_signal(signal.SIGINT)
    stdout, stderr = await process.communicate()
    assert process.returncode == 130, stderr
    assert json.loads(stdout)["turns"] >= 1
