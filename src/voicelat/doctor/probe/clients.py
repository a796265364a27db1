"""Reading what a client of somebody else's library was set to."""

from __future__ import annotations

from typing import Any

from voicelat.doctor.probe.seen import Client, Recogniser

__all__ = ["client", "recogniser"]


def client(made: Any, what: str, at_s: float, where: str) -> Client:
    """Of OpenAI, httpx, requests, aiohttp or Google. What cannot be read stays unknown."""
    if what.startswith("openai"):
        has_keepalive, keepalive_s = _keepalive(getattr(made, "_client", None))
    else:
        has_keepalive, keepalive_s = _keepalive(made)
    has_timeout, timeout_s = _timeout(made)
    retries = getattr(made, "max_retries", None)
    return Client(
        at_s=at_s,
        what=what,
        timeout_s=timeout_s,
        has_timeout=has_timeout,
        keepalive_s=keepalive_s,
        has_keepalive=has_keepalive,
        retries=retries if isinstance(retries, int) else None,
        where=where,
    )


def _timeout(made: Any) -> tuple[bool, float | None]:
    timeout: Any = getattr(made, "timeout", None)
    if isinstance(timeout, int | float):
        return True, float(timeout)
    if hasattr(timeout, "read"):  # httpx.Timeout
        read = timeout.read
        return True, None if read is None else float(read)
    if hasattr(timeout, "total"):  # aiohttp.ClientTimeout
        total = timeout.total
        return True, None if total is None else float(total)
    return False, None


def _keepalive(made: Any) -> tuple[bool, float | None]:
    pool: Any = getattr(getattr(made, "_transport", None), "_pool", None)
    if hasattr(pool, "_keepalive_expiry"):
        expiry = pool._keepalive_expiry
        return True, None if expiry is None else float(expiry)
    connector: Any = getattr(made, "_connector", None)
    if hasattr(connector, "_keepalive_timeout"):
        return True, float(connector._keepalive_timeout)
    return False, None


def recogniser(made: Any, at_s: float, where: str) -> Recogniser:
    """Google's ``StreamingRecognitionConfig``, of v1 or v2."""
    config = made.config
    features = getattr(made, "streaming_features", made)
    coding = getattr(config, "explicit_decoding_config", config)
    encoding = coding.encoding
    return Recogniser(
        at_s=at_s,
        interim_results=bool(features.interim_results),
        single_utterance=bool(getattr(made, "single_utterance", False)),
        encoding=str(getattr(encoding, "name", encoding)),
        rate=int(coding.sample_rate_hertz),
        model=str(config.model),
        where=where,
    )
