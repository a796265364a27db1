"""One-time stream tokens: the webhook hands one out, the stream that it starts redeems it.

A handshake's signature can be replayed; a token works once.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Final

__all__ = ["StreamTokens"]

MAX_WAITING: Final = 10_000
"""Tokens nobody has redeemed yet: beyond it the oldest is forgotten."""


class StreamTokens:
    """Issued tokens and when they expire. Times are seconds on any one monotonic clock."""

    def __init__(self, life_s: float) -> None:
        self._life_s = life_s
        self._expires: OrderedDict[str, float] = OrderedDict()

    def issue(self, now_s: float) -> str:
        """A new token, 256 random bits."""
        while self._expires and (
            len(self._expires) >= MAX_WAITING or next(iter(self._expires.values())) <= now_s
        ):
            self._expires.popitem(last=False)
        token = secrets.token_urlsafe(32)
        self._expires[token] = now_s + self._life_s
        return token

    def redeem(self, token: str, now_s: float) -> bool:
        """Whether the token was issued, is fresh and was not redeemed before."""
        expires_s = self._expires.pop(token, None)
        return expires_s is not None and now_s < expires_s
