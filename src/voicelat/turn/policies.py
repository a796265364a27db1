"""Policies that listen: to how this caller pauses, to what was said, to an end-of-turn model.

`Adaptive` remembers pauses, `Semantic` believes an end-of-turn model that hears no end and words
that cannot be the last, `Digits` and `YesNo` know what is being asked. All but the first are
wrappers: they judge what they know of and leave the rest to the policy inside.

They answer in multiples of the waits that are set, so a gate chosen for quick callers stays
quick: fixed least waits did harm there. Patience is for hangover and gate alike; the work begins
in spite of it, speculatively, unless the text is worth none.

The numbers were chosen on both parties of one recorded service call (22 turns) and on 32 digit
strings: weak evidence. ``benchmarks/policies.py`` measures them again, ``voicelat sweep`` on your
own calls.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from msgspec import Struct

from voicelat.errors import InvalidSetting
from voicelat.turn.endpointing import EndpointPolicy, Fixed, Patience, Pause
from voicelat.turn.wording import digits_at_end, is_answer, is_unfinished

__all__ = [
    "LEAST_MS",
    "TIMES",
    "Adaptive",
    "Context",
    "Digits",
    "PolicyConfig",
    "PolicyName",
    "Semantic",
    "YesNo",
    "policy",
]

PolicyName = Literal["fixed", "adaptive", "semantic"]

Context = Literal["open", "digits", "yes_no"]
"""What the call asks for: anything, a number or a spelled name, or a yes or no."""

TIMES: Final = (0.25, 4.0)
"""No policy here is ever less or more patient than this many times what is set."""
LEAST_MS: Final = (0, 3000)
"""The same for its least wait. LiveKit's longest delay is 3 s too."""


class PolicyConfig(Struct, frozen=True, kw_only=True):
    """Every number of the policies. Raises InvalidSetting for one that makes no sense."""

    holds: int = 12
    """Pauses a caller is remembered by: a few turns. An odd one is forgotten after so many."""
    holds_needed: int = 3
    """Fewer pauses say nothing about a caller."""
    hold_share: float = 0.5
    """The gate waits for the pause that this share of the remembered ones does not exceed: the
    median, as a longer one cut off no fewer (`benchmarks/policies.py`). Rounded down, so that the
    longest alone, however odd, never counts."""
    hold_times: float = 1.15
    """And this many times as long: the next pause may be a little longer."""
    shortest_hold_ms: int = 100
    """Shorter silences are gaps between words (livekit/eot-bench labels pauses from here on)."""
    adaptive_most_ms: int = 1200
    """However slow the caller: longer, and those who wait for an answer ask "hello?"."""

    hint_not_over: float = 0.15
    """An end-of-turn model at most this sure that the turn is over is believed. 0.05 and 0.3 gave
    much the same. A high hint is not believed: holds score as high (``benchmarks/turn_model.py``).
    """
    not_over_times: float = 2.0
    """What a low hint is worth. 1.5 saved less, 2.5 little more; those it is wrong about pay."""
    unfinished_times: float = 1.5
    """Behind "and" or "um". 2.0 spared hardly anybody else."""

    digits_run: int = 3
    """So many digits or letters in a row are a number being read out; "at two thirty" is not."""
    digits_times: float = 1.5
    """Between the groups of a number people breathe and look. From 1.3 to 2.0 it made hardly a
    difference; without it, everybody waits at a gate for those who read numbers."""
    answer_times: float = 0.5
    """A yes or no that was asked for is rarely followed by more. Not measured. One that was not
    asked for often is ("Okay."): nothing is shortened then."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value, (low, high) = getattr(self, name), _allowed(name)
            if not low <= value <= high:
                raise InvalidSetting(name, value, f"must be from {low} to {high}")


def _allowed(name: str) -> tuple[float, float]:
    if name.endswith("_times"):
        return TIMES
    if name.endswith("_ms"):
        return LEAST_MS
    return (1, 1000) if name in ("holds", "holds_needed", "digits_run") else (0, 1)


DEFAULT: Final = PolicyConfig()


class Adaptive:
    """Learns how long this caller pauses inside a turn and waits for longer than that.

    It only lengthens: set the gate for the quickest of callers, the others raise it. It follows
    a caller who becomes slower within a few pauses, and one who becomes quicker once the long
    pauses are forgotten.
    """

    __slots__ = ("_config", "_holds", "_patience")

    def __init__(self, config: PolicyConfig = DEFAULT) -> None:
        self._config = config
        self._holds: deque[int] = deque(maxlen=config.holds)
        self._patience = Patience()

    def judge(self, pause: Pause) -> Patience:
        """The least wait that this caller's pauses ask for, whatever the pause."""
        return self._patience

    def resumed(self, pause_ms: int) -> None:
        """Remember the pause, unless it is only a gap between words."""
        config = self._config
        if pause_ms < config.shortest_hold_ms:
            return
        self._holds.append(pause_ms)
        if len(self._holds) >= config.holds_needed:
            typical_ms = sorted(self._holds)[int((len(self._holds) - 1) * config.hold_share)]
            least_ms = round(typical_ms * config.hold_times)
            self._patience = Patience(least_ms=min(least_ms, config.adaptive_most_ms))


class Semantic(Struct, frozen=True):
    """Waits longer where an end-of-turn model hears no end, or the words cannot be the last.

    It never waits less, however finished both seem. The words are worth no reply yet: none is
    begun. A hint outside 0..1 is none.
    """

    inner: EndpointPolicy
    config: PolicyConfig = DEFAULT

    def judge(self, pause: Pause) -> Patience:
        """The inner policy's patience, or more."""
        config, patience = self.config, self.inner.judge(pause)
        if pause.hint is not None and 0 <= pause.hint <= config.hint_not_over:
            patience = _longer(patience, config.not_over_times)
        if is_unfinished(pause.text):
            patience = _longer(patience, config.unfinished_times, speculate=False)
        return patience

    def resumed(self, pause_ms: int) -> None:
        """Nothing is learned here; the inner policy may."""
        self.inner.resumed(pause_ms)


class Digits(Struct, frozen=True):
    """Waits longer while a number is read out or a name is spelled, however many are to come.

    A high hint does not hasten it: every group of dictated digits sounds finished to end-of-turn
    models, and callers cut off in their numbers are what users of other stacks complain of
    (livekit/agents #3701). No reply is begun before that: the first groups would use up the
    turn's speculations. Keys are not waited for, they have their own gap.
    """

    inner: EndpointPolicy
    run: int = DEFAULT.digits_run
    """Digits or letters in a row that make a number."""
    times: float = DEFAULT.digits_times

    def judge(self, pause: Pause) -> Patience:
        """The inner policy's patience, or more behind digits."""
        patience = self.inner.judge(pause)
        if pause.voiced_ms == 0 or digits_at_end(pause.text) < self.run:
            return patience
        return _longer(patience, self.times, speculate=False)

    def resumed(self, pause_ms: int) -> None:
        """Nothing is learned here; the inner policy may."""
        self.inner.resumed(pause_ms)


class YesNo(Struct, frozen=True):
    """Waits less once the whole text is a yes or a no. Only for calls that ask for one."""

    inner: EndpointPolicy
    times: float = DEFAULT.answer_times

    def judge(self, pause: Pause) -> Patience:
        """The inner policy's patience, shortened behind an answer."""
        patience = self.inner.judge(pause)
        return _shorter(patience, self.times) if is_answer(pause.text) else patience

    def resumed(self, pause_ms: int) -> None:
        """Nothing is learned here; the inner policy may."""
        self.inner.resumed(pause_ms)


def policy(
    name: PolicyName, context: Context = "open", config: PolicyConfig = DEFAULT
) -> EndpointPolicy:
    """A new policy for one call.

    ``semantic`` finds out by itself that digits come; ``context`` makes any policy readier to
    believe in them, or in a yes or no. It is not adaptive too, for that takes the choice of a low
    gate away: ``Semantic(Adaptive())`` is. Raises InvalidSetting for a name or context that is
    none.
    """
    chosen: EndpointPolicy
    match name:
        case "fixed":
            chosen = Fixed()
        case "adaptive":
            chosen = Adaptive(config)
        case "semantic":
            chosen = Digits(Semantic(Fixed(), config), config.digits_run, config.digits_times)
        case _:
            raise InvalidSetting("EOU_POLICY", name, "must be fixed, adaptive or semantic")
    match context:
        case "open":
            return chosen
        case "digits":
            return Digits(chosen, 1, config.digits_times)
        case "yes_no":
            return YesNo(chosen, config.answer_times)
        case _:
            raise InvalidSetting("EOU_CONTEXT", context, "must be open, digits or yes_no")


# The more patient of two, or the less: never their product, which would leave the bounds.
def _longer(patience: Patience, times: float, *, speculate: bool = True) -> Patience:
    times = max(patience.times, times)
    return Patience(times, patience.least_ms, patience.speculate and speculate)


def _shorter(patience: Patience, times: float) -> Patience:
    least_ms = round(patience.least_ms * min(1.0, times))
    return Patience(min(patience.times, times), least_ms, patience.speculate)
