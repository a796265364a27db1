"""The packets between the caller and Twilio: late, lost, and never out of order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelat.caller import Caller, CallSetup, Opened, Say, Silence, Tick
from voicelat.twilio.codec import decode
from voicelat.twilio.messages import Media

FRAMES = 40
SPOKEN = bytes(range(160)) * FRAMES


def sent(
    arrivals: tuple[int | None, ...], late_ms: Sequence[int] = (0,)
) -> tuple[Caller, list[tuple[int, Media]]]:
    """A call that says `SPOKEN`, woken when it asks or ``late_ms`` behind, in turn: its audio and
    when it left."""
    caller = Caller([Say(SPOKEN), Silence(3000)], CallSetup(arrivals=arrivals))
    now_ms, left = 0, caller.handle(Opened(), 0)
    late = cycle(late_ms)
    media: list[tuple[int, Media]] = []
    while caller.deadline_ms is not None:
        now_ms = caller.deadline_ms + next(late)
        left = caller.handle(Tick(), now_ms)
        messages = [decode(text) for text in left if isinstance(text, str)]
        media += [(now_ms, message) for message in messages if isinstance(message, Media)]
    return caller, media


def test_all_on_time_is_a_message_every_20_ms() -> None:
    _, media = sent(())
    assert [at_ms for at_ms, _ in media[:3]] == [20, 40, 60]


def test_a_lost_packet_leaves_a_gap_in_the_timestamps_and_none_in_the_numbers() -> None:
    caller, media = sent((0, None))
    assert [message.timestamp_ms for _, message in media[:3]] == [0, 40, 80]
    assert [message.chunk for _, message in media[:3]] == [1, 2, 3]
    assert caller.result().frames_lost == caller.result().frames_sent


def test_a_late_packet_holds_up_those_behind_it() -> None:
    _, media = sent((50, *(0,) * 199))
    assert [at_ms for at_ms, _ in media[:4]] == [70, 70, 70, 80]


def test_late_packets_are_not_the_callers_own_lateness() -> None:
    caller, _ = sent((100, 0, 30))
    assert set(caller.result().lateness_ms) == {0}


def test_what_is_under_way_when_the_call_ends_is_lost() -> None:
    caller, media = sent((0, 70))
    result = caller.result()
    frames = sum(result.lateness_ms.values())
    assert 0 < result.frames_lost == frames - len(media) < 5


@settings(deadline=None)
@given(
    arrivals=st.lists(st.none() | st.integers(0, 300), min_size=1, max_size=20),
    late_ms=st.lists(st.integers(0, 90), min_size=1, max_size=10),
)
def test_a_caller_that_is_woken_late_sends_the_same_in_the_same_order(
    arrivals: list[int | None], late_ms: list[int]
) -> None:
    _, on_time = sent(tuple(arrivals))
    _, late = sent(tuple(arrivals), late_ms)
    assert [message for _, message in late] == [message for _, message in on_time]
    assert all(one[0] >= other[0] for one, other in zip(late, on_time, strict=True))


@settings(deadline=None)
@given(st.lists(st.none() | st.integers(0, 300), min_size=1, max_size=20))
def test_whatever_the_line_does_nothing_is_doubled_or_overtakes(
    arrivals: list[int | None],
) -> None:
    caller, media = sent(tuple(arrivals))
    stamps = [message.timestamp_ms for _, message in media]
    assert stamps == sorted(set(stamps), key=lambda ms: ms or 0)
    assert [message.chunk for _, message in media] == list(range(1, len(media) + 1))
    numbers = [message.sequence for _, message in media]
    assert numbers == list(range(2, len(media) + 2))
    for at_ms, message in media:
        assert message.timestamp_ms is not None
        assert at_ms >= message.timestamp_ms + 20
    result = caller.result()
    assert set(result.lateness_ms) == {0}
    assert result.frames_sent == len(media)
    assert result.frames_sent + result.frames_lost == result.lateness_ms[0]
    assert msgspec.json.decode(msgspec.json.encode(result), type=type(result)) == result
