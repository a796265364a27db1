"""Every way to monkey-patch is seen; none is mistaken for one."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASK = "from voicelat.bridge import patched_by; print(patched_by())"


def run(program: str) -> str:
    """What a Python of its own prints."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip()


@pytest.mark.parametrize(
    ("before", "found"),
    [
        ("", "None"),
        ("import gevent", "None"),
        ("import eventlet", "None"),
        ("import eventlet; eventlet.monkey_patch()", "eventlet"),
        ("import eventlet; eventlet.monkey_patch(thread=False)", "eventlet"),
        ("from gevent import monkey; monkey.patch_all()", "gevent"),
        ("from gevent import monkey; monkey.patch_socket()", "gevent"),
        ("from gevent import monkey; monkey.patch_time()", "None"),
    ],
)
def test_who_has_patched_is_found_out(before: str, found: str) -> None:
    assert run(f"{before}\n{ASK}") == found


def test_the_bridge_brings_nothing_heavy_into_the_server() -> None:
    heavy = ("asyncio", "grpc", "google.cloud", "numpy", "openai", "starlette", "websockets")
    loaded = f"import sys, voicelat.bridge; print([m for m in {heavy} if m in sys.modules])"
    assert run(loaded) == "[]"


def test_an_engine_in_a_thread_is_refused_where_it_would_hang() -> None:
    program = """
import eventlet; eventlet.monkey_patch()
from voicelat.bridge import Bridge
from voicelat.errors import UsageError
try:
    Bridge(place="thread").warm()
except UsageError as error:
    print(error)
"""
    assert "eventlet has replaced the sockets" in run(program)
