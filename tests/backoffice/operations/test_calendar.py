"""calendar.* over both databases, and the opening hours by themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

if TYPE_CHECKING:
    from tests.backoffice.bench import Bench


def meeting(start: str, end: str) -> dict[str, Any]:
    """On Wednesday, 25 November."""
    return {
        "title": "Visit",
        "start": f"2026-11-25T{start}:00Z",
        "end": f"2026-11-25T{end}:00Z",
        "attendee_name": None,
        "attendee_phone": None,
        "lead_id": None,
    }


def slots(bench: Bench, start: str, to: str, minutes: int) -> list[str]:
    found = bench.call("calendar.find_slots", **{"from": start, "to": to, "minutes": minutes})
    return [f"{slot['start'][8:16]}-{slot['end'][11:16]}" for slot in found["slots"]]


def test_slots_keep_to_the_opening_hours_and_the_free_time(bench: Bench) -> None:
    bench.call("calendar.create", **meeting("10:15", "11:00"))
    assert slots(bench, "2026-11-25T08:30:00Z", "2026-11-25T13:00:00Z", 60) == [
        "25T09:00-10:00",
        "25T11:00-12:00",
        "25T12:00-13:00",
    ]


def test_a_weekend_has_no_slots_and_a_search_ends_at_its_range(bench: Bench) -> None:
    friday_to_monday = slots(bench, "2026-11-27T16:00:00Z", "2026-11-30T10:00:00Z", 60)
    assert friday_to_monday == ["27T16:00-17:00", "30T09:00-10:00"]


def test_a_range_is_not_too_long_and_not_the_wrong_way_round(bench: Bench) -> None:
    start = "2026-11-25T09:00:00Z"
    for to in ("2026-11-25T09:00:00Z", "2026-11-20T09:00:00Z", "2026-12-25T09:00:00Z"):
        asked = {"from": start, "to": to, "minutes": 30}
        assert bench.fault("calendar.find_slots", **asked)["error"] == "invalid"


def test_nothing_overlaps_but_one_may_follow_the_other(bench: Bench) -> None:
    bench.call("calendar.create", **meeting("10:00", "11:00"))
    assert bench.fault("calendar.create", **meeting("10:30", "11:30"))["error"] == "invalid"
    bench.call("calendar.create", **meeting("11:00", "11:30"))


def test_an_appointment_needs_its_lead(bench: Bench) -> None:
    asked = meeting("10:00", "11:00")
    assert bench.fault("calendar.create", **asked | {"lead_id": "x"})["error"] == "not_found"
    bench.call("calendar.create", **asked | {"lead_id": bench.lead()})


@pytest.mark.parametrize(("day", "utc_hour"), [(25, 7), (26, 7), (27, 6), (28, 6)])
def test_a_day_opens_at_its_own_nine_o_clock_through_daylight_saving(
    day: int, utc_hour: int
) -> None:
    pytest.importorskip("alembic", reason="the agents extra is not installed")
    from voicelat.backoffice.config import Opening
    from voicelat.backoffice.operations.calendar import opening_hours

    opening = Opening(zone=ZoneInfo("Asia/Jerusalem"), weekdays=frozenset(range(7)))
    start, end = (datetime(2026, 3, day, hour, tzinfo=UTC) for hour in (0, 20))
    assert [hours[0] for hours in opening_hours(opening, start, end)] == [
        datetime(2026, 3, day, utc_hour, tzinfo=UTC)
    ]
