"""Programs that patch too late."""

from __future__ import annotations

import pytest
from tests.doctor.examining import APPS, examined

for package in ("flask_sock", "grpc", "requests"):
    pytest.importorskip(package)


def test_everything_is_found_in_a_program_that_patches_late_with_eventlet() -> None:
    pytest.importorskip("eventlet")
    told = examined("late_eventlet:app", APPS, {})
    assert told["app-answers"].outcome == "ok"
    for check, evidence in {
        "patch-order": "threading, socket, ssl, logging",
        "ungreened-locks": "RLock(s) were not greened",
        "greendns": "it was not set at the import",
        "green-grpc": "grpc._cython.cygrpc",
        "loop-lag": "late_eventlet.py:29 media",
        "blocking-call": "time.sleep at late_eventlet.py:29 media",
    }.items():
        assert told[check].outcome == "fault", check
        assert evidence in told[check].evidence


def test_grpc_that_was_not_told_of_gevent_is_found() -> None:
    pytest.importorskip("gevent")
    told = examined("late_gevent:app", APPS, {})
    assert {name for name, one in told.items() if one.outcome == "fault"} == {
        "patch-order",
        "green-grpc",
    }
    assert "urllib3, requests, grpc" in told["patch-order"].evidence
    assert "init_gevent() was not called" in told["green-grpc"].evidence
