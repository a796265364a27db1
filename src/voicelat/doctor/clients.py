"""The HTTP clients inside providers: how long they keep connections, wait and retry.

Found by walking what a provider holds. Vendors' clients are known by the shape they share (httpx,
httpx2, openai, aiohttp, requests), so that none of them must be installed to look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from voicelat.doctor.catalog import fault, ok, skipped
from voicelat.doctor.result import CheckResult
from voicelat.doctor.services import roles
from voicelat.errors import VoicelatError
from voicelat.providers import registry
from voicelat.providers.registry import ProviderOptions
from voicelat.settings import Settings
from voicelat.settings.wiring import provider_options

__all__ = ["Client", "clients_in", "http_clients", "judged_clients"]

_DEPTH: Final = 4
_LEAST_IDLE_S: Final = 60.0
"""Callers think for longer than 5 s; for a minute, seldom."""
_MOST_WAIT_S: Final = 30.0
"""The caller has hung up by then."""


@dataclass(frozen=True, slots=True)
class Client:
    """What one client does. None: without limit."""

    kind: str
    """Its class."""
    keep_idle_s: float | None
    wait_s: float | None
    retries: int = 0
    blocking: bool = False


def clients_in(holder: object) -> list[Client]:
    """Every client that is held by ``holder``, at most four attributes away."""
    return list(_walk(holder, _DEPTH, set()))


def _walk(thing: object, depth: int, seen: set[int]) -> Iterator[Client]:
    if id(thing) in seen or isinstance(thing, str | bytes | int | float | type):
        return
    seen.add(id(thing))
    found = _client(thing)
    if found is not None:
        yield found
        return
    if depth:
        for inner in _held(thing):
            yield from _walk(inner, depth - 1, seen)


def _held(thing: object) -> list[Any]:
    """Attributes, slots and members."""
    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, list | tuple | set):
        return list(thing)
    slots = [
        getattr(thing, name)
        for kind in type(thing).__mro__
        for name in getattr(kind, "__slots__", ())
        if isinstance(name, str) and hasattr(thing, name)
    ]
    return [*vars(thing).values(), *slots] if hasattr(thing, "__dict__") else slots


def _client(thing: Any) -> Client | None:
    """What it is, when it is one."""
    module, kind = type(thing).__module__.partition(".")[0], type(thing).__name__
    bases = {base.__name__ for base in type(thing).__mro__}
    if module == "openai" and hasattr(thing, "max_retries") and hasattr(thing, "_client"):
        inner = _httpx(thing._client, kind)
        return Client(
            kind, inner.keep_idle_s, _seconds(thing.timeout), thing.max_retries, inner.blocking
        )
    if bases & {"AsyncClient", "Client"} and hasattr(thing, "_transport"):
        return _httpx(thing, kind)
    if "ClientSession" in bases and module == "aiohttp":
        keep_s = getattr(thing.connector, "_keepalive_timeout", None)
        return Client(kind, keep_s, getattr(thing.timeout, "total", None))
    if module == "requests" and kind == "Session":
        return Client(kind, None, None, blocking=True)
    return None


def _httpx(thing: Any, kind: str) -> Client:
    pool = getattr(getattr(thing, "_transport", None), "_pool", None)
    keep_s = getattr(pool, "_keepalive_expiry", None)
    blocking = not hasattr(thing, "aclose")
    return Client(kind, keep_s, _seconds(getattr(thing, "timeout", None)), blocking=blocking)


def _seconds(timeout: Any) -> float | None:
    """The longest wait for the next bytes: httpx's ``read``, or a plain number."""
    read = getattr(timeout, "read", timeout)
    return float(read) if isinstance(read, int | float) else None


async def http_clients(settings: Settings) -> list[CheckResult]:
    """Make each provider in the network as the server would, and look."""
    found: list[CheckResult] = []
    options = provider_options(settings)
    make: dict[str, Callable[[str, ProviderOptions], Any]] = {
        "stt": registry.speech_to_text,
        "llm": registry.language_model,
        "tts": registry.text_to_speech,
        "fallback": registry.transcriber,
    }
    for role, name in roles(settings).items():
        if name.split(":")[0] in ("local", "simulated", "none", "google"):
            continue
        try:
            provider = make[role](name, options)
        except VoicelatError as error:
            found.append(skipped("http-clients", f"the {role} cannot be made: {error}"))
            continue
        found += judged_clients(f"{role} {name}", clients_in(provider))
        await provider.aclose()
    return found or [skipped("http-clients", "no provider in use has an HTTP client of its own")]


def judged_clients(whose: str, clients: list[Client]) -> list[CheckResult]:
    """What each of them does to a turn."""
    if not clients:
        return [skipped("http-clients", f"{whose}: no client was found before its first request")]
    found: list[CheckResult] = []
    for client in clients:
        wrong = list(_wrong(client))
        evidence = (
            f"{client.kind}: keeps idle connections {_told(client.keep_idle_s)}, waits "
            f"{_told(client.wait_s)}, retries {client.retries} times"
        )
        if wrong:
            found.append(fault("http-clients", f"{whose}: {'; '.join(wrong)}", evidence))
        else:
            found.append(ok("http-clients", f"{whose} keeps its connections", evidence))
    return found


def _wrong(client: Client) -> Iterator[str]:
    if client.blocking:
        yield "its client blocks the event loop"
    if client.keep_idle_s is not None and client.keep_idle_s < _LEAST_IDLE_S:
        yield f"connections are dropped after {client.keep_idle_s:g} s of idling"
    if client.wait_s is None or client.wait_s > _MOST_WAIT_S:
        yield f"an answer is waited for {_told(client.wait_s)}"
    if client.retries:
        yield f"{client.retries} retries happen in silence"


def _told(seconds: float | None) -> str:
    return "for ever" if seconds is None else f"{seconds:g} s"
