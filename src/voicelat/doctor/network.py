"""The way to a service, measured: names, round trips, TLS, and the other side's clock."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from statistics import median
from typing import Final

from voicelat.doctor.catalog import fault, ok, skipped
from voicelat.doctor.result import CheckResult
from voicelat.doctor.services import Service
from voicelat.metrics.durations import duration

__all__ = ["Offset", "Trip", "clock_offset", "judged_clock", "judged_trips", "resolve_ms", "trip"]

_TRIES: Final = 5
_PATIENCE_S: Final = 5.0
_FAR_MS: Final = 60.0
"""Beyond a continent's width, and three of them are a turn's total target of a person's gap."""
_SLOW_DNS_MS: Final = 50.0
_OFF_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Trip:
    """The way to one service. None: it was not reached, and ``failed`` says why."""

    service: Service
    connect_ms: float | None
    """TCP connect, P50: one round trip."""
    tls_ms: float | None = None
    """The TLS handshake behind it, P50. None also without TLS."""
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Offset:
    """How far this machine's clock is ahead of another's; exact to ``within_s``."""

    ahead_s: float
    within_s: float


async def trip(service: Service, tries: int = _TRIES) -> Trip:
    """Connect some times, one after the other."""
    connects: list[float] = []
    handshakes: list[float] = []
    try:
        async with asyncio.timeout(_PATIENCE_S * tries):
            for _ in range(tries):
                connect_ms, tls_ms = await _once(service)
                connects.append(connect_ms)
                handshakes += [] if tls_ms is None else [tls_ms]
    except TimeoutError:
        return Trip(service, None, failed=f"no answer within {_PATIENCE_S:g} s")
    except OSError as error:
        return Trip(service, None, failed=str(error) or type(error).__name__)
    return Trip(service, median(connects), median(handshakes) if handshakes else None)


async def _once(service: Service) -> tuple[float, float | None]:
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    _, writer = await asyncio.open_connection(service.host, service.port)
    connect_ms = (loop.time() - begun_s) * 1000
    try:
        if not service.tls:
            return connect_ms, None
        begun_s = loop.time()
        await writer.start_tls(ssl.create_default_context(), server_hostname=service.host)
        return connect_ms, (loop.time() - begun_s) * 1000
    finally:
        writer.transport.abort()


def judged_trips(trips: Sequence[Trip]) -> Iterator[CheckResult]:
    """One result for each service."""
    known = [one.connect_ms for one in trips if one.connect_ms is not None]
    nearest = min(known, default=0.0)
    for one in trips:
        name = f"{one.service.name} ({one.service.address})"
        if one.connect_ms is None:
            yield skipped("round-trip", f"{name} cannot be reached: {one.failed}")
            continue
        tls = "" if one.tls_ms is None else f", TLS {duration(one.tls_ms)}"
        evidence = f"{name}: TCP connect {one.connect_ms:.1f} ms{tls}, P50 of {_TRIES}"
        if one.connect_ms <= _FAR_MS:
            yield ok("round-trip", f"{one.service.name} is near", evidence)
            continue
        other = ""
        if len(known) > 1 and one.connect_ms - nearest > _FAR_MS:
            other = f", in another region than the nearest one ({duration(nearest)})"
        what = f"{one.service.name} is {duration(one.connect_ms)} away{other}"
        yield fault("round-trip", what, evidence)


async def resolve_ms(host: str, tries: int = _TRIES) -> list[float]:
    """How long ``host`` takes to resolve, each time. Raises OSError."""
    loop = asyncio.get_running_loop()
    took: list[float] = []
    for _ in range(tries):
        begun_s = loop.time()
        await loop.getaddrinfo(host, None)
        took.append((loop.time() - begun_s) * 1000)
    return took


def judged_dns(host: str, took: Sequence[float]) -> CheckResult:
    """Whether that is long."""
    typical = median(took)
    evidence = f"{host}: {typical:.1f} ms, P50 of {len(took)}; the first {took[0]:.1f} ms"
    if typical > _SLOW_DNS_MS:
        return fault("dns", f"{host} takes {duration(typical)} to resolve, every time", evidence)
    return ok("dns", "names resolve quickly", evidence)


def clock_offset(
    service: Service, now_s: Callable[[], float] = time.time, path: str = "/"
) -> Offset | None:
    """Against the Date header of an answer, whatever it is. None: it has none. Blocks; raises
    OSError and http.client.HTTPException."""
    make = http.client.HTTPSConnection if service.tls else http.client.HTTPConnection
    connection = make(service.host, service.port, timeout=_PATIENCE_S)
    try:
        connection.connect()
        begun_s = now_s()
        connection.request("HEAD", path)
        date = connection.getresponse().getheader("date")
        ended_s = now_s()
    finally:
        connection.close()
    return offset_of(date, begun_s, ended_s)


def offset_of(date: str | None, begun_s: float, ended_s: float) -> Offset | None:
    """What a Date header between two moments says. It counts whole seconds, cut off."""
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=UTC)
    trip_s = max(0.0, ended_s - begun_s)
    return Offset((begun_s + ended_s) / 2 - (theirs.timestamp() + 0.5), trip_s / 2 + 0.5)


def judged_clock(name: str, offset: Offset | None) -> CheckResult:
    """Whether the two clocks are too far apart, whatever the uncertainty."""
    if offset is None:
        return skipped("wall-clock", f"{name} does not tell its time")
    evidence = f"{offset.ahead_s:+.1f} s against {name}, exact to {offset.within_s:.1f} s"
    if abs(offset.ahead_s) - offset.within_s > _OFF_S:
        word = "ahead of" if offset.ahead_s > 0 else "behind"
        what = f"this machine's clock is {abs(offset.ahead_s):.0f} s {word} that of {name}"
        return fault("wall-clock", what, evidence)
    return ok("wall-clock", "the clocks agree", evidence)
