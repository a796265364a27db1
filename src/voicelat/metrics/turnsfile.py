"""``turns.jsonl``: one turn, one line.

Written whole by voicelat; read with patience, because other people's servers write it too. A
row needs no more than one of the numbers: what is missing stays unknown, and what can be
derived from stamps is derived.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from voicelat.errors import InvalidFile
from voicelat.metrics.record import NUMBERS, SCHEMA, Outcome, Stamps, TurnRecord

__all__ = ["Turns", "blank_texts", "decode", "encode", "read_turns"]

_STDIN: Final = "-"
_BOM: Final = b"\xef\xbb\xbf"
_TEXTS: Final = ("text", "final_text", "reply", "heard", "fallback_text", "failure")
"""What was said, or quotes it."""
_LARGEST: Final = 10**15  # far beyond a wall clock in ms, and still exact as a float

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(TurnRecord)


@dataclass(slots=True)
class Turns:
    """What `read_turns` found."""

    records: list[TurnRecord] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)
    """``path: line N`` of each line that breaks off: a killed writer's or a full disk's."""


def encode(record: TurnRecord) -> bytes:
    """The record as one line of JSON, newline included; unknown is ``null``.

    Raises UnicodeEncodeError for text that is no Unicode (a lone surrogate).
    """
    return _ENCODER.encode(record) + b"\n"


def read_turns(paths: Iterable[str | Path]) -> Turns:
    """Read turns from files, in order; ``-`` is standard input.

    A line that breaks off is left out and named in ``truncated``. Extra keys are ignored.
    Raises `InvalidFile` for a file that cannot be read, and for a line that is not JSON, has
    another schema, or is no turn (``line N: …``).
    """
    turns = Turns()
    for path in paths:
        if str(path) == _STDIN:
            _read(sys.stdin.buffer, "<stdin>", turns)
            continue
        try:
            with Path(path).open("rb") as file:
                _read(file, str(path), turns)
        except OSError as error:
            raise InvalidFile(path, f"cannot be read: {error.strerror}") from error
    return turns


def blank_texts(path: Path, which: Callable[[dict[str, Any]], bool]) -> list[TurnRecord]:
    """Empty what was said in the rows that are meant; the turns, as they are then.

    In place, each line as long as it was (blanks fill it up): a server that appends meanwhile
    writes on in the same file, and every number stays. Raises InvalidFile for a file that cannot
    be read or written, and for a line that cannot be emptied in its place.
    """
    emptied: list[TurnRecord] = []
    try:
        with path.open("r+b") as file:
            place = 0
            for number, line in enumerate(file.read().splitlines(keepends=True), start=1):
                row = _row(line)
                if row is not None and which(row):
                    new = _ENCODER.encode({**row, **{k: "" for k in _TEXTS if row.get(k)}})
                    room = len(line.rstrip(b"\r\n"))
                    if len(new) > room:
                        raise InvalidFile(path, f"line {number}: cannot be emptied in its place")
                    file.seek(place)
                    file.write(new.ljust(room))
                    record = decode(new, call_id=str(path), turn=number)
                    emptied += [record] if record is not None else []
                place += len(line)
    except OSError as error:
        raise InvalidFile(path, f"cannot be emptied: {error.strerror}") from None
    return emptied


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        read = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _read(file: IO[bytes], name: str, turns: Turns) -> None:
    for number, line in _lines(file):
        try:
            record = decode(line, call_id=name, turn=number)
        except ValueError as error:
            raise InvalidFile(name, f"line {number}: {error}") from error
        if record is None:
            turns.truncated.append(f"{name}: line {number}")
        else:
            turns.records.append(record)


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, raw in enumerate(file, start=1):
        line = (raw.removeprefix(_BOM) if number == 1 else raw).strip()
        if line:
            yield number, line


def decode(line: bytes, *, call_id: str, turn: int) -> TurnRecord | None:
    """One line as a record, ``None`` when the line breaks off.

    ``call_id`` and ``turn`` are used where the row has none of its own. Raises ValueError,
    in words for the person who wrote the row.
    """
    try:
        record = _DECODER.decode(line)
    except msgspec.ValidationError:
        record = _foreign(line, call_id, turn)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if _breaks_off(line, error):
            return None
        raise ValueError("this is not JSON; each line must be one turn as a JSON object") from error
    if record.stamps != _NO_STAMPS and all(_number(record, name) is None for name in NUMBERS):
        record = record.measured()
    _check_sizes(record)
    return record


_NO_STAMPS: Final = Stamps()


def _breaks_off(line: bytes, error: Exception) -> bool:
    """Whether a JSON object begins here and the line ends before it does."""
    inside_a_character = isinstance(error, UnicodeDecodeError) and error.end == len(line)
    return line.startswith(b"{") and (inside_a_character or "truncated" in str(error))


def _foreign(line: bytes, call_id: str, turn: int) -> TurnRecord:
    """A row of another server: fill in what voicelat would have written. Raises ValueError."""
    row = msgspec.json.decode(line)
    if not isinstance(row, dict):
        raise ValueError("this is not a turn; each line must be a JSON object")  # noqa: TRY004 - a message for a file's author, not a programmer's mistake
    if row.get("schema", SCHEMA) != SCHEMA:
        raise ValueError(
            f"schema {row['schema']!r} is unknown here; this version reads schema {SCHEMA}"
        )
    if "stamps" not in row and not any(name in row for name in NUMBERS):
        raise ValueError(f"no turn in it: none of {', '.join(NUMBERS)}, and no stamps")
    row.setdefault("call_id", call_id)
    row.setdefault("turn", turn)
    row.setdefault("outcome", _outcome(row))
    try:
        return msgspec.convert(_whole(row), TurnRecord)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def _outcome(row: dict[str, Any]) -> Outcome:
    """Answered unless the row says otherwise: a missing number alone proves no lost reply."""
    return "barged_in" if row.get("BARGE_IN_HIT") else "answered"


def _whole(value: Any) -> Any:
    """The value with every float inside rounded: other servers' milliseconds have fractions."""
    if isinstance(value, dict):
        return {key: item if key == "settings" else _whole(item) for key, item in value.items()}
    return round(value) if isinstance(value, float) else value


def _check_sizes(record: TurnRecord) -> None:
    own, stamps = msgspec.structs.astuple(record), msgspec.structs.astuple(record.stamps)
    for value in (*own, *stamps, *record.legs.values()):
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise ValueError("a number is out of range; times are in milliseconds")


def _number(record: TurnRecord, name: str) -> int | None:
    value: int | None = getattr(record, name)
    return value
