"""Servers with planted faults: every one is found, with a figure or a place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.doctor.examining import APPS, examined

from voicelat.doctor.result import CheckResult

Told = Mapping[str, CheckResult]

for package in ("flask", "flask_sock", "requests", "openai", "httpx", "google.cloud.speech"):
    pytest.importorskip(package)

FLASK = {
    "heavy-imports": "agents",
    "imports-in-calls": "slow_to_import",
    "debug-mode": "app.debug is True; app.config['TEMPLATES_AUTO_RELOAD'] is True",
    "access-log": "werkzeug at INFO into StreamHandler",
    "slow-log-handler": "bad_flask.Telegraph: P99 ",
    "log-flood": " records in ",
    "gc-in-calls": " objects",
    "tls-per-turn": "TLS in 3 of 3 turns",
    "dns-per-turn": "localhost in 3 of 3 turns, from bad_flask.py:50 think",
    "client-per-turn": "requests.Session in 3 of 3 turns, from bad_flask.py:50 think",
    "client-timeout": "openai.OpenAI: timeout 600 s, 2 retries, from bad_flask.py:33 <module>; "
    "requests without a timeout, from bad_flask.py:50 think",
    "client-keepalive": "openai.OpenAI: 5 s",
    "stt-interim": "interim_results=False at bad_flask.py:38 listen; single_utterance=True",
    "stt-encoding": "LINEAR16 at 16000 Hz, bad_flask.py:38 listen",
    "stream-renewal": "bad_flask.py:45: client.streaming_recognize(config, audio)",
    "wall-clock-latency": "bad_flask.py:55: return time.time() - began",
    "frame-pacing": "bad_flask.py:76: time.sleep(0.02)",
}

ASGI = {
    "imports-in-calls": "slow_to_import",
    "debug-mode": "app.debug is True",
    "access-log": "uvicorn.access at INFO into StreamHandler",
    "log-flood": 'bad_asgi.py:38: print("message", len(text))',
    "loop-lag": "bad_asgi.py:26 think (3 x",
    "blocking-call": "time.sleep at bad_asgi.py:26 think",
    "pool-wait": "a no-op waited up to ",
    "tls-per-turn": "localhost: TLS in 3 of 3 turns",
    "dns-per-turn": "localhost in 3 of 3 turns",
    "client-per-turn": "httpx.AsyncClient in 3 of 3 turns, from bad_asgi.py:24 think",
    "client-timeout": "httpx.AsyncClient: waits for ever, from bad_asgi.py:24 think",
    "client-keepalive": "httpx.AsyncClient: 5 s",
}


def missed(planted: Mapping[str, str], told: Told) -> dict[str, CheckResult]:
    """The planted faults that were not found, or not with what shows them."""
    return {
        check: told[check]
        for check, shown in planted.items()
        if told[check].outcome != "fault" or shown not in told[check].evidence
    }


def test_everything_planted_in_a_flask_bot_is_found(tmp_path: Path) -> None:
    told = examined("bad_flask:app", APPS, {}, vendor_in=tmp_path)
    assert missed(FLASK, told) == {}
    assert all(told[check].why and told[check].fix for check in FLASK)
    # It is called through the socket that its webhook names, and a thread of its own may block.
    assert told["app-answers"].outcome == "ok"
    assert told["app-answers"].evidence == "3 of 3 questions were answered, under werkzeug"
    assert told["blocking-call"].outcome == "ok"


def test_everything_planted_in_an_asgi_bot_is_found_and_nothing_else(tmp_path: Path) -> None:
    told = examined("bad_asgi", APPS, {}, vendor_in=tmp_path)
    assert missed(ASGI, told) == {}
    assert {name for name, one in told.items() if one.outcome == "fault"} == ASGI.keys()
