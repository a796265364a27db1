"""What the contract suite needs to know about a provider, and what its far side can do.

A factory is an async context manager. It starts the far side (a real server on loopback that
speaks the vendor's wire format, behind a `Cable`), makes the provider, and yields a `Bench`; the
suite warms and closes the provider itself. Without a far side everything happens in this
process, or, for ``live`` cases, at the vendor.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Generic, Protocol, TypeVar

import numpy as np
from tests.providers.contract.cable import Cable

from voicelat.audio.mulaw import BYTES_PER_MS, encode
from voicelat.providers.protocols import LanguageModel, Prompt, SpeechToText, TextToSpeech

__all__ = ["PATIENCE_S", "Bench", "Case", "FarSide", "Trouble"]

P = TypeVar("P", SpeechToText, LanguageModel, TextToSpeech)

PATIENCE_S: Final = 0.5
"""How long a provider with a far side should be made to wait for its answers."""


class Trouble(StrEnum):
    """What a far side can be told to do with every request from now on."""

    NONE = "none"
    HOLD = "hold"
    """Give the first part of the answer, the rest once told `NONE`. For ears: a partial, and no
    final."""
    LATE = "late"
    """Take the request, answer once told `NONE`."""
    SILENT = "silent"
    """Take the request, and never answer."""
    DIE = "die"
    """Give the first part of the answer, then drop the connection, or reset the stream."""
    REFUSE_KEY = "refuse key"
    BUSY = "busy"
    """Refuse with what the vendor says when it has too much to do."""
    REJECT = "reject"
    """Refuse the request as one that will never work."""
    GARBAGE = "garbage"
    """Answer what no client can read."""


class FarSide(Protocol):
    """The other end of a provider."""

    cable: Cable

    def tell(self, trouble: Trouble) -> None:
        """Behave like this from now on; requests that are held go on with `Trouble.NONE`."""

    @property
    def requests(self) -> int:
        """Requests it is answering now."""
        ...

    async def busy(self) -> None:
        """Return once ``requests`` is not 0."""

    async def idle(self) -> None:
        """Return once ``requests`` is 0."""


def _babble() -> bytes:
    noise = np.random.default_rng(1).normal(0, 3000, 1200 * BYTES_PER_MS)
    return encode(noise.astype(np.int16))


@dataclass(frozen=True, slots=True)
class Bench(Generic[P]):
    """A provider, and what the suite needs to try it."""

    provider: P
    far: FarSide | None = None
    speech: bytes = field(default_factory=_babble)
    """For ears: mu-law with at least one word in it. The default is noise."""
    language: str = "en-US"
    text: str = "Good morning, this is the garage. How can I help you today?"
    """For voices: what to say."""
    prompt: Prompt = field(default_factory=lambda: Prompt("CA1", 1, "Are you open today?"))
    """For models: what to ask."""


@dataclass(frozen=True, slots=True)
class Case(Generic[P]):
    """One provider in the suite."""

    name: str
    bench: Callable[[], AbstractAsyncContextManager[Bench[P]]]
    far: bool = False
    """Whether its bench has a far side that can be told to misbehave."""
    streams: bool = True
    """For voices: whether the service answers before it has made all of the speech."""
    live: bool = False
    """Whether it asks the real service: only with ``--live``."""
    missing: Callable[[], str | None] = lambda: None
    """Why it cannot run here (an extra, a key), None when it can."""
