"""``voicelat doctor``, from the outside."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from tests.doctor.turns import good_turns
from typer.testing import CliRunner, Result

from voicelat.cli import app
from voicelat.doctor.catalog import CHECKS
from voicelat.metrics.turnsfile import encode

QUICK = "debug-output,log-queue,prewarm"


def doctor(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["doctor", *arguments])


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_good_settings_leave_with_0() -> None:
    ran = doctor("--only", QUICK)
    assert ran.exit_code == 0
    assert "0 faults; 3 well" in ran.output


def test_a_fault_is_told_in_full_and_leaves_with_1() -> None:
    ran = doctor("--only", QUICK, "--set", "TTS_PREWARM=0")
    assert ran.exit_code == 1
    for said in ("TTS_PREWARM=0", CHECKS["prewarm"].why, CHECKS["prewarm"].fix):
        assert said in ran.output


def test_skipped_checks_are_not_done() -> None:
    ran = doctor("--only", QUICK, "--skip", "prewarm", "--set", "TTS_PREWARM=0")
    assert ran.exit_code == 0


def test_json_has_every_check() -> None:
    ran = doctor("--only", QUICK, "--set", "TTS_PREWARM=0", "--json")
    told = json.loads(ran.stdout)
    assert (ran.exit_code, told["schema"], told["faults"]) == (1, 1, 1)
    (examination,) = told["examinations"]
    assert examination["subject"] == "settings"
    assert [one["check"] for one in examination["checks"]] == QUICK.split(",")


def test_a_turns_file_alone_is_examined_alone(tmp_path: Path) -> None:
    file = tmp_path / "turns.jsonl"
    file.write_bytes(b"".join(map(encode, good_turns())))
    ran = doctor("--turns", str(file), "--json")
    told = json.loads(ran.stdout)
    assert (ran.exit_code, [one["subject"] for one in told["examinations"]]) == (0, ["turns"])


def test_the_catalog_can_be_listed() -> None:
    ran = doctor("--list")
    assert ran.exit_code == 0
    assert all(name in ran.output for name in CHECKS)
    listed = json.loads(doctor("--list", "--json").stdout)
    assert [one["name"] for one in listed["checks"]] == list(CHECKS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "horoscope"), "no check 'horoscope'"),
        (("--only", ","), "--only is empty"),
        (("--skip", ""), "--skip is empty"),
        (("ftp://bot.example/voice",), "give a webhook"),
        (("bot.py",), "module:app"),
        (("--turns", "none.jsonl"), "none.jsonl"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(arguments: tuple[str, ...], said: str) -> None:
    ran = doctor(*arguments)
    assert ran.exit_code == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.output


def test_nobody_there_leaves_with_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    ran = doctor(f"http://127.0.0.1:{port}/voice")
    assert ran.exit_code == 3
    assert str(port) in ran.stderr
