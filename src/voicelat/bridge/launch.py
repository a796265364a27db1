"""Starting an engine, in a thread of this process or in a process of its own."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from contextlib import nullcontext
from typing import Final, Literal, Protocol

from voicelat.bridge.frames import Kind, frame

__all__ = ["END_S", "Engine", "Place", "launch"]

Place = Literal["thread", "process"]

END_S: Final = 10.0
"""How long an engine that was told to end may take over it: its turns are written within 2 s."""


class _Running(Protocol):
    """What was started."""

    @property
    def pid(self) -> int | None:
        """Of its process; None when it is in a thread of ours."""
        ...

    def end(self) -> str:
        """Wait until it has ended, not for ever. Returns how it ended, in words."""
        ...


class Engine:
    """An engine that was started; the worker's ends of the two socket pairs that join it."""

    def __init__(self, orders: socket.socket, news: socket.socket, running: _Running) -> None:
        self._orders = orders
        self._running = running
        self._handing = threading.Lock()
        self.news = news
        self.pid = running.pid
        """Of its process; None when it is in a thread of this one."""

    def connect(self) -> socket.socket:
        """A new connection to it. Raises OSError when it has ended."""
        ours, its = socket.socketpair()
        try:
            with self._handing:
                socket.send_fds(self._orders, [b"!"], [its.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            its.close()
        return ours

    def stop(self) -> None:
        """Tell it to end; `news` ends when it has. Safe to call twice."""
        with contextlib.suppress(OSError):
            self._orders.shutdown(socket.SHUT_RDWR)

    def end(self) -> str:
        """Have it end. Returns how it ended, in words."""
        self.stop()
        how = self._running.end()
        self.forget()
        return how

    def forget(self) -> None:
        """Close our ends, without a word: after a fork it is the parent's."""
        self._orders.close()
        self.news.close()


def launch(place: Place, hello: bytes) -> Engine:
    """Start an engine with these settings (`voicelat.bridge.engine.Hello` as JSON)."""
    orders, its_orders = socket.socketpair()
    news, its_news = socket.socketpair()
    start = _in_thread if place == "thread" else _in_process
    engine = Engine(orders, news, start(its_orders, its_news))
    with contextlib.suppress(OSError):  # it has ended already: `news` will say so
        orders.sendall(frame(Kind.HELLO, hello))
    return engine


class _Thread:
    """See `_Running`."""

    pid = None

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    def end(self) -> str:
        self._thread.join(END_S)
        return "its thread is stuck" if self._thread.is_alive() else "its thread ended"


def _in_thread(orders: socket.socket, news: socket.socket) -> _Running:
    from voicelat.bridge.engine import run

    # The server that we are in has its own logs; ours go there.
    arguments = (orders, news, lambda _settings: nullcontext())
    thread = threading.Thread(target=run, args=arguments, name="voicelat-engine", daemon=True)
    thread.start()
    return _Thread(thread)


class _Process:
    """See `_Running`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def end(self) -> str:
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _in_process(orders: socket.socket, news: socket.socket) -> _Running:
    ends = (orders.fileno(), news.fileno())
    # A session of its own: Ctrl-C is for the server, and the engine ends when its worker does.
    process = subprocess.Popen(
        [sys.executable, "-m", "voicelat.bridge", *map(str, ends)],
        stdin=subprocess.DEVNULL,
        stdout=2,  # what a provider prints is no part of the server's output
        pass_fds=ends,
        start_new_session=True,
    )
    orders.close()
    news.close()
    return _Process(process)
