"""stt.* and summary.* over both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.backoffice.bench import Bench


def said(turn: int, speaker: str, text: str) -> dict[str, Any]:
    return {"turn": turn, "speaker": speaker, "text": text, "at": f"2026-11-25T09:00:0{turn}Z"}


def test_turns_come_back_in_order_with_the_caller_before_the_reply(bench: Bench) -> None:
    bench.call(
        "stt.append_turns", call_id="CA1", turns=[said(2, "agent", "b"), said(2, "caller", "a")]
    )
    bench.call("stt.append_turns", call_id="CA1", turns=[said(1, "caller", "שלום 🙂 مرحبا")])
    transcript = bench.call("stt.get_last_transcript", call_id="CA1")
    assert [turn["text"] for turn in transcript["turns"]] == ["שלום 🙂 مرحبا", "a", "b"]
    assert transcript["turns"][0]["at"] == "2026-11-25T09:00:01Z"


def test_a_turn_that_is_told_again_replaces_its_text(bench: Bench) -> None:
    turns = [said(1, "caller", "tomorow"), said(1, "caller", "tomorrow")]
    told = bench.call("stt.append_turns", call_id="CA1", turns=turns)
    assert told == {"call_id": "CA1", "added": 1, "replaced": 1}
    transcript = bench.call("stt.get_last_transcript", call_id="CA1")
    assert [turn["text"] for turn in transcript["turns"]] == ["tomorrow"]
    assert bench.audit()[-1]["before"]["turns"][0]["text"] == "tomorow"


def test_a_call_nobody_knows_has_no_transcript(bench: Bench) -> None:
    assert bench.fault("stt.get_last_transcript", call_id="CA1")["error"] == "not_found"


def test_a_summary_replaces_the_last_one_and_keeps_it(bench: Bench) -> None:
    summary = {"call_id": "CA1", "summary": "One", "action_items": ["ring back"], "language": "en"}
    assert bench.fault("summary.generate", **summary)["error"] == "not_found"
    bench.call("stt.append_turns", call_id="CA1", turns=[said(1, "caller", "a")])
    first = bench.call("summary.generate", **summary)
    second = bench.call("summary.generate", **summary | {"summary": "סיכום", "language": "he-IL"})
    assert first["summary_id"] != second["summary_id"]
    row = bench.audit()[-1]
    assert (row["before"]["summary"], row["after"]["summary"]) == ("One", "סיכום")
