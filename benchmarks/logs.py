"""What one log record costs the thread that logs it: queued, to a file, to a file with fsync."""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
import time
from pathlib import Path

from voicelat.engine.logs import start_async_logs


class SyncedFile(logging.FileHandler):
    """A file handler whose every record is on the disk before it returns."""

    def flush(self) -> None:
        super().flush()
        if self.stream:
            os.fsync(self.stream.fileno())


def costs_us(logger: logging.Logger, records: int) -> list[float]:
    """Microseconds each of ``records`` calls took."""
    costs = []
    for n in range(records):
        start_ns = time.perf_counter_ns()
        logger.info("turn %d of call %s took %d ms", n, "CA0123456789", 412)
        costs.append((time.perf_counter_ns() - start_ns) / 1000)
    return costs


def show(name: str, costs: list[float]) -> None:
    p50, p99 = statistics.median(costs), statistics.quantiles(costs, n=100)[98]
    print(f"{name:<28} P50 {p50:8.1f} us   P99 {p99:8.1f} us   max {max(costs):9.1f} us")


def main() -> None:
    logger = logging.getLogger("benchmark")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        for name, handler, records in (
            ("file", logging.FileHandler(path), 5000),
            ("file with fsync", SyncedFile(path), 500),
        ):
            logger.handlers = [handler]
            show(name, costs_us(logger, records))
            queue = start_async_logs(True, 250, logger=logger)
            show(f"queue, then {name}", costs_us(logger, records))
            queue.stop()
            handler.close()
            print(f"{'':<28} dropped {queue.dropped}")


if __name__ == "__main__":
    main()
