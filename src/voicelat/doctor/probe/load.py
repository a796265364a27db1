"""From a target to the application: its module, its attribute, and which kind it is."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Iterable
from typing import Any, Final, Literal

from voicelat.doctor.probe.seen import Plan

__all__ = ["Kind", "NotLoaded", "kind_of", "load", "routes"]

Kind = Literal["asgi", "wsgi"]

_NAMES: Final = ("app", "application", "create_app")
_VOICE: Final = re.compile("voice|twiml|incoming|answer|inbound|twilio")
_MEDIA: Final = re.compile("media|stream|twilio|ws|socket|audio")


class NotLoaded(Exception):
    """There is no application there: why, in one line."""


def load(plan: Plan) -> Any:
    """Import it, call it where it is a factory. Raises NotLoaded."""
    try:
        module = importlib.import_module(plan.module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{plan.module}.".startswith(f"{error.name}."):
            raise NotLoaded(
                f"there is no module {plan.module} in {plan.folder}: give package.module:app or "
                "path/to/file.py:app"
            ) from None
        raise NotLoaded(_failed(plan, error)) from error
    except (Exception, SystemExit) as error:  # foreign code, and what it raises
        raise NotLoaded(_failed(plan, error)) from error
    names = _NAMES if plan.attribute is None else (plan.attribute.removesuffix("()"),)
    for name in names:
        if (found := getattr(module, name, None)) is not None:
            return _made(plan, name, found)
    raise NotLoaded(f"{plan.module} has no {' or '.join(names)}: name it, as in {plan.module}:app")


def _made(plan: Plan, name: str, found: Any) -> Any:
    if not _is_factory(found):
        return found
    try:
        return found()
    except (Exception, SystemExit) as error:  # as above
        raise NotLoaded(f"{plan.module}:{name}() failed: {_last_line(error)}") from error


def _is_factory(found: Any) -> bool:
    """A function that can be called with nothing. An application is called with something."""
    if not inspect.isfunction(found):
        return False
    return all(
        parameter.default is not parameter.empty
        or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        for parameter in inspect.signature(found).parameters.values()
    )


def _failed(plan: Plan, error: BaseException) -> str:
    own = [
        f"{frame.filename.removeprefix(plan.folder + '/')}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(plan.folder)
    ]
    at = f" ({own[-1]})" if own else ""
    return f"importing {plan.module} failed: {_last_line(error)}{at}"


def _last_line(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()


def kind_of(app: Any) -> Kind | None:
    """Which of the two protocols it speaks; None: neither."""
    if hasattr(app, "wsgi_app"):  # Flask, whatever its call looks like
        return "wsgi"
    if not callable(app):
        return None
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__):
        return "asgi"
    try:
        taken = [
            parameter
            for parameter in inspect.signature(app).parameters.values()
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        return None
    kinds: dict[int, Kind] = {2: "wsgi", 3: "asgi"}
    return kinds.get(len(taken))


def routes(app: Any) -> tuple[list[str], list[str]]:
    """Paths that sound like a voice webhook, and those of WebSockets; the likeliest first. Only
    what Flask and Starlette tell of themselves. A POST to any other route might do something."""
    url_map = getattr(app, "url_map", None)
    found = list(_flask(url_map) if url_map is not None else _starlette(app, ""))
    fixed = [(path, socket) for path, socket in found if "<" not in path]
    webhooks = [path for path, socket in fixed if not socket and _VOICE.search(path.lower())]
    sockets = [path for path, socket in fixed if socket]
    # The shorter one is the application's own, the longer one of something mounted into it.
    return (
        sorted(webhooks, key=len),
        sorted(sockets, key=lambda path: (_MEDIA.search(path.lower()) is None, len(path))),
    )


def _flask(url_map: Any) -> Iterable[tuple[str, bool]]:
    for rule in url_map.iter_rules():
        if getattr(rule, "websocket", False):
            yield rule.rule, True
        elif "POST" in (rule.methods or ()):
            yield rule.rule, False


def _starlette(app: Any, prefix: str) -> Iterable[tuple[str, bool]]:
    for route in getattr(app, "routes", None) or ():
        path = prefix + getattr(route, "path", "").replace("{", "<")
        if "WebSocket" in type(route).__name__:
            yield path, True
        elif getattr(route, "methods", None) is not None:
            if "POST" in route.methods:
                yield path, False
        else:
            yield from _starlette(route, path)


def own_files(owns: Any) -> list[str]:
    """The files of the application's own modules."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return sorted(file for file in files if isinstance(file, str) and owns(file))
