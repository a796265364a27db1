"""What a caller is going to do: a list of steps, as data."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from voicelat.audio.level import audible_span
from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.errors import UsageError

__all__ = [
    "AwaitVoice",
    "BargeIn",
    "Dtmf",
    "HangUp",
    "Move",
    "Pause",
    "Press",
    "Say",
    "Script",
    "Silence",
    "Step",
    "Utter",
    "WaitForReply",
    "plan",
]


class Say(Struct, frozen=True):
    """Say ``audio`` (raw mu-law, 8 kHz). ``text`` is what it says, "" if unknown.

    With the `Pause` and `Say` steps that follow directly it makes one question.
    """

    audio: bytes
    text: str = ""


class Pause(Struct, frozen=True):
    """Fall silent inside a question, as people do before they go on."""

    ms: int


class WaitForReply(Struct, frozen=True):
    """Wait until the agent has spoken and then been silent for ``quiet_ms``.

    Gives up after ``timeout_ms``; a question without a reply by then is censored.
    """

    timeout_ms: int = 10_000
    quiet_ms: int = 600


class BargeIn(Struct, frozen=True):
    """Say ``audio`` once the agent has been speaking for ``after_ms``. Takes the place of the
    `WaitForReply` behind the question that is interrupted.

    It is said into the silence when the reply was shorter than that, or did not come within
    ``timeout_ms``.
    """

    audio: bytes
    after_ms: int = 500
    text: str = ""
    timeout_ms: int = 10_000


class Dtmf(Struct, frozen=True):
    """Press keys, one every ``gap_ms``."""

    digits: str
    gap_ms: int = 200


class Silence(Struct, frozen=True):
    """Say nothing for a while, whatever the agent does."""

    ms: int


class HangUp(Struct, frozen=True):
    """End the call: with Twilio's stop message, or ``abrupt``, by a socket that just dies.

    To hang up in the middle of a word, cut the audio of the `Say` before. Right behind a question
    no reply to it is owed: its caller did not wait for one.
    """

    abrupt: bool = False


Step = Say | Pause | WaitForReply | BargeIn | Dtmf | Silence | HangUp
Script = Sequence[Step]
"""A script that does not end with `HangUp` hangs up at its end."""


class Utter(Struct, frozen=True):
    """One question in one piece: audio, and the number of samples of each pause in it.

    ``first`` and ``end`` are sample offsets of its first audible sample and behind its last;
    None when nothing of it can be heard.
    """

    parts: tuple[bytes | int, ...]
    text: str
    first: int | None
    end: int | None


class AwaitVoice(Struct, frozen=True):
    """Wait until the agent has been speaking for ``after_ms``."""

    after_ms: int
    timeout_ms: int


class Press(Struct, frozen=True):
    """Press one key."""

    digit: str


Move = Utter | AwaitVoice | WaitForReply | Press | Silence | HangUp
"""What the caller's machine knows how to do; a script is compiled to these."""


def plan(script: Script) -> tuple[Move, ...]:
    """Compile a script. The last move is always `HangUp`.

    Raises `UsageError` for a step that cannot be done: a negative time, a `Pause` that follows
    no speech, a key no telephone has, anything behind `HangUp`.
    """
    moves: list[Move] = []
    question: list[Say | Pause] = []
    for number, step in enumerate(script, start=1):
        _check(step, number, speaking=bool(question), hung_up=_hung_up(moves))
        if isinstance(step, Say | Pause):
            question.append(step)
            continue
        if question:
            moves.append(_utter(question))
            question = []
        match step:
            case BargeIn():
                moves.append(AwaitVoice(step.after_ms, step.timeout_ms))
                question = [Say(step.audio, step.text)]
            case Dtmf():
                for digit in step.digits:
                    moves += [Press(digit), Silence(step.gap_ms)]
            case WaitForReply() | Silence() | HangUp():
                moves.append(step)
    if question:
        moves.append(_utter(question))
    if not _hung_up(moves):
        moves.append(HangUp())
    return tuple(moves)


def _hung_up(moves: list[Move]) -> bool:
    return bool(moves) and isinstance(moves[-1], HangUp)


def _check(step: Step, number: int, *, speaking: bool, hung_up: bool) -> None:
    here = f"script step {number} ({type(step).__name__})"
    if hung_up:
        raise UsageError(f"{here}: the call is over after HangUp")
    if isinstance(step, Pause) and not speaking:
        raise UsageError(f"{here}: a Pause is inside a question; use Silence elsewhere")
    if isinstance(step, Dtmf) and not set(step.digits) <= set("0123456789*#ABCD"):
        raise UsageError(f"{here}: digits {step.digits!r} are not on a telephone")
    for name in step.__struct_fields__:
        value = getattr(step, name)
        if name.endswith("ms") and value < 0:
            raise UsageError(f"{here}: {name}={value} is negative")


def _utter(question: list[Say | Pause]) -> Utter:
    parts: list[bytes | int] = []
    first = end = None
    at = 0
    for step in question:
        if isinstance(step, Pause):
            part: bytes | int = step.ms * BYTES_PER_MS
            at += step.ms * BYTES_PER_MS
        else:
            part = step.audio
            span = audible_span(step.audio)
            if span is not None:
                first = at + span[0] if first is None else first
                end = at + span[1]
            at += len(step.audio)
        parts.append(part)
    text = " ".join(step.text for step in question if isinstance(step, Say) and step.text)
    return Utter(tuple(parts), text, first, end)
