"""Templates: values looked up by name, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.agentkit.workflows.template import Hole, TemplateFailed, fill, holes, parse

SEEN = {
    "event": {"text": 'say "hi"', "language": None},
    "nodes": {"find": {"slots": [{"start": "9"}]}},
}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{event.text}}", 'say "hi"'),
        ("{{ event.language }}", None),
        ('{{event.language or "en"}}', "en"),
        ("{{event.language or nodes.find.slots.0.start}}", "9"),
        ("{{nodes.find.slots}}", [{"start": "9"}]),
        ("{{nodes.find.slots.0.start}}", "9"),
        ("{{nodes.find.slots.7.start}}", None),
        ("at {{nodes.find.slots.0.start}} sharp", "at 9 sharp"),
        ("all: {{nodes.find.slots}}", 'all: [{"start": "9"}]'),
        ('{{"{{"}}', "{{"),
        ("no template } at all", "no template } at all"),
        ("", ""),
    ],
)
def test_a_template_gives_the_value_or_its_text(template: str, value: object) -> None:
    assert fill(template, SEEN) == value


def test_templates_are_filled_wherever_they_stand_in_json() -> None:
    assert fill({"a": ["{{event.text}}", 1, None]}, SEEN) == {"a": ['say "hi"', 1, None]}


def test_null_inside_a_text_is_refused_rather_than_written() -> None:
    with pytest.raises(
        TemplateFailed, match=r'event.language is null .* \{\{event.language or "…"'
    ):
        fill("in {{event.language}}", SEEN)


def test_what_is_filled_in_is_never_read_as_a_template() -> None:
    seen = {"event": {"text": "{{event.id}}", "id": "secret"}}
    assert fill("{{event.text}} {{event.text}}", seen) == "{{event.id}} {{event.id}}"


@pytest.mark.parametrize(
    "template",
    ["{{", "{{event}}", "{{os.environ}}", "{{event.text", "{{event.text|upper}}", "{{1+1}}",
     "{{event.__class__.x()}}", '{{event.text or}}', '{{"a}}'],
)  # fmt: skip
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="is no template: write"):
        parse(template)


@given(st.text(alphabet='{}event.txnods or"\\0 ', max_size=60) | st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parts = parse(text)
    except ValueError:
        return
    assert "".join(part for part in parts if isinstance(part, str)) in text or "{{" in text
    assert len([part for part in parts if isinstance(part, Hole)]) == len(list(holes(text)))
