"""Where a replay parted from its recording, in words a person can act on.

Effects are told in one line each, unprintable signs escaped: what callers say, and what stands
in a foreign file, may be meant for the terminal that shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Final

import msgspec

from voicelat.turn.effects import Effect, TurnClosed

__all__ = ["first_difference", "told"]

_FIELDS_NAMED: Final = 3
_LONGEST_VALUE: Final = 60
_OF_A_TURN: Final = ("turn", "outcome", "EOU_REASON", "TOTAL_LATENCY_MS", "text")
"""What is told of a whole record; it would fill the screen."""


def first_difference(recorded: Sequence[Effect], replayed: Sequence[Effect]) -> str:
    """The first effect that differs, in one line; for a changed one, the fields that did."""
    for number, (was, now) in enumerate(zip_longest(recorded, replayed), 1):
        if was is None or now is None:
            missing = "recorded" if was is None else "replayed"
            return f"effect {number} was not {missing}: {told(now if was is None else was)}"
        if type(was) is not type(now):
            return f"effect {number} was {told(was)}, and is {told(now)}"
        if changed := list(_changed(was, now)):
            more = len(changed) - _FIELDS_NAMED
            named = "; ".join(changed[:_FIELDS_NAMED])
            return f"effect {number} ({_kind(was)}): {named}{f'; {more} more' if more > 0 else ''}"
    return "the same values, written in another order"


def told(what: msgspec.Struct) -> str:
    """An event or an effect in one line."""
    subject, names = what, what.__struct_fields__
    if isinstance(what, TurnClosed):
        subject, names = what.record, _OF_A_TURN
    values = ", ".join(f"{name}={_short(getattr(subject, name))}" for name in names)
    return f"{_kind(what)}({values})"


def _changed(was: Effect, now: Effect) -> Iterator[str]:
    before, after = _flat(msgspec.to_builtins(was)), _flat(msgspec.to_builtins(now))
    for name in before | after:
        old, new = before.get(name), after.get(name)
        if old != new:
            yield f"{name.removeprefix('record.')} was {_short(old)}, and is {_short(new)}"


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """``{"stamps": {"turn_end": 1}}`` as ``{"stamps.turn_end": 1}``."""
    flat: dict[str, object] = {}
    for name, item in value.items():
        if isinstance(item, dict):
            flat |= _flat(item, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = item
    return flat


def _kind(what: msgspec.Struct) -> str:
    return str(what.__struct_config__.tag)


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[:_LONGEST_VALUE]}..."
