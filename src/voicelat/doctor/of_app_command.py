"""Which module is meant, and how its server is started: from a target, a Procfile, gunicorn's own
places. Nothing is imported or run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from voicelat.errors import UsageError

__all__ = ["Command", "Target", "command_in", "target_of"]

_WRAPPERS: Final = ("env", "exec", "uv", "run", "poetry", "python", "python3", "-m")
_GUNICORN_DROPS: Final = ("-b", "--bind", "-p", "--pid", "-e", "--env")
"""Options with a value that the doctor's own server must not share with the real one."""
_GUNICORN_FLAGS: Final = ("--preload", "--reload", "-R", "--no-control-socket", "--no-sendfile")
"""Options without a value: what follows any other one is its value."""


@dataclass(frozen=True, slots=True)
class Target:
    """The application, by name."""

    module: str
    attribute: str | None
    """None: ``app``, ``application`` or ``create_app``, whichever is there."""
    folder: Path
    """Goes to the front of ``sys.path``."""


def target_of(text: str, folder: Path) -> Target:
    """From ``package.module:attribute`` or ``path/to/file.py:attribute``, seen from ``folder``.

    Raises UsageError for a file that is not there, and for what is neither.
    """
    name, _, attribute = text.partition(":")
    if name.endswith(".py") or "/" in name:
        file = (folder / name).resolve()
        if not file.is_file():
            raise UsageError(
                f"{name}: no such file; give package.module:app or path/to/file.py:app"
            )
        parts = [file.stem]
        root = file.parent
        while (root / "__init__.py").is_file():
            parts.insert(0, root.name)
            root = root.parent
        return Target(".".join(parts), attribute or None, root)
    names = [*name.split("."), *([attribute.removesuffix("()")] if attribute else [])]
    if not all(map(str.isidentifier, names)):
        raise UsageError(f"{text}: give package.module:app or path/to/file.py:app")
    return Target(name, attribute or None, folder.resolve())


@dataclass(frozen=True, slots=True)
class Command:
    """How the server is started, as far as that is written down."""

    server: str | None = None
    """gunicorn or uvicorn; None: nothing says."""
    arguments: tuple[str, ...] = ()
    """Of gunicorn: without address and application."""
    source: str = ""
    """Where that was read."""
    debug: tuple[str, ...] = ()
    """Switches in it that are for developing."""
    ws: str = "auto"
    """Of uvicorn."""
    deflate: bool = True
    """Of uvicorn."""


def command_in(
    folder: Path, *, worker: str | None = None, environ: Mapping[str, str] = os.environ
) -> Command:
    """From a Procfile in ``folder``, else gunicorn's configuration file or variable there.
    ``worker`` is a worker class for gunicorn, and comes first."""
    command = _procfile(folder / "Procfile")
    if command.server is None and (folder / "gunicorn.conf.py").is_file():
        command = Command("gunicorn", source="gunicorn.conf.py")
    if command.server is None and environ.get("GUNICORN_CMD_ARGS"):
        command = Command("gunicorn", source="GUNICORN_CMD_ARGS")
    if worker is not None:
        before = command.arguments if command.server == "gunicorn" else ()
        return Command("gunicorn", (*before, "-k", worker), f"the worker class {worker}")
    return command


def _procfile(file: Path) -> Command:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Command()
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            words = shlex.split(line.partition(":")[2], comments=True)
        except ValueError:
            continue
        while words and (words[0] in _WRAPPERS or "=" in words[0]):
            words.pop(0)
        if not words:
            continue
        name, place = Path(words[0]).name, f"Procfile:{number}"
        if name == "gunicorn":
            return _gunicorn(words[1:], place)
        if name in ("uvicorn", "fastapi"):
            return _uvicorn(words[1:], place)
    return Command()


def _gunicorn(words: list[str], place: str) -> Command:
    kept: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not word.startswith("-"):
            continue  # the application
        takes_value = "=" not in word and word not in _GUNICORN_FLAGS
        if word.startswith("-") and not word.startswith("--") and len(word) > 2:
            takes_value = False  # -w4
        value = words[position : position + 1] if takes_value else []
        position += len(value)
        if not word.startswith(_GUNICORN_DROPS):
            kept += [word, *value]
    debug = tuple(word for word in words if word == "--reload")
    return Command("gunicorn", tuple(kept), place, debug)


def _uvicorn(words: list[str], place: str) -> Command:
    options = {
        word: words[index + 1] if index + 1 < len(words) else "" for index, word in enumerate(words)
    }
    debug = tuple(word for word in words if word in ("--reload", "dev"))
    return Command(
        "uvicorn",
        (),
        place,
        debug,
        ws=options.get("--ws", "auto"),
        deflate=options.get("--ws-per-message-deflate", "true").lower() not in ("false", "0"),
    )
