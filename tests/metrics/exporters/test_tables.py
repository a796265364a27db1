"""Tables say what the records say, and Parquet gives them back."""

from __future__ import annotations

import csv
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from tests.metrics.exporters.records import FULL, any_records, turn

from voicelat.errors import InvalidFile, UsageError
from voicelat.metrics.exporters.tables import (
    COLUMN_DOCS,
    frame_of,
    read_parquet,
    write_csv,
    write_parquet,
)
from voicelat.metrics.record import TurnRecord

pd = pytest.importorskip("pandas", reason="pip install 'voicelat[tables]'")
pq = pytest.importorskip("pyarrow.parquet", reason="pip install 'voicelat[tables]'")

BARE = TurnRecord(call_id="CA2", turn=1, outcome="censored")


def test_a_turn_is_a_row_of_numbers_stamps_legs_and_settings() -> None:
    row = frame_of([FULL]).iloc[0]
    assert row["TOTAL_LATENCY_MS"] == 1050
    assert row["stamp_tts_ready"] == 3000
    assert row["leg_llm"] == 500
    assert row["provider_llm"] == "openai:gpt-x"
    assert row["setting_VAD_HANGOVER_MS"] == 160
    assert row["started_at"] == pd.Timestamp("2026-11-25T10:00:00.250Z")
    assert row["turn_at"] == pd.Timestamp("2026-11-25T10:00:02.250Z")


def test_unknown_is_na_and_whole_numbers_stay_whole_beside_it() -> None:
    frame = frame_of([FULL, BARE])
    for name in ("TOTAL_LATENCY_MS", "stamp_speech_end", "leg_tts", "setting_VAD_HANGOVER_MS"):
        assert str(frame[name].dtype) == "Int64"
        assert frame[name].isna().tolist() == [False, True]
    assert frame["started_at"].isna().tolist() == [False, True]
    assert frame["clipped"].isna().all()


def test_the_columns_are_the_documented_ones_in_that_order() -> None:
    documented = [name for name, _, _ in COLUMN_DOCS if name != "setting_NAME"]
    frame = frame_of([FULL])
    assert list(frame)[: len(documented)] == documented
    assert [name for name in frame if name not in documented] == [
        f"setting_{name}" for name in sorted(FULL.settings)
    ]
    for name, kind, _ in COLUMN_DOCS:
        if kind in ("Int64", "Float64", "boolean", "string"):
            assert str(frame[name].dtype) == kind
    assert list(frame_of([])) == documented


def test_a_setting_that_changed_its_kind_is_text() -> None:
    frame = frame_of([turn(1, settings={"X": 1}), turn(2, settings={"X": "one"}), BARE])
    assert frame["setting_X"].fillna("?").tolist() == ["1", "one", "?"]


@given(any_records)
def test_parquet_gives_back_the_very_records(records: list[TurnRecord]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "turns.parquet"
        write_parquet(records, path)
        assert read_parquet(path) == records


def test_parquet_says_its_schema(tmp_path: Path) -> None:
    write_parquet([FULL], tmp_path / "turns.parquet")
    assert pq.read_schema(tmp_path / "turns.parquet").metadata[b"voicelat.schema"] == b"1"


def test_other_parquet_and_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(other)
    with pytest.raises(InvalidFile, match="voicelat did not write it"):
        read_parquet(other)
    other.write_text("hello")
    with pytest.raises(InvalidFile, match="is not Parquet"):
        read_parquet(other)
    with pytest.raises(InvalidFile, match="cannot be read"):
        read_parquet(tmp_path / "none.parquet")


def test_csv_has_a_header_and_leaves_unknown_empty(tmp_path: Path) -> None:
    write_csv([FULL, BARE], tmp_path / "turns.csv")
    with (tmp_path / "turns.csv").open(encoding="utf-8", newline="") as file:
        full, bare = csv.DictReader(file)
    assert (full["reply"], full["TOTAL_LATENCY_MS"]) == (FULL.reply, "1050")
    assert (bare["TOTAL_LATENCY_MS"], bare["EOU_REASON"]) == ("", "")


def test_a_file_is_replaced_whole_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "turns.csv"
    write_csv([FULL] * 50, path)
    write_csv([FULL], path)
    assert path.read_text().count("CA1") == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_csv([FULL], tmp_path / "none" / "turns.csv")
    with pytest.raises(UsageError, match="is no file"):
        write_csv([FULL], tmp_path)
