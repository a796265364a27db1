"""Draw the two state diagrams of docs/turn.md from the machine's own tables.

``python docs/generate_states.py`` writes them between their markers; with ``--check`` it only
says whether they are stale (exit code 1).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from voicelat.turn.states import AGENT_MOVES, CALLER_MOVES, Agent, Caller

State = TypeVar("State", bound=StrEnum)
Move = TypeVar("Move", bound=StrEnum)

PAGE = Path(__file__).parent / "turn.md"


def diagram(first: State, moves: Mapping[tuple[State, Move], State]) -> str:
    """A Mermaid state diagram of a table ``(state, move) -> state`` that begins at ``first``."""
    arrows = [f"    [*] --> {first}"]
    arrows += [f"    {state} --> {to}: {move}" for (state, move), to in moves.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", *arrows, "```"])


DIAGRAMS = {
    "caller": diagram(Caller.SILENT, CALLER_MOVES),
    "agent": diagram(Agent.IDLE, AGENT_MOVES),
}


def drawn(page: str) -> str:
    """``page`` with every diagram between its markers. Raises ValueError where one has none."""
    for name, text in DIAGRAMS.items():
        begin, end = f"<!-- states: {name} -->\n", "<!-- end -->"
        page, found = re.subn(f"{begin}.*?{end}", f"{begin}{text}\n{end}", page, flags=re.DOTALL)
        if found != 1:
            raise ValueError(f"{PAGE.name} has {found} places for the diagram of the {name}")
    return page


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    fresh = drawn(page)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(fresh, encoding="utf-8")
    elif fresh != page:
        print("docs/turn.md is stale: run python docs/generate_states.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
