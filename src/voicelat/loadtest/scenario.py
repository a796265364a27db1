"""A scenario: how callers behave and how bad their line is, as a small TOML file.

Every knob has a default, and the defaults together are a plain call: no interruptions, a clean
line, a caller who thinks for a moment before each question. Shares are probabilities from 0 to 1.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from voicelat.errors import InvalidFile

__all__ = ["Line", "Patience", "Scenario", "Talk", "read_scenario"]

Share = Annotated[float, Meta(ge=0, le=1)]
Ms = Annotated[int, Meta(ge=0, le=600_000)]
Range = tuple[Ms, Ms]
"""From and to, both included; a caller takes any value between."""


class Talk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What callers do."""

    questions: Annotated[int, Meta(ge=1, le=10_000)] = 5
    """Questions a call, where --turns says no other number."""
    think_ms: Range = (300, 1500)
    """Silence before a question. Never the same, so that callers do not march in step."""
    pauses: Share = 0.0
    """Share of questions with a pause in the middle, as people have when they look for a word."""
    pause_ms: Range = (200, 600)
    """How long it is."""
    barge_ins: Share = 0.0
    """Share of replies that are interrupted."""
    barge_after_ms: Range = (400, 1500)
    """After how much of the reply."""
    silences: Share = 0.0
    """Share of questions before which the caller says nothing for a while."""
    silence_ms: Range = (3000, 6000)
    """For how long."""
    hang_ups: Share = 0.0
    """Share of calls that end in the middle of a word."""
    abrupt: Share = 0.5
    """Share of those whose socket just dies, without Twilio's stop message."""


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lies between the caller and Twilio."""

    noise_db: Annotated[float, Meta(ge=-90, le=-20)] | None = None
    """Level of the noise on the line in dBFS, everywhere nobody speaks. Left out: digital
    silence. A quiet office is near -60, a street -40."""
    jitter_ms: Annotated[int, Meta(ge=0, le=2000)] = 0
    """Packets come up to this much late, in order."""
    loss: Share = 0.0
    """Share of packets that never come."""


class Patience(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long callers wait."""

    greeting_ms: Ms = 10_000
    """For the agent to speak first. 0: the caller does."""
    reply_ms: Ms = 10_000
    """For a reply; without one by then the question counts as never answered."""
    quiet_ms: Annotated[int, Meta(ge=200, le=60_000)] = 600
    """How long the agent must be silent before the caller takes it to be done."""


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it."""

    talk: Talk = Talk()
    line: Line = Line()
    patience: Patience = Patience()


_RANGES: Final = ("think_ms", "pause_ms", "barge_after_ms", "silence_ms")


def read_scenario(path: Path) -> Scenario:
    """The scenario in a TOML file. Raises `InvalidFile`, which names the knob that is wrong."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidFile(path, error.strerror or str(error)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidFile(path, f"is not TOML: {error}") from None
    try:
        scenario = msgspec.convert(table, Scenario)
    except msgspec.ValidationError as error:
        raise InvalidFile(path, f"{error} (docs/scenario.md lists the knobs)") from None
    for name in _RANGES:
        low, high = getattr(scenario.talk, name)
        if low > high:
            raise InvalidFile(path, f"talk.{name} = [{low}, {high}]: from is above to")
    return scenario
