"""The example of a provider of one's own in the contract suite."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
from tests.providers.contract.bench import PATIENCE_S, Bench, Case
from tests.providers.scripted_recogniser import spoken
from tests.providers.vendor_server import VendorServer

from voicelat.audio.mulaw import silence
from voicelat.providers.protocols import SpeechToText

_EXAMPLE: Final = Path(__file__).parents[3] / "examples" / "websocket_stt.py"


def _example() -> ModuleType:
    """The example as a module, as ``PYTHONPATH=examples`` would give it."""
    if (loaded := sys.modules.get("websocket_stt")) is not None:
        return loaded
    spec = importlib.util.spec_from_file_location("websocket_stt", _EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["websocket_stt"] = module
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def _stt() -> AsyncGenerator[Bench[SpeechToText]]:
    module = _example()
    async with VendorServer().run() as far:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VENDOR_URL", f"ws://127.0.0.1:{far.cable.port}/listen")
            patch.setattr(module, "FINAL_S", PATIENCE_S)
            words = spoken("one", 300) + silence(60) + spoken("two", 300)
            yield Bench(module.WebsocketStt(), far, speech=silence(200) + words)


STT: Final = [Case("vendor", _stt, far=True)]
