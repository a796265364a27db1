"""Run an examination, with an environment of its own, and keep what it told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import pytest
from tests.doctor.vendor import vendor

from voicelat.doctor.of_app import examine_app
from voicelat.doctor.result import CheckResult
from voicelat.settings import load

__all__ = ["APPS", "examined"]

APPS: Final = Path(__file__).parent / "apps"


def examined(
    target: str,
    folder: Path,
    environ: Mapping[str, str],
    *,
    worker: str | None = None,
    vendor_in: Path | None = None,
) -> dict[str, CheckResult]:
    """What was told, by check. ``vendor_in``: with a vendor at VENDOR_URL, its certificate there;
    None: without."""
    told: dict[str, CheckResult] = {}

    def tell(result: CheckResult) -> None:
        assert result.check not in told, "told twice"
        told[result.check] = result

    async def run(patch: pytest.MonkeyPatch) -> None:
        async with vendor(vendor_in) if vendor_in is not None else nullcontext("") as url:
            patch.setenv("VENDOR_URL", url)
            await examine_app(target, load(folder=folder), tell, worker=worker, folder=folder)

    with pytest.MonkeyPatch.context() as patch:
        # With it set, eventlet does not tell of the locks that it could not replace.
        patch.delenv("PYTEST_CURRENT_TEST", raising=False)
        patch.delenv("EVENTLET_NO_GREENDNS", raising=False)
        patch.setenv("TWILIO_AUTH_TOKEN", "")
        for name, value in environ.items():
            patch.setenv(name, value)
        asyncio.run(run(patch))
    return told
