"""What the safety nets of a call cost while nothing goes wrong.

The fallback's audio in hand, per 20 ms frame; a deadline moved, per token; a reply cut into
clauses, per token. Prints microseconds, the median of five runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from statistics import median
from time import perf_counter

from voicelat.audio.mulaw import silence
from voicelat.engine.clauses import ClauseSplitter
from voicelat.engine.config import EngineConfig
from voicelat.engine.deadlines import Watch
from voicelat.engine.fallback import Fallback
from voicelat.providers.simulated import SimulatedTranscriber, profile

COUNT = 20_000
RUNS = 5
REPLY = (
    "Certainly, I can book that table for you. It is a quiet one beside the window, and it is "
    "free until ten. Shall I write it down for two people?"
)
TOKENS = REPLY.split()


def cost_us(step: Callable[[], object], count: int = COUNT) -> float:
    """Microseconds of one ``step``."""
    took = []
    for _ in range(RUNS):
        began = perf_counter()
        for _ in range(count):
            step()
        took.append((perf_counter() - began) / count * 1e6)
    return median(took)


def split() -> None:
    """One reply, token by token."""
    splitter = ClauseSplitter(max_words=40, first_words=12)
    for token in TOKENS:
        splitter.push(f"{token} ")
    splitter.flush()


async def main() -> None:
    """Print every figure."""
    fallback = Fallback(
        SimulatedTranscriber(profile("instant")),
        EngineConfig(),
        on_heard=lambda _: None,
        on_turn=lambda _: None,
    )
    watch = Watch(lambda _: None)
    frame = silence(20)
    figures = {
        "a frame outside a turn": cost_us(lambda: fallback.hear(frame, in_turn=False)),
        "a frame in a turn (30 s in hand)": cost_us(lambda: fallback.hear(frame, in_turn=True)),
        "a token, its deadline moved": cost_us(lambda: watch.expect(4000, "no more text")),
        "a token, cut into clauses": cost_us(split, COUNT // 20) / len(TOKENS),
    }
    watch.stop()
    for what, us in figures.items():
        print(f"{what:<34} {us:6.2f} us")


if __name__ == "__main__":
    asyncio.run(main())
