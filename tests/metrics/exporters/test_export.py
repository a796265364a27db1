"""``voicelat export``: files of turns to every place, from the command line."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.metrics.exporters.collector import collecting
from tests.metrics.exporters.records import turn
from typer.testing import CliRunner

from voicelat.cli import app
from voicelat.metrics.exporters.export import ExportResult
from voicelat.metrics.exporters.tables import read_parquet
from voicelat.metrics.turnsfile import encode

for package in ("pandas", "pyarrow", "sqlalchemy", "opentelemetry.exporter.otlp.proto.http"):
    pytest.importorskip(package, reason="pip install 'voicelat[tables,sql,otel]'")

RECORDS = [turn(1), turn(2), turn(1, "CA2"), turn(2, "CA2", started_utc=None)]


@pytest.fixture
def turns(tmp_path: Path) -> Path:
    path = tmp_path / "turns.jsonl"
    path.write_bytes(b"".join(encode(record) for record in RECORDS))
    return path


def run(*args: object, stdin: bytes | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["export", *map(str, args)], input=stdin)
    return result.exit_code, result.stdout, result.stderr


def exported(*args: object) -> dict[str, Any]:
    code, out, _ = run(*args, "--json")
    assert code == 0
    told: dict[str, Any] = json.loads(out)
    return told


def test_turns_go_to_every_place_that_is_asked_for(turns: Path, tmp_path: Path) -> None:
    with collecting() as collector:
        places = ("--csv", tmp_path / "t.csv", "--parquet", tmp_path / "t.parquet")
        sql = ("--sql", f"sqlite:///{tmp_path}/t.db", "--otlp", collector.url)
        told = exported(turns, *places, *sql)
    assert (told["turns"], told["calls"]) == (4, 3)  # one call's start is unknown once
    assert told["written"] == {"csv": 4, "parquet": 4, "sql": 4, "otlp": 3}
    assert told["skipped"] == {"csv": 0, "parquet": 0, "sql": 0, "otlp": 1}
    assert told["reasons"]["otlp"][0].startswith("CA2 turn 2: ")
    assert list(told) == list(ExportResult.__struct_fields__)
    assert read_parquet(tmp_path / "t.parquet") == RECORDS
    assert len([span for span in collector.spans if span.name == "turn"]) == 3


def test_a_file_exported_twice_is_in_the_database_once(turns: Path, tmp_path: Path) -> None:
    for _ in range(2):
        exported(turns, turns, "--sql", f"sqlite:///{tmp_path}/t.db")
    with sqlite3.connect(tmp_path / "t.db") as database:
        assert database.execute("SELECT count(*) FROM voicelat_turns").fetchone() == (4,)


def test_people_are_told_in_a_line_and_warned_of_what_is_left_out(
    turns: Path, tmp_path: Path
) -> None:
    with turns.open("ab") as file:
        file.write(encode(RECORDS[0])[:30])
    with collecting() as collector:
        code, out, err = run(turns, "--otlp", collector.url, "--csv", tmp_path / "t.csv")
    assert (code, out) == (0, "4 turns of 3 calls: 4 to csv, 3 to otlp\n")
    assert f"{turns}: line 5 breaks off and was left out" in err
    assert "otlp cannot take CA2 turn 2: " in err


def test_turns_may_come_from_standard_input(tmp_path: Path) -> None:
    code, out, _ = run("-", "--csv", tmp_path / "t.csv", stdin=encode(RECORDS[0]))
    assert (code, out) == (0, "1 turns of 1 calls: 1 to csv\n")


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ((), 2, "say where to: --csv FILE"),
        (("--sql", "nonsense"), 2, "URL cannot be read"),
        (("--otlp", "nonsense"), 2, "give the collector's address"),
        (("--csv", "none/t.csv"), 2, "cannot be written"),
        (("--sql", "postgresql://me@127.0.0.1:1/x"), 3, "127.0.0.1:1"),
        (("--otlp", "http://127.0.0.1:1"), 3, "no answer"),
    ],
)
def test_a_mistake_is_one_line(
    turns: Path,
    options: tuple[str, ...],
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    left, out, err = run(turns, *options)
    assert (left, out) == (code, "")
    assert says in err
    assert err.strip().count("\n") == 0


def test_the_result_is_json_as_documented() -> None:
    fields = msgspec.structs.fields(ExportResult)
    page = (Path(__file__).parents[3] / "docs" / "json.md").read_text(encoding="utf-8")
    section = page.partition("## `export`")[2].partition("\n## ")[0]
    assert [field.name for field in fields if f"| `{field.name}` |" not in section] == []


@pytest.mark.parametrize(
    ("package", "option", "value", "extra"),
    [
        ("pandas", "--csv", "t.csv", "tables"),
        ("pyarrow.parquet", "--parquet", "t.parquet", "tables"),
        ("sqlalchemy", "--sql", "sqlite:///t.db", "sql"),
        ("psycopg", "--sql", "postgresql://me@127.0.0.1:1/x", "sql"),
        ("requests", "--otlp", "http://127.0.0.1:1", "otel"),
    ],
)
def test_a_package_that_is_missing_is_named_by_its_extra(
    turns: Path,
    package: str,
    option: str,
    value: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    code, _, err = run(turns, option, value)
    assert code == 2
    assert f"pip install 'voicelat[{extra}]'" in err
    assert list(tmp_path.iterdir()) == [turns]
