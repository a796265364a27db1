from __future__ import annotations

import asyncio
import multiprocessing
import random
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.virtual_loop import VirtualLoop

from voicelat.audio.mulaw import BYTES_PER_MS, RATE, Pcm, encode, silence
from voicelat.audio.vad import EnergyVad
from voicelat.audio.wav import TwoChannelWriter
from voicelat.errors import ProviderError, UsageError
from voicelat.lab.hearing import LONGEST_TAIL_MS, TAIL_MS
from voicelat.lab.listen import (
    Broken,
    Cache,
    Ears,
    EarsPlan,
    Heard,
    Listened,
    listen,
    listen_all,
)
from voicelat.lab.pace import paced_runner
from voicelat.lab.recordings import Channels, Source, caller_side, find
from voicelat.metrics.record import CallInfo
from voicelat.providers import local
from voicelat.providers.protocols import SpeechToText
from voicelat.providers.registry import ProviderOptions
from voicelat.providers.simulated import Latency, Profile, SimulatedStt
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.trace import Trace, TraceHeader, TraceStep, encode_line

T = TypeVar("T")

SIMULATED = EarsPlan(stt="simulated:google-openai-google", vad="energy")
STEADY = Profile(
    "steady",
    stt_final=Latency(300, 300, "the test's"),
    stt_partial=Latency(70, 70, "the test's"),
    stt_partial_every_ms=200,
    llm_first_token=Latency(0, 0, ""),
    llm_tokens_per_s=0,
    tts_first_byte=Latency(0, 0, ""),
    tts_speed=0,
)


def voice(*spans_ms: tuple[int, int], of_ms: int, noise: float = 0.0) -> Pcm:
    """A channel with voice at these times, and line noise of a linear amplitude."""
    rng = np.random.default_rng(of_ms + len(spans_ms))
    audio = rng.normal(0.0, noise, of_ms * BYTES_PER_MS)
    for begin_ms, end_ms in spans_ms:
        span = slice(begin_ms * BYTES_PER_MS, end_ms * BYTES_PER_MS)
        audio[span] += rng.normal(0.0, 3000.0, len(audio[span]))
    return audio.clip(-32768, 32767).astype(np.int16)


CALLER = voice((400, 1600), (3000, 4200), of_ms=6000, noise=12.0)
AGENT = voice((1900, 2800), (4500, 5800), of_ms=6000)


def sides(caller: Pcm = CALLER, agent: Pcm | None = AGENT) -> Channels:
    return Channels(encode(caller), None if agent is None else encode(agent), 0, "told")


def ears(stt: SpeechToText | None = None) -> Ears:
    return Ears(SIMULATED, stt or SimulatedStt(STEADY), EnergyVad)


def paced(work: Coroutine[Any, Any, T], computing: Callable[[], bool] = lambda: False) -> T:
    with paced_runner(computing) as runner:
        return runner.run(work)


def wav(path: Path, *channels: Pcm) -> Path:
    soundfile.write(path, np.column_stack(channels), RATE, "PCM_16")
    return path


def sources(folder: Path) -> list[Source]:
    return find([str(folder)])


def good(heard: Heard) -> Listened:
    assert isinstance(heard, Listened), heard
    return heard


def encoded(trace: Trace) -> bytes:
    return encode_line(trace.header) + b"".join(map(encode_line, trace.steps))


# -- one recording ----------------------------------------------------------------------------


def test_events_are_noted_when_they_would_have_entered_the_machine() -> None:
    trace = paced(listen("call", sides(), ears()))
    edges = [s for s in trace.steps if isinstance(s.event, on.SpeechStarted | on.SpeechStopped)]
    spans_ms = [400, 1600, 3000, 4200]
    for step, acoustic_ms in zip(edges, spans_ms, strict=True):
        assert isinstance(step.event, on.SpeechStarted | on.SpeechStopped)
        assert step.event.at_ms == pytest.approx(acoustic_ms, abs=8)
        assert step.at_ms % 20 == 0  # with the frame that showed it
        assert 0 < step.at_ms - step.event.at_ms <= 80
    times_ms = [step.at_ms for step in trace.steps]
    assert times_ms == sorted(times_ms)
    assert all(step.effects is None for step in trace.steps)


def test_a_final_comes_exactly_as_late_as_the_recogniser_is() -> None:
    trace = paced(listen("call", sides(), ears()))
    stops = [s.at_ms for s in trace.steps if isinstance(s.event, on.SpeechStopped)]
    finals = [s.at_ms for s in trace.steps if isinstance(s.event, on.Final)]
    assert finals == [stop_ms + 300 for stop_ms in stops]
    partials = [s.at_ms for s in trace.steps if isinstance(s.event, on.Partial)]
    assert {(at_ms - 70) % 20 for at_ms in partials} == {0}


def test_the_header_says_who_listened_and_what_the_ears_took() -> None:
    trace = paced(listen("call", sides(), ears()))
    told = trace.header.listening
    assert told is not None
    assert trace.header.call.call_id == told.recording == "call"
    assert (told.duration_ms, told.caller_channel, told.channels_by) == (6000, 0, "told")
    assert told.ears == {"stt": SIMULATED.stt, "vad": "energy", "language": "en-US"}
    assert told.agent_voice is not None
    for span, true in zip(told.agent_voice, [(1900, 2800), (4500, 5800)], strict=True):
        assert span == pytest.approx(true, abs=8)
    stops = [s for s in trace.steps if isinstance(s.event, on.SpeechStopped)]
    lags = sorted(
        stop.at_ms + 70 - stop.event.at_ms
        for stop in stops
        if isinstance(stop.event, on.SpeechStopped)
    )
    assert told.lag_ms == {"n": 2, "p50": lags[0], "p95": lags[1]}


def test_nobody_knows_where_the_agent_of_a_mono_recording_spoke() -> None:
    trace = paced(listen("call", sides(agent=None), ears()))
    assert trace.header.listening is not None
    assert trace.header.listening.agent_voice is None


def test_a_voice_that_ends_with_the_recording_is_heard_out() -> None:
    trace = paced(listen("call", sides(voice((200, 1003), of_ms=1003), None), ears()))
    kinds = [type(step.event) for step in trace.steps]
    assert kinds.count(on.SpeechStopped) == kinds.count(on.Final) == 1
    assert kinds[-1] is on.Final


def test_silence_gives_an_empty_trace() -> None:
    trace = paced(listen("call", sides(voice(of_ms=100), None), ears()))
    assert trace.steps == []
    assert trace.header.listening is not None
    assert trace.header.listening.lag_ms == {"n": 0}


def test_the_ears_hear_the_same_in_real_time_and_at_their_own_pace() -> None:
    ours = paced(listen("call", sides(), ears()))
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        theirs = runner.run(listen("call", sides(), ears()))
    assert encoded(ours) == encoded(theirs)


def test_an_echo_of_the_agent_is_no_voice_as_in_a_call() -> None:
    echo = np.roll(AGENT // 16, 100 * BYTES_PER_MS)
    bleeding = (CALLER.astype(np.int32) + echo).clip(-32768, 32767).astype(np.int16)
    clean, bled = (paced(listen("call", sides(side), ears())) for side in (CALLER, bleeding))
    deaf = paced(listen("call", sides(bleeding, None), ears()))
    starts = [
        sum(isinstance(step.event, on.SpeechStarted) for step in trace.steps)
        for trace in (clean, bled, deaf)
    ]
    assert starts == [2, 2, 4]


class Faulty(SimulatedStt):
    """Simulated ears whose streams call ``fault`` with the number of each frame."""

    def __init__(self, fault: Callable[[int], None]) -> None:
        super().__init__(STEADY)
        self._fault = fault

    async def open(self, language: str) -> Any:
        stream = await super().open(language)
        hear = stream.feed
        fed = 0

        def feed(audio: bytes) -> None:
            nonlocal fed
            fed += 1
            self._fault(fed)
            hear(audio)

        stream.feed = feed  # type: ignore[method-assign]
        return stream


def test_a_recogniser_that_is_lost_leaves_no_half_heard_trace() -> None:
    class Lost(SimulatedStt):
        async def open(self, language: str) -> Any:
            raise ProviderError("vendor", "the key is wrong", "fix_key")

    with pytest.raises(ProviderError, match="was lost before the end: vendor: the key is wrong"):
        paced(listen("call", sides(), ears(Lost(STEADY))))


def test_a_recogniser_that_breaks_its_contract_leaves_none_either() -> None:
    def fault(fed: int) -> None:
        if fed == 100:
            raise KeyError("vendor's bug")

    with pytest.raises(ProviderError, match=r"broke: KeyError\(\"vendor's bug\"\)"):
        paced(listen("call", sides(), ears(Faulty(fault))))


def test_a_recogniser_that_was_opened_again_is_remarked_on() -> None:
    class Once(SimulatedStt):
        fails = True

        async def open(self, language: str) -> Any:
            if self.fails:
                self.fails = False
                raise ProviderError("vendor", "5 minutes are over", "retry")
            return await super().open(language)

    trace = paced(listen("call", sides(), ears(Once(STEADY))))
    assert trace.header.listening is not None
    assert trace.header.listening.ears["reopened"] == "1 times, last: vendor: 5 minutes are over"


def test_a_recogniser_that_owes_a_final_is_asked_for_it_and_waited_for_so_long() -> None:
    class Slow(SimulatedStt):
        asked = 0

        async def open(self, language: str) -> Any:
            stream = await super().open(language)

            def finalize() -> None:
                self.asked += 1

            stream.finalize = finalize  # type: ignore[method-assign]
            return stream

    async def took(stt: SimulatedStt) -> tuple[Trace, float]:
        trace = await listen("call", sides(agent=None), ears(stt))
        return trace, asyncio.get_running_loop().time() * 1000

    never = Slow(replace(STEADY, stt_final=Latency(60_000, 60_000, "")))
    trace, end_ms = paced(took(never))
    assert not any(isinstance(step.event, on.Final) for step in trace.steps)
    assert end_ms == pytest.approx(6000 + LONGEST_TAIL_MS)
    assert never.asked == 1
    late = Slow(replace(STEADY, stt_final=Latency(5000, 5000, "")))
    trace, _ = paced(took(late))
    assert isinstance(trace.steps[-1].event, on.Final)
    prompt = Slow(STEADY)
    _, end_ms = paced(took(prompt))
    assert end_ms == pytest.approx(6000 + TAIL_MS)
    assert prompt.asked == 0


class Judge:
    """An end-of-turn model that gives, or raises, always the same."""

    name = "judge"

    def __init__(self, answer: float | Exception = 0.75) -> None:
        self._answer = answer
        self.asked: list[bytes] = []

    def warm(self) -> None:
        pass

    def probability(self, mulaw: bytes) -> float:
        self.asked.append(mulaw)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_a_turn_model_is_asked_in_every_pause_and_its_answer_noted() -> None:
    judge = Judge()
    judged = replace(ears(), turn_model=judge)
    trace = paced(listen("call", sides(), judged), judged.computing)
    hints = [step for step in trace.steps if isinstance(step.event, on.EndpointHint)]
    assert [hint.event for hint in hints] == [on.EndpointHint(0.75)] * 2
    for hint, stop_ms in zip(hints, (1600, 4200), strict=True):
        assert hint.at_ms >= stop_ms + 200
    whole = sides().caller
    for audio, stop_ms in zip(judge.asked, (1600, 4200), strict=True):
        until = len(audio) // BYTES_PER_MS  # both questions fit into what is kept
        assert stop_ms + 200 <= until <= stop_ms + 240
        assert audio == whole[: len(audio)]


def test_a_turn_model_that_fails_leaves_no_trace_without_hints() -> None:
    judged = replace(ears(), turn_model=Judge(ProviderError("judge", "no weights", "give_up")))
    with pytest.raises(ProviderError, match="no weights"):
        paced(listen("call", sides(), judged), judged.computing)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_audio_gives_a_trace_in_order(data: st.DataObject) -> None:
    rng = random.Random(data.draw(st.integers(0, 999)))
    chunks = data.draw(st.lists(st.integers(0, 2000), min_size=1, max_size=8))
    audio = b"".join(
        rng.randbytes(length) if loud % 2 else silence(length // 8)
        for loud, length in enumerate(chunks)
    )
    trace = paced(listen("call", Channels(audio, None, 0, "mono"), ears()))
    times_ms = [step.at_ms for step in trace.steps]
    assert times_ms == sorted(times_ms)
    edges = [s.event for s in trace.steps if isinstance(s.event, on.SpeechStarted)]
    stops = [s.event for s in trace.steps if isinstance(s.event, on.SpeechStopped)]
    assert len(edges) == len(stops)
    assert encoded(Trace.decode(encoded(trace).splitlines(keepends=True), "x")) == encoded(trace)


# -- many recordings --------------------------------------------------------------------------


def test_every_kind_of_wav_is_listened_to(tmp_path: Path) -> None:
    fine = soxr.resample(CALLER, RATE, 44100)
    soundfile.write(tmp_path / "a.wav", CALLER, RATE, "ULAW")
    soundfile.write(tmp_path / "b.wav", np.column_stack([CALLER, AGENT]), RATE, "ULAW")
    soundfile.write(tmp_path / "c.wav", np.column_stack([CALLER, AGENT]), RATE, "PCM_16")
    soundfile.write(tmp_path / "d.wav", fine, 44100, "PCM_24")
    heard = listen_all(sources(tmp_path), SIMULATED, processes=1)
    told = [good(h).listening for h in heard]
    assert [t.recording for t in told if t] == ["a", "b", "c", "d"]
    assert [t.agent_voice is None for t in told if t] == [True, False, False, True]
    for one in map(good, heard):
        stops = [s.event for s in one.trace.steps if isinstance(s.event, on.SpeechStopped)]
        assert [stop.at_ms for stop in stops] == pytest.approx([1600, 4200], abs=8)
        assert one.audio_ms == 6000
        assert not one.cached


def test_a_broken_file_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", CALLER, AGENT)
    (tmp_path / "b.wav").write_bytes(b"not a wave")
    wav(tmp_path / "c.wav", np.zeros(0, np.int16))
    (tmp_path / "d.trace.jsonl").write_bytes(b"{}\n")
    wav(tmp_path / "e.wav", CALLER, AGENT, CALLER)
    wav(tmp_path / "f.wav", CALLER)
    done: list[Heard] = []
    heard = listen_all(sources(tmp_path), SIMULATED, processes=1, on_done=done.append)
    assert [type(h) for h in heard] == [Listened, Broken, Broken, Broken, Broken, Listened]
    assert {id(h) for h in done} == {id(h) for h in heard}
    for broken in heard[1:5]:
        assert isinstance(broken, Broken)
        assert broken.why.startswith(str(broken.source.path))
        assert "\n" not in broken.why
    assert isinstance(heard[2], Broken)
    assert "is empty" in heard[2].why


def test_the_callers_channel_can_be_told_for_all(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", AGENT, CALLER)
    wav(tmp_path / "b.wav", CALLER)
    two, one = listen_all(sources(tmp_path), SIMULATED, caller=1, processes=1)
    listening = good(two).listening
    assert listening is not None
    assert (listening.caller_channel, listening.channels_by) == (1, "told")
    assert isinstance(one, Broken)
    assert "has 1 channel" in one.why


def test_ears_that_are_none_are_refused_before_anything_is_heard(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", CALLER)
    for plan in (
        replace(SIMULATED, stt="nobody"),
        replace(SIMULATED, stt="simulated:nobody"),
        replace(SIMULATED, turn_model="nobody"),
    ):
        with pytest.raises(UsageError):
            listen_all(sources(tmp_path), plan)


def test_processes_hear_what_one_hears(tmp_path: Path) -> None:
    for name, of_ms in (("a", 6000), ("b", 7000), ("c", 5000)):
        wav(tmp_path / f"{name}.wav", voice((400, 1600), (2800, 4000), of_ms=of_ms))
    (tmp_path / "d.wav").write_bytes(b"")
    alone = listen_all(sources(tmp_path), SIMULATED, processes=1)
    together = listen_all(sources(tmp_path), SIMULATED, processes=2)
    assert isinstance(together[3], Broken)
    assert alone[3] == together[3]
    for one, other in zip(alone[:3], together[:3], strict=True):
        assert encoded(good(one).trace) == encoded(good(other).trace)
        assert good(one).source == good(other).source


def test_what_a_recording_sounds_like_does_not_depend_on_the_others(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", voice((400, 1600), of_ms=3000))
    wav(tmp_path / "b.wav", voice((400, 1800), of_ms=3000))
    both = sources(tmp_path)
    forth = listen_all(both, SIMULATED, processes=1)
    back = listen_all(both[::-1], SIMULATED, processes=1)
    for one, other in zip(forth, back[::-1], strict=True):
        assert encoded(good(one).trace) == encoded(good(other).trace)


FOREIGN = '''
from voicelat.errors import ProviderError
from voicelat.providers import simulated


class Service:
    """Simulated ears that do not say where they compute."""

    name = "service"

    def __init__(self):
        self._ears = simulated.SimulatedStt(simulated.profile("instant"))
        self.open, self.warm, self.aclose = self._ears.open, self._ears.warm, self._ears.aclose


class Refusing(Service):
    def __init__(self):
        super().__init__()
        self.warm = self._refuse

    async def _refuse(self):
        raise ProviderError("service", "the key is wrong", "fix_key")

    def computing(self):
        return False
'''


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], EarsPlan]:
    """Plans with ears of a module that is not ours."""
    (tmp_path / "foreign_ears.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "foreign_ears", raising=False)
    return lambda name: EarsPlan(stt=f"foreign_ears:{name}", vad="energy")


def test_a_service_listens_in_real_time_to_many_at_once(
    tmp_path: Path, foreign: Callable[[str], EarsPlan]
) -> None:
    for name in "abc":
        wav(tmp_path / f"{name}.wav", voice((100, 400), of_ms=500))
    heard = [good(h) for h in listen_all(sources(tmp_path), foreign("Service"))]
    for one in heard:
        assert [type(step.event) for step in one.trace.steps][-1] is on.Final
        assert one.took_s >= (500 + TAIL_MS) / 1000
    assert sum(one.took_s for one in heard) > 2 * (500 + TAIL_MS) / 1000


def test_ears_that_cannot_be_warmed_make_every_recording_broken(
    tmp_path: Path, foreign: Callable[[str], EarsPlan]
) -> None:
    for name in "ab":
        wav(tmp_path / f"{name}.wav", voice((100, 400), of_ms=500))
    heard = listen_all(sources(tmp_path), foreign("Refusing"), processes=1)
    assert [h.why for h in heard if isinstance(h, Broken)] == ["service: the key is wrong"] * 2


# -- keeping ----------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Source, Cache, Path]:
    """A recording that was listened to, the cache, and its file in there."""
    folder = tmp_path / "calls"
    folder.mkdir()
    wav(folder / "a.wav", CALLER, AGENT)
    (source,) = sources(folder)
    cache = Cache(tmp_path / "deep" / "cache")
    assert not good(listen_all([source], SIMULATED, cache=cache, processes=1)[0]).cached
    (file,) = cache.folder.iterdir()
    return source, cache, file


def test_what_was_heard_once_is_not_listened_to_again(kept: tuple[Source, Cache, Path]) -> None:
    source, cache, _ = kept
    fresh, again = (
        good(listen_all([source], SIMULATED, cache=wanted, processes=1)[0])
        for wanted in (None, cache)
    )
    assert (fresh.cached, again.cached) == (False, True)
    assert encoded(fresh.trace) == encoded(again.trace)
    assert fresh.listening == again.listening
    assert fresh.audio_ms == again.audio_ms == 6000


def test_a_renamed_recording_keeps_its_listening_under_its_new_name(
    kept: tuple[Source, Cache, Path],
) -> None:
    source, cache, _ = kept
    moved = source.path.rename(source.path.with_name("b.wav"))
    again = good(listen_all(find([str(moved)]), SIMULATED, cache=cache, processes=1)[0])
    assert again.cached
    assert again.trace.header.call.call_id == "b"
    assert again.listening is not None
    assert again.listening.recording == "b"


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:-30],
        lambda whole: b"".join(whole.splitlines(keepends=True)[:-4]),  # between two lines
        lambda whole: whole.replace(b'"partial"', b'"part"'),
        lambda whole: b"\xff" * 100,
    ],
)
def test_a_damaged_listening_is_made_again(
    kept: tuple[Source, Cache, Path], damage: Callable[[bytes], bytes]
) -> None:
    source, cache, file = kept
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    again = good(listen_all([source], SIMULATED, cache=cache, processes=1)[0])
    assert not again.cached
    assert file.read_bytes() == whole
    assert list(cache.folder.iterdir()) == [file]


def test_other_ears_or_other_audio_are_another_listening() -> None:
    cache = Cache(Path())
    plans = [
        SIMULATED,
        replace(SIMULATED, stt="local"),
        replace(SIMULATED, vad="silero"),
        replace(SIMULATED, language="he-IL"),
        replace(SIMULATED, turn_model="smart-turn"),
        replace(SIMULATED, options=ProviderOptions(seed=1)),
    ]
    audio = [sides(), sides(AGENT), sides(agent=None), sides(agent=CALLER)]
    keys = {cache.key(plan, sides()) for plan in plans} | {
        cache.key(SIMULATED, other) for other in audio
    }
    assert len(keys) == len(plans) + len(audio) - 1


def test_a_key_to_a_service_does_not_decide_what_is_heard() -> None:
    keyed = replace(SIMULATED, options=ProviderOptions(openai_api_key="sk-secret"))
    assert Cache(Path()).key(keyed, sides()) == Cache(Path()).key(SIMULATED, sides())


def test_a_cache_that_cannot_be_written_costs_a_note_not_the_listening(tmp_path: Path) -> None:
    source = wav(tmp_path / "a.wav", CALLER)
    (tmp_path / "file").touch()
    cache = Cache(tmp_path / "file" / "cache")
    heard = good(listen_all(find([str(source)]), SIMULATED, cache=cache, processes=1)[0])
    assert heard.trace.steps
    assert heard.notes[0].startswith(f"not kept in {cache.folder}: ")


def test_what_was_lost_is_not_kept(tmp_path: Path, foreign: Callable[[str], EarsPlan]) -> None:
    wav(tmp_path / "a.wav", CALLER)
    cache = Cache(tmp_path / "cache")
    listen_all(sources(tmp_path), foreign("Refusing"), cache=cache, processes=1)
    assert not cache.folder.exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupted_run_keeps_what_was_done(tmp_path: Path, processes: int) -> None:
    for n in range(6):
        wav(tmp_path / f"{n}.wav", voice((400, 1600 + 100 * n), of_ms=3000))
    cache = Cache(tmp_path / ".cache")
    done: list[str] = []

    def interrupt(heard: Heard) -> None:
        done.append(heard.source.name)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        listen_all(
            sources(tmp_path), SIMULATED, cache=cache, processes=processes, on_done=interrupt
        )
    again = listen_all(sources(tmp_path), SIMULATED, cache=cache, processes=1)
    assert len(done) == 1
    assert set(done) <= {good(heard).source.name for heard in again if good(heard).cached}
    assert not multiprocessing.active_children()


# -- live traces ------------------------------------------------------------------------------


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A call of our server: a trace with replies, and its recording."""
    header = TraceHeader(
        call=CallInfo(call_id="CA1", providers={"stt": "google"}), turn=TurnConfig(), voicelat="0"
    )
    events: list[on.Event] = [
        on.SpeechStarted(400),
        on.SpeechStopped(1600),
        on.Final("hello"),
        on.AudioSent(1, 1),
        on.StreamStopped(),
    ]
    steps = [TraceStep(at_ms=460 + 20 * n, event=e, effects=[]) for n, e in enumerate(events)]
    lines = encode_line(header) + b"".join(map(encode_line, steps))
    (tmp_path / "call.trace.jsonl").write_bytes(lines)
    with TwoChannelWriter(tmp_path / "call.wav") as file:
        file.write("caller", 0, encode(CALLER))
        file.write("agent", 0, encode(AGENT))
    return tmp_path


def test_a_live_trace_is_used_as_it_is_and_its_recording_for_the_agent(live: Path) -> None:
    (heard,) = listen_all(sources(live), SIMULATED, processes=1)
    one = good(heard)
    assert encoded(one.trace) == (live / "call.trace.jsonl").read_bytes()
    assert one.listening is not None
    assert one.listening.agent_voice is not None
    for span, true in zip(one.listening.agent_voice, [(1900, 2800), (4500, 5800)], strict=True):
        assert span == pytest.approx(true, abs=8)
    assert one.listening.channels_by == "recorded with its trace"
    assert one.listening.ears["stt"] == "google"
    side = caller_side(one.trace, one.listening)
    assert side.header.listening == one.listening
    assert len(side.steps) == len(one.trace.steps) - 1


def test_a_bare_trace_needs_no_ears(live: Path) -> None:
    (live / "call.wav").unlink()
    nobody = EarsPlan(stt="nobody")
    (heard,) = listen_all(sources(live), nobody)
    one = good(heard)
    assert one.listening is None
    assert one.audio_ms == one.trace.steps[-1].at_ms


def test_a_trace_that_was_cut_off_says_so(live: Path) -> None:
    (live / "call.wav").unlink()
    path = live / "call.trace.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    (heard,) = listen_all(sources(live), SIMULATED)
    assert good(heard).notes == ("the last line of its trace was cut off",)


# -- real ears --------------------------------------------------------------------------------


@pytest.fixture
def local_speech() -> None:
    if missing := local.available():
        pytest.skip(missing)


def test_local_ears_understand_a_real_recording(local_speech: None, speech_data: Path) -> None:
    files = [speech_data / f"{name}.wav" for name in ("sphinx_goforward", "gdf_book_a_room")]
    heard = listen_all(find([str(file) for file in files]), EarsPlan(), processes=1)
    texts = {
        good(one).source.name: " ".join(
            step.event.text for step in good(one).trace.steps if isinstance(step.event, on.Final)
        )
        for one in heard
    }
    assert "forward" in texts["sphinx_goforward"].lower()
    assert "book" in texts["gdf_book_a_room"].lower()
    for one in map(good, heard):
        assert one.listening is not None
        assert one.listening.lag_ms["n"] >= 1


def test_twenty_seconds_of_a_real_call_are_heard_in_order(
    local_speech: None, speech_data: Path, tmp_path: Path
) -> None:
    call, rate = soundfile.read(speech_data / "lca_auto_repairs_40_2ch.wav", dtype="int16")
    soundfile.write(tmp_path / "call.wav", call[: 20 * rate], rate, "ULAW")
    one = good(listen_all(sources(tmp_path), EarsPlan(), processes=1)[0])
    assert one.listening is not None
    assert one.listening.caller_channel == 0
    assert one.listening.agent_voice
    assert one.listening.agent_voice[0][0] < 1000
    times_ms = [step.at_ms for step in one.trace.steps]
    assert times_ms == sorted(times_ms)
    starts = [s.event for s in one.trace.steps if isinstance(s.event, on.SpeechStarted)]
    stops = [s.event for s in one.trace.steps if isinstance(s.event, on.SpeechStopped)]
    assert len(starts) == len(stops)
    for begun, ended in zip(starts, stops, strict=True):
        assert begun.at_ms < ended.at_ms
    finals = [s.event.text for s in one.trace.steps if isinstance(s.event, on.Final)]
    assert sum(len(text.split()) for text in finals) > 15
