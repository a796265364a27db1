"""A difference is told in one line that names what changed."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.lab.difference import first_difference, told
from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.turn import effects as do

START = do.StartReply(1, 1, "what time", speculative=True)
COMMIT = do.CommitReply(1, 1)
RECORD = TurnRecord(call_id="CA1", turn=3, outcome="answered", stamps=Stamps(turn_end=1320))


def test_an_effect_is_told_by_its_kind_and_values() -> None:
    assert told(START) == "start_reply(turn=1, attempt=1, text='what time', speculative=True)"


def test_a_closed_turn_is_told_by_its_outcome_alone() -> None:
    assert told(do.TurnClosed(RECORD)) == (
        "turn_closed(turn=3, outcome='answered', EOU_REASON=None, TOTAL_LATENCY_MS=None, text='')"
    )


def test_a_missing_effect_is_told_on_either_side() -> None:
    assert first_difference([START, COMMIT], [START]) == (
        "effect 2 was not replayed: commit_reply(turn=1, attempt=1)"
    )
    assert first_difference([], [COMMIT]) == (
        "effect 1 was not recorded: commit_reply(turn=1, attempt=1)"
    )


def test_another_effect_is_told_with_both() -> None:
    assert first_difference([COMMIT], [do.HoldReply(1, 1)]) == (
        "effect 1 was commit_reply(turn=1, attempt=1), and is hold_reply(turn=1, attempt=1)"
    )


def test_a_changed_effect_is_told_by_the_fields_that_changed() -> None:
    other = msgspec.structs.replace(START, text="what", speculative=False)
    assert first_difference([START], [other]) == (
        "effect 1 (start_reply): text was 'what time', and is 'what'; "
        "speculative was True, and is False"
    )


def test_a_changed_record_is_told_by_its_stamps_and_only_the_first_of_many() -> None:
    stamps = Stamps(turn_end=1360, gate_open=1400, speech_end=9, reply_end=4)
    other = msgspec.structs.replace(RECORD, stamps=stamps)
    line = first_difference([do.TurnClosed(RECORD)], [do.TurnClosed(other)])
    assert "stamps.turn_end was 1320, and is 1360" in line
    assert line.endswith("; 1 more")


@pytest.mark.parametrize("text", ["x" * 3000, "\x1b[2J\n\r", "\u202egnp.exe", "שלום" * 900])
def test_whatever_callers_said_it_is_one_short_line(text: str) -> None:
    line = told(do.StartReply(1, 1, text, speculative=False))
    assert line.isprintable()
    assert len(line) < 250


@given(st.lists(st.sampled_from([START, COMMIT, do.HoldReply(1, 1)]), max_size=4))
def test_every_pair_of_lists_has_a_first_difference_in_words(effects: list[do.Effect]) -> None:
    assert first_difference(effects, [do.FinalizeStt(1)]).startswith("effect 1 ")
