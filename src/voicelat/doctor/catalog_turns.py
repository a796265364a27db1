"""The checks of a file of turns: what only shows over many of them."""

from __future__ import annotations

from typing import Final

from voicelat.doctor.check import Check

__all__ = ["TURNS_CHECKS"]

TURNS_CHECKS: Final = (
    Check(
        "record-clock",
        ("turns",),
        "Whether the stamps can be: no time that goes back, no negative or absurd number.",
        "such turns are counted apart, and percentiles over the rest may be wrong, too",
        "stamp with a monotonic clock (time.monotonic), once per event, 0 at Twilio's start",
    ),
    Check(
        "lost-logs",
        ("turns",),
        "Log records dropped while turns lasted.",
        "what would explain a slow turn is missing; and more is logged than the sink can take",
        "log less per turn, or to a faster sink",
    ),
    Check(
        "stalls",
        ("turns",),
        "How often and how long the event loop stood still.",
        "all calls of the process wait; caller audio is read late, and Twilio throws it away "
        "(error 31930)",
        "see what is said",
    ),
    Check(
        "residual",
        ("turns",),
        "Time between the stages that no stage accounts for, at P50.",
        "nothing is computed in it: it is blocking code, logs, or round trips nobody stamped",
        "run `voicelat doctor` on the application, and look at `voicelat report`",
    ),
    Check(
        "double-wait",
        ("turns",),
        "Whether turns wait on with the final in hand and the hangover over, at P50.",
        "a second wait behind the first (a debounce after a final, a polling loop) is in every "
        "turn",
        "end the turn at the final or at the hangover's end, whichever is later",
    ),
    Check(
        "first-turns",
        ("turns",),
        "Whether the first turn of a call is slower than the rest of it (median, with interval).",
        "a cold connection, model or voice is paid for by every new caller",
        "warm up before the first turn: connect, ask once, and make phrases (TTS_PREWARM=1)",
    ),
    Check(
        "idle-connections",
        ("turns",),
        "Whether the model or the voice answers later after more than 5 s of idling.",
        "a client that drops idle connections pays for TCP and TLS in the next turn: 0.8 to 1.3 s "
        "have been measured",
        "set the client's keepalive_expiry to None, and ping it in quiet minutes",
    ),
    Check(
        "openings",
        ("turns",),
        "Whether replies that begin the same way are made anew each time.",
        "the first audio of a phrase in hand takes no time; made anew it takes 100 to 800 ms",
        "name the phrases in TTS_PHRASES, and keep them (TTS_CACHE_DIR)",
    ),
)
"""In the order in which they are done."""
