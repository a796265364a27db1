"""Agents with one vice each, called by scripted callers: does the report name each?

    python benchmarks/liars.py [--json] [--real]

Calls of 15 questions with a few interruptions, in virtual time; ``--real`` holds them over real
WebSockets (a minute). Exits with 1 when a vice is not named, or a healthy agent is accused.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import NamedTuple

from voicelat.caller import CallResult
from voicelat.doubles.agents import VICES, Vice, converse, serve_agent
from voicelat.loadtest.cast import Cast
from voicelat.loadtest.findings import findings
from voicelat.loadtest.line import place_call
from voicelat.loadtest.scenario import Patience, Scenario, Talk
from voicelat.loadtest.utterances import Utterance

CALLS = 6
TURNS = 15
CAST = Cast(
    [Utterance(b"\x80\x00" * (4 * ms), f"{ms} ms of voice") for ms in (600, 900, 1300)],
    Scenario(
        talk=Talk(think_ms=(100, 600), barge_ins=0.2, barge_after_ms=(300, 700)),
        patience=Patience(reply_ms=5000),
    ),
)


class Row(NamedTuple):
    """One agent, and what was said of it."""

    vice: str
    named: bool
    """Its vice was found; for the healthy one, nothing was."""
    says: list[str]


def judge(name: str, calls: list[CallResult]) -> Row:
    """What a report says of these calls, and whether that is right."""
    says = [finding.says for finding in findings(calls)]
    wanted = VICES[name].says
    named = any(wanted in line for line in says) if wanted else not says
    return Row(name, named, says)


def virtual(vice: Vice) -> list[CallResult]:
    """The calls, in virtual time."""
    castings = (CAST.call(number, TURNS) for number in range(CALLS))
    return [converse(script, vice, setup) for script, setup in castings]


async def real(vice: Vice) -> list[CallResult]:
    """The calls, at once, over real sockets."""
    async with serve_agent(vice) as url:
        castings = [CAST.call(number, TURNS) for number in range(CALLS)]
        return await asyncio.gather(
            *(place_call(url, script, setup=setup) for script, setup in castings)
        )


async def all_real() -> list[Row]:
    """Every agent at once: they wait for each other's words, not for the processor."""
    found = await asyncio.gather(*(real(vice) for vice in VICES.values()))
    return [judge(name, calls) for name, calls in zip(VICES, found, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--real", action="store_true")
    options = parser.parse_args()
    if options.real:
        rows = asyncio.run(all_real())
    else:
        rows = [judge(name, virtual(vice)) for name, vice in VICES.items()]
    if options.json:
        print(json.dumps([row._asdict() for row in rows]))
    else:
        print(f"{'agent':<12}{'named':<7}the report says")
        for row in rows:
            print(f"{row.vice:<12}{'yes' if row.named else 'NO':<7}{'; '.join(row.says) or '-'}")
    return 0 if all(row.named for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
