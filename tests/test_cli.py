"""The command line's promises: exit codes, one-line errors, JSON, a quick start."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from voicelat import __version__
from voicelat.cli import OneLineErrors, app
from voicelat.demo import DemoResult
from voicelat.errors import ConnectError, IllegalMove, InvalidFile, ProviderError
from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.metrics.summary import summarise
from voicelat.report import judged
from voicelat.settings import SETTINGS
from voicelat.verbs.demo import demo_code
from voicelat.verbs.options import providers


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)


def run(*args: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``voicelat ARGS``."""
    result = CliRunner().invoke(app, args)
    return result.exit_code, result.stdout, result.stderr


def test_the_version_is_said() -> None:
    assert run("--version") == (0, f"voicelat {__version__}\n", "")


@pytest.mark.parametrize(
    ("args", "verb"),
    [
        (["nonsense"], ""),
        (["--nonsense"], ""),
        (["settings", "--nonsense"], " settings"),
        (["serve", "--port", "nonsense"], " serve"),
        (["report"], " report"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(args: list[str], verb: str) -> None:
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert err.startswith("voicelat: ")
    assert err.endswith(f"{verb} --help)\n")
    assert err.count("\n") == 1


def test_without_a_verb_the_verbs_are_listed() -> None:
    code, out, err = run()
    assert (code, err) == (2, "")
    assert "settings" in out


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (InvalidFile("a.wav", "is not a WAV"), 2, "voicelat: a.wav: is not a WAV\n"),
        (ConnectError("nobody answers on port 9"), 3, "voicelat: nobody answers on port 9\n"),
        (ProviderError("openai", "is down", "retry"), 3, "voicelat: openai: is down\n"),
        (ProviderError("openai", "bad key", "fix_key"), 2, "voicelat: openai: bad key\n"),
        (KeyboardInterrupt(), 130, "voicelat: stopped\n"),
    ],
)
def test_what_is_raised_on_purpose_is_one_line_and_its_exit_code(
    raised: BaseException, code: int, line: str
) -> None:
    result = CliRunner().invoke(_raising(raised), ["verb"])
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", line)


def test_a_bug_keeps_its_traceback() -> None:
    result = CliRunner().invoke(_raising(IllegalMove("speaking -> speaking")), ["verb"])
    assert isinstance(result.exception, IllegalMove)


def _raising(error: BaseException) -> typer.Typer:
    other = typer.Typer(cls=OneLineErrors)
    raiser: Callable[[], None] = lambda: (_ for _ in ()).throw(error)  # noqa: E731
    other.callback()(lambda: None)
    other.command("verb")(raiser)
    return other


def test_a_profile_needs_no_extra_and_hears_simulated_callers() -> None:
    chosen = providers(None, None, "local", "instant")
    assert chosen == {
        "STT_PROVIDER": "simulated:instant",
        "LLM_PROVIDER": "simulated:instant",
        "TTS_PROVIDER": "local",
        "VAD": "energy",
    }
    assert set(providers(None, None, None, None).values()) == {None}


def test_settings_are_shown_as_json() -> None:
    code, out, err = run("settings", "--json", "--set", "port=90")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert [s["name"] for s in shown["settings"]] == [s.name for s in SETTINGS]
    assert {s["name"]: s["source"] for s in shown["settings"]}["PORT"] == "the command line"
    assert shown["schema"] == 1


def test_settings_are_shown_as_a_table_that_takes_their_text_as_it_is() -> None:
    code, out, _ = run("settings", "--set", "GREETING=[bold]hi")
    assert code == 0
    assert "[bold]hi" in out
    assert "VAD_HANGOVER_MS" in out


def test_a_bad_setting_is_one_line_and_exit_code_2() -> None:
    code, out, err = run("settings", "--set", "PORT=high")
    assert (code, out) == (2, "")
    assert err.startswith("voicelat: PORT='high': must be")
    assert err.count("\n") == 1


def test_a_pair_without_an_equals_sign_is_bad_usage() -> None:
    assert run("settings", "--set", "PORT") == (
        2,
        "",
        "voicelat: --set PORT: must be NAME=VALUE\n",
    )


def test_a_mistyped_name_in_a_file_is_a_warning_on_stderr(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("VAD_HANGOVER=1\n")
    code, _, err = run("settings")
    assert code == 0
    assert err.startswith("voicelat: warning: .env line 1: VAD_HANGOVER is not a setting")


@pytest.fixture
def turns(tmp_path: Path) -> str:
    path = tmp_path / "turns.jsonl"
    stamps = Stamps(speech_start=0, speech_end=1000, turn_end=1200, first_audio_sent=1900)
    record = TurnRecord(call_id="CA1", turn=1, outcome="answered", stamps=stamps).measured()
    path.write_bytes(msgspec.json.encode(record) + b"\n")
    return str(path)


def test_a_report_is_json_with_the_numbers(turns: str) -> None:
    code, out, err = run("report", turns, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["numbers"]["TOTAL_LATENCY_MS"]["p50"] == 900


def test_a_report_is_printed_for_people(turns: str) -> None:
    code, out, err = run("report", turns)
    assert (code, err) == (0, "")
    assert "TOTAL_LATENCY_MS" in out


@pytest.mark.parametrize(("limit", "code"), [(900, 0), (899, 1)])
def test_a_gate_that_fails_is_exit_code_1_and_one_line(limit: int, code: int, turns: str) -> None:
    got, out, err = run("report", turns, "--json", "--gate", f"total_max={limit}")
    assert (got, err.count("\n")) == (code, code)
    assert json.loads(out)["turns"] == 1


def test_a_gate_that_was_forgotten_does_not_pass(turns: str) -> None:
    code, out, err = run("report", turns, "--gate", "")
    assert (code, out) == (2, "")
    assert err.startswith("voicelat: --gate is empty")


def test_a_report_in_an_encoding_without_bars_is_still_a_report(turns: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "voicelat", "report", turns],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"TOTAL_LATENCY_MS" in ran.stdout


def test_a_demo_whose_calls_all_failed_could_not_connect() -> None:
    nothing = judged(summarise([]))
    refused = DemoResult(nothing, (), ("call-1: refused",), interrupted=False)
    assert demo_code(refused) == 3
    assert demo_code(dataclasses.replace(refused, interrupted=True)) == 130
    assert demo_code(dataclasses.replace(refused, failed=())) == 0


def test_a_report_holds_the_numbers_against_the_targets_of_the_settings(turns: str) -> None:
    _, out, _ = run("report", turns, "--json", "--set", "TARGET_TOTAL_P50_MS=800")
    judged = {t["name"]: t for t in json.loads(out)["targets"]}
    assert (judged["total_p50"]["limit_ms"], judged["total_p50"]["ok"]) == (800, False)


@pytest.mark.parametrize(
    "args", [["absent.jsonl"], ["--gate", "speed=1"], ["--gate", "total_p95"], ["--from", "hello"]]
)
def test_a_report_of_what_cannot_be_is_exit_code_2(args: list[str], turns: str) -> None:
    code, out, err = run("report", turns, *args)
    assert (code, out) == (2, "")
    assert err


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['voicelat', '--help']\n"
        "from voicelat.cli import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "print('loaded:', *sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(ran.stdout.rpartition("loaded:")[2].split())
    assert "typer" in loaded
    assert not loaded & {"asyncio", "msgspec", "numpy", "onnxruntime", "pydantic", "twilio"}
