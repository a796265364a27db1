"""What a reply would have taken, had the turn ended in this pause.

A simulated call has nobody to answer it, so the time is drawn: from a named profile, or from
turns that were measured. It depends on the seed, the call and the pause, and on nothing else:
all settings of a sweep meet the same luck in the same pause (common random numbers), so their
difference is theirs alone.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from voicelat.errors import UsageError
from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.providers.simulated import Latency, Profile, profile

__all__ = ["CLAUSE_TOKENS", "Reply", "ReplyLatency", "constant", "from_profile", "from_turns"]

CLAUSE_TOKENS: Final = 8
"""Tokens until the first clause can be spoken: "I have noted that for you." and the blank."""

_BLOCK: Final = 64
"""Pauses drawn at once: more than most calls have, and no slower than one."""
_Z95: Final = 1.6449

Millis = NDArray[np.int64]


class Reply(Struct, frozen=True):
    """How long each stage of one reply takes, from the moment the model is asked."""

    llm_ms: int
    """Until the model's first token."""
    clause_ms: int
    """From there until the first clause was handed to the voice."""
    tts_ms: int
    """From there until its first audible audio was in hand."""

    @property
    def ready_ms(self) -> int:
        """All of it."""
        return self.llm_ms + self.clause_ms + self.tts_ms


class ReplyLatency(Protocol):
    """How long replies take. Pure: the same arguments always give the same answer."""

    @property
    def says(self) -> str:
        """One line for the report: where the figures are from."""
        ...

    def reply(self, call_id: str, pause: int) -> Reply:
        """The reply to a turn that ends in the call's pause ``pause``, from 0."""
        ...

    def ready_ms(self, call_id: str, n: int) -> Millis:
        """`Reply.ready_ms` of the call's pauses 0 to ``n`` - 1, shape ``(n,)``."""
        ...


def from_profile(source: str | Profile, seed: int = 0) -> ReplyLatency:
    """Replies as slow as those of a `Profile`, or of the one of that name.

    Raises UsageError that lists the names for one that does not exist.
    """
    stack = profile(source) if isinstance(source, str) else source
    pace = stack.llm_tokens_per_s
    clause_ms = round(CLAUSE_TOKENS * 1000 / pace) if pace else 0
    says = (
        f"assumed, profile {stack.name}: first token {_said(stack.llm_first_token)}; "
        f"first clause {clause_ms} ms ({CLAUSE_TOKENS} tokens); "
        f"first audio {_said(stack.tts_first_byte)}"
    )
    return _Drawn(says, seed, _LogNormal(stack.llm_first_token, clause_ms, stack.tts_first_byte))


def from_turns(records: Iterable[TurnRecord], seed: int = 0) -> ReplyLatency:
    """Replies as slow as measured ones, each drawn whole, so that its stages belong together.

    Taken from the stamps of answered turns whose first audio was made for them: no cached or
    stock phrases. Raises UsageError when there is no such turn.
    """
    found: list[tuple[int, int, int]] = []
    left_out: Counter[str] = Counter()
    for record in records:
        stages = _stages(record.stamps)
        if record.outcome != "answered":
            left_out["not answered"] += 1
        elif record.cache == "hit" or record.fallback:
            left_out["with a ready phrase"] += 1
        elif stages is None:
            left_out["without all four stamps in order"] += 1
        else:
            found.append(stages)
    rest = ", ".join(f"{count} {why}" for why, count in sorted(left_out.items()))
    if not found:
        raise UsageError(
            f"no measured reply among {left_out.total()} turns ({rest or 'none at all'}); it needs "
            "the stamps reply_start, llm_first_token, tts_request and tts_ready: name a profile"
        )
    says = f"measured: {len(found)} replies" + (f"; left out: {rest}" if rest else "")
    return _Drawn(says, seed, _Measured(tuple(found)))


def constant(ms: int) -> ReplyLatency:
    """Every reply is ready after ``ms``. Raises UsageError for a negative time."""
    if ms < 0:
        raise UsageError(
            f"a reply cannot be ready {-ms} ms before it was asked for; give 0 or more"
        )
    return _Drawn(f"assumed: every reply ready after {ms} ms", 0, _Measured(((ms, 0, 0),)))


class _Stages(Protocol):
    """Where a block of replies is drawn from."""

    def draw(self, rng: np.random.Generator) -> Millis:
        """The stages of `_BLOCK` replies, shape ``(_BLOCK, 3)``, in the order of `Reply`."""
        ...


@dataclass(frozen=True, slots=True)
class _Drawn:
    """See `ReplyLatency`. Pauses are drawn in blocks, so that one alone is the same as in a row."""

    says: str
    seed: int
    stages: _Stages

    def reply(self, call_id: str, pause: int) -> Reply:
        """See `ReplyLatency`."""
        block, row = divmod(pause, _BLOCK)
        llm_ms, clause_ms, tts_ms = self._block(call_id, block)[row].tolist()
        return Reply(llm_ms, clause_ms, tts_ms)

    def ready_ms(self, call_id: str, n: int) -> Millis:
        """See `ReplyLatency`."""
        ready: Millis = np.empty(-(-n // _BLOCK) * _BLOCK, np.int64)
        for first in range(0, n, _BLOCK):
            self._block(call_id, first // _BLOCK).sum(axis=1, out=ready[first : first + _BLOCK])
        return ready[:n]

    def _block(self, call_id: str, block: int) -> Millis:
        # Counter-based (Philox): any block of any call, without drawing those before it.
        name = f"{self.seed}/{call_id}".encode("utf-8", "surrogatepass")
        key = int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "little")
        bits = np.random.Philox(key=key, counter=[0, block, 0, 0])
        return self.stages.draw(np.random.Generator(bits))


@dataclass(frozen=True, slots=True)
class _LogNormal:
    """Independent stages, as `Latency` has them."""

    llm: Latency
    clause_ms: int
    tts: Latency

    def draw(self, rng: np.random.Generator) -> Millis:
        """See `_Stages`."""
        stages: Millis = np.empty((_BLOCK, 3), np.int64)
        stages[:, 0] = _drawn(self.llm, rng)
        stages[:, 1] = self.clause_ms
        stages[:, 2] = _drawn(self.tts, rng)
        return stages


@dataclass(frozen=True, slots=True)
class _Measured:
    """One of these as it was, each as likely."""

    replies: tuple[tuple[int, int, int], ...]

    def draw(self, rng: np.random.Generator) -> Millis:
        """See `_Stages`."""
        chosen = rng.integers(len(self.replies), size=_BLOCK)
        return np.array([self.replies[index] for index in chosen.tolist()], np.int64)


def _drawn(latency: Latency, rng: np.random.Generator) -> NDArray[np.float64]:
    """A block of latencies in whole ms."""
    if latency.median_ms <= 0:
        return np.zeros(_BLOCK)
    sigma = math.log(latency.p95_ms / latency.median_ms) / _Z95
    return np.rint(rng.lognormal(math.log(latency.median_ms), sigma, _BLOCK))


def _stages(stamps: Stamps) -> tuple[int, int, int] | None:
    """The stages of a measured reply. None: a stamp is unknown, or one came before its cause."""
    at = (stamps.reply_start, stamps.llm_first_token, stamps.tts_request, stamps.tts_ready)
    start, token, request, ready = at
    if start is None or token is None or request is None or ready is None:
        return None
    if not start <= token <= request <= ready:
        return None
    return token - start, request - token, ready - request


def _said(latency: Latency) -> str:
    if latency.median_ms <= 0:
        return "at once"
    return f"P50 {latency.median_ms:g}, P95 {latency.p95_ms:g} ms ({latency.source})"
