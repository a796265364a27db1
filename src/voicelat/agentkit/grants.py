"""What a person approves: one tool with exactly these arguments, in one run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["TTL_S", "arguments_sha256", "grant_request"]

TTL_S: Final = 600
"""How long a grant is good for: it is used at once, by a run that has waited for it."""


def arguments_sha256(arguments: Mapping[str, Any]) -> str:
    """The same for the same arguments, whatever the order of their keys; as hex."""
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # A lone surrogate is no text; it hashes all the same, so that nobody fails on it.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def grant_request(
    tool: str, arguments: Mapping[str, Any], call_id: str | None, run_id: str, ttl_s: int = TTL_S
) -> dict[str, Any]:
    """What to ask the API for when a person has said yes; ``arguments`` as they were approved."""
    return {
        "tool": tool,
        "arguments_sha256": arguments_sha256(arguments),
        "call_id": call_id,
        "run_id": run_id,
        "ttl_s": ttl_s,
    }
