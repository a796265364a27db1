"""The last look: what is loaded, switched on and configured once calls have been placed."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from typing import Any, Final

from voicelat.doctor.probe.load import own_files
from voicelat.doctor.probe.originals import monotonic
from voicelat.doctor.probe.wrappers import Watch

__all__ = ["debug_switches", "look", "mark_handlers"]

_ENOUGH: Final = 30
_MARKED: Final = 50
_ACCESS: Final = ("uvicorn.access", "gunicorn.access", "werkzeug")
_TRUE: Final = ("1", "true", "yes", "on")


def mark_handlers(watch: Watch, since_s: float) -> None:
    """Time handlers that saw too few records, with at most 50 marked ones each. On the thread
    where the application may take its locks."""
    logging: Any = sys.modules.get("logging")
    if logging is None:
        return
    for handler in _handlers(logging):
        known = watch.handled_by(handler)
        if known is not None and sum(at > since_s for at in known.at_s) >= _ENOUGH:
            continue
        for number in range(1, _MARKED + 1):
            record = logging.LogRecord(
                "voicelat.doctor",
                logging.INFO,
                __file__,
                0,
                "voicelat doctor times this log handler: record %d of %d",
                (number, _MARKED),
                None,
            )
            if record.levelno < handler.level:
                break
            began_s = monotonic()
            handler.handle(record)
            took_ms = (monotonic() - began_s) * 1000
            watch.handled(handler, began_s, took_ms).marked += 1


def _handlers(logging: Any) -> Iterable[Any]:
    """Of all loggers, each once; those that throw away or hand over to `logging.lastResort`
    are none."""
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    found = {
        id(handler): handler for logger in loggers for handler in getattr(logger, "handlers", ())
    }
    return [one for one in found.values() if not isinstance(one, logging.NullHandler)]


def look(watch: Watch, app: Any) -> None:
    """Fill in what can be read once, at the end."""
    seen = watch.seen
    seen.modules = sorted({name.split(".")[0] for name in sys.modules})
    seen.own_files = own_files(watch.owner.owns)
    seen.objects = len(gc.get_objects())
    seen.debug = debug_switches(app)
    seen.access_logs = _access_logs()
    seen.green.grpc = "grpc._cython.cygrpc" in sys.modules
    if seen.green.by is not None:
        from importlib import metadata

        seen.green.version = metadata.version(seen.green.by)


def debug_switches(app: Any) -> list[str]:
    """What is on that should not be, in a server that takes calls."""
    import os

    found: list[str] = []
    if getattr(app, "debug", False) is True:
        found.append("app.debug is True")
    config = getattr(app, "config", None)
    if isinstance(config, dict):
        found += [
            f"app.config[{name!r}] is {config[name]!r}"
            for name in ("TEMPLATES_AUTO_RELOAD", "EXPLAIN_TEMPLATE_LOADING")
            if config.get(name)
        ]
    for name in ("FLASK_DEBUG", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE"):
        if os.environ.get(name, "").lower() in _TRUE:
            found.append(f"{name}={os.environ[name]}")
    return found


def _access_logs() -> list[str]:
    logging: Any = sys.modules.get("logging")
    if logging is None:
        return []
    from logging.handlers import QueueHandler

    found: list[str] = []
    for name in _ACCESS:
        logger = logging.Logger.manager.loggerDict.get(name)
        if not isinstance(logger, logging.Logger) or logger.disabled:
            continue
        if logger.getEffectiveLevel() > logging.INFO:
            continue
        sinks = [
            type(handler).__name__
            for handler in _reached(logger)
            if handler.level <= logging.INFO
            and not isinstance(handler, QueueHandler | logging.NullHandler)
            # Werkzeug's own, which our server has it make.
            and not type(handler).__module__.startswith("werkzeug.")
        ]
        if sinks:
            found.append(f"{name} at INFO into {', '.join(sinks)}")
    return found


def _reached(logger: Any) -> Iterable[Any]:
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None
