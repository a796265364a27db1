"""The way in, as data."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from voicelat.turn import events as on

EVENTS: list[on.Event] = [
    on.SpeechStarted(10),
    on.SpeechStopped(20),
    on.Partial("שלום"),
    on.Final("שלום רב", 0.75),
    on.Final("hi"),
    on.EndpointHint(0.5),
    on.FallbackHeard(3, "שלום רב"),
    on.Dtmf("#"),
    on.MarkEchoed("1.1.1.end"),
    on.StreamStopped(),
    on.ReplyTextStarted(1, 2),
    on.SpeechRequested(1, 2),
    on.SpeechReady(1, 2, cached=True),
    on.AudioQueued(1, 2, 500, "Hi."),
    on.AudioSent(1, 2, filler=True),
    on.ReplyFinished(1, 2, "Hi."),
    on.ReplyFailed(1, 2, "503"),
    on.Tick(),
]


def test_every_event_is_tried_here() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(on.Event))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_survives_a_line_of_json(event: on.Event) -> None:
    line = msgspec.json.encode(event)
    assert msgspec.json.decode(line, type=on.Event) == event


def test_tags_are_the_names_in_snake_case_and_unique() -> None:
    tags = [kind.__struct_config__.tag for kind in get_args(on.Event)]
    assert len(set(tags)) == len(tags)
    assert [str(tag).title().replace("_", "") for tag in tags] == [
        kind.__name__ for kind in get_args(on.Event)
    ]
