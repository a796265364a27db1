"""Who stopped the event loop, in words a person can act on.

The table knows the usual culprits by what stands on the stack; whoever is not in it is named by
its line of code.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from voicelat.metrics.durations import duration
from voicelat.metrics.finding import Finding, worst_turns
from voicelat.metrics.record import Stall, TurnRecord

__all__ = ["culprit_of", "stall_finding"]


class Culprit(NamedTuple):
    """What blocks, and what to do instead."""

    says: str
    advice: str


_GC: Final = Culprit(
    "a garbage collection",
    "freeze what lives for ever once the server is warm (gc.collect(); gc.freeze()), and keep "
    "fewer objects",
)
_BUSY: Final = Culprit(
    "more work than one core can do",
    "take fewer calls a process (MAX_CALLS), or start more of them (serve --workers)",
)
_UNSEEN: Final = Culprit(
    "code that held the interpreter and could not be seen",
    "look for large documents, regular expressions and C extensions, and move them to a process",
)
_STARVED: Final = Culprit(
    "a machine that gave this process no time",
    "look at what else runs there; a container's CPU limit does this, too",
)

_KNOWN: Final[tuple[tuple[re.Pattern[str], Culprit], ...]] = (
    (
        re.compile(r"logging/(__init__|handlers)\.py"),
        Culprit(
            "a log handler that writes in the call's way",
            "set ASYNC_LOG_QUEUE=1, or put a QueueHandler before it",
        ),
    ),
    (
        re.compile(r"getaddrinfo|gethostby"),
        Culprit(
            "a DNS lookup",
            "resolve names once at start-up, or with the loop's own getaddrinfo",
        ),
    ),
    (
        re.compile(r"json/(encoder|decoder|__init__)\.py|json\.(dumps?|loads?)\("),
        Culprit(
            "a big JSON document",
            "encode it in a thread, or in pieces, or with msgspec",
        ),
    ),
    (re.compile(r"\bfsync\("), Culprit("a write that waits for the disk", "write from a thread")),
    (re.compile(r"\bsleep\("), Culprit("time.sleep", "await asyncio.sleep instead")),
    (
        re.compile(r"(requests|urllib3|http/client|urllib/request)"),
        Culprit(
            "an HTTP request that is waited for",
            "use an asynchronous client, or asyncio.to_thread",
        ),
    ),
    (
        re.compile(r"(sqlite3|psycopg|pymysql|sqlalchemy)"),
        Culprit("a database query", "use an asynchronous driver, or asyncio.to_thread"),
    ),
    (
        re.compile(r"(ssl|socket|selectors)\.py"),
        Culprit("a socket that is waited for", "use asyncio's streams, or asyncio.to_thread"),
    ),
)


def culprit_of(stall: Stall) -> Culprit:
    """Who it was."""
    if stall.kind == "gc":
        return _GC
    if stall.kind == "busy":
        return _BUSY
    if stall.kind == "starved":
        return _STARVED
    if not stall.stack:
        return _UNSEEN
    for pattern, culprit in _KNOWN:
        if any(pattern.search(line) for line in stall.stack):
            return culprit
    return Culprit("blocking code", "move it to a thread (asyncio.to_thread)")


def stall_finding(records: Sequence[TurnRecord]) -> Finding | None:
    """The worst of them over some turns; None when the loop never stood still in one."""
    lost_ms: Counter[Culprit] = Counter()
    worst: dict[Culprit, Stall] = {}
    hit: dict[Culprit, set[int]] = {}
    for index, record in enumerate(records):
        for stall in record.stalls:
            culprit = culprit_of(stall)
            lost_ms[culprit] += stall.ms
            hit.setdefault(culprit, set()).add(index)
            if culprit not in worst or stall.ms > worst[culprit].ms:
                worst[culprit] = stall
    if not lost_ms:
        return None
    culprit = max(lost_ms, key=lambda one: lost_ms[one])
    stall, turns = worst[culprit], len(hit[culprit])
    at = f" at {_place(stall)}" if stall.kind == "blocked" and stall.stack else ""
    others = len(lost_ms) - 1
    more = f"; {others} other causes" if others > 1 else "; one other cause" if others else ""
    return Finding(
        "residual",
        f"the event loop stood still for up to {duration(stall.ms)} in {turns} of {len(records)} "
        f"turns: {culprit.says}{at}{more}",
        culprit.advice,
        worst_turns((records[index], records[index].stall_ms) for index in sorted(hit[culprit])),
    )


def _place(stall: Stall) -> str:
    """The innermost line that is not the library's: that is where to change something."""
    for line in stall.stack:
        path = line.partition(":")[0]
        if "/" in path and not _LIBRARY.match(path):
            return line
    return stall.stack[0] if stall.stack else "an unknown place"


_LIBRARY: Final = re.compile(
    r"(logging|json|asyncio|http|urllib|concurrent|email|encodings|multiprocessing)/"
)
