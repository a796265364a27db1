"""``NAME.labels.json``: where a person, or a program, says the caller's turns ended.

Written by other people and other tools, so it is checked whole before any of it is believed.
The format is described in docs/labels.md.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from voicelat.errors import InvalidFile, UsageError

__all__ = ["LabelledTurn", "Labels", "decode", "find_labels", "read_labels"]

_SUFFIXES: Final = (".trace.jsonl", ".wav")
_BOM: Final = b"\xef\xbb\xbf"
_LONGEST_MS: Final = 7 * 24 * 3600 * 1000
"""A week: a time beyond it is not in milliseconds since the recording began."""

_Ms = Annotated[int, msgspec.Meta(ge=0, le=_LONGEST_MS)]


class LabelledTurn(msgspec.Struct, frozen=True):
    """One turn of the caller, in ms on the recording's clock.

    Raises ValueError for a turn that does not end after it began, and for holds outside it.
    """

    start_ms: _Ms
    end_ms: _Ms
    """Where the turn was over: the end of its last word."""
    holds: list[tuple[_Ms, _Ms]] = []
    """Begin and end of its pauses, in order. For people and other tools: every pause that the
    voice detector finds inside the turn is a hold, listed or not."""

    def __post_init__(self) -> None:
        if not self.start_ms < self.end_ms:
            raise ValueError(f"a turn must end after it began, not last from {_said(self)}")
        at_ms = self.start_ms
        for begin_ms, end_ms in self.holds:
            if not at_ms <= begin_ms < end_ms <= self.end_ms:
                raise ValueError("holds must be [begin, end] in order, inside their turn, apart")
            at_ms = end_ms


class Labels(msgspec.Struct, frozen=True):
    """All turns of one caller, in order, none overlapping another.

    Raises ValueError for turns that are not.
    """

    schema: Literal[1]
    turns: list[LabelledTurn]
    by: str = ""
    """Who labelled, in free text."""

    def __post_init__(self) -> None:
        for number, (turn, after) in enumerate(pairwise(self.turns), 2):
            if after.start_ms < turn.end_ms:
                raise ValueError(
                    f"turn {number} ({_said(after)}) begins before turn {number - 1} "
                    f"({_said(turn)}) ends; turns must be in order and must not overlap"
                )


def find_labels(recording: Path, folder: Path | None) -> Path | None:
    """The labels of ``NAME.wav`` or ``NAME.trace.jsonl``; None where it has none.

    They are ``NAME.labels.json`` beside it; with ``folder`` only there. Raises UsageError when
    there is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give the one that holds the .labels.json")
    name = recording.name
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    path = (folder or recording.parent) / f"{name}.labels.json"
    return path if path.is_file() else None


def read_labels(path: Path) -> Labels:
    """Read a labels file. Raises `InvalidFile` for one that cannot be read, or is none."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidFile(path, f"cannot be read ({error.strerror})") from error
    return decode(raw, path)


def decode(raw: bytes, source: object) -> Labels:
    """The contents of a labels file. Keys nobody here knows are ignored.

    Raises `InvalidFile` (source), in words for the person who wrote it.
    """
    try:
        return msgspec.json.decode(raw.removeprefix(_BOM), type=Labels)
    except msgspec.ValidationError as error:
        raise InvalidFile(source, f"not labels: {error} (see docs/labels.md)") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidFile(source, "is not JSON; docs/labels.md shows what it must be") from error


def _said(turn: LabelledTurn) -> str:
    return f"{turn.start_ms} to {turn.end_ms} ms"
