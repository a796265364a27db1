"""Benchmarks that are tests as well, in a smaller size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def benchmark(name: str, *options: str) -> Any:
    command = [sys.executable, str(ROOT / "benchmarks" / name), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(180)
def test_calls_survive_faults_while_the_agent_speaks() -> None:
    pytest.importorskip("google.cloud.speech")
    pytest.importorskip("google.cloud.texttospeech")
    pytest.importorskip("openai")
    chosen = ("--faults", "reset", "stall", "quota", "--states", "speaking")
    found = benchmark("faults.py", *chosen, "--at-once", "18")
    assert len(found["cells"]) == 18
    verdicts = {cell["verdict"] for cell in found["cells"]}
    assert verdicts <= {"unharmed", "went on", "ended politely"}
    assert found["left"]["tasks"] <= 0


@pytest.mark.timeout(180)
def test_a_crowd_that_never_starts_is_cut_off_and_a_caller_is_answered() -> None:
    found = benchmark("connects.py", "--connects", "300")
    assert found["meanwhile_ms"] is not None
    assert found["fates"]["taken"] == found["fates"]["cut"] == 300


@pytest.mark.timeout(180)
def test_calls_go_on_whatever_becomes_of_the_agents() -> None:
    pytest.importorskip("sqlalchemy", reason="the extra is not installed")
    found = benchmark("outbox.py", "--quick")["conditions"]
    assert {name: one["turns"] for name, one in found.items()} == dict.fromkeys(found, 2)
    assert found["no agents"]["events"] == {}
    assert found["at rest"]["events"]["delivered"] >= 2
    for silent in ("stopped", "killed"):
        assert found[silent]["events"]["delivered"] == 0
        assert found[silent]["events"]["waiting"] > 0
