"""A second request, when the first is late: what cuts a language model's tail.

Most of the slow answers of a hosted model are slow by chance: asked again, it answers at once.
The decisions are pure (`FirstTokenDeadline`, `HedgeBudget`); `HedgedLlm` carries them out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from voicelat.errors import InvalidSetting, ProviderError
from voicelat.providers.protocols import LanguageModel, Prompt

__all__ = ["FirstTokenDeadline", "HedgeBudget", "HedgeConfig", "HedgeCounts", "HedgedLlm"]

_LOG = logging.getLogger("voicelat.call")

_LET_GO_S: Final = 1.0
"""How long the end of a reply waits for its requests to be closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeConfig:
    """When a second request is worth its price. Raises InvalidSetting for what cannot be."""

    quantile: float = 0.85
    """Of the first-token times seen lately: an answer later than most is probably a slow one ..."""
    margin: float = 1.15
    """... once it is so many times later."""
    least_ms: int = 300
    """A model faster than this has no tail worth paying for."""
    most_ms: int = 1500
    """Later than this a caller hears the wait, however slow the model usually is. The deadline
    until enough was seen."""
    remembered: int = 100
    """First-token times that count."""
    enough: int = 10
    """So many must have been seen before they say anything about a tail."""
    share: float = 0.15
    """At most so many of the replies get a second request because the first is late: when all
    of them are, the model is overloaded, and asking twice makes it worse. Room for the one in
    twelve that is merely slow beyond the deadline, and the one in twenty that hangs
    (`benchmarks/stack.py`)."""
    burst: int = 3
    """Second requests that may follow one another after a quiet time."""

    def __post_init__(self) -> None:
        for name in ("quantile", "share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidSetting(name, getattr(self, name), "must be 0 to 1")
        for name in ("margin", "least_ms", "remembered", "enough", "burst"):
            if getattr(self, name) <= 0:
                raise InvalidSetting(name, getattr(self, name), "must be more than 0")
        if self.most_ms < self.least_ms:
            raise InvalidSetting("most_ms", self.most_ms, "must be least_ms or more")


class FirstTokenDeadline:
    """How long the first token may take, from how long it took lately. Pure."""

    def __init__(self, config: HedgeConfig) -> None:
        self._config = config
        self._seen: deque[int] = deque(maxlen=config.remembered)

    @property
    def deadline_ms(self) -> int:
        """Since the request."""
        config = self._config
        if len(self._seen) < config.enough:
            return config.most_ms
        ordered = sorted(self._seen)
        usual_ms = ordered[min(int(config.quantile * len(ordered)), len(ordered) - 1)]
        return min(max(round(usual_ms * config.margin), config.least_ms), config.most_ms)

    def saw(self, first_token_ms: int) -> None:
        """A request took so long to its first token, or was given up after so long without
        one: to leave those out would make the model look faster with every hedge."""
        self._seen.append(first_token_ms)


class HedgeBudget:
    """How many late replies may be asked for again. Pure: a bucket that replies fill."""

    def __init__(self, config: HedgeConfig) -> None:
        self._share = config.share
        self._burst = float(config.burst)
        self._saved = min(1.0, self._burst) if config.share else 0.0

    def earn(self) -> None:
        """A reply was asked for."""
        self._saved = min(self._saved + self._share, self._burst)

    def spend(self) -> bool:
        """Whether there is a hedge left; it is spent."""
        if self._saved < 1 - 1e-9:
            return False
        self._saved -= 1
        return True


@dataclass(slots=True)
class HedgeCounts:
    """What came of it."""

    replies: int = 0
    requests: int = 0
    hedges: int = 0
    """Second requests because the first was late."""
    hedges_won: int = 0
    """Of these, those that spoke first."""
    hedges_refused: int = 0
    """Late replies that were only waited for: the budget was spent."""
    retries: int = 0
    """Second requests because the first failed before its first token."""

    @property
    def cost(self) -> float | None:
        """Requests per reply; 1 is no extra cost. None before the first reply."""
        return self.requests / self.replies if self.replies else None


class HedgedLlm:
    """A language model that is asked a second time when it is late or fails before its first
    token. The first to speak is heard, the other cancelled; never more than two are asked.

    One object for all calls: they learn from each other. See `LanguageModel`.
    """

    def __init__(self, llm: LanguageModel, config: HedgeConfig | None = None) -> None:
        self.name = llm.name
        self.counts: Final = HedgeCounts()
        config = config or HedgeConfig()
        self._llm = llm
        self._deadline = FirstTokenDeadline(config)
        self._budget = HedgeBudget(config)

    @property
    def deadline_ms(self) -> int:
        """The longest wait for a first token before a second request, just now."""
        return self._deadline.deadline_ms

    async def warm(self) -> None:
        """Warm the model."""
        await self._llm.warm()

    async def aclose(self) -> None:
        """Close the model."""
        await self._llm.aclose()

    async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        """See `LanguageModel`. What fails behind its first token fails as it always did."""
        self.counts.replies += 1
        self._budget.earn()
        race = _Race(self._llm, prompt, self.counts)
        try:
            speaker = await self._first_to_speak(race)
            race.drop_others(speaker, self._deadline)
            while (piece := await speaker.pieces.get()) is not None:
                yield piece
            if speaker.failure is not None:
                raise speaker.failure
        finally:
            await race.stop()

    async def _first_to_speak(self, race: _Race) -> _Request:
        """Wait for the first token of any request, or for the end of an answer without one.

        Raises what the first request raised when none is left.
        """
        race.ask()
        wait_ms: int | None = self._deadline.deadline_ms
        while True:
            told = await race.next(wait_ms)
            if told is None:
                wait_ms = None
                if self._budget.spend():
                    self.counts.hedges += 1
                    race.ask(hedge=True)
                else:
                    self.counts.hedges_refused += 1
            elif told.spoke_ms is not None or told.failure is None:
                if told.spoke_ms is not None:
                    self._deadline.saw(told.spoke_ms)
                self.counts.hedges_won += told.hedge
                return told
            elif len(race.requests) == 1 and _worth_a_retry(told.failure):
                wait_ms = None
                self.counts.retries += 1
                race.ask()
            elif race.over:
                raise race.requests[0].failure or told.failure


def _worth_a_retry(failure: BaseException) -> bool:
    return isinstance(failure, ProviderError) and failure.advice == "retry"


class _Request:
    """One request, read by a task of its own: what a generator opens must be closed by the task
    that opened it, and the winner outlives the wait for it."""

    def __init__(
        self, llm: LanguageModel, prompt: Prompt, told: asyncio.Queue[_Request], *, hedge: bool
    ) -> None:
        self.hedge = hedge
        self.spoke_ms: int | None = None
        """How long its first token took. None: it has not spoken."""
        self.failure: BaseException | None = None
        """What it died of."""
        self.pieces: asyncio.Queue[str | None] = asyncio.Queue()
        """Its text; None behind the last."""
        self._told = told
        self._dropped = False
        self._name = llm.name
        self._begin_s = asyncio.get_running_loop().time()
        self.task = asyncio.create_task(self._read(llm, prompt), name=f"ask {llm.name}")
        self.task.add_done_callback(self._ended)

    @property
    def age_ms(self) -> int:
        """Since it was asked."""
        return round((asyncio.get_running_loop().time() - self._begin_s) * 1000)

    async def _read(self, llm: LanguageModel, prompt: Prompt) -> None:
        async with aclosing(llm.reply(prompt)) as pieces:
            async for piece in pieces:
                if piece and self.spoke_ms is None:
                    self.spoke_ms = self.age_ms
                    self._told.put_nowait(self)
                self.pieces.put_nowait(piece)

    def cancel(self) -> None:
        """Nobody listens any more. Twice would break off the closing of what it has open."""
        if not self._dropped:
            self._dropped = True
            self.task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.failure = ProviderError(self._name, "the request cancelled itself", "retry")
        else:
            self.failure = task.exception()
        if not self._dropped:
            self.pieces.put_nowait(None)
            self._told.put_nowait(self)


class _Race:
    """The requests of one reply."""

    def __init__(self, llm: LanguageModel, prompt: Prompt, counts: HedgeCounts) -> None:
        self.requests: list[_Request] = []
        self._llm = llm
        self._prompt = prompt
        self._counts = counts
        self._told: asyncio.Queue[_Request] = asyncio.Queue()

    @property
    def over(self) -> bool:
        """Whether every request has ended."""
        return all(request.task.done() for request in self.requests)

    def ask(self, *, hedge: bool = False) -> None:
        """Ask once more."""
        self._counts.requests += 1
        self.requests.append(_Request(self._llm, self._prompt, self._told, hedge=hedge))

    async def next(self, wait_ms: int | None) -> _Request | None:
        """The next request that speaks or ends, None when none did in ``wait_ms``."""
        try:
            async with asyncio.timeout(None if wait_ms is None else wait_ms / 1000):
                return await self._told.get()
        except TimeoutError:
            return None

    def drop_others(self, speaker: _Request, deadline: FirstTokenDeadline) -> None:
        """Cancel who was too late. How long it had been waited for is a lesson too."""
        for request in self.requests:
            if request is not speaker and not request.task.done():
                if request.spoke_ms is None and not request.hedge:
                    deadline.saw(request.age_ms)
                request.cancel()

    async def stop(self) -> None:
        """Cancel what still runs, and give it time to let go."""
        for request in self.requests:
            request.cancel()
        _, stuck = await asyncio.wait([r.task for r in self.requests], timeout=_LET_GO_S)
        for task in stuck:
            _LOG.error("%s does not stop", task.get_name())
