"""How evenly sockets are spread over workers, by the server and by the kernel alone.

    python benchmarks/workers.py [--workers 2] [--sockets 60] [--rounds 6] [--json]

Starts ``voicelat serve --workers`` on loopback and opens media sockets, in bursts and one by one by
turns; then does the same to listening sockets that share a port with SO_REUSEPORT. Also: how long
the server takes until it is ready, and a socket until it is open.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import sys
import time
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack, ExitStack

import psutil
from websockets.asyncio.client import connect

SERVE = (
    *(sys.executable, "-m", "voicelat", "serve", "--json", "--port", "0", "--profile", "instant"),
    *("--set", "TURNS_FILE=", "--set", "LOG_LEVEL=ERROR"),
)


async def spread(workers: int, sockets: int, rounds: int) -> dict[str, object]:
    """What the server does with them."""
    began = time.monotonic()
    server = await asyncio.create_subprocess_exec(*SERVE, "--workers", str(workers), stdout=PIPE)
    assert server.stdout is not None
    ready = json.loads(await server.stdout.readline())
    ready_s = time.monotonic() - began
    port = int(ready["url"].rsplit(":", 1)[1])
    shares: list[list[int]] = []
    open_ms: list[float] = []

    async def open_one(stack: AsyncExitStack) -> None:
        start_s = time.perf_counter()
        url = f"ws://127.0.0.1:{port}/media"
        await stack.enter_async_context(connect(url, compression=None, proxy=None))
        open_ms.append((time.perf_counter() - start_s) * 1000)

    for number in range(rounds):
        async with AsyncExitStack() as stack:
            if number % 2:
                open_ms.clear()
                for _ in range(sockets):
                    await open_one(stack)
            else:
                await asyncio.gather(*(open_one(stack) for _ in range(sockets)))
            shares.append([at_port(pid, port) for pid in ready.get("workers", [server.pid])])
        await asyncio.sleep(0.3)
    server.terminate()
    await server.wait()
    return {
        "ready_s": round(ready_s, 1),
        "shares": shares,
        "open_ms_p50": round(statistics.median(open_ms), 1),
    }


def at_port(pid: int, port: int) -> int:
    """Connections of a process that came in at a port."""
    connections = psutil.Process(pid).net_connections("tcp")
    return sum(one.status == "ESTABLISHED" and one.laddr.port == port for one in connections)


def reuse_port(workers: int, sockets: int) -> list[int]:
    """How many connections the kernel gives to each of several sockets on one port."""
    with ExitStack() as stack:
        listeners: list[socket.socket] = []
        for _ in range(workers):
            port = listeners[0].getsockname()[1] if listeners else 0
            listener = socket.create_server(("127.0.0.1", port), backlog=sockets, reuse_port=True)
            listener.setblocking(False)
            listeners.append(stack.enter_context(listener))
        for _ in range(sockets):
            stack.enter_context(socket.create_connection(listeners[0].getsockname()))
        return [waiting(listener) for listener in listeners]


def waiting(listener: socket.socket) -> int:
    """Connections that wait at a listening socket."""
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sockets", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    figures = asyncio.run(spread(options.workers, options.sockets, options.rounds))
    figures["kernel"] = [
        reuse_port(options.workers, options.sockets) for _ in range(options.rounds)
    ]
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{options.workers} workers, ready after {figures['ready_s']} s")
    print(f"a socket is open after {figures['open_ms_p50']} ms (P50, one by one)")
    print(f"{options.sockets} sockets over workers: {figures['shares']}")
    print(f"the same by SO_REUSEPORT:    {figures['kernel']}")


if __name__ == "__main__":
    main()
