"""The generated pages are fresh, and every verb is documented, has examples and speaks JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from voicelat.cli import app
from voicelat.metrics.record import NUMBERS, TurnRecord
from voicelat.metrics.summary import CallerSide, summarise
from voicelat.metrics.targets import parse_gate
from voicelat.report import judged
from voicelat.settings import load

ROOT = Path(__file__).parents[1]


def walk(command: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every verb, those of groups as "group verb"."""
    for name, child in sorted(command.commands.items()):  # type: ignore[attr-defined]
        if hasattr(child, "commands"):
            yield from walk(child, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", child


VERBS = list(walk(get_command(app)))

NO_JSON: dict[str, str] = {}
"""Verbs without ``--json``, and why."""

each_verb = pytest.mark.parametrize(("name", "command"), VERBS, ids=[name for name, _ in VERBS])


def test_the_generated_pages_are_fresh() -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@each_verb
def test_every_verb_has_help_with_examples(name: str, command: object) -> None:
    assert getattr(command, "help", None)
    epilog = getattr(command, "epilog", None) or ""
    assert "Examples" in epilog
    assert f"voicelat {name}" in epilog


@each_verb
def test_every_option_says_what_it_is_for(name: str, command: object) -> None:
    silent = [p.name for p in getattr(command, "params", ()) if not p.help]
    assert silent == [], name


@each_verb
def test_every_verb_stands_in_the_reference(name: str, command: object) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"## voicelat {name}\n" in page, command


@each_verb
def test_every_verb_speaks_json_or_says_why_not(name: str, command: object) -> None:
    options = {option for p in getattr(command, "params", ()) for option in p.opts}
    assert ("--json" in options) is (name not in NO_JSON)


def documented() -> str:
    return (ROOT / "docs" / "json.md").read_text(encoding="utf-8")


def keys(value: object) -> Iterator[str]:
    """Every key of a JSON value, at any depth."""
    if isinstance(value, dict):
        yield from value
        for inside in value.values():
            yield from keys(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from keys(inside)


def test_every_key_of_a_report_is_documented() -> None:
    turns = [
        TurnRecord(call_id=call, turn=1, outcome="answered", TOTAL_LATENCY_MS=900)
        for call in ("CA1", "CA2")
    ]
    summary = summarise(turns, caller=[CallerSide(call_id="CA1", v2v_ms=[950.0])])
    report = judged(summary, parse_gate("total_p95=1,cutoffs=0"))
    found = set(keys(json.loads(report.to_json()))) - set(NUMBERS)
    assert {"ci95", "try", "gates", "truncated", "v2v_ms"} <= found
    assert [key for key in sorted(found) if f"`{key}`" not in documented()] == []


def test_every_key_of_the_settings_is_documented() -> None:
    found = set(keys(load(environ={}, folder=ROOT / "docs").described()))
    assert "allowed" in found
    assert [key for key in sorted(found) if f"`{key}`" not in documented()] == []


def test_no_lock_names_a_registry() -> None:
    locks = sorted(ROOT.glob("*.lock"))
    assert [lock.name for lock in locks] == [
        "bootstrap.lock",
        "requirements-core.lock",
        "requirements.lock",
        "turn-model.lock",
    ]
    for lock in (*locks, *ROOT.glob("tests/**/*.lock")):
        for line in lock.read_text().splitlines():
            assert line.startswith("    --hash=sha256:") or "==" in line.split()[0]
            assert "://" not in line
