"""Targets that cannot be examined: one line says why, and nothing is left running."""

from __future__ import annotations

import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import pytest

from voicelat.doctor.catalog import CHECKS
from voicelat.doctor.catalog_app import APP_CHECKS
from voicelat.doctor.of_app import examine_app
from voicelat.doctor.of_app_child import free_port, running_app
from voicelat.doctor.probe.seen import Plan
from voicelat.doctor.result import CheckResult
from voicelat.errors import ConnectError, UsageError
from voicelat.settings import Settings

BROKEN = """
def configure():
    raise LookupError("no KEY in the environment")

configure()
"""

DEAF = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    print("nobody is to call here")
    await receive()
    await send({"type": "websocket.close"})
"""


def nothing(result: CheckResult) -> None:
    raise AssertionError(f"told {result}")


async def refused(target: str, folder: Path) -> str:
    with pytest.raises(UsageError) as raised:
        await examine_app(target, Settings(), nothing, folder=folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


async def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "there is no module nowhere.app" in await refused("nowhere.app", tmp_path)


async def test_a_failed_import_is_told_with_its_last_line_and_its_place(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    assert await refused("broken:app", tmp_path) == (
        "importing broken failed: LookupError: no KEY in the environment (broken.py:3)"
    )


async def test_a_module_that_is_missing_inside_is_not_taken_for_the_target(tmp_path: Path) -> None:
    (tmp_path / "needy.py").write_text("import not_installed_here\n")
    why = await refused("needy", tmp_path)
    assert "importing needy failed: ModuleNotFoundError" in why
    assert "needy.py:1" in why


async def test_what_is_no_application_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("app = 'hello'\n")
    assert "plain:app is a str, no application" in await refused("plain.py:app", tmp_path)
    assert "plain has no server" in await refused("plain:server", tmp_path)


async def test_an_import_that_ends_the_process_is_told(tmp_path: Path) -> None:
    (tmp_path / "gone.py").write_text("import os\nprint('farewell', flush=True)\nos._exit(7)\n")
    assert await refused("gone", tmp_path) == "the application ended (exit code 7): farewell"


async def test_an_application_that_refuses_calls_cannot_be_examined(tmp_path: Path) -> None:
    (tmp_path / "deaf.py").write_text(DEAF)
    with pytest.raises(ConnectError, match="nobody is to call here"):
        await examine_app("deaf", Settings(), nothing, folder=tmp_path)


async def test_a_factory_with_brackets_is_called(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(DEAF.replace("async def app", "async def _app"))
    (tmp_path / "factory.py").write_text("import made\n\ndef create_app():\n    return made._app\n")
    for attribute in (None, "create_app", "create_app()"):
        plan = Plan(
            module="factory",
            attribute=attribute,
            folder=str(tmp_path),
            port=free_port(),
            wire=-1,
            gunicorn=None,
        )
        async with running_app(plan, tmp_path) as app:
            assert (await app.serving()).server == "uvicorn"


async def test_the_application_ends_with_a_doctor_that_was_killed(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    (tmp_path / "deaf.py").write_text(DEAF)
    doctor = f"""
import asyncio
from pathlib import Path
from voicelat.doctor.of_app_child import free_port, running_app
from voicelat.doctor.probe.seen import Plan

async def main():
    plan = Plan(module="deaf", attribute=None, folder={str(tmp_path)!r}, port=free_port(),
                wire=-1, gunicorn=None)
    async with running_app(plan, Path({str(tmp_path)!r})) as app:
        await app.serving()
        print("serving", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
    process = await create_subprocess_exec(sys.executable, "-c", doctor, stdout=PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"serving\n"
    (child,) = psutil.Process(process.pid).children()
    process.kill()
    await process.wait()
    gone, alive = psutil.wait_procs([child], timeout=20)
    assert (len(gone), alive) == (1, [])


def test_every_check_of_an_application_is_in_the_catalog_under_a_name_of_its_own() -> None:
    for check in APP_CHECKS:
        assert CHECKS[check.name] is check
    assert len({check.name for check in APP_CHECKS}) == len(APP_CHECKS)
