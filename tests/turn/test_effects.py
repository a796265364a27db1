"""The way out, as data."""

from __future__ import annotations

from typing import get_args

import msgspec
from tests.turn.scenario import Scenario, utterance

from voicelat.turn import effects as do


def test_effects_survive_a_line_of_json() -> None:
    call = Scenario().play(*utterance(1000, 2000, "שולחן לשניים")).wait(2160).answered(2500)
    assert len(call.effects) >= 7
    for _, effect in call.effects:
        assert msgspec.json.decode(msgspec.json.encode(effect), type=do.Effect) == effect


def test_tags_are_the_names_in_snake_case_and_unique() -> None:
    tags = [kind.__struct_config__.tag for kind in get_args(do.Effect)]
    assert len(set(tags)) == len(tags)
    assert [str(tag).title().replace("_", "") for tag in tags] == [
        kind.__name__ for kind in get_args(do.Effect)
    ]
