"""Servers without faults: none is found, under each of the servers people have."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bridge.answering import INSTANT
from tests.bridge.servers import EXAMPLES
from tests.doctor.examining import examined

from voicelat.doctor.result import CheckResult

GUNICORN = """
worker_class = {worker!r}
threads = 8
"""


def faults(told: dict[str, CheckResult]) -> list[CheckResult]:
    return [one for one in told.values() if one.outcome == "fault"]


def test_a_good_asgi_application_has_no_fault(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    (tmp_path / "Procfile").write_text(
        "web: uvicorn fastapi_mount:app --ws websockets-sansio --ws-per-message-deflate false\n"
    )
    environ = {**INSTANT, "TURNS_FILE": "turns.jsonl"}
    told = examined(f"{EXAMPLES}/fastapi_mount.py:app", tmp_path, environ)
    assert faults(told) == []
    assert told["app-answers"].outcome == "ok"
    assert told["wait-after-final"].outcome == "ok"
    assert told["socket-compression"].what == "it refuses to compress"
    assert told["loop-lag"].evidence.startswith("asyncio: late P99")


@pytest.mark.parametrize("worker", ["gthread", "gevent", "eventlet"])
def test_a_good_flask_application_has_no_fault(worker: str, tmp_path: Path) -> None:
    for package in ("gunicorn", "flask_sock", worker.replace("gthread", "flask")):
        pytest.importorskip(package)
    (tmp_path / "gunicorn.conf.py").write_text(GUNICORN.format(worker=worker))
    environ = {**INSTANT, "EVENTLET_NO_GREENDNS": "1"}
    told = examined(f"{EXAMPLES}/flask_server.py:app", tmp_path, environ)
    assert faults(told) == []
    assert told["app-answers"].evidence.endswith(f"under gunicorn -k {worker}")
    assert "from gunicorn.conf.py" in told["gunicorn-worker"].evidence


def test_a_channel_library_that_is_loaded_before_the_fork_is_found(tmp_path: Path) -> None:
    for package in ("gunicorn", "flask_sock", "grpc"):
        pytest.importorskip(package)
    config = GUNICORN.format(worker="gthread") + "import grpc\npreload_app = True\n"
    (tmp_path / "gunicorn.conf.py").write_text(config)
    told = examined(f"{EXAMPLES}/flask_server.py", tmp_path, INSTANT)
    (found,) = faults(told)
    assert found.check == "gunicorn-worker"
    assert found.what == "preload_app is on, and gRPC was loaded before the fork"
    assert told["app-answers"].outcome == "ok"


def test_an_application_that_checks_signatures_gets_them(tmp_path: Path) -> None:
    pytest.importorskip("flask_sock")
    environ = {
        **INSTANT,
        "TWILIO_AUTH_TOKEN": "12345",
        "PUBLIC_BASE_URL": "https://bot.example",
    }
    told = examined(f"{EXAMPLES}/flask_server.py", tmp_path, environ)
    assert told["app-answers"].outcome == "ok"
