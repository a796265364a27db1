"""A real Redis of the test's own, on a free loopback port."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["running_redis"]


@contextmanager
def running_redis(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its URL and its process. Skips where there is no Redis to start."""
    pytest.importorskip("redis", reason="the extra is not installed: pip install 'voicelat[redis]'")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on the PATH: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder))
    with subprocess.Popen(
        (program, *options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            said = ""
            while "Ready to accept connections" not in said:
                line = process.stdout.readline()
                if not line:
                    pytest.skip(f"redis-server does not start: {said.strip()[-300:]}")
                said += line
            yield f"redis://127.0.0.1:{port}", process
        finally:
            process.kill()
