"""What one log record costs the thread that logs it: queued, to a file, to a file with fsync."""

from __future__ import annotations

import argparse
import json
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


def figures(costs: list[float]) -> dict[str, float]:
    """P50, P99 and the worst."""
    p99 = statistics.quantiles(costs, n=100)[98]
    return {"p50_us": statistics.median(costs), "p99_us": p99, "max_us": max(costs)}


def measure() -> dict[str, dict[str, float]]:
    """Figures by where the records go."""
    found: dict[str, dict[str, float]] = {}
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
            found[name] = figures(costs_us(logger, records))
            queue = start_async_logs(True, 250, logger=logger)
            found[f"queue, then {name}"] = figures(costs_us(logger, records))
            queue.stop()
            found[f"queue, then {name}"]["dropped"] = queue.dropped
            handler.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="What a log record costs.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure()
    if options.json:
        print(json.dumps(found))
        return
    for name, told in found.items():
        p50, p99, worst = told["p50_us"], told["p99_us"], told["max_us"]
        dropped = f"   dropped {told['dropped']:.0f}" if "dropped" in told else ""
        print(f"{name:<28} P50 {p50:7.1f} us   P99 {p99:7.1f} us   max {worst:8.1f} us{dropped}")


if __name__ == "__main__":
    main()
