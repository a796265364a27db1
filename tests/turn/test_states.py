"""The tables of moves, and the page drawn from them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pytest

from voicelat.turn.states import AGENT_MOVES, CALLER_MOVES, Agent, AgentMove, Caller, CallerMove

Moves = Mapping[tuple[StrEnum, StrEnum], StrEnum]

both = pytest.mark.parametrize(
    ("first", "moves", "states", "names"),
    [
        (Caller.SILENT, CALLER_MOVES, Caller, CallerMove),
        (Agent.IDLE, AGENT_MOVES, Agent, AgentMove),
    ],
    ids=["caller", "agent"],
)


@both
def test_every_state_can_be_reached_and_left_again(
    first: StrEnum, moves: Moves, states: type[StrEnum], names: type[StrEnum]
) -> None:
    for start in states:
        seen = {start}
        while grown := {to for (state, _), to in moves.items() if state in seen} - seen:
            seen |= grown
        assert seen == set(states)


@both
def test_every_move_is_legal_somewhere(
    first: StrEnum, moves: Moves, states: type[StrEnum], names: type[StrEnum]
) -> None:
    assert {move for _, move in moves} == set(names)
    assert first in {state for state, _ in moves}
