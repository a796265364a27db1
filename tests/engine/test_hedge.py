from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.fakes import FOREVER, Step, Words
from tests.engine.virtual_loop import virtual_time
from tests.providers.openai_server import OpenAiServer

from voicelat.engine.hedge import (
    FirstTokenDeadline,
    HedgeBudget,
    HedgeConfig,
    HedgedLlm,
)
from voicelat.errors import InvalidSetting, ProviderError
from voicelat.providers.openai_llm import OpenAiLlm
from voicelat.providers.protocols import LanguageModel, Prompt

_PROMPT = Prompt("CA1", 1, "Are you open?")
_LOST = ProviderError("words", "lost", "retry")
_NO_KEY = ProviderError("words", "no key", "fix_key")
_LATE_MS = 1500
"""The deadline before anything was seen."""


class _Scripts(Words):
    """A model with a script of its own for each request; the last one stays."""

    def __init__(self, *scripts: tuple[str | Step, ...]) -> None:
        super().__init__()
        self.scripts = list(scripts)

    def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        self.script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        return super().reply(prompt)


async def _answer(llm: LanguageModel) -> list[str]:
    async with aclosing(llm.reply(_PROMPT)) as pieces:
        return [piece async for piece in pieces]


def _now_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1000)


@virtual_time
async def test_a_model_in_time_is_asked_once() -> None:
    words = Words(0.2, "Yes, ", "we are.")
    llm = HedgedLlm(words)
    assert await _answer(llm) == ["Yes, ", "we are."]
    assert (llm.counts.replies, llm.counts.requests, llm.counts.cost) == (1, 1, 1.0)
    assert llm.name == "words"


@virtual_time
async def test_a_late_model_is_asked_again_and_the_second_may_win() -> None:
    words = _Scripts((FOREVER,), (0.2, "Yes."))
    llm = HedgedLlm(words)
    assert await _answer(llm) == ["Yes."]
    assert _now_ms() == _LATE_MS + 200
    assert (llm.counts.hedges, llm.counts.hedges_won, llm.counts.cost) == (1, 1, 2.0)
    assert words.open == 0


@virtual_time
async def test_the_first_may_still_win_after_it_was_late() -> None:
    words = _Scripts((1.6, "First."), (0.2, "Second."))
    llm = HedgedLlm(words)
    assert await _answer(llm) == ["First."]
    assert (llm.counts.hedges, llm.counts.hedges_won) == (1, 0)
    assert words.open == 0


@virtual_time
async def test_the_loser_is_cancelled_as_soon_as_the_winner_speaks() -> None:
    words = _Scripts((FOREVER,), (0.2, "Yes, ", FOREVER))
    pieces = HedgedLlm(words).reply(_PROMPT)
    assert await anext(pieces) == "Yes, "
    await asyncio.sleep(0.1)
    assert words.open == 1
    await pieces.aclose()
    assert words.open == 0


@virtual_time
async def test_pieces_without_text_are_no_first_token() -> None:
    words = _Scripts(("", FOREVER), ("Yes.",))
    llm = HedgedLlm(words)
    assert await _answer(llm) == ["Yes."]
    assert llm.counts.hedges_won == 1


@virtual_time
async def test_an_answer_without_text_is_an_answer() -> None:
    llm = HedgedLlm(Words(0.1))
    assert await _answer(llm) == []
    assert llm.counts.requests == 1


@virtual_time
async def test_a_reply_is_never_asked_for_three_times() -> None:
    words = _Scripts((FOREVER,), (60.0, "At last."))
    llm = HedgedLlm(words)
    assert await _answer(llm) == ["At last."]
    assert llm.counts.requests == 2


@virtual_time
async def test_a_failure_before_the_first_token_is_asked_again_at_once() -> None:
    llm = HedgedLlm(_Scripts((0.1, _LOST), (0.1, "Yes.")))
    assert await _answer(llm) == ["Yes."]
    assert _now_ms() == 200
    assert (llm.counts.retries, llm.counts.hedges) == (1, 0)


@virtual_time
async def test_a_retry_that_fails_too_is_told() -> None:
    words = Words(0.1, _LOST)
    llm = HedgedLlm(words)
    with pytest.raises(ProviderError, match="lost"):
        await _answer(llm)
    assert llm.counts.requests == 2


@virtual_time
@pytest.mark.parametrize("failure", [_NO_KEY, ValueError("a bug")])
async def test_what_will_not_work_is_not_asked_again(failure: Exception) -> None:
    llm = HedgedLlm(Words(failure))
    with pytest.raises(type(failure)):
        await _answer(llm)
    assert llm.counts.requests == 1


@virtual_time
async def test_a_failure_behind_the_first_token_is_told_and_not_asked_again() -> None:
    llm = HedgedLlm(_Scripts(("Yes, ", _LOST), ("No.",)))
    pieces = llm.reply(_PROMPT)
    assert await anext(pieces) == "Yes, "
    with pytest.raises(ProviderError, match="lost"):
        await anext(pieces)
    assert llm.counts.requests == 1


@virtual_time
async def test_the_second_answers_where_the_late_first_fails() -> None:
    llm = HedgedLlm(_Scripts((1.6, _LOST), (0.5, "Yes.")))
    assert await _answer(llm) == ["Yes."]
    assert llm.counts.requests == 2


@virtual_time
async def test_where_both_fail_the_first_failure_is_told() -> None:
    llm = HedgedLlm(_Scripts((1.6, _NO_KEY), (0.5, _LOST)))
    with pytest.raises(ProviderError, match="no key"):
        await _answer(llm)


@virtual_time
async def test_a_request_that_cancels_itself_has_failed() -> None:
    class Fickle(_Scripts):
        async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
            async for piece in super().reply(prompt):
                if piece == "never mind":
                    raise asyncio.CancelledError
                yield piece

    llm = HedgedLlm(Fickle(("never mind",), ("Yes.",)))
    assert await _answer(llm) == ["Yes."]
    assert llm.counts.retries == 1


@virtual_time
@pytest.mark.parametrize("after_s", [0.0, 0.5, 1.4999, 1.5, 1.55, 1.7, 1.75])
@pytest.mark.parametrize(
    "scripts",
    [
        [(FOREVER,), (FOREVER,)],
        [(FOREVER,), (0.2, "Yes, ", FOREVER)],
        [(1.6, "Yes, ", FOREVER), (FOREVER,)],
        [(0.5, _LOST), (FOREVER,)],
        [(0.5, "Yes, ", FOREVER)],
    ],
)
async def test_whenever_its_reader_is_cancelled_nothing_runs_on(
    after_s: float, scripts: list[tuple[str | Step, ...]]
) -> None:
    words = _Scripts(*scripts)
    reader = asyncio.create_task(_answer(HedgedLlm(words)))
    await asyncio.sleep(after_s)
    reader.cancel()
    with suppress(asyncio.CancelledError):
        await reader
    assert reader.cancelled()
    assert words.open == 0


@virtual_time
async def test_a_request_that_will_not_stop_does_not_hold_the_reply() -> None:
    class Stubborn(_Scripts):
        async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
            try:
                async for piece in super().reply(prompt):
                    yield piece
            except asyncio.CancelledError:
                await asyncio.sleep(30)
                raise

    assert await _answer(HedgedLlm(Stubborn((FOREVER,), ("Yes.",)))) == ["Yes."]
    assert _now_ms() == _LATE_MS + 1000
    await asyncio.sleep(30)


@virtual_time
async def test_of_many_late_replies_only_the_budget_is_asked_again() -> None:
    llm = HedgedLlm(Words(5.0, "Yes."), HedgeConfig(share=0.1, burst=1))
    for _ in range(50):
        await _answer(llm)
    assert llm.counts.hedges == 5
    assert llm.counts.hedges + llm.counts.hedges_refused == 50
    assert llm.counts.cost == 1.1


@virtual_time
async def test_calls_at_once_share_what_was_learned() -> None:
    llm = HedgedLlm(Words(0.4, "Yes."))
    await asyncio.gather(*(_answer(llm) for _ in range(20)))
    assert llm.deadline_ms == 460
    assert llm.counts.requests == 20


@virtual_time
async def test_a_hedge_that_wins_does_not_make_the_model_look_faster() -> None:
    llm = HedgedLlm(
        _Scripts(*[(0.4, "Yes.")] * 10, (FOREVER,), (0.4, "Yes.")),
        HedgeConfig(quantile=0.99, enough=10, margin=1.0),
    )
    for _ in range(10):
        await _answer(llm)
    assert llm.deadline_ms == 400
    await _answer(llm)
    assert llm.deadline_ms == 800


@virtual_time
async def test_it_warms_and_closes_its_model() -> None:
    class Noted(Words):
        done: list[str] = []  # noqa: RUF012 - one test, one class

        async def warm(self) -> None:
            self.done.append("warm")

        async def aclose(self) -> None:
            self.done.append("closed")

    llm = HedgedLlm(Noted())
    await llm.warm()
    await llm.aclose()
    assert Noted.done == ["warm", "closed"]


def test_the_deadline_is_the_latest_until_enough_was_seen() -> None:
    deadline = FirstTokenDeadline(HedgeConfig(enough=3))
    for _ in range(2):
        deadline.saw(400)
        assert deadline.deadline_ms == 1500
    deadline.saw(400)
    assert deadline.deadline_ms == 460


def test_the_deadline_stands_above_the_usual_and_within_its_bounds() -> None:
    deadline = FirstTokenDeadline(HedgeConfig(enough=1, quantile=0.9, margin=1.5))
    for ms in range(400, 500, 10):
        deadline.saw(ms)
    assert deadline.deadline_ms == 735
    for bound, seen in ((300, 10), (1500, 5000)):
        deadline = FirstTokenDeadline(HedgeConfig(enough=1))
        deadline.saw(seen)
        assert deadline.deadline_ms == bound


def test_the_deadline_forgets_what_was_long_ago() -> None:
    deadline = FirstTokenDeadline(HedgeConfig(enough=1, remembered=10, margin=1.0))
    for ms in [1400] * 50 + [500] * 10:
        deadline.saw(ms)
    assert deadline.deadline_ms == 500


@given(
    seen=st.lists(st.integers(0, 10_000), max_size=150),
    config=st.builds(
        HedgeConfig,
        quantile=st.floats(0, 1),
        margin=st.floats(0.1, 10),
        enough=st.integers(1, 20),
    ),
)
def test_the_deadline_is_always_within_its_bounds(seen: list[int], config: HedgeConfig) -> None:
    deadline = FirstTokenDeadline(config)
    for ms in seen:
        deadline.saw(ms)
        assert config.least_ms <= deadline.deadline_ms <= config.most_ms


@given(
    share=st.floats(0, 1),
    burst=st.integers(1, 5),
    late=st.lists(st.booleans(), max_size=200),
)
def test_no_more_is_spent_than_the_share_and_a_burst(
    share: float, burst: int, late: list[bool]
) -> None:
    budget = HedgeBudget(HedgeConfig(share=share, burst=burst))
    spent = 0
    for number, wanted in enumerate(late, 1):
        budget.earn()
        spent += wanted and budget.spend()
        assert spent <= 1 + share * number + 1e-6


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantile": 1.1},
        {"share": -0.1},
        {"margin": 0.0},
        {"least_ms": 0},
        {"most_ms": 200},
        {"remembered": 0},
        {"enough": 0},
        {"burst": 0},
    ],
)
def test_a_setting_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match=next(iter(wrong))):
        HedgeConfig(**wrong)


async def test_a_server_that_hangs_every_third_request_answers_every_reply() -> None:
    pytest.importorskip("openai")
    async with OpenAiServer().run() as server:
        assert isinstance(server, OpenAiServer)
        server.hang_share = 1 / 3
        # Longer than a busy machine takes for an answer: what is hedged, hangs.
        config = HedgeConfig(least_ms=300, most_ms=300, share=1.0, enough=5)
        llm = HedgedLlm(OpenAiLlm("m", "a-key", server.url), config)
        await llm.warm()
        for _ in range(12):
            assert await _answer(llm) == ["Good ", "morning."]
        await llm.aclose()
        assert server.hung >= 4
        assert llm.counts.hedges >= server.hung
        assert llm.counts.hedges_won >= server.hung
