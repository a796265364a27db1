"""Redaction: what must not be kept is gone before anything is stored, whatever its shape."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.agentkit.runs.redact import MASK, Redaction

SECRET = "s3cr3t-value-nobody-writes"
NAMES = st.sampled_from(["phone", "Email", "TOKEN", "name", "to_phone", "grant"])
PLAIN = st.none() | st.booleans() | st.integers(-999, 999) | st.sampled_from(["", "hello", "שלום"])


def values(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaf,
        lambda inside: (
            st.lists(inside, max_size=4)
            | st.dictionaries(st.sampled_from(["a", "text", "notes", "changes"]), inside)
            | st.fixed_dictionaries({"key": st.just("notes"), "value": inside})
        ),
        max_leaves=12,
    )


@given(NAMES, values(PLAIN | st.just(SECRET)), values(PLAIN))
def test_the_value_of_a_named_field_is_gone_at_any_depth(name: str, value: Any, other: Any) -> None:
    found = Redaction()({"other": [other, {name: [SECRET, value]}]})
    assert SECRET not in json.dumps(found)


@given(values(PLAIN))
def test_what_is_nobodys_is_kept_as_it_is(value: Any) -> None:
    redaction = Redaction()
    assert redaction(value) == value
    assert redaction(redaction(value)) == redaction(value)


@given(st.from_regex(r"\+[1-9]\d{7,14}", fullmatch=True), st.sampled_from(["", " ", "call "]))
def test_a_phone_number_is_gone_from_any_text(number: str, before: str) -> None:
    assert number[1:] not in Redaction()({"text": f"{before}{number} please"})["text"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("write to dana.levi+x@example.co.il today", f"write to {MASK} today"),
        ("card 4111 1111 1111 1111.", f"card {MASK}."),
        ("key sk-proj-abcdefghijklmnop", f"key {MASK}"),
        ("at 2026-01-02T10:30:00+00:00", "at 2026-01-02T10:30:00+00:00"),
        ("room 12 at 9:30", "room 12 at 9:30"),
        ("message_ab1ecb5d0612345678", "message_ab1ecb5d0612345678"),
        ("tel+972541234567", f"tel{MASK}"),
    ],
)
def test_patterns_take_what_identifies_and_leave_the_rest(text: str, kept: str) -> None:
    assert Redaction()(text) == kept


def test_a_pair_of_key_and_value_counts_as_a_field() -> None:
    changes = [{"key": "phone", "value": "12"}, {"key": "notes", "value": "12"}]
    assert Redaction()(changes) == [
        {"key": "phone", "value": MASK},
        {"key": "notes", "value": "12"},
    ]


def test_more_fields_can_be_named() -> None:
    redaction = Redaction().also("notes, Diagnosis")
    assert redaction({"diagnosis": "x", "notes": None}) == {"diagnosis": MASK, "notes": None}
