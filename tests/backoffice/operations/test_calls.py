"""calls.* over both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.backoffice.bench import Bench

CALL: dict[str, Any] = {
    "call_id": "CA1",
    "from_number": "+972501234567",
    "to_number": None,
    "started_at": "2026-11-25T11:00:00+02:00",
    "ended_at": None,
    "outcome": None,
}


def test_a_call_is_logged_once_and_then_brought_up_to_date(bench: Bench) -> None:
    assert bench.call("calls.log_create", **CALL) == {"call_id": "CA1", "created": True}
    ended = {**CALL, "from_number": None, "ended_at": "2026-11-25T09:05:00Z", "outcome": "booked"}
    assert bench.call("calls.log_create", **ended) == {"call_id": "CA1", "created": False}
    first, second = bench.audit()
    assert (first["target"], first["before"]) == ("calls/CA1", None)
    assert second["before"] == first["after"]
    assert second["after"] == {
        "call_id": "CA1",
        "from_number": "+972501234567",
        "to_number": None,
        "started_at": "2026-11-25T09:00:00Z",
        "ended_at": "2026-11-25T09:05:00Z",
        "outcome": "booked",
    }


def test_a_recording_needs_its_call_and_keeps_its_id(bench: Bench) -> None:
    recording = {"call_id": "CA1", "url": "https://example.org/CA1.wav", "seconds": None}
    assert bench.fault("calls.attach_recording", **recording)["error"] == "not_found"
    bench.call("calls.log_create", **CALL)
    first = bench.call("calls.attach_recording", **recording)
    assert bench.call("calls.attach_recording", **recording | {"seconds": 62.5}) == first
    assert bench.audit()[-1]["after"]["seconds"] == 62.5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("from_number", "0501234567"),
        ("from_number", "+972-50-1234567"),
        ("started_at", "2026-11-25T09:00:00"),
        ("started_at", 1_764_000_000),
        ("started_at", "0001-01-01T00:00:00Z"),
        ("outcome", "a" * 201),
        ("outcome", "nul \0"),
        ("call_id", ""),
        ("surplus", 1),
    ],
)
def test_a_value_that_does_not_fit_is_named(bench: Bench, field: str, value: object) -> None:
    problem = bench.fault("calls.log_create", **CALL | {field: value})
    assert problem["error"] == "invalid"
    assert field in problem["says"]
    assert bench.audit() == []
