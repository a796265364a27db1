"""Files of turns by chance: good ones, and what is planted in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from voicelat.metrics.record import Stamps, TurnRecord

__all__ = ["TurnMade", "good_turns"]

TurnMade = Callable[[dict[str, int], int, int, bool], Mapping[str, object] | None]
"""Changes the gaps of a turn (``number`` in its call, ``start``, whether it follows 5 s of idling)
and gives fields of its own."""

SETTINGS: dict[str, str | int | float | bool] = {"VAD_HANGOVER_MS": 160, "EOU_POLICY": "fixed"}


def good_turns(
    seed: int = 1, calls: int = 20, turns: int = 8, plant: TurnMade | None = None
) -> list[TurnRecord]:
    """Calls whose providers have lognormal times, whose callers think for 1 to 12 s, and each of
    which is on a line and with a caller of its own."""
    rng = np.random.default_rng(seed)

    def about(median_ms: float, spread: float = 0.3) -> int:
        return int(rng.lognormal(np.log(median_ms), spread))

    made = []
    for call in range(calls):
        slow = rng.lognormal(0, 0.15)
        at = 3000
        idle = False
        for number in range(1, turns + 1):
            gaps = {
                "first_partial": about(400),
                "speech": about(1800, 0.5),
                "final": about(300 * slow),
                "llm": about(400 * slow),
                "tts": about(130 * slow),
                "clause": about(60),
                "on": int(rng.integers(0, 20)),
            }
            fields = dict((plant and plant(gaps, number, at, idle)) or {})
            stamps = stamped(at, gaps)
            record = TurnRecord(
                call_id=f"CA{call}",
                turn=number,
                outcome="answered",
                settings=SETTINGS,
                stamps=stamps,
                text="what time do you open",
                reply=f"Reply {rng.integers(10**9)} is one of a kind, and long.",
                stall_ms=0,
                model_calls=1,
                cache="miss",
            )
            made.append(msgspec.structs.replace(record, **fields).measured())
            assert stamps.first_audio_sent is not None
            thinks_ms = int(rng.uniform(1000, 12_000))
            at = stamps.first_audio_sent + thinks_ms
            idle = at + gaps["speech"] - (stamps.llm_first_token or 0) > 5000
    return made


def stamped(at: int, gaps: Mapping[str, int]) -> Stamps:
    """A turn that begins at ``at``."""
    end = at + gaps["speech"]
    final = end + gaps["final"]
    turn_end = max(final, end + 160) + gaps["on"]
    token = turn_end + 2 + gaps["llm"]
    request = token + gaps["clause"]
    ready = request + gaps["tts"]
    return Stamps(
        speech_start=at,
        first_partial=min(at + gaps["first_partial"], final - 1),
        speech_end=end,
        stt_final=final,
        turn_end=turn_end,
        reply_start=turn_end + 2,
        llm_first_token=token,
        tts_request=request,
        tts_ready=ready,
        gate_open=ready,
        first_audio_sent=ready + 4 + gaps.get("residual", 0),
    )
