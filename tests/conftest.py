"""Fixtures every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A deadline is an assertion about somebody else's processor.
settings.register_profile("voicelat", deadline=None)
settings.load_profile("voicelat")

# A shell has what it runs in the background ignore Ctrl-C, and so do its children: tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

__all__ = ["postgres", "speech_data"]

_BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def speech_data() -> Path:
    """The folder of real recordings with its ``manifest.json``. Skips where there is none."""
    folder = Path(os.environ.get("VOICELAT_DATA", _BESIDE_THE_REPOSITORY))
    if not (folder / "manifest.json").is_file():
        pytest.skip(f"no recordings in {folder}; set VOICELAT_DATA to a folder that has them")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL that all tests share: the folder of its socket. Skips where none can start."""
    from tests.postgres import running_postgres

    with running_postgres() as folder:
        yield folder
