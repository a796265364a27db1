"""The settings of the runtime."""

from __future__ import annotations

from typing import Any

import pytest

from voicelat.engine.config import EngineConfig
from voicelat.errors import InvalidSetting
from voicelat.turn.config import TurnConfig


@pytest.mark.parametrize(
    "name",
    [
        *("max_reply_words", "first_clause_words", "history_words", "llm_first_token_ms"),
        *("llm_stall_ms", "tts_first_byte_ms", "tts_stall_ms", "whole_reply_ms"),
        *("fallback_audio_ms", "fallback_timeout_ms"),
    ],
)
def test_what_cannot_be_nothing_is_refused_by_its_name(name: str) -> None:
    settings: dict[str, Any] = {name: 0}
    with pytest.raises(InvalidSetting, match=f"{name}=0: must be 1 or more"):
        EngineConfig(**settings)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_confidence_is_from_0_to_1(value: float) -> None:
    with pytest.raises(InvalidSetting, match="fallback_min_confidence"):
        EngineConfig(fallback_min_confidence=value)


def test_where_there_may_be_no_limit_there_can_be_none() -> None:
    config = EngineConfig(max_reply_words=None, first_clause_words=None, history_words=None)
    assert config.max_reply_words is None


def test_the_stages_before_the_first_sound_are_over_when_the_caller_has_waited_too_long() -> None:
    config = EngineConfig()
    stages_ms = config.llm_first_token_ms + config.tts_first_byte_ms
    assert stages_ms == TurnConfig().reply_timeout_ms
