"""The caller against fake servers over a fake wire, in virtual time."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.audio.level import is_audible
from voicelat.caller import (
    BargeIn,
    Caller,
    CallResult,
    CallSetup,
    Close,
    Closed,
    Dtmf,
    HangUp,
    Heard,
    Opened,
    Pause,
    Say,
    Script,
    Silence,
    Tick,
    WaitForReply,
)
from voicelat.errors import ClockWentBack, IllegalMove, UsageError
from voicelat.twilio.codec import decode, encode_clear, encode_mark, encode_media
from voicelat.twilio.inbox import Inbox, StreamState
from voicelat.twilio.messages import InboundMessage, Mark, Media, Start

SID = CallSetup().stream_sid
HUSH_20 = b"\xff" * 160
Later = list[tuple[int, str]]
"""What a fake server sends, each so many ms after what it heard."""


def tone(ms: int) -> bytes:
    return b"\x80" * (ms * 8)


def hush(ms: int) -> bytes:
    return b"\xff" * (ms * 8)


def deaf(message: InboundMessage, now_ms: int) -> Later:
    return []


class Agent:
    """Replies ``delay_ms`` after the caller has been silent for 200 ms; stops when interrupted
    for 120 ms, if it is polite."""

    def __init__(
        self, reply: bytes, delay_ms: int = 300, greeting: bytes = b"", polite: bool = True
    ) -> None:
        self.reply, self.delay_ms, self.greeting, self.polite = reply, delay_ms, greeting, polite
        self.voiced_ms = self.silent_ms = self.speaking_until = 0
        self.owes = False

    def __call__(self, message: InboundMessage, now_ms: int) -> Later:
        if isinstance(message, Start) and self.greeting:
            return self.speak(self.greeting, now_ms, 50)
        if not isinstance(message, Media):
            return []
        if not is_audible(message.payload):
            self.silent_ms += 20
            self.voiced_ms = 0
            if self.owes and self.silent_ms == 200:
                self.owes = False
                return self.speak(self.reply, now_ms, self.delay_ms)
            return []
        self.voiced_ms += 20
        self.silent_ms = 0
        self.owes = True
        if self.polite and now_ms < self.speaking_until and self.voiced_ms == 120:
            self.speaking_until = now_ms
            return [(0, encode_clear(SID))]
        return []

    def speak(self, audio: bytes, now_ms: int, delay_ms: int) -> Later:
        self.speaking_until = now_ms + delay_ms + len(audio) // 8
        return [(delay_ms, encode_media(SID, audio)), (delay_ms, encode_mark(SID, "end"))]


class Wire:
    """Links a caller to a fake server. Nothing sleeps: the next thing that is due happens."""

    def __init__(
        self,
        script: Script,
        server: Callable[[InboundMessage, int], Later] = deaf,
        setup: CallSetup | None = None,
    ) -> None:
        self.caller = Caller(script, setup)
        self.server = server
        self.inbox = Inbox()
        self.said: list[tuple[int, InboundMessage]] = []
        self.closes: list[tuple[int, Close]] = []
        self.coming: list[tuple[int, int, str]] = []
        self._order = count()
        self.now_ms = 0

    def send(self, at_ms: int, text: str) -> None:
        heapq.heappush(self.coming, (at_ms, next(self._order), text))

    def run(self, until_ms: int = 120_000) -> CallResult:
        self._feed(Opened())
        while (deadline_ms := self.caller.deadline_ms) is not None:
            assert deadline_ms > self.now_ms or self.now_ms == 0
            due_ms = min(deadline_ms, self.coming[0][0]) if self.coming else deadline_ms
            if due_ms > until_ms:
                break
            self.now_ms = due_ms
            if self.coming and self.coming[0][0] == due_ms:
                self._feed(heapq.heappop(self.coming)[2])
            else:
                self._feed(Tick())
        return self.caller.result()

    def _feed(self, event: str | Opened | Tick | Closed) -> None:
        for output in self.caller.handle(event, self.now_ms):
            if isinstance(output, Close):
                self.closes.append((self.now_ms, output))
                continue
            assert not self.closes, "nothing is sent after the close"
            message = decode(output)
            self.said.append((self.now_ms, message))
            if self.inbox.receive(output) is not None:
                for delay_ms, text in self.server(message, self.now_ms):
                    self.send(self.now_ms + delay_ms, text)

    def times(self, kind: type[InboundMessage]) -> list[int]:
        return [at_ms for at_ms, message in self.said if isinstance(message, kind)]

    def audio(self, track: str = "inbound") -> bytes:
        return b"".join(
            m.payload for _, m in self.said if isinstance(m, Media) and m.track == track
        )


# What the caller says, and when


def test_a_call_begins_as_twilio_begins_it() -> None:
    setup = CallSetup(custom_parameters={"token": "t"})
    wire = Wire([Silence(20)], setup=setup)
    wire.run()
    kinds = [type(message).__name__ for _, message in wire.said]
    assert kinds == ["Connected", "Start", "Media", "Stop"]
    start = wire.said[1][1]
    assert isinstance(start, Start)
    assert start.custom_parameters == {"token": "t"}
    assert (start.sequence, start.call_sid) == (1, setup.call_sid)
    assert wire.inbox.state is StreamState.STOPPED


def test_frame_k_is_due_when_its_last_sample_was_said() -> None:
    wire = Wire([Silence(1000)], Agent(tone(100), greeting=tone(333)))
    wire.run()
    assert wire.times(Media) == list(range(20, 1001, 20))
    media = [message for _, message in wire.said if isinstance(message, Media)]
    assert [m.timestamp_ms for m in media] == list(range(0, 1000, 20))
    assert [m.chunk for m in media] == list(range(1, 51))
    assert {m.payload for m in media} == {HUSH_20}


def test_a_late_wake_up_sends_what_is_overdue_and_does_not_drift() -> None:
    caller = Caller([Silence(1000)])
    caller.handle(Opened(), 1000)
    assert caller.deadline_ms == 1020
    assert len(caller.handle(Tick(), 1105)) == 5
    assert caller.deadline_ms == 1120


def test_a_caller_knows_when_it_was_too_late_itself() -> None:
    caller = Caller([Silence(10_000)])
    caller.handle(Opened(), 0)
    for deadline_ms in range(20, 4001, 20):
        caller.handle(Tick(), deadline_ms + (1 if deadline_ms % 200 else 9))
    assert caller.result().lateness_p99_ms == 9
    assert caller.result().trusted
    for deadline_ms in range(4020, 4201, 20):
        caller.handle(Tick(), deadline_ms + 15)
    assert caller.result().lateness_p99_ms == 15
    assert not caller.result().trusted


@given(sizes=st.lists(st.integers(1, 500), min_size=1, max_size=4))
def test_odd_frame_sizes_carry_the_same_audio(sizes: list[int]) -> None:
    question = bytes(range(0x80, 0xF0)) * 11
    setup = CallSetup(frame_bytes=tuple(sizes))
    wire = Wire([Say(question), Silence(60)], setup=setup)
    wire.run()
    assert wire.audio().startswith(question)
    assert not wire.inbox.drops
    assert wire.inbox.gap_ms == 0
    sent = 0
    for at_ms, message in wire.said:
        if isinstance(message, Media):
            sent += len(message.payload)
            assert at_ms == -(-sent // 8)


def test_a_two_track_stream_carries_a_track_that_is_not_for_the_ear() -> None:
    wire = Wire([Say(tone(100))], setup=CallSetup(tracks=("inbound", "outbound")))
    result = wire.run()
    assert wire.inbox.drops == {"other_track": result.frames_sent}
    assert wire.audio("outbound") == hush(100)


def test_noise_is_heard_wherever_the_caller_does_not_speak() -> None:
    noise = b"\xfe\xfd\xfc"
    script: Script = [Silence(20), Say(tone(20)), Pause(20), Say(tone(20)), Silence(20)]
    wire = Wire(script, setup=CallSetup(noise=noise))
    wire.run()
    loop = noise * 300
    assert wire.audio() == loop[:160] + tone(20) + loop[320:480] + tone(20) + loop[640:800]


def test_keys_are_pressed_at_their_times() -> None:
    wire = Wire([Silence(40), Dtmf("1#", gap_ms=100)])
    wire.run()
    pressed = [(at, m.digit) for at, m in wire.said if hasattr(m, "digit")]
    assert pressed == [(40, "1"), (140, "#")]


def test_hanging_up_says_stop_and_closes() -> None:
    wire = Wire([Silence(40), HangUp()])
    assert wire.run().ended == "hung_up"
    assert type(wire.said[-1][1]).__name__ == "Stop"
    assert wire.closes == [(40, Close(abrupt=False))]
    assert wire.caller.deadline_ms is None
    assert wire.caller.handle(encode_mark(SID, "a"), 50) == []


def test_a_line_that_drops_mid_word_says_nothing() -> None:
    wire = Wire([Say(tone(100)[:500]), HangUp(abrupt=True)])
    result = wire.run()
    assert isinstance(wire.said[-1][1], Media)
    assert wire.closes == [(80, Close(abrupt=True))]
    assert result.heard[0].censored
    assert result.heard[0].in_vain_ms is None, "nobody waited for a reply"


def test_who_listens_before_hanging_up_was_owed_a_reply() -> None:
    result = Wire([Say(tone(100)), Silence(400), HangUp()]).run()
    assert result.heard[0].in_vain_ms == 400


# What Twilio does with what it is sent


def test_marks_come_back_in_order_when_the_audio_before_them_was_played() -> None:
    wire = Wire([Silence(1000)])
    wire.send(5, encode_mark(SID, "empty"))
    wire.send(10, encode_media(SID, tone(100)))
    wire.send(10, encode_mark(SID, "a"))
    wire.send(33, encode_media(SID, tone(50)))
    wire.send(33, encode_mark(SID, "b"))
    wire.run()
    marks = [(at_ms, m.name) for at_ms, m in wire.said if isinstance(m, Mark)]
    assert marks == [(5, "empty"), (110, "a"), (160, "b")]


def test_clear_sends_back_every_pending_mark_at_once() -> None:
    wire = Wire([Silence(1000)])
    wire.send(10, encode_media(SID, tone(500)))
    wire.send(10, encode_mark(SID, "a"))
    wire.send(10, encode_mark(SID, "b"))
    wire.send(75, encode_clear(SID))
    wire.send(80, encode_mark(SID, "c"))
    result = wire.run()
    marks = [(at_ms, m.name) for at_ms, m in wire.said if isinstance(m, Mark)]
    assert marks == [(75, "a"), (75, "b"), (80, "c")]
    assert (result.clears, result.marks_echoed) == (1, 3)


# What the caller measures


def test_voice_to_voice_is_exact() -> None:
    question = hush(40) + tone(800) + hush(100)
    agent = Agent(hush(48) + tone(500), delay_ms=300)
    wire = Wire([Silence(100), Say(question, "how much?"), WaitForReply()], agent)
    result = wire.run()
    assert result.heard == (
        Heard(
            question=1,
            text="how much?",
            said_start_ms=140,
            said_end_ms=940,
            reply_start_ms=1488,
            reply_end_ms=1988,
            v2v_ms=200 + 300 + 48,
        ),
    )
    # 500 ms of reply, then 600 ms of patience, up to the next whole frame.
    assert result.duration_ms == 2600
    assert result.media_received == 1
    assert result.bytes_received == 548 * 8


def test_a_reply_in_frames_measures_like_a_reply_in_one_piece() -> None:
    audio = hush(40) + tone(500)

    class Streaming(Agent):
        def speak(self, audio: bytes, now_ms: int, delay_ms: int) -> Later:
            cuts = range(0, len(audio), 160)
            return [(delay_ms + at // 8, encode_media(SID, audio[at : at + 160])) for at in cuts]

    whole = Wire([Say(tone(400)), WaitForReply()], Agent(audio)).run()
    cut = Wire([Say(tone(400)), WaitForReply()], Streaming(audio)).run()
    assert cut.heard == whole.heard
    assert cut.heard[0].v2v_ms == 540
    assert cut.pacing_ms == ()


def test_the_greeting_is_measured_and_waited_for() -> None:
    wire = Wire([WaitForReply(), Say(tone(200)), WaitForReply()], Agent(tone(400), 300, tone(1000)))
    result = wire.run()
    assert result.greeting_ms == 50
    assert [heard.v2v_ms for heard in result.heard] == [500]
    assert result.heard[0].said_end_ms == 1660 + 200


def test_a_barge_in_is_measured_until_the_agent_is_silent() -> None:
    script: Script = [
        Say(tone(400), "tell me everything"),
        BargeIn(hush(20) + tone(300), after_ms=500, text="wait"),
        WaitForReply(),
    ]
    result = Wire(script, Agent(tone(5000), delay_ms=300)).run()
    first, second = result.heard
    assert first.v2v_ms == 500
    assert first.barge_stop_ms is None
    # The agent speaks from 900; the caller's voice begins at 1400 + 20 and 120 ms of it reach
    # the agent with the frame at 1540.
    assert second.barge_stop_ms == 120
    assert second.v2v_ms == 500
    assert second.text == "wait"


def test_an_agent_that_talks_on_is_measured_to_its_last_word() -> None:
    script: Script = [Say(tone(400)), BargeIn(tone(300), after_ms=500), WaitForReply()]
    agent = Agent(tone(2000), delay_ms=300, polite=False)
    first, second = Wire(script, agent).run().heard
    assert first.v2v_ms == 500
    # It speaks from 900 to 2900 and its next reply is queued right behind: to the caller, who
    # began at 1400, that is one speech until 4900.
    assert second.barge_stop_ms == 3500
    assert second.censored


def test_a_barge_in_that_is_ignored_lasts_until_the_speech_is_over() -> None:
    script: Script = [
        Say(tone(400)),
        BargeIn(tone(300), after_ms=500),
        WaitForReply(timeout_ms=5000),
    ]
    replies = iter([tone(2000)])

    def once(message: InboundMessage, now_ms: int) -> Later:
        reply = next(replies, None) if now_ms == 600 else None
        return [(300, encode_media(SID, reply))] if reply else []

    _, second = Wire(script, once).run().heard
    assert second.barge_stop_ms == 1500
    assert second.censored


def test_a_barge_in_without_a_voice_to_interrupt_is_said_after_the_timeout() -> None:
    result = Wire([Say(tone(100)), BargeIn(tone(100), timeout_ms=500)]).run()
    assert [heard.censored for heard in result.heard] == [True, True]
    assert result.heard[1].said_end_ms == 100 + 500 + 100
    assert result.heard[1].barge_stop_ms is None


def test_an_agent_that_never_answers_is_censored_after_the_timeout() -> None:
    script: Script = [Say(tone(100)), WaitForReply(timeout_ms=1500), Say(tone(100)), WaitForReply()]
    wire = Wire(script)
    result = wire.run()
    assert [(heard.v2v_ms, heard.censored) for heard in result.heard] == [(None, True)] * 2
    assert result.heard[1].said_end_ms == 100 + 1500 + 100
    assert result.greeting_ms is None


def test_an_answer_into_a_pause_is_talking_over() -> None:
    """The agent takes the 400 ms pause for the end, notices, and answers properly."""
    script: Script = [Say(tone(400)), Pause(400), Say(tone(400)), WaitForReply()]
    (heard,) = Wire(script, Agent(tone(900), delay_ms=100)).run().heard
    assert heard.talked_over
    assert heard.said_end_ms == 1200
    assert heard.v2v_ms == 300
    assert not heard.censored


def test_a_buffer_that_runs_dry_inside_a_reply_is_a_gap() -> None:
    wire = Wire([WaitForReply(), Silence(2000)])
    for at_ms in (10, 110, 240, 2000):
        wire.send(at_ms, encode_media(SID, tone(100)))
    assert wire.run().pacing_ms == (30,)


def test_a_servers_violations_are_counted_by_name() -> None:
    wire = Wire([Silence(200)])
    for text in (
        "{",
        '{"event":"media","streamSid":"MZx","media":{"payload":"gICA"}}',
        json.dumps({"event": "media", "streamSid": SID, "media": {"payload": "!"}}),
        json.dumps({"event": "media", "streamSid": SID, "media": {"payload": ""}}),
        json.dumps({"event": "media", "streamSid": SID, "media": {"payload": "UklGRg=="}}),
    ):
        wire.send(50, text)
    assert wire.caller.handle(encode_clear(SID), 0) == []
    assert wire.run().violations == {
        "before_start": 1,
        "malformed": 1,
        "wrong_stream": 1,
        "bad_base64": 1,
        "empty_payload": 1,
        "file_header": 1,
    }


def test_a_socket_that_dies_leaves_what_was_measured() -> None:
    caller = Caller([Say(tone(200)), WaitForReply()])
    caller.handle(Opened(), 0)
    caller.handle(Tick(), 100)
    caller.handle(Closed(), 110)
    result = caller.result()
    assert caller.done
    assert (result.ended, result.duration_ms, result.frames_sent) == ("closed", 110, 5)
    assert result.heard[0].censored
    assert caller.handle(Tick(), 500) == []
    assert caller.deadline_ms is None


def test_a_socket_that_never_opens_is_a_call_that_never_was() -> None:
    caller = Caller([])
    caller.handle(Closed(), 5)
    assert caller.result().ended == "closed"
    assert caller.result().lateness_p99_ms is None
    assert not caller.result().trusted


def test_time_does_not_go_back_and_a_call_opens_once() -> None:
    caller = Caller([Silence(100)])
    caller.handle(Opened(), 10)
    with pytest.raises(IllegalMove):
        caller.handle(Opened(), 20)
    with pytest.raises(ClockWentBack):
        caller.handle(Tick(), 9)


def test_frames_without_a_size_are_refused() -> None:
    with pytest.raises(UsageError, match="frame_bytes"):
        Caller([], CallSetup(frame_bytes=()))
    with pytest.raises(UsageError, match="frame_bytes"):
        Caller([], CallSetup(frame_bytes=(160, 0)))


_TEXT = st.one_of(
    st.text(max_size=20),
    st.binary(max_size=20),
    st.builds(encode_media, st.sampled_from([SID, "MZx"]), st.binary(min_size=1, max_size=3000)),
    st.builds(encode_mark, st.just(SID), st.sampled_from(["a", "b"])),
    st.just(encode_clear(SID)),
    st.just(Tick()),
)
_SCRIPT: st.SearchStrategy[Script] = st.lists(
    st.sampled_from(
        [
            Say(tone(60) + hush(30)),
            WaitForReply(timeout_ms=300, quiet_ms=50),
            BargeIn(tone(50), after_ms=40, timeout_ms=200),
            Dtmf("12", gap_ms=10),
            Silence(70),
        ]
    ),
    max_size=5,
)


@given(script=_SCRIPT, moves=st.lists(st.tuples(st.integers(0, 90), _TEXT), max_size=30))
def test_whatever_a_server_says_the_caller_keeps_time_and_its_books(
    script: Script, moves: list[tuple[int, str | bytes | Tick]]
) -> None:
    caller, again = Caller(script), Caller(script)
    now_ms = 0
    texts: list[str] = []
    for wait_ms, event in [(0, Opened()), *moves]:
        now_ms += wait_ms
        outputs = caller.handle(event, now_ms)
        assert again.handle(event, now_ms) == outputs
        assert caller.deadline_ms is None or caller.deadline_ms > now_ms
        texts += [output for output in outputs if isinstance(output, str)]
    inbox = Inbox()
    assert all(inbox.receive(text) is not None for text in texts)
    result = caller.result()
    assert result == again.result()
    frames = sum(isinstance(decode(text), Media) for text in texts)
    assert frames == result.frames_sent
    if not caller.done:
        assert frames == now_ms // 20
    asked = [heard.question for heard in result.heard]
    assert asked == list(range(1, len(asked) + 1))
    for heard in result.heard:
        assert heard.v2v_ms is None or heard.v2v_ms >= 0
        assert not (heard.censored and heard.v2v_ms is not None)
