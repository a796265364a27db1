from __future__ import annotations

import base64
import json
from collections import deque
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.providers.openai_server import WORDS, heard_in, spoken

from voicelat.audio.mulaw import BYTES_PER_MS, silence
from voicelat.providers.openai_segments import PRE_ROLL_MS, TRANSCRIPTION, Segments
from voicelat.providers.protocols import Transcript


def _sent(segments: Segments) -> list[dict[str, Any]]:
    messages = []
    while (message := segments.next_message()) is not None:
        messages.append(json.loads(message))
    return messages


def _audio(messages: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(m["audio"]) for m in messages if "audio" in m)


def _said(segments: Segments, audio: bytes) -> None:
    segments.voice(True)
    segments.feed(audio)
    segments.voice(False)


def _committed(segments: Segments, item: str) -> list[Transcript]:
    return segments.heard({"type": "input_audio_buffer.committed", "item_id": item})


def _delta(segments: Segments, item: str, text: str) -> list[Transcript]:
    event = {"type": f"{TRANSCRIPTION}delta", "item_id": item, "delta": text}
    return segments.heard(event)


def _completed(segments: Segments, item: str, text: str) -> list[Transcript]:
    event = {"type": f"{TRANSCRIPTION}completed", "item_id": item, "transcript": text}
    return segments.heard(event)


def _partial(text: str) -> Transcript:
    return Transcript(text, final=False)


def _final(text: str) -> Transcript:
    return Transcript(text, final=True)


# -- what is sent -----------------------------------------------------------------------------


def test_only_the_voice_is_sent_with_a_little_before_it() -> None:
    segments = Segments()
    segments.feed(silence(2000))
    segments.finalize()
    assert _sent(segments) == []
    segments.voice(True)
    segments.feed(spoken("ala"))
    assert _audio(_sent(segments)) == silence(PRE_ROLL_MS) + spoken("ala")
    segments.voice(False)
    segments.feed(silence(2000))
    (commit,) = _sent(segments)
    assert commit == {"type": "input_audio_buffer.commit", "event_id": "commit-1"}


def test_what_was_committed_is_not_sent_again_with_the_next() -> None:
    segments = Segments()
    _said(segments, spoken("ala"))
    segments.feed(silence(100))
    _said(segments, spoken("alb"))
    kinds = [message["type"].rpartition(".")[2] for message in _sent(segments)]
    assert kinds == ["append", "commit", "append", "commit"]


def test_the_voice_is_sent_while_it_goes_on() -> None:
    segments = Segments()
    segments.voice(True)
    for frame in (b"\x10" * 160, b"\x11" * 160):
        segments.feed(frame)
        assert _audio(_sent(segments)) == frame


def test_much_audio_at_once_goes_in_pieces() -> None:
    segments = Segments()
    segments.voice(True)
    segments.feed(silence(2500))
    sizes = [len(_audio([message])) for message in _sent(segments)]
    assert sizes == [8000, 8000, 4000]


def test_finalize_under_the_voice_commits_what_there_is_and_goes_on() -> None:
    segments = Segments()
    segments.voice(True)
    segments.feed(spoken("ala"))
    segments.finalize()
    segments.finalize()
    segments.feed(spoken("alb"))
    segments.voice(False)
    messages = _sent(segments)
    assert [m["event_id"] for m in messages if "event_id" in m] == ["commit-1", "commit-2"]
    assert heard_in(_audio(messages)) == "ala alb"


def test_less_than_can_be_committed_goes_with_the_next() -> None:
    segments = Segments()
    _said(segments, spoken("ala")[:400])
    segments.finalize()
    assert [m["type"] for m in _sent(segments)] == ["input_audio_buffer.append"]
    assert segments.awaited is None
    segments.feed(silence(50))
    _said(segments, spoken("alb"))
    messages = _sent(segments)
    assert _audio(messages) == silence(50) + spoken("alb")
    assert messages[-1]["event_id"] == "commit-1"


def test_a_voice_without_a_pause_is_committed_after_a_minute() -> None:
    segments = Segments()
    segments.voice(True)
    for _ in range(61):
        segments.feed(silence(1000))
    commits = [m for m in _sent(segments) if "event_id" in m]
    assert len(commits) == 1


def test_only_what_has_no_final_is_sent_again() -> None:
    segments = Segments()
    _said(segments, spoken("ala"))
    _said(segments, spoken("alb"))
    segments.voice(True)
    segments.feed(spoken("alc"))
    _sent(segments)
    _committed(segments, "one")
    _completed(segments, "one", "ala")
    segments.restart()
    messages = _sent(segments)
    assert heard_in(_audio(messages)) == "alb alc"
    assert [m["event_id"] for m in messages if "event_id" in m] == ["commit-2"]


# -- what is told -----------------------------------------------------------------------------


def test_deltas_grow_a_partial_and_the_transcript_is_the_final() -> None:
    segments = Segments()
    segments.voice(True)
    segments.feed(spoken("ala"))
    _sent(segments)
    assert _delta(segments, "one", "Are") == [_partial("Are")]
    assert _delta(segments, "one", " you open") == [_partial("Are you open")]
    assert _delta(segments, "one", " ") == []
    segments.voice(False)
    _sent(segments)
    assert segments.awaited == 1
    assert _committed(segments, "one") == []
    assert _completed(segments, "one", " Are you open? ") == [_final("Are you open?")]
    assert segments.awaited is None


def test_a_partial_holds_all_that_has_no_final() -> None:
    segments = Segments()
    for word in ("ala", "alb"):
        _said(segments, spoken(word))
    _sent(segments)
    _committed(segments, "one")
    _committed(segments, "two")
    assert _delta(segments, "one", "Yes") == [_partial("Yes")]
    assert _delta(segments, "two", "please") == [_partial("Yes please")]
    assert _completed(segments, "one", "Yes.") == [_final("Yes."), _partial("please")]


def test_finals_are_told_in_the_order_of_the_speech() -> None:
    segments = Segments()
    for word in ("ala", "alb"):
        _said(segments, spoken(word))
    _sent(segments)
    _committed(segments, "one")
    _committed(segments, "two")
    assert _completed(segments, "two", "please") == [_partial("please")]
    assert _completed(segments, "one", "Yes") == [_final("Yes"), _final("please")]


def test_an_item_that_changes_its_id_with_its_commit_does_not_double_its_words() -> None:
    segments = Segments()
    segments.voice(True)
    segments.feed(spoken("ala"))
    _sent(segments)
    assert _delta(segments, "draft", "Are you") == [_partial("Are you")]
    segments.voice(False)
    _sent(segments)
    _committed(segments, "one")
    assert _delta(segments, "one", "Are") == []
    assert _delta(segments, "one", " you open") == [_partial("Are you open")]
    assert _completed(segments, "one", "Are you open") == [_final("Are you open")]


def test_what_is_heard_a_second_time_does_not_shrink() -> None:
    segments = Segments()
    _said(segments, spoken("ala"))
    _sent(segments)
    _delta(segments, "one", "Are you open")
    segments.restart()
    _sent(segments)
    assert _delta(segments, "other", "Are") == []
    assert _delta(segments, "other", " you open today") == [_partial("Are you open today")]


def test_words_that_were_none_are_an_empty_final() -> None:
    segments = Segments()
    _said(segments, spoken("ala"))
    _sent(segments)
    assert _completed(segments, "one", "") == [_final("")]


def test_a_failed_item_is_tried_again_once_and_then_ends_as_it_is() -> None:
    segments = Segments()
    _said(segments, spoken("ala"))
    failed = {"type": f"{TRANSCRIPTION}failed", "item_id": "one", "error": {}}
    _sent(segments)
    _delta(segments, "one", "Are")
    assert segments.heard(failed) == []
    assert segments.again
    segments.restart()
    assert not segments.again
    assert heard_in(_audio(_sent(segments))) == "ala"
    assert segments.heard(failed) == [_final("Are")]


def test_a_refused_commit_ends_its_segment() -> None:
    segments = Segments()
    for word in ("ala", "alb", "alc"):
        _said(segments, spoken(word))
    _sent(segments)
    assert segments.refused("commit-2") == []
    assert segments.refused(None) == [_final(""), _final("")]
    assert segments.refused("commit-1") == []
    assert segments.refused("commit-3") == [_final("")]


def test_what_makes_no_sense_is_counted_and_told_to_nobody() -> None:
    segments = Segments()
    assert _completed(segments, "one", "ghosts") == []
    assert _committed(segments, "one") == []
    segments.voice(True)
    segments.feed(spoken("ala"))
    _sent(segments)
    assert _completed(segments, "one", "too soon") == []
    assert _delta(segments, "one", "Yes") == [_partial("Yes")]
    for event in (
        {"type": f"{TRANSCRIPTION}delta", "item_id": "one"},
        {"type": f"{TRANSCRIPTION}delta", "item_id": 7, "delta": "x"},
        {"type": f"{TRANSCRIPTION}segment", "item_id": "one", "text": "x"},
        {"type": "session.updated"},
        {"type": None},
        {},
    ):
        assert segments.heard(event) == []
    segments.voice(False)
    _sent(segments)
    assert _completed(segments, "one", "Yes") == [_final("Yes")]
    assert _completed(segments, "one", "Yes") == []
    assert _delta(segments, "one", "Yes") == []
    assert segments.odd == {
        "item of no segment": 1,
        "commit that was not asked for": 1,
        "final before its commit": 1,
        "transcription without text": 1,
        "item without an id": 1,
        "text behind its final": 2,
    }


class _FarSide:
    """A server in memory, whose events wait until they are delivered."""

    def __init__(self, connection: int, drafts: bool) -> None:
        self.events: deque[dict[str, Any]] = deque()
        self._name = f"{connection}_"
        self._kind = "draft" if drafts else "item"
        self._buffer, self._told, self._items = b"", "", 0

    def take(self, message: dict[str, Any]) -> None:
        if "audio" in message:
            self._buffer += base64.b64decode(message["audio"])
            text = heard_in(self._buffer)
            if len(text) > len(self._told):
                self._tell("delta", self._kind, delta=text[len(self._told) :])
                self._told = text
            return
        item = f"item_{self._name}{self._items}"
        self.events.append({"type": "input_audio_buffer.committed", "item_id": item})
        self._tell("completed", "item", transcript=heard_in(self._buffer))
        self._buffer, self._told, self._items = b"", "", self._items + 1

    def _tell(self, what: str, kind: str, **fields: str) -> None:
        item = f"{kind}_{self._name}{self._items}"
        self.events.append({"type": f"{TRANSCRIPTION}{what}", "item_id": item, **fields})


_STEPS = st.lists(
    st.sampled_from(["word", "word", "voice", "silence", "finalize", "send", "hear", "lose"]),
    max_size=80,
)


@given(steps=_STEPS, drafts=st.booleans())
def test_however_often_the_connection_is_lost_each_word_is_told_once(
    steps: list[str], drafts: bool
) -> None:
    segments, far, told = Segments(), _FarSide(0, drafts), list[Transcript]()
    words = deque(WORDS)
    said: list[str] = []
    active = False
    for number, step in enumerate([*steps, "silence", "lose", *["send"] * 99, *["hear"] * 999]):
        match step:
            case "word" if active and words:
                said.append(words.popleft())
                segments.feed(spoken(said[-1]))
            case "word":
                segments.feed(silence(40))
            case "voice" | "silence":
                active = step == "voice"
                segments.voice(active)
            case "finalize":
                segments.finalize()
            case "send" if (message := segments.next_message()) is not None:
                far.take(json.loads(message))
            case "hear" if far.events:
                told += segments.heard(far.events.popleft())
            case "lose":
                far = _FarSide(number + 1, drafts)
                segments.restart()
    finals = " ".join(transcript.text for transcript in told if transcript.final)
    assert finals.split() == said
    for before, partial in pairwise(told):
        assert len(partial.text) >= len(before.text) or partial.final or before.final
    assert segments.awaited is None


_KINDS = [
    "input_audio_buffer.committed",
    *(f"{TRANSCRIPTION}{end}" for end in ("delta", "completed", "failed", "x")),
]
_VALUES: list[Any] = [None, 7, [], {}, "", " ", "one", "two"]
_EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from([*_KINDS, *_VALUES])},
    optional={key: st.sampled_from(_VALUES) for key in ("item_id", "delta", "transcript")},
)


@given(events=st.lists(_EVENTS, max_size=20))
def test_no_server_can_break_it(events: list[dict[str, Any]]) -> None:
    segments = Segments()
    _said(segments, spoken("ala"))
    segments.voice(True)
    segments.feed(spoken("alb"))
    _sent(segments)
    finals = 0
    for event in events:
        finals += sum(transcript.final for transcript in segments.heard(event))
    assert finals <= 1
    segments.voice(False)
    segments.restart()
    assert len(_audio(_sent(segments))) <= 2 * 100 * BYTES_PER_MS
