"""End-of-turn models, as voicelat sees them.

One says how likely the caller has finished, from the sound alone: the melody of a sentence ends
before its words are recognised. What follows from it is the endpoint policy's to decide.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["TurnModel"]


class TurnModel(Protocol):
    """Judges a pause. One object serves all calls, from several threads at once.

    Both methods block: they are called in a thread, never on the event loop.
    """

    name: str

    def warm(self) -> None:
        """Load what is needed. Called once, before the first call.

        Raises `ProviderError` when the model cannot be used, `MissingExtra` when it is not
        installed.
        """
        ...

    def probability(self, mulaw: bytes) -> float:
        """How likely the turn is over at the end of ``mulaw``, 0..1.

        ``mulaw`` is the caller's side alone, any length up to several seconds and empty at worst,
        and ends a little way into the pause. Raises `ProviderError` when the model fails.
        """
        ...
