from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.virtual_loop import virtual_time

from voicelat.audio.framing import FRAME_BYTES, FRAME_MS
from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.engine.hinter import MEMORY_MS, Hinter
from voicelat.errors import ProviderError
from voicelat.turn.events import EndpointHint

P = ParamSpec("P")
T = TypeVar("T")


class Judge:
    """An end-of-turn model that gives, or raises, what it is told to: ``answers`` in order, the
    last one again and again. ``asked`` is the audio of each question."""

    name = "judge"

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[bytes] = []

    def warm(self) -> None:
        pass

    def probability(self, mulaw: bytes) -> float:
        self.asked.append(mulaw)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        number: float = answer
        return number


class Desk(Executor):
    """An executor whose time is the test's: jobs wait until they are begun and done."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Future[Any], Callable[[], Any]]] = []
        self.open = True

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if not self.open:
            raise RuntimeError("the desk is closed")
        future: Future[T] = Future()
        self.jobs.append((future, lambda: fn(*args, **kwargs)))
        return future

    @property
    def waiting(self) -> int:
        """Jobs that wait. Cancelled ones are thrown away."""
        self.jobs = [(future, job) for future, job in self.jobs if not future.cancelled()]
        return len(self.jobs)

    def begin(self) -> Callable[[], None]:
        """Begin the oldest job that waits. Returns what does it."""
        assert self.waiting
        future, job = self.jobs.pop(0)
        assert future.set_running_or_notify_cancel()

        def do() -> None:
            try:
                future.set_result(job())
            except BaseException as error:  # noqa: BLE001 - as real executors do
                future.set_exception(error)

        return do


class _Call:
    """A caller, the hinter that hears them, and what it posted."""

    def __init__(self, *answers: Any, executor: Executor | None = None) -> None:
        self.judge = Judge(*answers)
        self.desk = Desk()
        self.posted: list[float] = []
        self.hinter = Hinter(self.judge, executor or self.desk, self._post, ask_after_ms=200)

    def _post(self, hint: EndpointHint) -> None:
        self.posted.append(hint.probability)

    def hear(self, ms: int) -> None:
        for _ in range(ms // FRAME_MS):
            self.hinter.hear(bytes(FRAME_BYTES))

    def say(self, ms: int = 400) -> None:
        """A voice for so long, then silence."""
        self.hinter.voice(True)
        self.hear(ms)
        self.hinter.voice(False)

    async def answer(self) -> None:
        """The model does all that it was asked for."""
        while self.desk.waiting:
            self.desk.begin()()
        await asyncio.sleep(0)


@virtual_time
async def test_a_pause_is_judged_once_after_its_first_200_ms() -> None:
    call = _Call(0.7)
    call.say()
    call.hear(180)
    await call.answer()
    assert call.posted == []
    call.hear(20)
    await call.answer()
    call.hear(5000)
    await call.answer()
    assert call.posted == [0.7]
    assert len(call.judge.asked) == call.hinter.hints == 1


@virtual_time
async def test_silence_that_was_heard_before_the_edge_counts() -> None:
    call = _Call(0.7)
    call.hear(400)
    call.hinter.voice(False, silent_ms=60)
    call.hear(120)
    assert call.desk.jobs == []
    call.hear(20)
    assert len(call.desk.jobs) == 1


@virtual_time
async def test_an_edge_that_comes_after_it_is_due_asks_at_once() -> None:
    call = _Call(0.7)
    call.hear(400)
    call.hinter.voice(False, silent_ms=240)
    await call.answer()
    assert call.posted == [0.7]


@virtual_time
async def test_every_pause_is_judged_anew() -> None:
    call = _Call(0.1, 0.9)
    for _ in range(2):
        call.say()
        call.hear(200)
        await call.answer()
    assert call.posted == [0.1, 0.9]


@virtual_time
async def test_the_model_hears_the_last_eight_seconds_with_the_pause() -> None:
    call = _Call(0.5)
    frames = [bytes([n % 251]) * FRAME_BYTES for n in range(1000)]
    for frame in frames:
        call.hinter.hear(frame)
    call.hinter.voice(False, silent_ms=200)
    await call.answer()
    assert call.judge.asked == [b"".join(frames)[-MEMORY_MS * BYTES_PER_MS :]]


@virtual_time
async def test_before_any_voice_nothing_is_asked() -> None:
    call = _Call(0.5)
    call.hear(3000)
    assert call.desk.jobs == []


@virtual_time
async def test_a_pause_that_ends_first_is_not_asked_about() -> None:
    call = _Call(0.5)
    call.say()
    call.hear(180)
    call.hinter.voice(True)
    call.hear(400)
    assert call.desk.jobs == []
    assert not call.hinter.dropped


@virtual_time
async def test_voice_takes_back_a_question_that_still_waits() -> None:
    call = _Call(0.5)
    call.say()
    call.hear(200)
    call.hinter.voice(True)
    await call.answer()
    assert call.judge.asked == []
    assert call.hinter.dropped == {"the pause was over": 1}
    assert call.hinter.errors == []


@virtual_time
async def test_the_answer_about_a_pause_that_is_over_is_dropped() -> None:
    call = _Call(0.9)
    call.say()
    call.hear(200)
    finish = call.desk.begin()
    call.say()
    finish()
    await asyncio.sleep(0)
    assert call.posted == []
    assert call.hinter.dropped == {"the pause was over": 1}


@virtual_time
async def test_a_slow_model_has_one_open_question_and_its_lateness_is_said_once() -> None:
    call = _Call(0.9)
    call.say()
    call.hear(200)
    finish = call.desk.begin()
    for _ in range(3):
        call.say()
        call.hear(400)
    assert call.desk.jobs == []
    call.hinter.voice(True)
    assert call.hinter.dropped == {"the model was busy": 3}
    assert call.hinter.errors == ["judge answers too late"]
    finish()
    await asyncio.sleep(0)
    assert call.posted == []


@virtual_time
async def test_a_pause_still_going_on_is_asked_about_when_the_model_is_free() -> None:
    call = _Call(0.1, 0.8)
    call.say()
    call.hear(200)
    finish = call.desk.begin()
    call.say()
    call.hear(600)
    finish()
    await asyncio.sleep(0)
    await call.answer()
    assert call.posted == [0.8]


@pytest.mark.parametrize(
    "broken",
    [
        ProviderError("judge", "lost", "retry"),
        ZeroDivisionError("a bug"),
        StopIteration(),
        SystemExit(1),
        None,
        "0.5",
        float("nan"),
        1.5,
        np.zeros(2),
    ],
    ids=repr,
)
def test_a_broken_model_costs_its_hints_and_is_named_once(broken: object) -> None:
    @virtual_time
    async def test() -> None:
        call = _Call(broken, broken, 0.6)
        for _ in range(3):
            call.say()
            call.hear(200)
            await call.answer()
        assert call.posted == [0.6]
        assert call.hinter.dropped == {"the model failed": 2}
        (line,) = call.hinter.errors
        assert line.startswith("judge gives no hint: ")

    test()


@virtual_time
async def test_numbers_of_other_libraries_become_plain_ones() -> None:
    call = _Call(np.float32(0.25))
    call.say()
    call.hear(200)
    await call.answer()
    assert call.posted == [0.25]
    assert type(call.posted[0]) is float


@virtual_time
async def test_an_executor_that_was_shut_down_costs_only_hints() -> None:
    call = _Call(0.5)
    call.desk.open = False
    call.say()
    call.hear(200)
    assert call.hinter.dropped == {"the model failed": 1}
    call.say()
    call.desk.open = True
    call.hear(200)
    await call.answer()
    assert call.posted == [0.5]


@virtual_time
async def test_after_its_end_a_call_gets_no_hints() -> None:
    call = _Call(0.5)
    call.say()
    call.hear(200)
    finish = call.desk.begin()
    call.hinter.close()
    finish()
    call.say()
    call.hear(400)
    await call.answer()
    assert call.posted == []
    assert len(call.judge.asked) == 1


@virtual_time
async def test_a_waiting_question_is_taken_back_at_the_end_of_the_call() -> None:
    call = _Call(0.5)
    call.say()
    call.hear(200)
    call.hinter.close()
    await call.answer()
    assert call.judge.asked == []


@virtual_time
async def test_the_loop_goes_on_while_the_model_thinks() -> None:
    thinking, done = threading.Event(), threading.Event()

    class Thinker(Judge):
        def probability(self, mulaw: bytes) -> float:
            thinking.set()
            assert done.wait(5)
            return super().probability(mulaw)

    hinted = asyncio.get_running_loop().create_future()
    with ThreadPoolExecutor(1) as pool:
        hinter = Hinter(Thinker(0.5), pool, hinted.set_result)
        hinter.voice(False, silent_ms=200)
        assert thinking.wait(5)
        hinter.hear(bytes(FRAME_BYTES))
        done.set()
        assert await hinted == EndpointHint(0.5)


def test_an_answer_behind_the_end_of_the_loop_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk()

    @virtual_time
    async def test() -> None:
        Hinter(Judge(0.5), desk, lambda _: None).voice(False, silent_ms=200)

    test()
    desk.begin()()
    assert caplog.records == []


@given(st.lists(st.sampled_from(["hear", "voice", "silence", "begin", "finish"]), max_size=80))
def test_whatever_happens_one_question_is_open_and_every_pause_has_at_most_one_hint(
    steps: list[str],
) -> None:
    @virtual_time
    async def test() -> None:
        call = _Call(0.5)
        running: list[Callable[[], None]] = []
        pauses = 0
        for step in steps:
            match step:
                case "hear":
                    call.hear(100)
                case "voice":
                    call.hinter.voice(True)
                case "silence":
                    call.hinter.voice(False)
                    pauses += 1
                case "begin" if call.desk.waiting:
                    running.append(call.desk.begin())
                case "finish" if running:
                    running.pop()()
            await asyncio.sleep(0)
            assert call.desk.waiting + len(running) <= 1
        assert len(call.posted) == call.hinter.hints <= pauses
        assert call.hinter.errors in ([], ["judge answers too late"])

    test()
