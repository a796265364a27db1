"""What the model is shown of a call."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicelat.engine.clauses import word_count
from voicelat.engine.history import History
from voicelat.metrics.record import TurnRecord
from voicelat.providers.protocols import Message


def _turn(turn: int, text: str, reply: str = "", **fields: object) -> TurnRecord:
    record = TurnRecord(call_id="CA1", turn=turn, outcome="answered", text=text, reply=reply)
    return TurnRecord(**{**_fields(record), **fields})  # type: ignore[arg-type]


def _fields(record: TurnRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def _history(*records: TurnRecord, messages: int = 12, words: int | None = None) -> History:
    history = History(messages, words)
    for record in records:
        history.add(record)
    return history


def _said(messages: tuple[Message, ...]) -> list[str]:
    return [f"{message.role}: {message.text}" for message in messages]


def test_both_sides_are_shown_in_order_and_no_more_than_was_heard() -> None:
    history = _history(
        _turn(1, "one", "Sure. And more.", heard="Sure."),
        _turn(2, "", "Hello?"),
        _turn(3, "three", "", heard=""),
    )
    assert _said(history.shown().history) == [
        "caller: one",
        "agent: Sure.",
        "agent: Hello?",
        "caller: three",
    ]
    assert history.shown().left_out == 0


def test_only_the_last_messages_are_shown_and_the_prompt_says_how_many_are_not() -> None:
    history = _history(*(_turn(n, f"q{n}", f"a{n}") for n in range(1, 6)), messages=3)
    shown = history.shown()
    assert _said(shown.history) == ["agent: a4", "caller: q5", "agent: a5"]
    assert shown.left_out == 7


def test_words_are_capped_between_messages_in_hebrew_too() -> None:
    history = _history(
        _turn(1, "אני רוצה לקבוע תור", "בטח, מתי נוח לך?"), _turn(2, "מחר בבוקר", "רשמתי."), words=6
    )
    shown = history.shown()
    assert _said(shown.history) == ["caller: מחר בבוקר", "agent: רשמתי."]
    assert shown.left_out == 2


def test_the_last_message_is_shown_whole_however_long_it_is() -> None:
    history = _history(_turn(1, "short", "word " * 50), words=6)
    (message,) = history.shown().history
    assert word_count(message.text) == 50


def test_no_message_is_shown_where_none_is_asked_for() -> None:
    shown = _history(_turn(1, "one", "Sure."), messages=0).shown()
    assert (shown.history, shown.left_out) == ((), 2)


def test_a_responder_can_have_everything_up_to_its_turn() -> None:
    history = _history(*(_turn(n, f"q{n}", f"a{n}") for n in range(1, 4)), messages=1)
    everything = history.shown().full_history
    history.add(_turn(4, "later", "Later."))
    assert _said(everything()) == [
        f"{who}{n}" for n in (1, 2, 3) for who in ("caller: q", "agent: a")
    ]


# -- what the caller probably said ------------------------------------------------------------


def test_the_text_of_the_fallback_stands_where_the_caller_was_not_understood() -> None:
    for early in (True, False):
        history = _history(_turn(1, "one", "Sure."))
        if early:
            history.guess(2, "book a table")
        history.add(_turn(2, "", "Pardon?", fallback=True))
        history.add(_turn(3, "for two", "Done."))
        if not early:
            history.guess(2, "book a table")
        shown = history.shown()
        assert shown.history[2] == Message("caller", "book a table", probable=True)
        assert _said(shown.history[3:]) == ["agent: Pardon?", "caller: for two", "agent: Done."]
        assert shown.full_history()[2] == shown.history[2]


def test_it_takes_the_place_of_words_in_doubt() -> None:
    history = _history(_turn(1, "brook a cable", "Pardon?", fallback=True))
    assert history.shown().history[0] == Message("caller", "brook a cable", probable=True)
    history.guess(1, "book a table")
    assert history.shown().history[0] == Message("caller", "book a table", probable=True)


def test_a_turn_nobody_understood_leaves_no_empty_message() -> None:
    shown = _history(_turn(1, "", "Pardon?", fallback=True)).shown()
    assert _said(shown.history) == ["agent: Pardon?"]
    assert (shown.left_out, len(shown.full_history())) == (0, 1)


def test_a_text_that_was_answered_is_still_only_probable() -> None:
    history = _history(_turn(1, "book a table", "Sure.", fallback_used="answer"))
    assert history.shown().history[0].probable


def test_a_guess_is_forgotten_when_it_is_taken_back_or_the_words_came_after_all() -> None:
    history = History(12, None)
    history.guess(1, "wrong")
    history.guess(1, "")
    history.add(_turn(1, "", "Pardon?", fallback=True))
    history.guess(2, "wrong")
    history.add(_turn(2, "right", "Sure."))
    assert _said(history.shown().history) == ["agent: Pardon?", "caller: right", "agent: Sure."]


@given(
    st.lists(st.tuples(st.text("ab ", max_size=9), st.text("cd ", max_size=9), st.booleans())),
    st.integers(0, 9),
    st.none() | st.integers(1, 9),
)
def test_what_is_shown_is_the_end_of_everything(
    turns: list[tuple[str, str, bool]], messages: int, words: int | None
) -> None:
    records = [
        _turn(n, text.strip(), reply.strip(), fallback=doubt)
        for n, (text, reply, doubt) in enumerate(turns, 1)
    ]
    shown = _history(*records, messages=messages, words=words).shown()
    everything = shown.full_history()
    assert everything[len(everything) - len(shown.history) :] == shown.history
    assert shown.left_out + len(shown.history) == len(everything)
    assert len(shown.history) <= messages
    assert all(message.text for message in everything)
    if words is not None and len(shown.history) > 1:
        assert sum(word_count(message.text) for message in shown.history) <= words
