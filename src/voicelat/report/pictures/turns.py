"""The single turns as the page reads them: small enough for ten thousand, whole enough for a hover.

What a caller or a provider said is cut to a line or two and written so that it cannot steer the
page; the page itself escapes what it puts into a picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.metrics.samples import call_indices, is_cutoff
from voicelat.metrics.tail import LEG_NAMES, leg_ms
from voicelat.report.page.frame import Json, shown
from voicelat.report.pictures.waves import Wave

__all__ = ["STAMPS", "settings_in_force", "turns_drawn"]

STAMPS: Final = Stamps.__struct_fields__
_MOST_TEXT: Final = 240


def turns_drawn(records: Sequence[TurnRecord], waves: Mapping[str, Wave]) -> Json:
    """Legs, stamps, calls, settings and turns, each turn with indices into the others.

    ``waves``: call id -> the loudness of its recording, where there is one.
    """
    calls = call_indices(records)
    first = {call: record for record, call in reversed(list(zip(records, calls, strict=True)))}
    groups = list(settings_in_force(records))
    places = {group: index for index, group in enumerate(groups)}
    return {
        "legs": LEG_NAMES,
        "stamps": STAMPS,
        "settings": _settings_lines(groups),
        "calls": [
            {
                "id": shown(record.call_id),
                "utc": shown(record.started_utc or ""),
                "wave": wave.drawn() if (wave := waves.get(record.call_id)) else None,
            }
            for _, record in sorted(first.items())
        ],
        "turns": [
            _turn(record, call, places[_group(record)])
            for record, call in zip(records, calls, strict=True)
        ],
    }


def _turn(record: TurnRecord, call: int, group: int) -> Json:
    facts = [
        record.outcome if record.outcome != "answered" else "",
        "cut off" if is_cutoff(record) else "",
        "re-opened" if record.reopened else "",
        "clipped" if record.clipped else "",
        "asked to repeat" if record.fallback else "",
    ]
    return {
        "c": call,
        "n": record.turn,
        "total": record.TOTAL_LATENCY_MS,
        "legs": [leg_ms(record, leg) for leg in LEG_NAMES],
        "at": [getattr(record.stamps, name) for name in STAMPS],
        "what": ", ".join(fact for fact in facts if fact).replace("_", " "),
        "eou": record.EOU_REASON,
        "cache": record.cache,
        "text": _line(record.text),
        "reply": _line(record.reply),
        "failure": _line(record.failure or ""),
        "stall": record.stall_ms,
        "s": group,
    }


def _line(text: str) -> str:
    cut = text[:_MOST_TEXT]
    return shown(" ".join(cut.split())) + ("\u2026" if len(text) > len(cut) else "")


_Group = tuple[tuple[str, str], ...]


def _group(record: TurnRecord) -> _Group:
    """Providers and settings of a turn, in a form that can be counted."""
    providers = ((role.upper(), name) for role, name in record.providers.items())
    return tuple(
        sorted({**dict(providers), **{k: f"{v}" for k, v in record.settings.items()}}.items())
    )


def settings_in_force(records: Sequence[TurnRecord]) -> dict[_Group, int]:
    """The different settings among these turns, and how many turns had each; most first."""
    return dict(Counter(map(_group, records)).most_common())


_TELLING: Final = (
    *("STT", "LLM", "TTS", "EOU_POLICY", "VAD_HANGOVER_MS", "STT_PARTIAL_DEBOUNCE_MS"),
    *("MIN_UTT_SEC", "STT_TIMEOUT_MS", "SPEAK_GATE_MS", "TTS_PREWARM", "AI_MAX_WORDS_FIRST_REPLY"),
)
"""What a hover has room for; all of them stand in the table."""


def _settings_lines(groups: Sequence[_Group]) -> list[str]:
    """For each group what a hover says: what differs between groups, then what tells most."""
    values = [dict(group) for group in groups]
    names = {name for group in values for name in group}
    differ = sorted(n for n in names if len({group.get(n) for group in values}) > 1)
    wanted = list(dict.fromkeys([*differ[:8], *_TELLING]))
    return [
        shown(", ".join(f"{name} {group[name]}" for name in wanted if name in group))
        for group in values
    ]
