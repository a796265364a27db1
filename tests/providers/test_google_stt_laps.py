from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.engine.virtual_loop import virtual_time
from tests.providers.scripted_recogniser import NAMES, Service, spoken

from voicelat.audio.mulaw import BYTES_PER_MS, silence
from voicelat.providers.google_stt_lap import GoogleSttConfig
from voicelat.providers.google_stt_laps import GoogleSttStream
from voicelat.providers.protocols import Transcript

_QUICK = GoogleSttConfig(
    roll_after_ms=5000,
    roll_by_ms=8000,
    replay_ms=20_000,
    final_s=2.0,
    retry_after_s=(0.0, *[0.2] * 7),
)
_FRAME = 20 * BYTES_PER_MS
_ONSET_MS = 40
"""How late the detector hears a voice."""
_HANGOVER_MS = 120
"""How late it hears the end of one."""


@dataclass(frozen=True)
class Said:
    """A word, the silence behind it, and whether the final is asked for in that silence."""

    name: str
    length_ms: int = 300
    pause_ms: int = 400
    finalize: bool = False


def call_of(script: Sequence[Said], lead_ms: int = 300) -> tuple[bytes, list[tuple[int, str]]]:
    """The audio of a call and what the detector and the machine say, by position in ms."""
    audio = silence(lead_ms)
    hints: list[tuple[int, str]] = []
    silent = True
    for said in script:
        at_ms = len(audio) // BYTES_PER_MS
        if silent:
            hints.append((at_ms + _ONSET_MS, "voice"))
        audio += spoken(said.name, said.length_ms) + silence(said.pause_ms)
        end_ms = at_ms + said.length_ms
        silent = said.pause_ms > _HANGOVER_MS
        if silent:
            hints.append((end_ms + _HANGOVER_MS, "silence"))
        if said.finalize and said.pause_ms > _HANGOVER_MS + 100:
            hints.append((end_ms + _HANGOVER_MS + 60, "finalize"))
    return audio + silence(3000), hints


async def held(
    service: Service,
    script: Sequence[Said],
    config: GoogleSttConfig = _QUICK,
    lead_ms: int = 300,
    *,
    deaf: bool = False,
) -> tuple[list[Transcript], GoogleSttStream]:
    """What a call is told, in real (virtual) time, with a last `finalize` at its end.

    ``deaf``: the voice detector notices nothing."""
    audio, hints = call_of(script, lead_ms)
    hints = [] if deaf else hints
    stream = GoogleSttStream("scripted", service, config, lambda _: None)
    told: list[Transcript] = []

    async def listen() -> None:
        told.extend([transcript async for transcript in stream])

    listening = asyncio.create_task(listen())
    pending = list(hints)
    for at in range(0, len(audio), _FRAME):
        now_ms = (at + _FRAME) // BYTES_PER_MS
        stream.feed(audio[at : at + _FRAME])
        while pending and pending[0][0] <= now_ms:
            match pending.pop(0)[1]:
                case "voice":
                    stream.voice(True)
                case "silence":
                    stream.voice(False)
                case _:
                    stream.finalize()
        await asyncio.sleep(0.02)
        assert not listening.done()
    stream.finalize()
    await asyncio.sleep(5)
    assert not listening.done()
    closing = asyncio.create_task(stream.aclose())
    await listening
    await closing
    assert service.open == 0
    return told, stream


def check(told: Sequence[Transcript], script: Sequence[Said]) -> None:
    """Every word once, in order, at every moment."""
    said = [each.name for each in script]
    finals: list[str] = []
    for transcript in told:
        words = [*finals, *transcript.text.split()]
        assert words == said[: len(words)], told
        if transcript.final:
            finals = words
    assert finals == said, told


@virtual_time
async def test_words_become_partials_and_finals() -> None:
    script = [Said("one"), Said("two", pause_ms=1000), Said("no")]
    told, stream = await held(Service(), script, GoogleSttConfig())
    assert [(t.text, t.final) for t in told] == [
        ("one", False),
        ("one two", False),
        ("one two", True),
        ("no", False),
        ("no", True),
    ]
    assert told[2].confidence == 0.9
    assert stream.laps == 1


@virtual_time
async def test_finalize_gives_the_final_sooner_than_silence_does() -> None:
    script = [Said("one", finalize=True, pause_ms=500), Said("two", pause_ms=500)]
    service = Service(final_after_ms=900)
    told, _ = await held(service, script)
    assert [(t.text, t.final) for t in told][:3] == [("one", False), ("one", True), ("two", False)]
    check(told, script)


@virtual_time
async def test_a_reset_behind_a_half_close_is_run_again_to_its_last_byte() -> None:
    script = [Said("one", 600, pause_ms=60), Said("two", 760, pause_ms=1000, finalize=True)]
    service = Service(dies_at=[1895 * BYTES_PER_MS])
    told, _ = await held(service, script)
    check(told, script)
    assert service.dies_at == []


@virtual_time
async def test_a_long_word_before_a_rollover_is_not_heard_from_its_middle() -> None:
    script = [Said("one"), Said("yes", 680, pause_ms=900), Said("two")]
    service = Service(final_after_ms=600, dies_at=[(300 + 700 + 680 + 880) * BYTES_PER_MS])
    told, _ = await held(service, script, replace(_QUICK, overlap_ms=700))
    check(told, script)
    assert service.dies_at == []


@virtual_time
async def test_words_that_only_the_recogniser_heard_survive_a_reset() -> None:
    script = [Said("one", 300, 100), Said("two", 300, 800), Said("no", 300, 900)]
    service = Service(dies_at=[900 * BYTES_PER_MS, 1250 * BYTES_PER_MS])
    told, _ = await held(service, script, deaf=True)
    check(told, script)
    assert service.dies_at == []


@virtual_time
async def test_what_comes_behind_a_half_close_waits_for_its_final() -> None:
    script = [Said("one", pause_ms=300, finalize=True), Said("two", pause_ms=800)]
    told, _ = await held(Service(half_close_s=0.9), script)
    check(told, script)
    assert next((t.text, t.final) for t in told if "two" in t.text) == ("two", False)


@virtual_time
async def test_a_request_is_left_in_the_middle_of_speech_when_it_must_be() -> None:
    script = [Said(NAMES[n % 4], 300, 100) for n in range(60)]
    service = Service(final_after_ms=80, limit_ms=9000)
    told, stream = await held(service, script)
    check(told, script)
    assert 7900 <= service.oldest_ms <= 8100, "Google's limit was never met"
    assert stream.laps >= 3


@virtual_time
async def test_a_segment_without_a_final_is_cut_at_a_pause_before_it_outgrows_what_is_kept() -> (
    None
):
    script = [Said("one", 300, 200 if n % 20 == 19 else 100) for n in range(60)]
    config = replace(_QUICK, segment_ms=6000, longest_ms=15_000, roll_after_ms=60_000)
    config = replace(config, roll_by_ms=60_000)
    told, stream = await held(Service(limit_ms=10**6), script, config)
    check(told, script)
    assert [len(t.text.split()) for t in told if t.final] == [20, 20, 20]
    assert stream.forgotten_ms == 0


@virtual_time
async def test_a_word_that_a_final_seems_to_have_swallowed_is_heard_again() -> None:
    script = [Said("one", 300, 620), Said("two", 300, 800)]
    service = Service(final_after_ms=600, end_late_ms=200, dies_at=[1500 * BYTES_PER_MS])
    told, _ = await held(service, script)
    check(told, script)
    assert service.dies_at == []


@virtual_time
async def test_a_recogniser_that_stalls_is_asked_again_once() -> None:
    service = Service(stalls=1)
    script = [Said("one", 600, 60)] * 12
    told, stream = await held(service, script, replace(_QUICK, stall_ms=2000, roll_by_ms=60_000))
    check(told, script)
    assert stream.laps >= 2


@virtual_time
async def test_a_voice_without_any_answer_does_not_end_the_ears() -> None:
    service = Service(stalls=100, limit_ms=10**6)
    stream = GoogleSttStream("scripted", service, GoogleSttConfig(), lambda _: None)
    stream.voice(True)
    for _ in range(60 * 50):
        stream.feed(spoken("one", 20))
        await asyncio.sleep(0.02)
    assert stream.laps == 2
    await stream.aclose()


@virtual_time
async def test_nothing_is_kept_of_long_silence() -> None:
    stream = GoogleSttStream("scripted", Service(limit_ms=10**6), GoogleSttConfig(), lambda _: None)
    for _ in range(30 * 50):
        stream.feed(silence(20))
        await asyncio.sleep(0.02)
    assert stream._audio.end - stream._audio.begin <= 500 * BYTES_PER_MS + _FRAME
    assert stream.forgotten_ms == 0
    await stream.aclose()


@virtual_time
async def test_who_owns_the_connection_is_told_of_a_voice_that_gets_no_answer() -> None:
    silences: list[float] = []
    loop = asyncio.get_running_loop()
    config = replace(_QUICK, stall_ms=2000)
    stream = GoogleSttStream(
        "scripted",
        Service(limit_ms=10**6, stalls=9),
        config,
        lambda _: None,
        lambda: silences.append(loop.time()),
    )
    stream.voice(True)
    for _ in range(3 * 50):
        stream.feed(spoken("one", 20))
        await asyncio.sleep(0.02)
    assert len(silences) == 1
    assert 2.0 <= silences[0] <= 2.1
    await stream.aclose()


@virtual_time
async def test_what_is_too_long_to_be_kept_is_counted() -> None:
    config = replace(_QUICK, replay_ms=2000, stall_ms=10**6, roll_by_ms=10**6)
    stream = GoogleSttStream("scripted", Service(limit_ms=10**6, stalls=9), config, lambda _: None)
    stream.voice(True)
    for _ in range(5 * 50):
        stream.feed(spoken("one", 20))
        await asyncio.sleep(0.02)
    assert 2900 <= stream.forgotten_ms <= 3000
    await stream.aclose()


_SAID = st.builds(
    Said,
    name=st.sampled_from(NAMES),
    length_ms=st.integers(8, 35).map(lambda n: n * 20),
    pause_ms=st.one_of(st.integers(3, 20), st.integers(20, 150)).map(lambda n: n * 20),
    finalize=st.booleans(),
)


# A call of a minute is not worth the minutes that shrinking it takes.
@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    script=st.lists(_SAID, min_size=1, max_size=40),
    resets=st.lists(st.integers(1, 60), max_size=6, unique=True).map(sorted),
    final_after_ms=st.integers(15, 45).map(lambda n: n * 20),
    delay_ms=st.integers(1, 400),
    lead_ms=st.integers(0, 100).map(lambda n: n * 20),
    interim_ends=st.booleans(),
    half_close_ms=st.integers(0, 1500),
    end_late_ms=st.sampled_from([0, 100, 200]),
)
def test_no_word_is_lost_or_doubled_across_rollovers_and_resets(
    script: list[Said],
    resets: list[int],
    final_after_ms: int,
    delay_ms: int,
    lead_ms: int,
    interim_ends: bool,
    half_close_ms: int,
    end_late_ms: int,
) -> None:
    @virtual_time
    async def run() -> None:
        service = Service(
            final_after_ms=final_after_ms,
            delay_s=delay_ms / 1000,
            dies_at=[second * 997 * BYTES_PER_MS for second in resets],
            interim_ends=interim_ends,
            half_close_s=half_close_ms / 1000,
            end_late_ms=end_late_ms,
        )
        told, stream = await held(service, script, lead_ms=lead_ms)
        check(told, script)
        assert service.oldest_ms <= _QUICK.roll_by_ms + 100
        assert stream.forgotten_ms == 0

    run()
