"""Turns as tables: a data frame, CSV, Parquet. Needs the ``tables`` extra.

One row a turn. A field of the record is a column of its name; stamps, legs, providers and settings
stand in columns of their own besides. What is open-ended stays in the record's own columns as JSON,
so that a Parquet file gives back the very records.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec

from voicelat.errors import InvalidFile, MissingExtra, UsageError
from voicelat.metrics.exporters.columns import COLUMNS, Kind, instant, started_at
from voicelat.metrics.record import SCHEMA, Leg, Stamp, TurnRecord

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMN_DOCS", "frame_of", "read_parquet", "write_csv", "write_parquet"]

_SCHEMA_KEY: Final = b"voicelat.schema"

_ROLES: Final = ("stt", "llm", "tts")

_TYPES: Final[dict[Kind, str]] = {
    "int": "Int64",
    "float": "Float64",
    "bool": "boolean",
    "text": "string",
    "json": "string",
}

COLUMN_DOCS: Final[tuple[tuple[str, str, str], ...]] = (
    *(
        (column.name, _TYPES[column.kind], "as JSON" if column.kind == "json" else "")
        for column in COLUMNS
        if column.name != "stamps"
    ),
    ("started_at", "timestamp, UTC", "`started_utc` as a time"),
    ("turn_at", "timestamp, UTC", "when the caller was done (else the turn's first stamp)"),
    *((f"stamp_{name}", "Int64", f"`stamps.{name}`") for name in get_args(Stamp)),
    *((f"leg_{name}", "Int64", f"`legs.{name}`") for name in get_args(Leg)),
    *((f"provider_{role}", "string", f"`providers.{role}`") for role in _ROLES),
    ("setting_NAME", "by its values", "`settings.NAME`, for every name in any turn, sorted"),
)
"""Every column in its order: name, type and what it is beside the record's field."""


def frame_of(records: Sequence[TurnRecord]) -> pd.DataFrame:
    """One row a turn, columns as in docs/export.md. Unknown is NA, and whole numbers stay whole.

    Raises MissingExtra without pandas.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtra("tables", "a table of turns") from None

    columns: dict[str, Any] = {}
    for column in COLUMNS:
        if column.name == "stamps":
            continue
        values = [getattr(record, column.name) for record in records]
        if column.kind == "json":
            values = [msgspec.json.encode(value).decode() for value in values]
        columns[column.name] = pd.array(values, dtype=_TYPES[column.kind])
    for name, when in (("started_at", started_at), ("turn_at", instant)):
        times = [when(record) for record in records]
        columns[name] = pd.Series(times, dtype="datetime64[ms, UTC]")
    for name, kind, values in _flattened(records):
        columns[name] = pd.array(values, dtype=_TYPES[kind])
    return pd.DataFrame(columns)


def _flattened(records: Sequence[TurnRecord]) -> Iterator[tuple[str, Kind, list[Any]]]:
    """What the JSON columns hold, a column each."""
    for stamp in get_args(Stamp):
        yield f"stamp_{stamp}", "int", [getattr(record.stamps, stamp) for record in records]
    for leg in get_args(Leg):
        yield f"leg_{leg}", "int", [record.legs.get(leg) for record in records]
    for role in _ROLES:
        yield f"provider_{role}", "text", [record.providers.get(role) for record in records]
    for name in sorted({name for record in records for name in record.settings}):
        values = [record.settings.get(name) for record in records]
        kind = _kind_of(values)
        if kind == "text":
            values = [None if value is None else str(value) for value in values]
        yield f"setting_{name}", kind, values


def _kind_of(values: Sequence[object]) -> Kind:
    """What all known values are; text when they are not of one kind."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "bool"
    if kinds <= {int} and all(abs(v) < 2**63 for v in values if isinstance(v, int)):
        return "int"
    return "float" if kinds == {float} else "text"


def write_csv(records: Sequence[TurnRecord], path: str | Path) -> None:
    """A CSV file in UTF-8 with a header; unknown is empty. An existing file is replaced.

    Raises UsageError when it cannot be written, MissingExtra without pandas.
    """
    frame = frame_of(records)
    with _replacing(Path(path)) as part:
        frame.to_csv(part, index=False, encoding="utf-8")


def write_parquet(records: Sequence[TurnRecord], path: str | Path) -> None:
    """A Parquet file that `read_parquet` takes back. Its metadata has the schema's version as
    ``voicelat.schema``. An existing file is replaced. Raises as `write_csv` does."""
    frame = frame_of(records)
    pa, pq = _arrow()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), _SCHEMA_KEY: str(SCHEMA).encode()}
    with _replacing(Path(path)) as part:
        pq.write_table(table.replace_schema_metadata(metadata), part)


def read_parquet(path: str | Path) -> list[TurnRecord]:
    """The records of a file that `write_parquet` wrote, in its order.

    Raises InvalidFile for any other, MissingExtra without pyarrow.
    """
    pa, pq = _arrow()
    try:
        table = pq.read_table(path)
    except OSError as error:
        raise InvalidFile(path, f"cannot be read: {error.strerror or error}") from None
    except pa.ArrowException as error:
        raise InvalidFile(path, f"is not Parquet: {str(error).splitlines()[0]}") from None
    version = (table.schema.metadata or {}).get(_SCHEMA_KEY)
    if version != str(SCHEMA).encode():
        raise InvalidFile(path, f"has no turns of schema {SCHEMA} in it: voicelat did not write it")
    try:
        return [_record(row) for row in table.to_pylist()]
    except (KeyError, ValueError) as error:
        raise InvalidFile(path, f"has no turns in it: {error!r}") from None


def _record(row: dict[str, Any]) -> TurnRecord:
    fields: dict[str, Any] = {
        "stamps": {stamp: row[f"stamp_{stamp}"] for stamp in get_args(Stamp)},
    }
    for column in COLUMNS:
        if column.name == "stamps" or column.name not in row:  # a newer field than the file
            continue
        value = row[column.name]
        fields[column.name] = msgspec.json.decode(value) if column.kind == "json" else value
    return msgspec.convert(fields, TurnRecord)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("tables", "Parquet") from None
    return pyarrow, pyarrow.parquet


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` that takes its place once it is whole."""
    path = path.resolve()  # never replace a link such as /dev/stdout
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: is no file, give the name of one")
    try:
        # Not readable by others: what callers said is theirs.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        part = Path(name)
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None
