"""Harmful values are found, and the defaults are none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pytest
from tests.doctor.told import faults, outcomes

from voicelat.doctor import values
from voicelat.doctor.result import CheckResult
from voicelat.settings import Settings, load

Look = Callable[[Settings], Iterable[CheckResult]]
TOKEN = "0123456789abcdef" * 2

PLANTED: list[tuple[Look, dict[str, str]]] = [
    (values.debug_output, {"DEBUG": "1"}),
    (values.debug_output, {"LOG_LEVEL": "DEBUG"}),
    (values.log_queue, {"ASYNC_LOG_QUEUE": "0"}),
    (values.prewarm, {"TTS_PREWARM": "0"}),
    (values.patience, {"VAD_HANGOVER_MS": "1500"}),
    (values.patience, {"SPEAK_GATE_MS": "3000"}),
    (values.patience, {"STT_TIMEOUT_MS": "5000"}),
    (values.send_lead, {"SEND_LEAD_MS": "20"}),
    (values.send_lead, {"SEND_LEAD_MS": "900"}),
    (values.late_starts, {"SPECULATE": "0"}),
    (values.late_starts, {"REPLY_BY_CLAUSE": "0"}),
    (values.late_starts, {"LLM_PROVIDER": "openai", "LLM_HEDGE": "0"}),
    (values.public_url, {"PUBLIC_BASE_URL": "http://bot.example"}),
    (values.public_url, {"PUBLIC_BASE_URL": "https://bot.example?x=1"}),
    (values.auth_token, {"HOST": "0.0.0.0"}),
    (values.auth_token, {"PUBLIC_BASE_URL": "https://bot.example"}),
    (values.auth_token, {"TWILIO_AUTH_TOKEN": "AC123"}),
]
GOOD: Mapping[str, str] = {
    "PUBLIC_BASE_URL": "https://bot.example",
    "TWILIO_AUTH_TOKEN": TOKEN,
    "LLM_PROVIDER": "openai",
}
LOOKS = sorted({look for look, _ in PLANTED}, key=lambda look: look.__name__)


def loaded(changed: Mapping[str, str]) -> Settings:
    return load(changed, environ={})


@pytest.mark.parametrize(("look", "changed"), PLANTED)
def test_a_harmful_value_is_found(look: Look, changed: dict[str, str]) -> None:
    found = list(look(loaded(changed)))
    assert len(faults(found)) == 1
    assert found[0].evidence


@pytest.mark.parametrize("look", LOOKS)
def test_good_values_are_not_accused(look: Look) -> None:
    assert set(outcomes(look(loaded(GOOD))).values()) == {"ok"}


@pytest.mark.parametrize("look", LOOKS)
def test_the_defaults_are_not_accused(look: Look) -> None:
    assert faults(look(Settings())) == []


def test_a_token_is_never_shown() -> None:
    results = values.auth_token(loaded({"TWILIO_AUTH_TOKEN": "not-a-token"}))
    assert "not-a-token" not in repr(list(results))


def test_a_local_model_needs_no_hedge() -> None:
    assert faults(values.late_starts(loaded({"LLM_HEDGE": "0"}))) == []
