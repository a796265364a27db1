"""The laboratory at the command line: ``replay`` and ``sweep`` on files, as a user runs them."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from voicelat.audio.mulaw import RATE, Pcm
from voicelat.cli import app
from voicelat.lab import workers
from voicelat.lab.sweep.result import SettingResult
from voicelat.metrics.record import CallInfo
from voicelat.metrics.turnsfile import read_turns
from voicelat.settings import SETTINGS, load
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.machine import TurnMachine
from voicelat.turn.trace import TraceHeader, TraceStep, encode_line

CALLER_MS = [(500, 1500), (2100, 3000), (6000, 7000)]
"""A question with a pause of 600 ms in it, and another behind the answer."""
AGENT_MS = [(3900, 5200), (7800, 9000)]
LENGTH_MS = 10_000

GRID = (
    *("--debounce", "20,60"),
    *("--hangover", "80:400:160"),
    *("--speak-gate", "0,500,900"),
    *("--policy", "fixed"),
)


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)


def run(*args: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``voicelat ARGS``. A traceback fails the test."""
    result = CliRunner().invoke(app, args)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout, result.stderr


def ears(folder: Path) -> list[str]:
    """Ears that need no model, and remember in a folder of their own."""
    cache = f"CACHE_DIR={folder / 'cache'}"
    return ["--stt", "simulated:instant", "--set", "VAD=energy", "--set", cache]


def listened(verb: str, folder: Path, *args: str) -> tuple[int, str, str]:
    return run(verb, *args, *ears(folder))


def voice(spans_ms: list[tuple[int, int]], noise: float) -> Pcm:
    """A channel with voice at these times, and line noise of a linear amplitude."""
    rng = np.random.default_rng(len(spans_ms))
    sound = rng.normal(0.0, noise, LENGTH_MS * RATE // 1000)
    for begin_ms, end_ms in spans_ms:
        span = slice(begin_ms * RATE // 1000, end_ms * RATE // 1000)
        sound[span] += rng.normal(0.0, 3000.0, len(sound[span]))
    return sound.clip(-32768, 32767).astype(np.int16)


def record(path: Path, *, channels: int = 2) -> Path:
    both = [voice(CALLER_MS, 12.0), voice(AGENT_MS, 0.0)]
    soundfile.write(path, np.column_stack(both[:channels]), RATE, "PCM_16")
    return path


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """A folder with two recorded calls."""
    folder = tmp_path / "calls"
    folder.mkdir()
    record(folder / "a.wav")
    record(folder / "b.wav")
    return folder


# -- sweep ------------------------------------------------------------------------------------

RESULT_KEYS = {
    *("schema", "turns", "calls", "truth", "settings", "pareto", "recommended", "why", "baseline")
}
SETTING_KEYS = {
    *("debounce_ms", "hangover_ms", "min_utt_s", "stt_timeout_ms", "policy", "speak_gate_ms"),
    *("delay_p50", "delay_p95", "total_p50", "total_p95", "early_rate", "reopened_rate"),
    *("cutoff_rate", "clipped_rate", "timeout_rate", "model_calls_per_turn", "n"),
}


def swept(folder: Path, *args: str) -> dict[str, Any]:
    """The JSON of a sweep in which all went well."""
    code, out, _ = listened("sweep", folder, *args, *GRID, "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_sweep_is_json_with_the_keys_that_machines_rely_on(calls: Path) -> None:
    found = swept(calls.parent, str(calls))
    assert set(found) >= RESULT_KEYS
    assert (found["schema"], found["calls"], found["turns"], found["holds"]) == (1, 2, 4, 2)
    assert found["truth"] == "derived"
    assert found["broken"] == []
    assert all(set(setting) >= SETTING_KEYS for setting in found["settings"])
    indices = range(len(found["settings"]))
    assert set(found["pareto"]) <= set(indices)
    assert found["baseline"] in indices
    assert found["recommended"] is None, "four turns show nothing"
    assert found["why"].startswith("not resolvable at this n")
    settings = [one for one in found["settings"] if one["policy"] == "fixed"]
    early = {one["hangover_ms"]: one["early_rate"] for one in settings}
    assert early[80] == 0.5, "the pause of 600 ms"


def test_a_second_sweep_listens_to_nothing_again(calls: Path) -> None:
    first = swept(calls.parent, str(calls))
    kept = sorted((calls.parent / "cache").iterdir())
    changed = [path.stat().st_mtime_ns for path in kept]
    assert kept
    assert swept(calls.parent, str(calls)) == first
    assert sorted((calls.parent / "cache").iterdir()) == kept
    assert [path.stat().st_mtime_ns for path in kept] == changed


def test_a_sweep_is_printed_for_people(calls: Path) -> None:
    code, out, err = listened("sweep", calls.parent, str(calls), *GRID)
    assert code == 0
    assert "not resolvable" in " ".join(out.split())
    assert "VAD_HANGOVER_MS" in out
    assert "Traceback" not in err


def test_every_setting_is_a_row_of_the_csv(calls: Path) -> None:
    path = calls.parent / "all.csv"
    found = swept(calls.parent, str(calls), "--csv", str(path))
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found["settings"])
    names = [name for name in SettingResult.__struct_fields__ if name != "ci95"]
    for row, setting in zip(rows, found["settings"], strict=True):
        assert set(names) <= set(row)
        assert row["policy"] == setting["policy"]
        assert row["hangover_ms"] == str(setting["hangover_ms"])
        assert row["cutoff_rate"] == str(setting["cutoff_rate"])


def test_a_file_that_cannot_be_written_does_not_cost_the_result(calls: Path) -> None:
    args = (str(calls), *GRID, "--json", "--csv", str(calls))
    code, out, err = listened("sweep", calls.parent, *args)
    assert (code, json.loads(out)["calls"]) == (2, 2)
    assert err.splitlines()[-1].startswith(f"voicelat: --csv {calls}: cannot be written")


def test_the_pictures_are_one_page(calls: Path) -> None:
    pytest.importorskip("plotly")
    path = calls.parent / "sweep.html"
    swept(calls.parent, str(calls), "--html", str(path))
    assert path.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")


def test_without_plotly_a_page_is_refused_before_anything_is_heard(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "plotly"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    code, out, err = listened("sweep", calls.parent, str(calls), "--html", "sweep.html")
    assert (code, out) == (2, "")
    assert "pip install 'voicelat[html]'" in err
    assert not (calls.parent / "cache").exists()


def test_the_recommended_settings_can_be_used_as_they_are_printed(calls: Path) -> None:
    found = swept(calls.parent, str(calls))
    (calls.parent / ".env").write_text(found["env"])
    loaded = load(environ={})
    best = found["settings"][found["candidate"]]
    assert not loaded.warnings
    assert loaded.vad_hangover_ms == best["hangover_ms"]
    assert loaded.speak_gate_ms == best["speak_gate_ms"]


def test_labels_go_before_who_spoke_next(calls: Path) -> None:
    turns = [{"start_ms": begin, "end_ms": end} for begin, end in CALLER_MS]
    for name in ("a", "b"):
        (calls / f"{name}.labels.json").write_text(json.dumps({"schema": 1, "turns": turns}))
    found = swept(calls.parent, str(calls))
    assert (found["truth"], found["turns"], found["holds"]) == ("labels", 6, 0)


def test_a_broken_recording_is_told_and_the_others_are_swept(calls: Path) -> None:
    (calls / "torn.wav").write_bytes(b"RIFF....")
    code, out, err = listened("sweep", calls.parent, str(calls), *GRID, "--json")
    found = json.loads(out)
    assert code == 2
    assert (found["calls"], len(found["broken"])) == (2, 1)
    assert found["broken"][0].startswith(f"{calls / 'torn.wav'}: ")
    assert err.endswith(
        "voicelat: 1 of the calls could not be used; the others were swept\n",
    )


def test_labels_that_are_none_cost_their_call_alone(calls: Path) -> None:
    (calls / "a.labels.json").write_text("[]")
    code, out, _ = listened("sweep", calls.parent, str(calls), *GRID, "--json")
    found = json.loads(out)
    assert (code, found["calls"]) == (2, 1)
    assert "a.labels.json: not labels" in found["broken"][0]


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--hangover", "20:200:0"], "--hangover 20:200:0: from 0 to"),
        (["--debounce", "nan"], "--debounce nan: give FROM:TO:STEP"),
        (["--debounce=-5"], "--debounce -5: from 0"),
        (["--stt-timeout", "1e9"], "--stt-timeout 1e9: from 0 to"),
        (["--speak-gate", ""], "--speak-gate : give FROM:TO:STEP"),
        (["--hangover", "6000"], "VAD_HANGOVER_MS must be a whole number from 0 to 5000 ms"),
        (["--debounce", "0:3000:1000"], "STT_PARTIAL_DEBOUNCE_MS must be a whole number from 0"),
        (["--min-utt", "9"], "MIN_UTT_SEC must be a number from 0 to 5 s"),
        (["--min-utt", "0.0001"], "a millisecond is not divided"),
        (["--hangover", "0:5000:1", "--debounce", "0:2000:1"], "settings are too many"),
        (["--policy", "psychic"], "--policy psychic: there are fixed, adaptive, semantic"),
        (["--max-cutoffs", "500%"], "--max-cutoffs 500%: give a share"),
        (["--max-cutoffs", "x"], "--max-cutoffs x: give a share"),
        (["--replies", "slow"], "--replies slow: give a turns.jsonl, whole ms, or one of"),
        (["--replies", "x" * 5000], "give a turns.jsonl, whole ms, or one of"),
        (["--labels", "nowhere"], "nowhere: no such folder"),
        (["--csv", "no/such/folder.csv"], "--csv no/such/folder.csv: there is no folder"),
        (["--html", "no/such/folder.html"], "--html no/such/folder.html: there is no folder"),
        (["--cluster", "here"], "--cluster here: give HOST:PORT"),
        (["--set", "VAD=eyes"], "VAD='eyes': must be one of"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_heard(
    args: list[str], why: str, calls: Path
) -> None:
    code, out, err = run("sweep", str(calls), *ears(calls.parent), *args)
    assert (code, out) == (2, "")
    assert err.startswith("voicelat: ")
    assert why in err
    assert err.count("\n") == 1
    assert not (calls.parent / "cache").exists()


def test_a_cluster_that_does_not_answer_is_exit_code_3(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "_CONNECT_S", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but it does not listen
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        code, out, err = listened("sweep", calls.parent, str(calls), "--cluster", address)
    assert (code, out) == (3, "")
    assert f"voicelat: --cluster {address}: no Dask scheduler answers" in err


@pytest.mark.parametrize("channels", [1, 2])
def test_nothing_to_judge_is_exit_code_2_and_says_what_is_needed(
    tmp_path: Path, channels: int
) -> None:
    """One channel, or two of which nobody is heard on one."""
    path = tmp_path / "one.wav"
    if channels == 1:
        record(path, channels=1)
    else:
        soundfile.write(path, np.zeros((RATE, 2), np.int16), RATE, "PCM_16")
    code, out, err = listened("sweep", tmp_path, str(path), "--json")
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith("voicelat: no turn to judge by: give recordings with two channels, or")


@pytest.mark.parametrize("verb", ["sweep", "replay"])
def test_no_call_at_all_is_bad_usage(verb: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in ("empty", "absent.wav", "nothing-*.wav"):
        code, out, err = listened(verb, tmp_path, path)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert path in err


# -- replay: under other settings -------------------------------------------------------------


def test_a_replay_reports_every_turn_and_writes_it(calls: Path) -> None:
    turns = calls.parent / "turns.jsonl"
    args = (str(calls), "--replies", "300", "--out", str(turns), "--set", "SPEAK_GATE_MS=700")
    code, out, _ = listened("replay", calls.parent, *args, "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["schema"], found["calls"], found["turns"]) == (1, 2, 4)
    assert (found["source"], found["measured_at"]) == ("replay", "server")
    assert found["numbers"]["TOTAL_LATENCY_MS"]["p50"] == pytest.approx(700, abs=20)
    assert "every reply ready after 300 ms" in found["latency"]
    assert found["bias"]
    records = read_turns([str(turns)]).records
    assert len(records) == 4
    assert {record.settings["SPEAK_GATE_MS"] for record in records} == {700}


def test_a_replay_is_printed_for_people_with_its_bias(calls: Path) -> None:
    code, out, err = listened("replay", calls.parent, str(calls), "--replies", "300")
    assert code == 0
    assert "TOTAL_LATENCY_MS" in out
    assert "every reply ready after 300 ms" in err
    assert "What callers did next depends on the replies they heard" in " ".join(err.split())


@pytest.mark.parametrize(("limit", "code"), [("5000", 0), ("100", 1)])
def test_a_gate_decides_over_a_replay(limit: str, code: int, calls: Path) -> None:
    got, out, err = listened(
        "replay", calls.parent, str(calls), "--json", "--gate", f"total_p95={limit}"
    )
    assert got == code
    assert json.loads(out)["turns"] == 4
    assert ("total_p95" in err) is bool(code)


def test_a_replay_never_writes_over_turns_and_says_so_before_it_listens(calls: Path) -> None:
    turns = calls.parent / "turns.jsonl"
    turns.write_text("mine\n")
    code, out, err = listened("replay", calls.parent, str(calls), "--out", str(turns))
    assert (code, out) == (2, "")
    assert err == f"voicelat: --out {turns}: exists already, give another name\n"
    assert turns.read_text() == "mine\n"
    assert not (calls.parent / "cache").exists()


def test_a_broken_recording_is_told_and_the_others_are_replayed(calls: Path) -> None:
    (calls / "torn.wav").write_bytes(b"RIFF....")
    code, out, err = listened("replay", calls.parent, str(calls), "--json")
    found = json.loads(out)
    assert (code, found["calls"], len(found["broken"])) == (2, 2, 1)
    assert "torn.wav" in err


def test_what_a_sweep_heard_a_replay_does_not_hear_again(calls: Path) -> None:
    swept(calls.parent, str(calls))
    kept = sorted((calls.parent / "cache").iterdir())
    assert listened("replay", calls.parent, str(calls), "--json")[0] == 0
    assert sorted((calls.parent / "cache").iterdir()) == kept


@pytest.mark.parametrize(
    "args",
    [
        ["--replies", "absent.jsonl"],
        ["--gate", "speed=1"],
        ["--gate", ""],
        ["--set", "VAD_HANGOVER_MS=soon"],
        ["--caller", "-1"],
        ["--verbatim", "--realtime", "ws://127.0.0.1:1/media"],
        ["--realtime", "somewhere"],
    ],
)
def test_a_replay_that_cannot_be_is_one_line_and_exit_code_2(args: list[str], calls: Path) -> None:
    code, out, err = run("replay", str(calls), *ears(calls.parent), *args)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("voicelat: ")


# -- replay: verbatim -------------------------------------------------------------------------


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """The trace of a call as our server writes it: every event with what the machine did."""
    call = CallInfo(call_id="CA1")
    config = TurnConfig()
    machine = TurnMachine(config, call)
    heard: list[tuple[int, on.Event]] = [
        (540, on.SpeechStarted(500)),
        (1200, on.Partial("a table for two")),
        (1560, on.SpeechStopped(1500)),
        (1700, on.Final("a table for two")),
        (5000, on.StreamStopped("closed")),
    ]
    steps = []
    for at_ms, event in heard:
        while machine.deadline_ms is not None and machine.deadline_ms <= at_ms:
            tick_ms = machine.deadline_ms
            effects = machine.handle(on.Tick(), tick_ms)
            steps.append(TraceStep(at_ms=tick_ms, event=on.Tick(), effects=effects))
        effects = machine.handle(event, at_ms)
        steps.append(TraceStep(at_ms=at_ms, event=event, effects=effects))
    header = TraceHeader(call=call, turn=config, voicelat="1")
    path = tmp_path / "CA1.trace.jsonl"
    path.write_bytes(b"".join([encode_line(header), *map(encode_line, steps)]))
    return path


def test_a_trace_that_goes_the_same_way_again_is_exit_code_0(live: Path) -> None:
    code, out, err = run("replay", str(live), "--verbatim")
    assert (code, err) == (0, "")
    assert out.startswith("1 of 1 traces the same, byte for byte")
    code, out, err = run("replay", str(live), "--verbatim", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["ok"] is True


def test_a_planted_difference_is_exit_code_1_and_named(live: Path) -> None:
    text = live.read_text()
    planted = text.replace('"hangover_ms":160', '"hangover_ms":300', 1)
    assert planted != text
    live.write_text(planted)
    code, out, err = run("replay", str(live), "--verbatim")
    assert (code, err) == (1, "")
    assert f"{live}: step " in out
    assert "0 of 1 traces the same" in out
    code, out, _ = run("replay", str(live), "--verbatim", "--json")
    assert (code, json.loads(out)["ok"]) == (1, False)


def test_nothing_that_can_be_compared_is_exit_code_2(live: Path, calls: Path) -> None:
    code, out, _ = run("replay", str(calls), "--verbatim")
    assert code == 2
    assert "nothing to compare" in out
    assert run("replay", "absent", "--verbatim")[0] == 2
    live.write_text("not a trace\n")
    code, out, _ = run("replay", str(live), "--verbatim")
    assert code == 2
    assert out.startswith(f"broken: {live}: ")


def test_a_broken_trace_beside_one_that_differs_is_still_a_difference(live: Path) -> None:
    live.write_text(live.read_text().replace('"hangover_ms":160', '"hangover_ms":300', 1))
    (live.parent / "b.trace.jsonl").write_text("not a trace\n")
    assert run("replay", str(live.parent), "--verbatim")[0] == 1


def test_a_live_trace_is_swept_and_replayed_without_ears(live: Path) -> None:
    code, out, _ = run("replay", str(live), "--replies", "300", "--json")
    assert (code, json.loads(out)["turns"]) == (0, 1)
    turn = {"schema": 1, "turns": [{"start_ms": 500, "end_ms": 1500}]}
    (live.parent / "CA1.labels.json").write_text(json.dumps(turn))
    code, out, _ = run("sweep", str(live), *GRID, "--json")
    assert (code, json.loads(out)["turns"]) == (0, 1)


# -- as a program -----------------------------------------------------------------------------


def test_a_sweep_is_a_program_that_takes_all_processes_there_are(calls: Path) -> None:
    command = [sys.executable, "-m", "voicelat", "sweep", str(calls), *GRID, "--json"]
    ran = subprocess.run(
        [*command, *ears(calls.parent)], capture_output=True, check=False, env=dict(os.environ)
    )
    assert (ran.returncode, b"Traceback" in ran.stderr) == (0, False)
    assert json.loads(ran.stdout) == swept(calls.parent, str(calls))
