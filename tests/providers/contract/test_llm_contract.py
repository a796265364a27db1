"""What every language model does, local, simulated and hosted alike."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest
from tests.providers.contract.bench import Bench, Case, FarSide, Trouble
from tests.providers.contract.cases import LLM, each
from tests.providers.contract.measure import first_text_ms
from tests.providers.contract.trial import check_told, failure, trying

from voicelat.clock import CallClock, ManualClock
from voicelat.errors import Advice
from voicelat.providers.protocols import LanguageModel, Message

LlmCase = Case[LanguageModel]
LlmBench = Bench[LanguageModel]


def _far(bench: LlmBench) -> FarSide:
    assert bench.far is not None
    return bench.far


async def _answer(bench: LlmBench) -> str:
    return "".join([piece async for piece in bench.provider.reply(bench.prompt)])


@each(LLM)
async def test_a_question_is_answered_with_text(case: LlmCase, figures: list[str]) -> None:
    async with trying(case) as bench:
        assert bench.provider.name
        waited_ms = await first_text_ms(bench.provider.reply(bench.prompt), CallClock())
        assert waited_ms is not None
        if case.live:
            figures.append(f"{bench.provider.name}: first text after {waited_ms} ms")
        assert (await _answer(bench)).strip()


@each(LLM)
async def test_history_limits_and_empty_questions_are_taken(case: LlmCase) -> None:
    async with trying(case) as bench:
        history = (Message("caller", "Hi"), Message("agent", "Hello."), Message("caller", ""))
        for text in ("", "מתי אתם פתוחים?"):
            prompt = replace(bench.prompt, text=text, history=history, max_words=24)
            async with aclosing(bench.provider.reply(prompt)) as pieces:
                assert all([isinstance(piece, str) async for piece in pieces])


@each(LLM)
async def test_an_answer_that_is_closed_early_leaves_nothing_behind(case: LlmCase) -> None:
    async with trying(case) as bench:
        async with aclosing(bench.provider.reply(bench.prompt)) as pieces:
            await anext(pieces)
        assert (await _answer(bench)).strip()


@each(LLM)
async def test_an_answer_never_asked_for_costs_nothing(case: LlmCase) -> None:
    async with trying(case) as bench:
        await bench.provider.reply(bench.prompt).aclose()
        if bench.far is not None:
            assert bench.far.requests == 0


@each(LLM)
async def test_two_answers_at_once_are_two_answers(case: LlmCase) -> None:
    async with trying(case) as bench:
        assert all(await asyncio.gather(_answer(bench), _answer(bench)))


@each(LLM, far=True)
async def test_the_first_text_comes_before_the_answer_is_over(case: LlmCase) -> None:
    async with trying(case) as bench:
        _far(bench).tell(Trouble.HOLD)
        clock = ManualClock()
        assert await first_text_ms(bench.provider.reply(bench.prompt), clock) == 0


@each(LLM, far=True)
async def test_the_wait_for_the_first_text_is_measured_from_the_question(case: LlmCase) -> None:
    async with trying(case) as bench:
        far, clock = _far(bench), ManualClock()
        far.tell(Trouble.LATE)
        measuring = asyncio.create_task(first_text_ms(bench.provider.reply(bench.prompt), clock))
        await far.busy()
        clock.advance_to(310)
        far.tell(Trouble.NONE)
        assert await measuring == 310


@each(LLM, far=True)
@pytest.mark.parametrize("how", ["closed", "cancelled"])
async def test_giving_up_an_answer_ends_the_request(case: LlmCase, how: str) -> None:
    async with trying(case) as bench:
        _far(bench).tell(Trouble.HOLD)
        first = asyncio.Event()

        async def read() -> None:
            async with aclosing(bench.provider.reply(bench.prompt)) as pieces:
                async for _ in pieces:
                    first.set()
                    if how == "closed":
                        return

        reader = asyncio.create_task(read())
        await first.wait()
        if how == "cancelled":
            reader.cancel()
        await asyncio.wait([reader])
        await _far(bench).idle()
        _far(bench).tell(Trouble.NONE)
        assert (await _answer(bench)).strip()


@each(LLM, far=True)
@pytest.mark.parametrize(
    ("trouble", "advice"),
    [
        (Trouble.SILENT, "retry"),
        (Trouble.HOLD, "retry"),
        (Trouble.DIE, "retry"),
        (Trouble.BUSY, "retry"),
        (Trouble.GARBAGE, "retry"),
        (Trouble.REFUSE_KEY, "fix_key"),
        (Trouble.REJECT, "give_up"),
    ],
)
async def test_a_failure_says_what_happens_next_and_ends_with_it(
    case: LlmCase, trouble: Trouble, advice: Advice
) -> None:
    async with trying(case) as bench:
        _far(bench).tell(trouble)
        check_told(await failure(_answer(bench)), bench.provider.name, advice)
        _far(bench).tell(Trouble.NONE)
        assert (await _answer(bench)).strip()


@each(LLM, far=True)
async def test_a_line_that_is_cut_is_told_and_mends(case: LlmCase) -> None:
    async with trying(case) as bench:
        far = _far(bench)
        far.tell(Trouble.HOLD)
        pieces = bench.provider.reply(bench.prompt)
        await anext(pieces)
        far.cable.unplug()
        check_told(await failure(anext(pieces)), bench.provider.name, "retry")
        check_told(await failure(_answer(bench)), bench.provider.name, "retry")
        far.cable.plugged = True
        far.tell(Trouble.NONE)
        assert (await _answer(bench)).strip()


@each(LLM, far=True)
async def test_a_refused_key_is_told_before_the_first_call(case: LlmCase) -> None:
    async with trying(case, warm=False) as bench:
        _far(bench).tell(Trouble.REFUSE_KEY)
        check_told(await failure(bench.provider.warm()), bench.provider.name, "fix_key")


@each(LLM, far=True)
async def test_a_service_that_is_down_may_come_up_after_the_server(case: LlmCase) -> None:
    async with trying(case, warm=False) as bench:
        _far(bench).cable.unplug()
        await bench.provider.warm()
        _far(bench).cable.plugged = True
        assert (await _answer(bench)).strip()
