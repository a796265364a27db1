"""The settings in force, examined: their values, their machine, and the services they name."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from collections.abc import Iterator
from typing import Any, Final

from voicelat.doctor import clients, keys, machine, network, values
from voicelat.doctor.catalog import CHECKS, fault, ok, skipped
from voicelat.doctor.measures import Measure, Told, examine
from voicelat.doctor.result import CheckResult
from voicelat.doctor.services import services, uses
from voicelat.providers.google_stt_lap import GoogleSttConfig
from voicelat.providers.google_stt_wire import Api, RecognitionConfig, load_codec
from voicelat.settings import Settings

__all__ = ["examine_settings"]

_LIMIT_MS: Final = 305_000
"""Google's, of one stream."""


async def examine_settings(
    settings: Settings, told: Told, wanted: frozenset[str] = frozenset(CHECKS)
) -> None:
    """``told`` is called with each result as it is there; ``wanted`` names the checks to do."""
    await examine(_MEASURES, settings, told, wanted)


async def _keys(settings: Settings) -> list[CheckResult]:
    found = [*await keys.openai_keys(settings), *await keys.google_credentials(settings)]
    return found or [skipped("keys", "no provider in use asks for a key")]


async def _round_trips(settings: Settings) -> list[CheckResult]:
    trips = [await network.trip(one) for one in services(settings)]
    return list(network.judged_trips(trips)) or [_no_service("round-trip")]


async def _names(settings: Settings) -> list[CheckResult]:
    found: list[CheckResult] = []
    for host in dict.fromkeys(one.host for one in services(settings)):
        try:
            found.append(network.judged_dns(host, await network.resolve_ms(host)))
        except OSError as error:
            found.append(skipped("dns", f"{host} does not resolve here: {error.strerror or error}"))
    return found or [_no_service("dns")]


async def _clock(settings: Settings) -> list[CheckResult]:
    """The first that tells its time is enough."""
    why = ""
    for service in services(settings):
        if not service.http:
            continue
        try:
            offset = await asyncio.to_thread(network.clock_offset, service)
        except (OSError, ssl.SSLError, http.client.HTTPException) as error:
            why = f"{service.address} cannot be asked: {error}"
            continue
        return [network.judged_clock(service.address, offset)]
    return [skipped("wall-clock", why) if why else _no_service("wall-clock")]


def _no_service(check: str) -> CheckResult:
    return skipped(check, "no provider in use is in the network, as far as we know")


def _stream_age(settings: Settings) -> Iterator[CheckResult]:
    if "stt" not in uses(settings, "google"):
        yield skipped("stream-age", "the recogniser is not Google's")
        return
    yield judged_rollover(GoogleSttConfig())


def judged_rollover(config: GoogleSttConfig) -> CheckResult:
    """Whether a stream is left before Google ends it, with its last words still to come."""
    last_ms = config.roll_by_ms + round(config.final_s * 1000)
    evidence = f"rolls over by {config.roll_by_ms / 1000:g} s, the limit is {_LIMIT_MS / 1000:g} s"
    if last_ms >= _LIMIT_MS:
        return fault("stream-age", "streams are left too late", evidence)
    return ok("stream-age", "streams are left in time", evidence)


def _interim_results(settings: Settings) -> Iterator[CheckResult]:
    """Whether the recogniser is asked for them: read from the request as it would be sent."""
    name = settings.stt_provider
    if "stt" not in uses(settings, "google"):
        if name.split(":")[0] in ("local", "openai", "simulated"):
            yield ok("interim-results", f"the ears of {name} give partials")
        else:
            yield skipped("interim-results", f"{name} is not ours: only its turns tell (--turns)")
        return
    api: Api = "v2" if name.endswith("v2") else "v1"
    config = RecognitionConfig(
        api=api, model="latest_long", language=settings.speech_language, recognizer=""
    )
    try:
        message = load_codec(api).config(config)
    except ImportError as error:
        yield skipped("interim-results", f"pip install 'voicelat[google]': {error}")
    else:
        yield judged_request(message, api)


def judged_request(message: bytes, api: Api) -> CheckResult:
    """The first message of a recognition: whether it asks for partials. Needs Google's package."""
    first: Any
    if api == "v1":
        from google.cloud.speech_v1.types import cloud_speech as v1

        first = v1.StreamingRecognizeRequest.deserialize(message)
        asked = first.streaming_config.interim_results
    else:
        from google.cloud.speech_v2.types import cloud_speech as v2

        first = v2.StreamingRecognizeRequest.deserialize(message)
        asked = first.streaming_config.streaming_features.interim_results
    if not asked:
        return fault("interim-results", "Google is not asked for partials", "interim_results=False")
    return ok("interim-results", "Google is asked for partials", "interim_results=True")


_MEASURES: Final = (
    Measure(("debug-output",), values.debug_output),
    Measure(("log-queue",), values.log_queue),
    Measure(("prewarm",), values.prewarm),
    Measure(("patience",), values.patience),
    Measure(("send-lead",), values.send_lead),
    Measure(("late-starts",), values.late_starts),
    Measure(("public-url",), values.public_url),
    Measure(("auth-token",), values.auth_token),
    Measure(("turns-file",), machine.turns_file),
    Measure(("log-handler",), machine.log_handler),
    Measure(("uvloop",), machine.uvloop),
    Measure(("packages",), machine.packages),
    Measure(("grpc",), machine.grpc),
    Measure(("thread-pool",), machine.thread_pool),
    Measure(("stream-age",), _stream_age),
    Measure(("interim-results",), _interim_results),
    Measure(("http-clients",), clients.http_clients),
    Measure(("models",), keys.model_ends),
    Measure(("keys", "models"), _keys),
    Measure(("voices",), keys.voices),
    Measure(("dns",), _names),
    Measure(("round-trip",), _round_trips),
    Measure(("wall-clock",), _clock),
    Measure(("cold-imports", "gc-pause"), machine.cold_imports),
)
