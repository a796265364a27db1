"""Signatures, checked against Twilio's own example and the formula in its documentation."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest

from voicelat.twilio.signature import handshake_is_genuine, webhook_is_genuine

# Twilio's published example ("Validating Signatures from Twilio").
TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
PARAMS = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675309",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
}
SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def sign(text: str, key: str = TOKEN, digest: Callable[..., Any] = hashlib.sha1) -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), digest).digest()).decode()


def test_twilios_own_example_is_genuine() -> None:
    assert webhook_is_genuine(TOKEN, URL, PARAMS, {"X-Twilio-Signature": SIGNATURE})


@pytest.mark.parametrize(
    ("token", "url", "params", "headers"),
    [
        ("54321", URL, PARAMS, {"X-Twilio-Signature": SIGNATURE}),
        (TOKEN, URL + "3", PARAMS, {"X-Twilio-Signature": SIGNATURE}),
        (TOKEN, URL, {**PARAMS, "To": "+1"}, {"X-Twilio-Signature": SIGNATURE}),
        (TOKEN, URL, PARAMS, {"X-Twilio-Signature": SIGNATURE[:-1]}),
        (TOKEN, URL, PARAMS, {"X-Twilio-Signature": "ש" * len(SIGNATURE)}),
        (TOKEN, URL, PARAMS, {"X-Twilio-Signature": ""}),
        (TOKEN, URL, PARAMS, {}),
    ],
)
def test_anything_changed_is_not_genuine(
    token: str, url: str, params: dict[str, str], headers: dict[str, str]
) -> None:
    assert not webhook_is_genuine(token, url, params, headers)


def test_nothing_is_genuine_without_a_secret() -> None:
    forged = sign("https://bot.example/voice", key="")
    assert not webhook_is_genuine(
        "", "https://bot.example/voice", {}, {"x-twilio-signature": forged}
    )


def test_repeated_fields_all_count() -> None:
    signature = sign("https://bot.example/voice" + "Aone" + "Atwo" + "Bx")
    params = {"B": "x", "A": ["two", "one"]}
    headers = {"x-twilio-signature": signature}
    assert webhook_is_genuine(TOKEN, "https://bot.example/voice", params, headers)
    assert not webhook_is_genuine(
        TOKEN, "https://bot.example/voice", {"B": "x", "A": "one"}, headers
    )


@pytest.mark.parametrize("signed", ["wss://bot.example/media", "wss://bot.example:443/media"])
@pytest.mark.parametrize("ours", ["wss://bot.example/media", "wss://bot.example:443/media"])
def test_a_handshake_is_genuine_with_or_without_the_port(signed: str, ours: str) -> None:
    assert handshake_is_genuine(TOKEN, ours, {"x-twilio-signature": sign(signed)})


def test_a_handshake_for_another_url_is_not_genuine() -> None:
    headers = {"x-twilio-signature": sign("wss://bot.example/media")}
    assert not handshake_is_genuine(TOKEN, "wss://bot.example/other", headers)
    assert not handshake_is_genuine(TOKEN, "https://bot.example/media", headers)


def test_a_shared_key_signs_with_sha256() -> None:
    url = "https://bot.example/voice"
    headers = {
        "X-Twilio-Signature": sign(url, digest=hashlib.sha256),
        "X-Twilio-Webhooks-Signature-Settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256",
    }
    assert webhook_is_genuine(TOKEN, url, {}, headers)
    assert not webhook_is_genuine(
        TOKEN, url, {}, {"X-Twilio-Signature": sign(url, digest=hashlib.sha256)}
    )


def test_an_algorithm_nobody_knows_is_not_genuine() -> None:
    url = "https://bot.example/voice"
    headers = {
        "x-twilio-signature": sign(url),
        "x-twilio-webhooks-signature-settings": "algorithm=ROT13",
    }
    assert not webhook_is_genuine(TOKEN, url, {}, headers)
