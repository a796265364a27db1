"""What spans a turn is, and by which conventions."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from tests.metrics.exporters.records import FULL, any_records, turn

from voicelat.metrics.exporters import spans
from voicelat.metrics.exporters.spans import events_of, parts_of
from voicelat.metrics.record import Stamps, TurnRecord


def test_a_turn_is_a_span_with_its_stretches() -> None:
    found = [(part.name, part.start_ms, part.end_ms) for part in parts_of(FULL)]
    assert found == [
        ("turn", 1000, 4600),
        ("recognition", 1000, 2200),
        ("endpointing", 2000, 2200),
        ("chat gpt-x", 2210, 2800),
        ("speech synthesis", 2800, 3000),
        ("gate", 3000, 3040),
        ("playout", 3050, 4600),
    ]


def test_a_stretch_with_an_unknown_end_is_no_span() -> None:
    stamps = Stamps(speech_start=0, speech_end=900, reply_start=1000, llm_first_token=1500)
    names = [part.name for part in parts_of(turn(1, stamps=stamps, providers={}))]
    assert names == ["turn", "chat"]
    assert parts_of(turn(1, stamps=Stamps())) == []


def test_the_numbers_and_legs_stand_on_the_turn() -> None:
    attributes = parts_of(FULL)[0].attributes
    assert attributes["voicelat.total_latency_ms"] == 1050
    assert attributes["voicelat.leg.llm_ms"] == 500
    assert attributes["voicelat.eou_reason"] == "debounce"
    assert attributes["voicelat.barge_in_hit"] is True
    assert "voicelat.clipped" not in attributes  # unknown


def test_the_model_is_told_by_the_genai_conventions() -> None:
    chat = parts_of(FULL)[3]
    assert chat.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.conversation.id": "CA1",
        "gen_ai.request.stream": True,
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.response.time_to_first_chunk": 0.5,
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_names_are_those_of_the_installed_conventions() -> None:
    conventions = pytest.importorskip(
        "opentelemetry.semconv._incubating.attributes.gen_ai_attributes"
    )
    for ours, theirs in (
        (spans.OPERATION, "OPERATION_NAME"),
        (spans.PROVIDER, "PROVIDER_NAME"),
        (spans.MODEL, "REQUEST_MODEL"),
        (spans.STREAM, "REQUEST_STREAM"),
        (spans.CONVERSATION, "CONVERSATION_ID"),
        (spans.FIRST_CHUNK, "RESPONSE_TIME_TO_FIRST_CHUNK"),
        (spans.INPUT, "INPUT_MESSAGES"),
        (spans.OUTPUT, "OUTPUT_MESSAGES"),
    ):
        assert ours == getattr(conventions, f"GEN_AI_{theirs}")
    operations = {one.value for one in conventions.GenAiOperationNameValues}
    assert parts_of(FULL)[3].attributes[spans.OPERATION] in operations


def test_an_interruption_and_stalls_are_events() -> None:
    assert [(event.name, event.at_ms) for event in events_of(FULL)] == [
        ("stall", 2300),
        ("barge_in", 4500),
    ]


def test_what_was_said_is_told_only_when_asked_for() -> None:
    told = [*parts_of(FULL), *events_of(FULL)]
    assert FULL.text not in str(told)
    assert "sharp" not in str(told)
    turn_part, *_, chat = parts_of(FULL, content=True)[:4]
    assert turn_part.attributes["voicelat.text"] == FULL.text
    (message,) = msgspec.json.decode(str(chat.attributes["gen_ai.output.messages"]))
    said = {"type": "text", "content": FULL.reply}
    assert message == {"role": "assistant", "parts": [said]}


@given(any_records)
def test_every_stretch_lies_within_its_turn(records: list[TurnRecord]) -> None:
    for record in records:
        for part in parts_of(record):
            whole = parts_of(record)[0]
            assert whole.start_ms <= part.start_ms <= part.end_ms <= whole.end_ms
