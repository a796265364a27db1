"""The child: imports the application, serves it, reports."""

from __future__ import annotations

import os
import sys
from typing import Any, Final, NoReturn

from voicelat.doctor.probe.beat import Beat
from voicelat.doctor.probe.load import Kind, NotLoaded, kind_of, load, routes
from voicelat.doctor.probe.originals import get_ident, monotonic, start_new_thread
from voicelat.doctor.probe.place import Owner
from voicelat.doctor.probe.report import look, mark_handlers
from voicelat.doctor.probe.seen import Failed, Plan, Seen, Serving
from voicelat.doctor.probe.wire import Wire
from voicelat.doctor.probe.wrappers import Watch

__all__ = ["Child"]

_MARKING_S: Final = 10.0


class Child:
    """One application in one process, watched."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.wire = Wire(plan.wire)
        self.seen = Seen()
        self.watch = Watch(self.seen, Owner(plan.folder))
        self.beat = Beat(self.watch)
        self.app: Any = None
        self._serving_since_s = 0.0
        self._answering_pid: int | None = None

    def load(self, *, before_fork: bool = False) -> Kind:
        """Import the application. What it is; ends the process when it is nothing.
        ``before_fork``: another process will serve it, and talk to the doctor."""
        if not before_fork:
            self._start_answering()
        self.watch.loading()
        began_s = monotonic()
        try:
            self.app = load(self.plan)
        except NotLoaded as error:
            self.fail(str(error))
        self.seen.import_ms = (monotonic() - began_s) * 1000
        kind = kind_of(self.app)
        if kind is None:
            self.fail(
                f"{self.plan.module}:{self.plan.attribute or 'app'} is a "
                f"{type(self.app).__name__}, no application: give one that speaks ASGI or WSGI"
            )
        return kind

    def fail(self, why: str) -> NoReturn:
        """Say why, and end."""
        self.wire.say(Failed(why))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)

    def serving(self, server: str) -> None:
        """It takes calls from now on, in this process: watch it, and answer the doctor."""
        self.beat.start()
        webhooks, sockets = routes(self.app)
        self._serving_since_s = monotonic()
        self.wire.say(Serving(server=server, webhooks=webhooks, sockets=sockets))
        self._start_answering()

    def _start_answering(self) -> None:
        if self._answering_pid != os.getpid():
            self._answering_pid = os.getpid()
            start_new_thread(self._answer, ())

    def _answer(self) -> None:
        """On a thread of the operating system: the last word must come through, whatever the
        application does to its own."""
        self.watch.quiet.add(get_ident())
        self.wire.wait()
        self.beat.run(self._mark, _MARKING_S)
        look(self.watch, self.app)
        self.wire.say(self.seen)
        self.wire.wait()

    def _mark(self) -> None:
        mark_handlers(self.watch, self._serving_since_s)
