"""What of a stream may be believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.twilio.inbox import MOVES, Inbox, StreamState
from voicelat.twilio.messages import (
    Connected,
    DtmfPressed,
    InboundMessage,
    Mark,
    Media,
    Start,
    Stop,
    Unknown,
)
from voicelat.twilio.mirror import encode_inbound

FRAME = b"\x80" * 160


def receive(inbox: Inbox, *messages: InboundMessage) -> list[InboundMessage | None]:
    return [inbox.receive(encode_inbound(message)) for message in messages]


def streaming() -> Inbox:
    inbox = Inbox()
    receive(inbox, Connected(), Start("MZ0", 1))
    assert inbox.state is StreamState.STREAMING
    return inbox


def test_a_whole_call_passes_untouched() -> None:
    call: list[InboundMessage] = [
        Connected(),
        Start("MZ0", 1, call_sid="CA0"),
        Media("MZ0", FRAME, sequence=2, chunk=1, timestamp_ms=0),
        DtmfPressed("MZ0", "5", sequence=3),
        Media("MZ0", FRAME, sequence=4, chunk=2, timestamp_ms=20),
        Mark("MZ0", "a", sequence=5),
        Stop("MZ0", sequence=6),
    ]
    inbox = Inbox()
    assert receive(inbox, *call) == call
    assert inbox.state is StreamState.STOPPED
    assert inbox.stream_sid == "MZ0"
    assert not inbox.drops
    assert inbox.last_drop is None
    assert inbox.gap_ms == 0


_STREAM = {
    Start: Start("MZ0"),
    Media: Media("MZ0", FRAME),
    DtmfPressed: DtmfPressed("MZ0", "1"),
    Mark: Mark("MZ0", "a"),
    Stop: Stop("MZ0"),
    Connected: Connected(),
}
_ROAD: dict[StreamState, list[InboundMessage]] = {
    StreamState.WAITING: [],
    StreamState.CONNECTED: [Connected()],
    StreamState.STREAMING: [Connected(), Start("MZ0")],
    StreamState.STOPPED: [Connected(), Start("MZ0"), Stop("MZ0")],
}


@pytest.mark.parametrize("state", list(StreamState))
@pytest.mark.parametrize("message", _STREAM.values(), ids=lambda message: type(message).__name__)
def test_a_message_out_of_place_is_counted_and_changes_nothing(
    state: StreamState, message: InboundMessage
) -> None:
    inbox = Inbox()
    receive(inbox, *_ROAD[state])
    (got,) = receive(inbox, message)
    move = MOVES.get((state, type(message)))
    if move is None:
        assert got is None
        assert inbox.drops == {"out_of_place": 1}
        assert inbox.state is state
    else:
        assert got == message
        assert inbox.state is move


def test_a_client_that_never_says_connected_is_served() -> None:
    inbox = Inbox()
    assert receive(inbox, Start("MZ0")) == [Start("MZ0")]


def test_malformed_text_and_unknown_events_are_counted_apart() -> None:
    inbox = streaming()
    assert inbox.receive("{") is None
    assert inbox.receive(b"\xff") is None
    assert receive(inbox, Unknown("weather")) == [None]
    assert inbox.drops == {"malformed": 2, "unknown_event": 1}
    assert inbox.last_drop == "unknown_event: 'weather'"


def test_another_streams_messages_are_dropped() -> None:
    inbox = streaming()
    assert receive(inbox, Media("MZ1", FRAME), Mark("MZ1", "a"), Stop("MZ1")) == [None] * 3
    assert inbox.drops == {"wrong_stream": 3}
    assert inbox.state is StreamState.STREAMING


def test_a_sequence_number_counts_once_and_only_upwards() -> None:
    inbox = streaming()
    first, second = Media("MZ0", FRAME, sequence=2), Mark("MZ0", "a", sequence=4)
    assert receive(inbox, first, first, second, Media("MZ0", FRAME, sequence=3)) == [
        first,
        None,
        second,
        None,
    ]
    assert inbox.drops == {"out_of_order": 2}


def test_a_stop_is_believed_whatever_its_number() -> None:
    inbox = streaming()
    receive(inbox, Media("MZ0", FRAME, sequence=9))
    assert receive(inbox, Stop("MZ0", sequence=2)) == [Stop("MZ0", sequence=2)]
    assert inbox.state is StreamState.STOPPED


def test_audio_older_than_what_was_delivered_is_late() -> None:
    inbox = streaming()
    receive(inbox, Media("MZ0", FRAME, timestamp_ms=100))
    assert receive(inbox, Media("MZ0", FRAME, timestamp_ms=80)) == [None]
    assert inbox.drops == {"late": 1}


def test_missing_audio_is_counted_in_milliseconds() -> None:
    inbox = streaming()
    for at_ms in (5, 25, 105, 125):
        receive(inbox, Media("MZ0", FRAME, timestamp_ms=at_ms))
    assert inbox.gap_ms == 60
    assert not inbox.drops


@given(st.lists(st.integers(1, 400), min_size=1))
def test_odd_sizes_with_whole_millisecond_timestamps_make_no_gap(sizes: list[int]) -> None:
    inbox = streaming()
    sent = 0
    for size in sizes:
        receive(inbox, Media("MZ0", b"\x80" * size, timestamp_ms=sent // 8))
        sent += size
    assert inbox.gap_ms == 0
    assert not inbox.drops


def test_only_the_wanted_tracks_are_heard() -> None:
    ours, other = Media("MZ0", FRAME, "inbound"), Media("MZ0", FRAME, "outbound")
    inbox = streaming()
    assert receive(inbox, ours, other) == [ours, None]
    assert inbox.drops == {"other_track": 1}

    both = Inbox(frozenset({"inbound", "outbound"}))
    assert receive(both, Start("MZ0"), ours, other)[1:] == [ours, other]


def test_media_without_audio_is_dropped() -> None:
    inbox = streaming()
    assert receive(inbox, Media("MZ0", b"")) == [None]
    assert inbox.drops == {"empty": 1}


_SID = st.sampled_from(["MZ0", "MZ1"])
_SEQUENCE = st.none() | st.integers(0, 9)
_ANY: st.SearchStrategy[InboundMessage] = st.one_of(
    st.just(Connected()),
    st.builds(Start, _SID, _SEQUENCE),
    st.builds(
        Media,
        _SID,
        st.binary(max_size=9),
        st.sampled_from(["inbound", "outbound", "x"]),
        _SEQUENCE,
        st.none(),
        st.none() | st.integers(0, 99),
    ),
    st.builds(DtmfPressed, _SID, st.just("1"), sequence=_SEQUENCE),
    st.builds(Mark, _SID, st.text(), _SEQUENCE),
    st.builds(Stop, _SID, sequence=_SEQUENCE),
    st.just(Unknown("weather")),
)


@given(st.lists(st.one_of(_ANY.map(encode_inbound), st.text(), st.binary())))
def test_any_sequence_of_texts_is_delivered_or_counted(texts: list[str | bytes]) -> None:
    inbox = Inbox()
    delivered = [message for text in texts if (message := inbox.receive(text)) is not None]
    assert len(delivered) + inbox.drops.total() == len(texts)
    assert sum(isinstance(message, Start) for message in delivered) <= 1
    assert not any(isinstance(message, Stop) for message in delivered[:-1])
    times = [
        m.timestamp_ms for m in delivered if isinstance(m, Media) and m.timestamp_ms is not None
    ]
    assert times == sorted(times)
    assert inbox.gap_ms >= 0
