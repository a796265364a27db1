"""Is this request really from Twilio?

The URL must be the *public* one, built from the settings: behind a proxy, the host and scheme a
server sees are not those Twilio signed.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

__all__ = ["handshake_is_genuine", "signature_of", "webhook_is_genuine"]

_SIGNATURE: Final = "x-twilio-signature"
_SETTINGS: Final = "x-twilio-webhooks-signature-settings"
_DEFAULT_PORTS: Final = {"https": 443, "wss": 443, "http": 80, "ws": 80}


def webhook_is_genuine(
    secret: str,
    url: str,
    params: Mapping[str, str | Sequence[str]],
    headers: Mapping[str, str],
) -> bool:
    """Whether a webhook's POST was signed with ``secret``.

    ``secret`` is the account's auth token, or the key's secret when the request names a
    SharedKey in ``X-Twilio-Webhooks-Signature-Settings`` (new in 2026). ``params`` are *all*
    POST fields, a sequence where a name occurs more than once. ``headers`` may have any case.
    False for an empty secret, a missing signature or an algorithm the ``twilio`` package does
    not know.
    """
    # Imported here: 30 ms that only a server with an auth token pays. It ships no types.
    from twilio.request_validator import (
        RequestValidator,
        get_signature_algorithm,
    )

    sent = {name.lower(): value for name, value in headers.items()}
    signature = sent.get(_SIGNATURE)
    if not secret or not signature:
        return False
    validator = RequestValidator(secret)
    algorithm = get_signature_algorithm(sent.get(_SETTINGS))
    genuine = False
    for candidate in _port_variants(url):
        try:
            expected = validator.compute_signature(candidate, _Form(params), algorithm)
        except ValueError:
            return False
        # The package's own validate() compares character by character in Python.
        genuine |= hmac.compare_digest(
            expected.encode(), signature.encode("utf-8", "backslashreplace")
        )
    return genuine


def handshake_is_genuine(secret: str, url: str, headers: Mapping[str, str]) -> bool:
    """Whether a WebSocket handshake was signed: ``url`` is the exact ``wss://`` URL of the
    TwiML, and there are no parameters. Keep a one-time token beside it: a handshake can be
    replayed."""
    return webhook_is_genuine(secret, url, {}, headers)


def _port_variants(url: str) -> tuple[str, ...]:
    """Twilio signs the URL with or without its port; its own packages accept both. They take
    80 for wss, which no wss server listens on, so the two forms are made here."""
    parts = urlsplit(url)
    host = parts.netloc.removesuffix(f":{parts.port}")
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    bare = parts._replace(netloc=host).geturl()
    return (bare, parts._replace(netloc=f"{host}:{port}").geturl()) if port else (bare,)


class _Form(dict[str, str | Sequence[str]]):
    """A form as the ``twilio`` package wants to see it when names repeat."""

    def getlist(self, name: str) -> list[str]:
        value = self[name]
        return [value] if isinstance(value, str) else list(value)


def signature_of(secret: str, url: str, params: Mapping[str, str]) -> str:
    """The ``X-Twilio-Signature`` of a POST with these fields, or of a handshake without any."""
    from twilio.request_validator import RequestValidator

    signature: str = RequestValidator(secret).compute_signature(url, params)
    return signature
