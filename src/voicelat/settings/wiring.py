"""From settings to running parts: providers, server, logs.

Apart from the values, so that reading a setting does not import a server.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from voicelat.agentkit.runs.feed import CallFeed
from voicelat.agentkit.runs.outbox import Outbox
from voicelat.engine.cache_tiers import MB, DiskTier, Tier, Tiers
from voicelat.engine.hedge import HedgedLlm
from voicelat.engine.logs import LogQueue, show_frames, start_async_logs
from voicelat.engine.phrases import stock_phrases
from voicelat.engine.prewarm import PrewarmConfig
from voicelat.engine.stack import Stack
from voicelat.engine.tts_cache import TtsCache
from voicelat.metrics.exporters.live import LiveSink
from voicelat.metrics.record import TurnRecord
from voicelat.providers import registry
from voicelat.providers.protocols import LanguageModel, TextToSpeech
from voicelat.providers.registry import ProviderOptions
from voicelat.serve.app import TwilioServer
from voicelat.serve.config import ServeConfig
from voicelat.serve.crew import Crew
from voicelat.settings.load import Settings
from voicelat.turn.policies import policy
from voicelat.turn.tuner import EouTuner

__all__ = ["logs", "provider_options", "server", "stack"]


def provider_options(settings: Settings) -> ProviderOptions:
    """What the settings say to providers."""
    return ProviderOptions(
        tts_rate=settings.tts_rate,
        tts_pitch=settings.tts_pitch,
        openai_api_key=settings.openai_api_key,
        openai_base_url=settings.openai_base_url,
        openai_model=settings.openai_model,
        openai_api=settings.openai_api,
        openai_file_stt_model=settings.openai_file_stt_model,
        openai_stt_model=settings.openai_stt_model,
        openai_tts_model=settings.openai_tts_model,
        openai_tts_voice=settings.openai_tts_voice,
        google_credentials=settings.google_application_credentials,
        google_project=settings.google_cloud_project,
        google_location=settings.google_speech_location,
        google_stt_model=settings.google_speech_model,
        google_stt_endpoint=settings.google_speech_endpoint,
        google_tts_voice=settings.google_tts_voice,
        google_tts_endpoint=settings.google_tts_endpoint,
        google_tts_streaming={"auto": None, "on": True, "off": False}[
            settings.google_tts_streaming
        ],
    )


def stack(settings: Settings) -> Stack:
    """The providers the settings name, not warmed yet.

    Raises UsageError for a name that is none or a cache folder that cannot be, MissingExtra for
    a package that is missing.
    """
    options = provider_options(settings)
    tts = registry.text_to_speech(settings.tts_provider, options)
    return Stack(
        registry.speech_to_text(settings.stt_provider, options),
        _hedged(settings, registry.language_model(settings.llm_provider, options)),
        tts,
        detector=registry.serving_detector(settings.vad),
        turn_model=registry.turn_model(settings.turn_model),
        transcriber=registry.transcriber(settings.fallback_provider, options),
        phrases=_phrases(settings, tts),
        prewarm=_prewarm(settings),
        language=settings.speech_language,
    )


def _hedged(settings: Settings, model: LanguageModel) -> LanguageModel:
    """A model in the network has a tail that a second request cuts; one that runs here has none."""
    here = settings.llm_provider.split(":")[0] in ("local", "simulated")
    return HedgedLlm(model) if settings.llm_hedge and not here else model


def _phrases(settings: Settings, tts: TextToSpeech) -> TtsCache:
    """Where phrases are kept: nobody looks into the shared places unless something is prewarmed."""
    max_bytes = settings.tts_cache_mb * MB
    tiers: list[Tier] = []
    if settings.tts_prewarm and settings.tts_cache_dir:
        tiers.append(DiskTier(Path(settings.tts_cache_dir).expanduser(), max_bytes))
    if settings.tts_prewarm and settings.redis_url:
        from voicelat.engine.redis_tier import RedisTier

        tiers.append(RedisTier(settings.redis_url, max_bytes))
    return TtsCache(
        tts,
        settings.speech_language,
        max_bytes=max_bytes,
        shared=Tiers(*tiers) if tiers else None,
        variant=f"rate={settings.tts_rate} pitch={settings.tts_pitch}",
    )


def _prewarm(settings: Settings) -> PrewarmConfig:
    if not settings.tts_prewarm:
        return PrewarmConfig()
    return PrewarmConfig(
        phrases=stock_phrases(settings.speech_language, (settings.tts_phrases or "").split("|")),
        limit_s=settings.tts_prewarm_limit_s,
        every_s=settings.tts_warm_every_s or None,
    )


def server(
    settings: Settings,
    *,
    insecure: bool = False,
    on_turn: Callable[[TurnRecord], None] | None = None,
    lost_logs: Callable[[], int] | None = None,
    crew: Crew | None = None,
) -> TwilioServer:
    """The reference server. ``on_turn``, ``lost_logs``, ``crew``: see `TwilioServer`. Raises what
    `stack` and `ServeConfig.check` raise."""
    config = ServeConfig(
        host=settings.host,
        port=settings.port,
        public_base_url=settings.public_base_url,
        auth_token=settings.twilio_auth_token,
        insecure=insecure,
        max_calls=settings.max_calls,
        max_message_bytes=settings.max_message_bytes,
        max_sockets=settings.max_sockets,
        handshake_timeout_s=settings.handshake_timeout_s,
        warm_timeout_s=settings.warm_timeout_s,
        grace_s=settings.grace_s,
        turns_file=Path(settings.turns_file) if settings.turns_file else None,
        record_dir=Path(settings.record_dir) if settings.record_dir else None,
    )
    return TwilioServer(
        stack(settings),
        config,
        turn=settings.turn(),
        policy=partial(policy, settings.eou_policy, settings.eou_context),
        tuner=EouTuner(settings.turn()) if settings.eou_tune else None,
        engine=settings.engine(),
        settings=settings.in_force(),
        prewarm=settings.tts_prewarm,
        on_turn=on_turn,
        sinks=_sinks(settings),
        feed=_feed(settings),
        lost_logs=lost_logs,
        crew=crew,
    )


def _sinks(settings: Settings) -> list[LiveSink]:
    """Where turns go besides the file."""
    sinks: list[LiveSink] = []
    if settings.turns_sql_url:
        from voicelat.metrics.exporters.sql import SqlWriter

        sinks.append(LiveSink("sql", SqlWriter(settings.turns_sql_url)))
    if settings.otel_turns:
        from voicelat.metrics.exporters.otel import OtlpWriter

        sinks.append(LiveSink("otel", OtlpWriter()))
    return sinks


def _feed(settings: Settings) -> CallFeed | None:
    if not settings.agents_enabled:
        return None
    return CallFeed(Outbox(settings.agents_url, settings.agents_token), settings.speech_language)


@contextmanager
def logs(settings: Settings, worker: int | None = None) -> Iterator[LogQueue]:
    """Logs to stderr as the settings say, while the block runs. ``worker``: which one of several;
    None: the only one."""
    who = "" if worker is None else f" worker {worker}"
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log_level,
        format=f"%(asctime)s{who} %(levelname)s %(name)s: %(message)s",
    )
    if settings.log_level == "INFO" and not settings.debug:
        # Two lines of it per connection, and one per request, would drown ours.
        for name in ("uvicorn", "httpx2"):
            logging.getLogger(name).setLevel(logging.WARNING)
    show_frames(settings.debug)
    queue = start_async_logs(settings.async_log_queue, settings.log_flush_ms)
    try:
        yield queue
    finally:
        queue.stop()
        if queue.dropped:
            print(f"voicelat: {queue.dropped} log lines were dropped", file=sys.stderr)  # noqa: T201
