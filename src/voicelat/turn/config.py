"""The settings of the machine, with their reasons."""

from __future__ import annotations

from dataclasses import dataclass

from voicelat.errors import InvalidSetting

__all__ = ["TurnConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnConfig:
    """When a turn is over, when the reply may sound, and what counts as an interruption.

    All durations are whole milliseconds. Raises InvalidSetting for values out of range.
    """

    hangover_ms: int = 160
    """Silence required after the last voiced audio. Below most pauses inside a sentence: it
    works because a reply that has not sounded yet can be taken back (re-opening)."""
    debounce_ms: int = 60
    """A partial counts once it has not changed for this long."""
    min_utt_ms: int = 250
    """Less voice than this is no utterance, unless the recogniser returned words."""
    stt_timeout_ms: int = 240
    """After the hangover, the longest wait for a final or a stable partial."""
    speak_gate_ms: int = 500
    """Silence since speech_end before the first audio may be sent. 0: the hangover alone. A
    stack that needs a second to answer never notices it; one that answers in 200 ms would cut
    off a third of real callers in their pauses (`docs/turn.md`)."""
    speculate: bool = True
    """Start the reply on a stable partial, before the turn is over."""
    max_speculations: int = 3
    """Speculative replies per turn. Public reports of doubled model cost ask for a cap."""
    onset_ms: int = 240
    """Voice over the agent's reply this long is a barge-in. Shorter than LiveKit's 500 ms,
    longer than a click or the first syllable of an "uh-huh"."""
    reply_timeout_ms: int = 8000
    """The longest silence the caller is left in before we apologise."""
    playout_slack_ms: int = 2000
    """How late the last mark may come back before we stop waiting for it."""
    dtmf_gap_ms: int = 1500
    """Silence after a key press that ends a turn of keys; ``#`` ends it at once."""
    min_confidence: float = 0.0
    """Below this confidence of the recogniser (0..1) the caller is asked to repeat. 0: never:
    what recognisers call confidence means something else at each of them."""
    greeting: bool = False
    """The call begins with the agent's greeting: turn 0, attempt 0, already committed."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if not isinstance(value, bool) and value < 0:
                raise InvalidSetting(name, value, "must be 0 or more")
        if not self.min_confidence <= 1:
            raise InvalidSetting("min_confidence", self.min_confidence, "must be 0 to 1")
