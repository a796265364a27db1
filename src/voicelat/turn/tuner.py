"""The online tuner: follows callers and providers with three of the settings, turn by turn.

Each setting has a sign that it is too short and one that it is too long, read from the records
of closed turns:

| setting | too short | too long |
|---|---|---|
| speak gate | callers are cut off | replies wait for it, and callers are not cut off |
| debounce | the text acted on was not the final one | finals are late, and it holds them up |
| hangover | turns are re-opened: model calls for nothing | finals are late, and it holds them up |

Raising the gate is the cheap cure for a cutoff: it costs no model call, re-opens no turn, and
delays only replies that were ready before it. A longer hangover would delay the work of every
turn, and under a gate that is longer still it would spare no caller. Debounce and hangover go
back no higher than they began: no record shows that more of them would have helped.

A rate is judged against its budget by a binomial test, on turns taken under the settings in
force and no others. Between the two tests lies a dead band in which nothing is done, and a
setting that was raised stays up for a rest that doubles each time: this is what makes it settle
under a caller and a provider that do not change, however the dice fall.

Pure: whoever owns it feeds it records and logs its changes.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import replace
from statistics import fmean, median
from typing import Final, Literal

from msgspec import Struct

from voicelat.errors import InvalidSetting
from voicelat.metrics.record import TurnRecord
from voicelat.turn.config import TurnConfig

__all__ = [
    "NAMES",
    "Change",
    "EouTuner",
    "TunedSetting",
    "TunerBounds",
    "TunerRules",
    "TunerState",
]

TunedSetting = Literal["debounce_ms", "hangover_ms", "speak_gate_ms"]

NAMES: Final[dict[TunedSetting, str]] = {
    "debounce_ms": "STT_PARTIAL_DEBOUNCE_MS",
    "hangover_ms": "VAD_HANGOVER_MS",
    "speak_gate_ms": "SPEAK_GATE_MS",
}
"""The tuned settings and the names under which a record carries them."""

_EXPLAINED_MS: Final = 30
"""A turn that ended within this of when its settings say is explained by them; one that did not
was timed by a policy, or by a busy driver, and shows nothing about them."""


class TunerBounds(Struct, frozen=True, kw_only=True):
    """The least and the most of each setting, in ms. The tuner never leaves them."""

    debounce_ms: tuple[int, int] = (20, 200)
    """Below a frame nothing is stable; partials come every 100 to 400 ms."""
    hangover_ms: tuple[int, int] = (80, 400)
    """Below 80 ms the gaps between words end turns (VADs need some 60 ms themselves)."""
    speak_gate_ms: tuple[int, int] = (0, 1500)
    """Above that callers ask whether anybody is there."""

    def of(self, setting: TunedSetting) -> tuple[int, int]:
        """The least and the most of one setting."""
        low, high = getattr(self, setting)
        return low, high

    def __post_init__(self) -> None:
        for name in NAMES:
            low, high = self.of(name)
            if not 0 <= low <= high:
                raise InvalidSetting(name, (low, high), "bounds must be 0 <= least <= most")


class TunerRules(Struct, frozen=True, kw_only=True):
    """When the tuner steps, and how far."""

    window: int = 80
    """Turns looked back at: more would still be judging the last hour's callers."""
    evidence: int = 20
    """Turns needed under the settings in force before anything is made shorter. It is also the
    pause after every change, which begins a new window."""
    harm_evidence: int = 10
    """And before anything is made longer: less may be a single call, whose turns are alike."""
    sure: float = 0.05
    """A rate is over its budget, or under it, if at it so many harms, or so few, were this
    unlikely: 3 cutoffs in 10 turns, 8 in 80; none in 59. Less sure, it came to see-saw."""
    cutoff_budget: float = 0.05
    """The share of answered turns that may be cut off."""
    clipped_budget: float = 0.1
    """The share that may be acted on in a text that was not the final one."""
    reopened_budget: float = 0.5
    """The share that may be re-opened. Harmless to the caller: it costs a model call each."""
    late_ms: int = 250
    """Finals are late when in the median turn the work begins later than this after the end of
    speech. The default settings alone allow 160."""
    worth: float = 0.5
    """A step down must save at least this share of itself in the mean turn."""
    down_ms: int = 20
    debounce_down_ms: int = 10
    up_ms: int = 40
    gate_up_ms: int = 60
    """Up is faster than down: what is too short hurts more than what is too long."""
    rest: int = 200
    """Turns a setting that was raised stays up before it may be lowered again; each further time
    twice as many, up to ``longest_rest``."""
    longest_rest: int = 1600

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not (0 < value < 1 if isinstance(value, float) else value >= 1):
                raise InvalidSetting(name, value, "must be above 0, and below 1 if it is a share")


BOUNDS: Final = TunerBounds()
RULES: Final = TunerRules()


class Change(Struct, frozen=True):
    """One step."""

    setting: TunedSetting
    from_ms: int
    to_ms: int
    why: str
    """One line, for the log."""
    turns: int
    """Records seen when it was made, this one included."""


class TunerState(Struct, frozen=True, kw_only=True):
    """What the tuner knows now, for showing."""

    settings: dict[str, int]
    """The tuned settings in force, by their environment names."""
    turns: int
    """Records seen."""
    judged: int
    """Those that said something about the settings in force when they came."""
    left_out: dict[str, int]
    """Records, or parts of them, that said nothing, by why."""
    window: int
    """Turns in the present window."""
    cutoffs: int
    """Cutoffs among them."""
    work_p50_ms: float | None
    """Median time from the end of speech to the beginning of the work in the present window;
    None where no turn tells."""
    resting: dict[str, int]
    """Settings that may not be lowered yet: for how many judged turns."""
    at_bound: str | None
    """The setting that does harm and cannot be raised further, by its name. None: none."""


class _Evidence(Struct, frozen=True):
    """What one record says. None: nothing about that."""

    cutoff: bool | None
    clipped: bool | None
    reopened: bool
    work_ms: int | None
    """End of speech to the beginning of the work."""
    sooner: dict[TunedSetting, int]
    """How much sooner the first audio had come with that setting one step less."""


class EouTuner:
    """Tunes debounce, hangover and speak gate while calls go on.

    New calls take `config` and put `settings` into their records' settings; every record of a
    closed turn goes to `observe`. Not for threads. Raises InvalidSetting when ``config`` begins
    outside ``bounds``.
    """

    def __init__(
        self,
        config: TurnConfig,
        bounds: TunerBounds = BOUNDS,
        rules: TunerRules = RULES,
    ) -> None:
        self._ms: dict[TunedSetting, int] = {name: getattr(config, name) for name in NAMES}
        self._began = dict(self._ms)
        for name, ms in self._ms.items():
            low, high = bounds.of(name)
            if not low <= ms <= high:
                why = f"the tuner keeps it from {low} to {high}: change it, or the tuner's bounds"
                raise InvalidSetting(NAMES[name], ms, why)
        self.config = config
        """What new calls should use."""
        self.changes: deque[Change] = deque(maxlen=100)
        """The last changes, the newest last."""
        self._bounds = bounds
        self._rules = rules
        self._turns = self._judged = 0
        self._left_out: Counter[str] = Counter()
        self._window: deque[_Evidence] = deque(maxlen=rules.window)
        self._rests = dict.fromkeys(NAMES, rules.rest)
        self._rest_until: dict[TunedSetting, int] = {}
        self._lowered: dict[TunedSetting, bool] = {}
        """Whether the last step of a setting was down: raised now, it was a step too far."""
        self._at_bound: TunedSetting | None = None

    @property
    def settings(self) -> dict[str, int]:
        """The tuned settings by their environment names, as a record must carry them."""
        return {NAMES[name]: ms for name, ms in self._ms.items()}

    @property
    def state(self) -> TunerState:
        """What is known now."""
        resting = {NAMES[name]: until - self._judged for name, until in self._rest_until.items()}
        return TunerState(
            settings=self.settings,
            turns=self._turns,
            judged=self._judged,
            left_out=dict(self._left_out),
            window=len(self._window),
            cutoffs=self._harm("speak_gate_ms")[0],
            work_p50_ms=self._work_p50_ms(),
            resting={name: turns for name, turns in resting.items() if turns > 0},
            at_bound=None if self._at_bound is None else NAMES[self._at_bound],
        )

    def observe(self, record: TurnRecord) -> Change | None:
        """Take a closed turn. Returns the step it led to, None for none."""
        self._turns += 1
        if not self._counts(record):
            return None
        self._judged += 1
        self._window.append(self._evidence(record))
        return self._too_short() or self._too_long()

    # -- what a record says -------------------------------------------------------------------

    def _counts(self, record: TurnRecord) -> bool:
        if record.outcome == "abandoned":
            self._left_out["the call ended before the turn"] += 1
        elif any(name not in record.settings for name in self.settings):
            self._left_out["its settings are unknown"] += 1
        elif any(record.settings[name] != ms for name, ms in self.settings.items()):
            self._left_out["taken under other settings"] += 1
        else:
            return True
        return False

    def _evidence(self, record: TurnRecord) -> _Evidence:
        """A censored turn sent nothing, so nobody was cut off in it, nor could be; one without
        text ended by the timeout, which says nothing about how soon text would have counted."""
        answered = record.outcome != "censored"
        if not answered:
            self._left_out["cutoff unknown: no reply was sent"] += 1
        if record.clipped is None:
            self._left_out["clipped unknown: no final came"] += 1
        work_ms, sooner = self._work(record)
        gate = self._gate_wait(record) if answered else None
        if gate is not None:
            sooner["speak_gate_ms"] = min(gate, self._down_ms("speak_gate_ms"))
        return _Evidence(
            record.cutoff if answered else None, record.clipped, record.reopened, work_ms, sooner
        )

    def _work(self, record: TurnRecord) -> tuple[int | None, dict[TunedSetting, int]]:
        """When the work began, and what the caller had gained by less debounce or hangover.

        The work begins with the text (the final, or a partial that the debounce has confirmed),
        and unless it is speculative not before the hangover is over. What it is done sooner is
        no gain where the reply then waited for the gate.
        """
        end_ms, lag_ms, stamps = record.STT_FINAL_MS, record.stt_lag_ms, record.stamps
        if record.fallback or end_ms is None or lag_ms is None or stamps.speech_end is None:
            self._left_out["work unknown: no text, or no end of speech"] += 1
            return None, {}
        start_ms = end_ms if stamps.reply_start is None else stamps.reply_start - stamps.speech_end
        final_ms = math.inf if stamps.stt_final is None else stamps.stt_final - stamps.speech_end
        debounce_ms, hangover_ms = self.config.debounce_ms, self.config.hangover_ms

        def begins(less_debounce_ms: int = 0, less_hangover_ms: int = 0) -> int:
            text_ms = round(max(0, min(lag_ms + debounce_ms - less_debounce_ms, final_ms)))
            return text_ms if start_ms < end_ms else max(text_ms, hangover_ms - less_hangover_ms)

        work_ms, now_ms = min(start_ms, end_ms), begins()
        if abs(now_ms - work_ms) > _EXPLAINED_MS:
            self._left_out["work not explained by the settings"] += 1
            return work_ms, {}
        waited_ms = record.legs.get("gate", 0)
        return work_ms, {
            "debounce_ms": max(0, now_ms - begins(self._rules.debounce_down_ms) - waited_ms),
            "hangover_ms": max(0, now_ms - begins(0, self._rules.down_ms) - waited_ms),
        }

    def _gate_wait(self, record: TurnRecord) -> int | None:
        """How long the reply waited for the gate that is set. None: for another, or unknown."""
        speech_end, gate_open = record.stamps.speech_end, record.stamps.gate_open
        waited_ms = record.legs.get("gate")
        if waited_ms is None or speech_end is None or gate_open is None:
            self._left_out["gate unknown: no end of speech, or no audio after it"] += 1
        elif waited_ms > 0 and (
            abs(gate_open - speech_end - self.config.speak_gate_ms) > _EXPLAINED_MS
        ):
            self._left_out["gate not explained by the settings"] += 1
        else:
            return waited_ms
        return None

    # -- what follows from it -----------------------------------------------------------------

    def _too_short(self) -> Change | None:
        """Raise the first setting whose harm is over its budget, the worst harm first."""
        for name in _HARMS:
            rules, (harmed, turns, budget) = self._rules, self._harm(name)
            if turns < rules.harm_evidence or _at_least(harmed, turns, budget) > rules.sure:
                continue
            if (to_ms := self._raised_ms(name)) > self._ms[name]:
                why = f"{harmed} of {turns} turns {_HARMS[name]}, over the budget of {budget:.0%}"
                return self._change(name, to_ms, why)
            self._at_bound = name
        return None

    def _raised_ms(self, name: TunedSetting) -> int:
        if name != "speak_gate_ms":
            return min(self._ms[name] + self._rules.up_ms, self._began[name])
        now_ms = max(
            self._ms[name], self._ms["hangover_ms"]
        )  # below the hangover the gate changes nothing
        return min(now_ms + self._rules.gate_up_ms, self._bounds.speak_gate_ms[1])

    def _too_long(self) -> Change | None:
        """Lower the setting by which callers gain most, if its harm is well under its budget."""
        gains = {name: self._gain(name) for name in NAMES if self._may_lower(name)}
        name = max(gains, key=lambda name: gains[name], default=None)
        if name is None:
            return None
        down_ms = self._down_ms(name)
        if gains[name] < self._rules.worth * down_ms:
            return None
        to_ms = self._ms[name] - down_ms
        saves = f"{down_ms} ms less saves {gains[name]:.0f} ms in the mean turn"
        if name == "speak_gate_ms":
            harmed, turns, budget = self._harm(name)
            rare = f"{harmed} of {turns} turns {_HARMS[name]}, under the budget of {budget:.0%}"
            return self._change(name, to_ms, f"replies wait for it: {saves}; {rare}")
        late = f"work begins {self._work_p50_ms():.0f} ms after speech in the median turn"
        return self._change(name, to_ms, f"finals are late: {late}; {saves}")

    def _may_lower(self, name: TunedSetting) -> bool:
        if self._down_ms(name) <= 0 or self._judged < self._rest_until.get(name, 0):
            return False
        if name != "speak_gate_ms" and (self._work_p50_ms() or 0) <= self._rules.late_ms:
            return False
        harmed, turns, budget = self._harm(name)
        enough = turns >= self._rules.evidence
        return enough and _at_most(harmed, turns, budget) <= self._rules.sure

    def _down_ms(self, name: TunedSetting) -> int:
        """The step down that is left above the least of the setting."""
        rules, (low, _) = self._rules, self._bounds.of(name)
        if name == "speak_gate_ms":
            low = max(low, self._ms["hangover_ms"])
        step_ms = rules.debounce_down_ms if name == "debounce_ms" else rules.down_ms
        return min(step_ms, self._ms[name] - low)

    def _gain(self, name: TunedSetting) -> float:
        """What one step less gains in the mean turn, in ms; turns that do not tell gain nothing."""
        return fmean(seen.sooner.get(name, 0) for seen in self._window)

    def _work_p50_ms(self) -> float | None:
        work = [seen.work_ms for seen in self._window if seen.work_ms is not None]
        return median(work) if work else None

    def _harm(self, name: TunedSetting) -> tuple[int, int, float]:
        """Turns harmed by a setting that is too short, turns that tell, and the budget."""
        match name:
            case "speak_gate_ms":
                told = [seen.cutoff for seen in self._window if seen.cutoff is not None]
                return sum(told), len(told), self._rules.cutoff_budget
            case "debounce_ms":
                told = [seen.clipped for seen in self._window if seen.clipped is not None]
                return sum(told), len(told), self._rules.clipped_budget
            case "hangover_ms":
                told = [seen.reopened for seen in self._window]
                return sum(told), len(told), self._rules.reopened_budget

    def _change(self, name: TunedSetting, to_ms: int, why: str) -> Change:
        from_ms = self._ms[name]
        if to_ms > from_ms:
            if self._lowered.get(name):
                self._rests[name] = min(2 * self._rests[name], self._rules.longest_rest)
            self._rest_until[name] = self._judged + self._rests[name]
        self._lowered[name] = to_ms < from_ms
        ms = self._ms
        ms[name] = to_ms
        self.config = replace(
            self.config,
            debounce_ms=ms["debounce_ms"],
            hangover_ms=ms["hangover_ms"],
            speak_gate_ms=ms["speak_gate_ms"],
        )
        self._window.clear()
        self._at_bound = None
        change = Change(name, from_ms, to_ms, why, self._turns)
        self.changes.append(change)
        return change


_HARMS: Final[dict[TunedSetting, str]] = {
    "speak_gate_ms": "were cut off",
    "debounce_ms": "were acted on before the text was final",
    "hangover_ms": "were re-opened",
}


def _at_most(harmed: int, turns: int, rate: float) -> float:
    """The probability of so few harmed turns, or fewer, at this rate."""
    return sum(math.comb(turns, n) * rate**n * (1 - rate) ** (turns - n) for n in range(harmed + 1))


def _at_least(harmed: int, turns: int, rate: float) -> float:
    """The probability of so many, or more."""
    return 1 - _at_most(harmed - 1, turns, rate)
