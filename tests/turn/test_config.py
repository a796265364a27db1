"""The settings of the machine."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from voicelat.errors import InvalidSetting
from voicelat.turn.config import TurnConfig

DURATIONS = [field.name for field in dataclasses.fields(TurnConfig) if field.type == "int"]


@pytest.mark.parametrize("name", DURATIONS)
def test_a_negative_setting_is_refused_by_its_name(name: str) -> None:
    settings: dict[str, Any] = {name: -1}
    with pytest.raises(InvalidSetting, match=f"{name}=-1: must be 0 or more"):
        TurnConfig(**settings)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_confidence_is_asked_for_between_0_and_1(value: float) -> None:
    with pytest.raises(InvalidSetting, match="min_confidence"):
        TurnConfig(min_confidence=value)


def test_the_defaults_of_the_four_settings_are_the_documented_ones() -> None:
    config = TurnConfig()
    assert (config.hangover_ms, config.debounce_ms, config.min_utt_ms) == (160, 60, 250)
    assert (config.stt_timeout_ms, config.speak_gate_ms) == (240, 500)
