"""Logs are queued, written in order by a thread, dropped and counted when the queue is full."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from voicelat.engine.logs import FRAMES, LogQueue, show_frames, start_async_logs

NEVER_MS = 3_600_000


class Shelf(logging.Handler):
    """Keeps what it is given; `gate` closed, it stalls like a full disk or a dead network."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.written = threading.Event()
        self.stalled = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def emit(self, record: logging.LogRecord) -> None:
        self.stalled.set()
        self.gate.wait()
        self.lines.append(self.format(record))
        self.written.set()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def logger(shelf: Shelf, request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    logger = logging.getLogger(f"tests.logs.{request.node.name}")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logger.addHandler(shelf)
    yield logger
    shelf.gate.set()
    for handler in logger.handlers:
        if isinstance(handler, LogQueue):
            handler.stop()


def test_nothing_is_written_in_the_callers_thread(logger: logging.Logger, shelf: Shelf) -> None:
    queue = start_async_logs(True, NEVER_MS, logger=logger)
    logger.info("turn %d", 1)
    assert shelf.lines == []
    queue.stop()
    assert shelf.lines == ["turn 1"]


def test_the_thread_writes_without_being_told(logger: logging.Logger, shelf: Shelf) -> None:
    start_async_logs(True, 1, logger=logger)
    logger.info("written after one flush interval")
    assert shelf.written.wait(10)


def test_stop_keeps_the_order_and_gives_the_handlers_their_place_back(
    logger: logging.Logger, shelf: Shelf
) -> None:
    queue = start_async_logs(True, NEVER_MS, logger=logger)
    for n in range(100):
        logger.info("%d", n)
    queue.stop()
    queue.stop()
    logger.info("direct")
    assert shelf.lines == [*map(str, range(100)), "direct"]
    assert queue.dropped == 0


def test_a_full_queue_drops_counts_and_says_so(logger: logging.Logger, shelf: Shelf) -> None:
    queue = start_async_logs(True, NEVER_MS, queue_size=3, logger=logger)
    for n in range(5):
        logger.info("%d", n)
    assert queue.dropped == 2
    queue.stop()
    assert shelf.lines == ["0", "1", "2", "2 log records dropped: the queue of 3 was full"]


def test_a_stalled_handler_does_not_hold_up_the_caller(
    logger: logging.Logger, shelf: Shelf
) -> None:
    shelf.gate.clear()
    queue = start_async_logs(True, 1, queue_size=10, logger=logger)
    logger.info("stalls the thread")
    assert shelf.stalled.wait(10)
    for n in range(15):
        logger.info("%d", n)
    assert queue.dropped == 5
    shelf.gate.set()
    queue.stop()
    assert "9" in shelf.lines


def test_stop_gives_up_on_a_handler_that_stalls_for_ever(
    logger: logging.Logger, shelf: Shelf
) -> None:
    shelf.gate.clear()
    queue = start_async_logs(True, 1, logger=logger)
    logger.info("stalls the thread")
    assert shelf.stalled.wait(10)
    logger.info("never written")
    queue.stop(wait_s=0.01)
    assert queue.dropped == 1


def test_arguments_and_tracebacks_are_taken_as_they_were(
    logger: logging.Logger, shelf: Shelf
) -> None:
    queue = start_async_logs(True, NEVER_MS, logger=logger)
    words = ["one"]
    try:
        raise ValueError("the cause")
    except ValueError:
        logger.exception("heard %s", words)
    words.append("two")
    queue.stop()
    (line,) = shelf.lines
    assert line.startswith("heard ['one']\nTraceback")
    assert line.endswith("ValueError: the cause")


def test_a_handlers_own_level_still_counts(logger: logging.Logger, shelf: Shelf) -> None:
    shelf.setLevel(logging.WARNING)
    queue = start_async_logs(True, NEVER_MS, logger=logger)
    logger.info("too quiet")
    logger.warning("loud enough")
    queue.stop()
    assert shelf.lines == ["loud enough"]


def test_filters_of_the_queue_count(logger: logging.Logger, shelf: Shelf) -> None:
    queue = start_async_logs(True, NEVER_MS, logger=logger)
    queue.addFilter(lambda record: "secret" not in record.getMessage())
    logger.info("a secret")
    logger.info("a word")
    queue.stop()
    assert shelf.lines == ["a word"]


def test_disabled_leaves_the_handlers_where_they_are(logger: logging.Logger, shelf: Shelf) -> None:
    queue = start_async_logs(False, NEVER_MS, logger=logger)
    logger.info("direct")
    assert shelf.lines == ["direct"]
    queue.stop()
    assert shelf in logger.handlers
    assert queue not in logger.handlers


def test_a_program_that_ends_without_stop_loses_nothing() -> None:
    program = (
        "import logging; from voicelat.engine.logs import start_async_logs\n"
        f"start_async_logs(True, {NEVER_MS}); logging.warning('last words')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stderr == "last words\n"


@pytest.mark.parametrize(("wanted", "lines"), [(False, []), (True, ["frame 7"])])
def test_frames_are_logged_only_when_asked_for(
    wanted: bool, lines: list[str], shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    frames = logging.getLogger(FRAMES)
    frames.addHandler(shelf)
    with caplog.at_level(logging.DEBUG):
        show_frames(wanted)
        frames.debug("frame %d", 7)
    show_frames(False)
    frames.removeHandler(shelf)
    assert shelf.lines == lines
