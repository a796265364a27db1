"""A recording is found by the name of its call, and one that cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voicelat.audio.mulaw import encode
from voicelat.audio.wav import TwoChannelWriter
from voicelat.errors import UsageError
from voicelat.metrics.record import CallInfo
from voicelat.report.pictures.waves import waves_in


def call(call_id: str) -> CallInfo:
    return CallInfo(call_id=call_id, started_utc="2026-11-25T15:12:19.605+00:00")


def record(path: Path) -> None:
    tone = encode((16_000 * np.sin(np.arange(8 * 240) / 3)).astype(np.int16))
    writer = TwoChannelWriter(path)
    writer.write("caller", 0, tone)
    writer.write("agent", 300, tone)
    writer.close()


def test_a_recording_is_found_by_the_name_the_server_gave_it(tmp_path: Path) -> None:
    record(tmp_path / "20261125151219-CA_1.wav")
    record(tmp_path / "20261125151219-CA_12.wav")
    waves, broken = waves_in(tmp_path, [call("CA/1")])
    assert (list(waves), broken) == (["CA/1"], [])
    wave = waves["CA/1"]
    assert wave.caller[:4] == pytest.approx([0.7] * 4, abs=0.02)
    assert max(wave.caller[5:]) < 0.1
    assert max(wave.agent[:5]) < 0.1


def test_a_recording_that_cannot_be_read_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    (tmp_path / "CA1.wav").write_bytes(b"no sound")
    record(tmp_path / "CA2.wav")
    waves, broken = waves_in(tmp_path, [call("CA1"), call("CA2")])
    assert list(waves) == ["CA2"]
    assert "CA1.wav" in broken[0]


def test_a_folder_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        waves_in(tmp_path / "none", [])
