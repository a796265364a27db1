"""What can be said about each setting without knowing its value."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import inspect

from voicelat.settings.values import Values

__all__ = ["BY_NAME", "SETTINGS", "Setting", "Value"]

Value = bool | int | float | str | None
"""What a setting can be. ``None``: not set, and nothing is assumed."""

SWITCH: Final = {
    **dict.fromkeys(("0", "false", "no", "off"), False),
    **dict.fromkeys(("1", "true", "yes", "on"), True),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What can be said about one setting without knowing its value."""

    name: str
    """Its environment name, e.g. ``VAD_HANGOVER_MS``."""
    annotation: Any
    default: Value
    unit: str
    """``ms``, ``words``, …; "" where there is none."""
    meaning: str
    allowed: str
    """What a value may be, as the end of "must be …"."""
    words: Mapping[str, bool | str]
    """Words that stand for a value, in lower case: the switch's, or the choices."""
    optional: bool
    secret: bool

    @property
    def attribute(self) -> str:
        """Its name in `Settings`."""
        return self.name.lower()

    def parse(self, raw: object) -> Value:
        """The value that ``raw`` stands for. Raises msgspec.ValidationError if there is none."""
        if isinstance(raw, str):
            raw = raw.strip()
            if not raw and self.optional:
                return None
            raw = self.words.get(raw.lower(), raw)
        value: Value = msgspec.convert(raw, self.annotation, strict=False)
        return value

    def written(self, value: Value) -> str:
        """``value`` as one would write it in ``.env``, then its unit. None is "none"."""
        text = (
            "none"
            if value is None
            else str(int(value) if value is True or value is False else value)
        )
        return f"{text} {self.unit}".rstrip()


def _describe() -> Iterator[Setting]:
    info = inspect.type_info(Values)
    assert isinstance(info, inspect.StructType)
    hints = typing.get_type_hints(Values, include_extras=True)
    for field in info.fields:
        kind, extra = _unwrapped(field.type)
        optional = isinstance(kind, inspect.UnionType)
        if isinstance(kind, inspect.UnionType):
            text = next(t for t in kind.types if not isinstance(t, inspect.NoneType))
            kind, more = _unwrapped(text)
            extra = {**extra, **more}
        allowed, words = _allowed(kind, extra)
        yield Setting(
            name=field.name.upper(),
            annotation=hints[field.name],
            default=field.default,
            unit=extra["unit"],
            meaning=extra["meaning"],
            allowed=f"{allowed}, or empty for none" if optional else allowed,
            words=words,
            optional=optional,
            secret=extra.get("secret", False),
        )


def _unwrapped(kind: inspect.Type) -> tuple[inspect.Type, Mapping[str, Any]]:
    return (kind.type, kind.extra or {}) if isinstance(kind, inspect.Metadata) else (kind, {})


def _allowed(kind: inspect.Type, extra: Mapping[str, Any]) -> tuple[str, Mapping[str, bool | str]]:
    """What a value may be, in words, and the words that stand for one whatever their case."""
    unit = f" {extra['unit']}" if extra["unit"] else ""
    match kind:
        case inspect.BoolType():
            return "0 or 1 (or false/true, no/yes, off/on)", SWITCH
        case inspect.LiteralType(values):
            choices = [str(value) for value in values]
            return f"one of {', '.join(choices)}", {word.lower(): word for word in choices}
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}{unit}", {}
        case inspect.FloatType(ge=low, le=high):
            return f"a number from {low:g} to {high:g}{unit}", {}
        case _:
            return str(extra["shape"]), {}


SETTINGS: Final[tuple[Setting, ...]] = tuple(_describe())
"""Every setting there is, in the order of the tables that show them."""
BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
