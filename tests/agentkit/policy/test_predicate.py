from __future__ import annotations

import builtins
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from voicelat.agentkit.policy import InvalidPredicate, Predicate, Unreadable

ARGUMENTS: dict[str, Any] = {
    "text": "hello",
    "phone": None,
    "minutes": 30,
    "urgent": True,
    "tags": ["a", "b"],
    "empty": [],
    "changes": [{"key": "phone", "value": "1"}, {"key": "notes", "value": "2"}],
    "nested": {"inner": 5},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("minutes > 15", True),
        ("15 < minutes <= 30", True),
        ("minutes == 30.0", True),
        ("minutes > -1", True),
        ("phone == null", True),
        ("phone is None", True),
        ("phone != null", False),
        ("text != null and len(text) > 3", True),
        ("not urgent", False),
        ("urgent == true or missing", True),
        ('"ell" in text', True),
        ('text in ["hello", "bye"]', True),
        ('text not in ("hello", "bye")', False),
        ('"c" in tags', False),
        ('tags in ["a", "b", "c"]', True),
        ('tags in ["a"]', False),
        ('empty in ["a"]', True),
        ('"phone" in changes["key"]', True),
        ('changes["key"] in ["phone"]', False),
        ('changes["key"] not in ["phone", "notes"]', False),
        ('nested["inner"] == 5', True),
        ("len(changes) == 2", True),
    ],
)
def test_a_condition_is_true_or_false(text: str, expected: bool) -> None:
    assert Predicate.parse(text).holds(ARGUMENTS) is expected


@pytest.mark.parametrize(
    "text",
    [
        "missing == 1",
        "phone > 3",
        "text > 3",
        "minutes == true",
        "urgent == 1",
        'minutes == "30"',
        'tags == "a"',
        "tags == tags",
        "minutes",
        "not text",
        "len(minutes) > 1",
        "len(phone) > 1",
        "1 in tags",
        "text in phone",
        '1 in "text"',
        'changes["missing"] == 1',
        'text["key"] == 1',
        'tags["key"] == 1',
        "changes in tags",
        "nested in tags",
    ],
)
def test_what_cannot_be_compared_is_unreadable_and_never_false(text: str) -> None:
    for condition in (text, f"not ({text})"):
        with pytest.raises(Unreadable):
            Predicate.parse(condition).holds(ARGUMENTS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text.upper()",
        "text.__class__ == 1",
        "open('x')",
        "len(text, 1)",
        "len(*tags)",
        "(lambda: 1)() == 1",
        "[x for x in tags]",
        "1 + 1 == 2",
        "tags[0] == 1",
        "f'{text}' == 1",
        "b'x' == 1",
        "1j == 1",
        "... == 1",
        "(x := 1) == 1",
        "text if urgent else text",
        "minutes == -true",
        "{'a': 1} == 1",
        "[text] == 1",
        "text == 1; import os",
        "import os",
        "x" * 501,
        "(" * 250 + "x" + ")" * 250,
        "not " * 30 + "urgent",
        "\0",
    ],
)
def test_nothing_else_is_a_condition(text: str) -> None:
    with pytest.raises(InvalidPredicate):
        Predicate.parse(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
OPERATORS = [
    "==",
    "!=",
    "<",
    ">=",
    "in",
    "not",
    "and",
    "or",
    "is",
    "len (",
    "(",
    ")",
    ".",
    ",",
    ":",
]
WORDS = st.sampled_from(
    ["a", "b", "null", "true", "1", "-2.5", '"x"', '[1,"x",null]', '["k"]', *OPERATORS]
)


@given(st.lists(WORDS, max_size=14).map(" ".join) | st.text(max_size=40), st.data())
def test_any_text_is_a_condition_that_answers_or_is_refused(text: str, data: st.DataObject) -> None:
    try:
        predicate = Predicate.parse(text)
    except InvalidPredicate:
        return
    arguments = data.draw(st.dictionaries(st.sampled_from("ab"), JSON))
    with suppress(Unreadable):
        assert isinstance(predicate.holds(arguments), bool)


@given(st.sampled_from(dir(builtins)), st.text(max_size=10))
def test_no_builtin_but_len_can_be_called(name: str, text: str) -> None:
    assume(name != "len")
    with pytest.raises(InvalidPredicate):
        Predicate.parse(f"{name}({text!r}) == null").holds({})
