"""How loud a recording is, for the lanes of its call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from voicelat.audio.mulaw import BYTES_PER_MS, Pcm
from voicelat.audio.wav import read
from voicelat.engine.recording import tape_name
from voicelat.errors import InvalidFile, UsageError
from voicelat.metrics.record import CallInfo
from voicelat.report.page.frame import Json

__all__ = ["Wave", "waves_in"]

_STEP_MS: Final = 60
"""Of one bar. A call of ten minutes is 10,000 of them, a word is five."""
_FULL: Final = 32_768.0


@dataclass(frozen=True, slots=True)
class Wave:
    """The peaks of both channels, `_STEP_MS` each, from 0 to 1."""

    caller: list[float]
    agent: list[float]

    def drawn(self) -> Json:
        """As the page reads it."""
        return {"step": _STEP_MS, "caller": self.caller, "agent": self.agent}


def waves_in(folder: Path, calls: Iterable[CallInfo]) -> tuple[dict[str, Wave], list[str]]:
    """The recordings of these calls by call id, and what was wrong with those that could not be
    read.

    A file is named as ``serve --record`` names it, or by the call's id alone. Raises UsageError
    where there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"--recordings {folder}: is no folder")
    wanted: dict[str, str] = {}
    for call in calls:
        name = tape_name(call)
        wanted |= {name: call.call_id, name.partition("-")[2]: call.call_id}
    found: dict[str, Wave] = {}
    broken = []
    for path in sorted(folder.glob("*.wav")):
        call_id = wanted.get(path.stem)
        if call_id is None:
            continue
        try:
            channels = read(path).channels
        except InvalidFile as error:
            broken.append(str(error))
            continue
        if len(channels) != 2:
            broken.append(f"{path}: has {len(channels)} channels, not the caller's and the agent's")
            continue
        found[call_id] = Wave(_peaks(channels[0]), _peaks(channels[1]))
    return found, broken


def _peaks(samples: Pcm) -> list[float]:
    """Square roots, so that quiet speech is seen too."""
    size = _STEP_MS * BYTES_PER_MS
    padded = np.zeros(-(-len(samples) // size) * size, dtype=np.float32)
    padded[: len(samples)] = np.abs(samples.astype(np.float32))
    peaks = np.sqrt(padded.reshape(-1, size).max(axis=1) / _FULL)
    return [round(float(peak), 2) for peak in peaks]
