"""Nobody opens a server to the world by accident."""

from __future__ import annotations

import pytest

from voicelat.errors import UsageError
from voicelat.serve.config import ServeConfig


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    ServeConfig(host=host).check()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "bot.example.com", ""])
def test_any_other_address_needs_a_token_or_the_users_word(host: str) -> None:
    with pytest.raises(UsageError, match=r"TWILIO_AUTH_TOKEN.*--insecure"):
        ServeConfig(host=host).check()
    ServeConfig(host=host, auth_token="secret").check()
    ServeConfig(host=host, insecure=True).check()


def test_an_empty_token_is_no_token() -> None:
    with pytest.raises(UsageError):
        ServeConfig(host="0.0.0.0", auth_token="").check()
