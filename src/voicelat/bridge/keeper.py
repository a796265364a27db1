"""The keeper of an engine: starts it, hears its news, starts it again when it dies."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from voicelat.bridge.frames import Kind, frames_from
from voicelat.bridge.launch import END_S, Engine, Place, launch
from voicelat.errors import ConnectError, UsageError
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.turnsfile import decode

__all__ = ["Keeper"]

_LOG = logging.getLogger("voicelat.bridge")

AGAIN_S: Final = (0.0, 1.0, 5.0, 30.0)
"""The waits before an engine is started again that died before it had been well for a while."""
WELL_S: Final = 60.0


class Keeper:
    """Keeps one engine alive from `start` to `close`, on a thread of its own."""

    def __init__(
        self,
        place: Place,
        settings: Mapping[str, str],
        on_turn: Callable[[TurnRecord], None] | None,
    ) -> None:
        self._place = place
        self._on_turn = on_turn
        hello = {"settings": settings, "path": [*map(str, sys.path)], "turns": on_turn is not None}
        self._hello = msgspec.json.encode(hello)
        self._changed = threading.Condition()
        self._engine: Engine | None = None
        self._ready = False
        self._closed = False
        self._hopeless: str | None = None
        """Why it is not started again."""
        self._failure: str | None = None
        """Why the last engine never took calls. It is tried again all the same."""
        self._thread = threading.Thread(target=self._keep, name="voicelat-keeper", daemon=True)

    def start(self) -> None:
        """Begin: `wait_ready` says when, and whether, there is an engine."""
        self._thread.start()

    def wait_ready(self, timeout_s: float) -> None:
        """Until the engine takes calls. Raises UsageError when it never will with these settings,
        ConnectError when it does not now, or not in time."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ready or self._hopeless or self._failure, timeout_s
            )
            if self._hopeless is not None:
                raise UsageError(self._hopeless)
            if not self._ready:
                raise ConnectError(
                    self._failure or "the engine was not ready in time, and did not say why"
                )

    def connect(self, timeout_s: float) -> socket.socket:
        """A connection to the engine, once it takes calls. Raises what `wait_ready` raises."""
        until_s = time.monotonic() + timeout_s
        while True:
            self.wait_ready(max(0.0, until_s - time.monotonic()))
            engine = self._engine
            try:
                if engine is not None:
                    return engine.connect()
            except OSError:
                pass
            with self._changed:
                if self._engine is engine:  # it has just died, and the news is not here yet
                    self._ready = False

    @property
    def engine_pid(self) -> int | None:
        """Of the engine's process; None when there is none just now, or it is a thread."""
        engine = self._engine
        return engine.pid if engine is not None else None

    def close(self) -> None:
        """End the engine."""
        with self._changed:
            self._closed = True
            engine = self._engine
            self._changed.notify_all()
        if engine is not None:
            engine.stop()
        self._thread.join(END_S)

    def forget(self) -> None:
        """After a fork: the engine is the parent's, and must not be kept alive by our copies."""
        if self._engine is not None:
            self._engine.forget()

    def _keep(self) -> None:
        died = 0
        while not self._closed:
            began_s = time.monotonic()
            was_ready, why = self._run_one()
            with self._changed:
                self._failure = None if was_ready else why
                self._ready, self._engine = False, None
                self._changed.notify_all()
                if self._closed or self._hopeless is not None:
                    return
                died = 0 if time.monotonic() - began_s > WELL_S else died
                wait_s = AGAIN_S[min(died, len(AGAIN_S) - 1)]
                _LOG.error("the engine ended, and is started again: %s", why)
                self._changed.wait_for(lambda: self._closed, wait_s)
            died += 1

    def _run_one(self) -> tuple[bool, str]:
        """One engine from start to end. Returns whether it took calls, and why it ended."""
        try:
            engine = launch(self._place, self._hello)
        except OSError as error:
            return False, f"it cannot be started: {error.strerror}"
        with self._changed:
            self._engine = engine
            if self._closed:  # since we looked
                engine.stop()
        was_ready, said = self._hear(engine)
        how = engine.end()
        return was_ready, said or how

    def _hear(self, engine: Engine) -> tuple[bool, str | None]:
        """Its news, until it has no more. Returns whether it took calls, and its last word, None
        if it had none."""
        was_ready, last_word = False, None
        for kind, body in frames_from(engine.news):
            if kind is Kind.TURN:
                self._pass_on(body)
                continue
            with self._changed:
                if kind is Kind.READY:
                    self._ready = was_ready = True
                    self._failure = None
                elif kind is Kind.FAILED:
                    self._hopeless = body.decode()
                else:
                    last_word = body.decode()
                self._changed.notify_all()
        return was_ready, last_word

    def _pass_on(self, line: bytes) -> None:
        record = decode(line, call_id="", turn=0)
        if record is None or self._on_turn is None:
            return
        try:
            self._on_turn(record)
        except Exception:  # noqa: BLE001 - foreign code: its bug must not cost us the engine
            _LOG.exception("on_turn failed")
