"""Round trips, names and clocks: measured on loopback, judged from figures."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doctor.told import faults
from tests.serve.running import serving

from voicelat.doctor.network import (
    Offset,
    Trip,
    clock_offset,
    judged_clock,
    judged_dns,
    judged_trips,
    offset_of,
    resolve_ms,
    trip,
)
from voicelat.doctor.services import Service

NEAR = Service("openai llm", "near.example", 443, tls=True, http=True)
FAR = Service("google stt", "far.example", 443, tls=True, http=True)


async def test_a_round_trip_is_a_tcp_connect() -> None:
    async with serving() as server:
        host, port = server.url.removeprefix("http://").split(":")
        measured = await trip(Service("ours", host, int(port), tls=False, http=True))
    assert measured.connect_ms is not None
    assert measured.tls_ms is None
    assert faults(judged_trips([measured])) == []


async def test_nobody_there_is_skipped_with_the_reason() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    measured = await trip(Service("nobody", "127.0.0.1", port, tls=False, http=True))
    (result,) = judged_trips([measured])
    assert result.outcome == "skipped"
    assert "cannot be reached" in result.what


def test_a_service_across_an_ocean_is_found_and_told_apart_from_a_near_one() -> None:
    results = list(judged_trips([Trip(NEAR, 4.0, 9.0), Trip(FAR, 142.0, 160.0)]))
    assert [one.outcome for one in results] == ["ok", "fault"]
    assert "another region" in results[1].what
    assert "142.0 ms" in results[1].evidence


def test_services_that_are_all_far_are_not_said_to_be_apart() -> None:
    results = list(judged_trips([Trip(NEAR, 140.0), Trip(FAR, 142.0)]))
    assert [one.outcome for one in results] == ["fault", "fault"]
    assert "another region" not in results[1].what


async def test_loopback_resolves_quickly() -> None:
    assert judged_dns("localhost", await resolve_ms("127.0.0.1")).outcome == "ok"


def test_names_that_are_looked_up_anew_each_time_are_found() -> None:
    assert judged_dns("api.example", [90.0, 70.0, 80.0, 75.0, 85.0]).outcome == "fault"


def test_one_slow_lookup_before_a_cache_is_not_accused() -> None:
    assert judged_dns("api.example", [400.0, 0.4, 0.3, 0.4, 0.3]).outcome == "ok"


@pytest.mark.parametrize(("ahead_s", "outcome"), [(0.0, "ok"), (45.0, "fault"), (-45.0, "fault")])
async def test_a_clock_that_is_off_is_found(ahead_s: float, outcome: str) -> None:
    import time

    async with serving() as server:
        host, port = server.url.removeprefix("http://").split(":")
        service = Service("ours", host, int(port), tls=False, http=True)
        offset = await asyncio.to_thread(clock_offset, service, lambda: time.time() + ahead_s)
    assert judged_clock("ours", offset).outcome == outcome


def test_a_slow_answer_is_no_evidence_of_a_clock_that_is_off() -> None:
    offset = offset_of(formatdate(1000, usegmt=True), 996.0, 1010.0)
    assert judged_clock("ours", offset).outcome == "ok"


def test_a_server_that_does_not_tell_its_time_is_skipped() -> None:
    assert judged_clock("ours", offset_of(None, 1.0, 2.0)).outcome == "skipped"


@given(st.text())
def test_any_date_header_is_a_time_or_none(date: str) -> None:
    found = offset_of(date, 0.0, 0.1)
    assert found is None or isinstance(found, Offset)
