"""The real models, loaded once; every test that asks for one skips without the extra."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from voicelat.audio.mulaw import BYTES_PER_MS, silence
from voicelat.providers.local import available
from voicelat.providers.local.moonshine import Moonshine
from voicelat.providers.local.pool import RankedPool


@pytest.fixture(scope="session")
def local_speech() -> None:
    """Skips when local speech cannot run here."""
    if missing := available():
        pytest.skip(missing)


@pytest.fixture(scope="session")
def moonshine(local_speech: None) -> Moonshine:
    return Moonshine()


@pytest.fixture
def pool() -> Iterator[RankedPool]:
    pool = RankedPool(2, "test-pool")
    yield pool
    pool.close()


@pytest.fixture
def recording(speech_data: Path) -> Callable[[str], bytes]:
    """The mu-law of one mono recording, whole milliseconds of it."""

    def read(name: str) -> bytes:
        wav = (speech_data / name).read_bytes()
        audio = wav[wav.index(b"data") + 8 :]
        return audio[: len(audio) - len(audio) % BYTES_PER_MS] or silence(20)

    return read
