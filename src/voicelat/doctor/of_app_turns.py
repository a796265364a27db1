"""Checks of what an application does in its turns, and of what it is set to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

from voicelat.doctor.catalog import fault, ok, skipped
from voicelat.doctor.of_app_evidence import Evidence, some
from voicelat.doctor.probe.seen import Client, Spot
from voicelat.doctor.result import CheckResult

__all__ = ["TURN_CHECKS", "app_answers"]

TURNS: Final = 2
"""So many turns have to do a thing anew before it is one of each turn."""
TIMEOUT_S: Final = 60
KEEPALIVE_S: Final = 15
WAIT_MS: Final = 100
_UNANSWERED: Final = "fewer than two turns were answered: nothing can be said of each turn"
_SERVICES: Final = ("openai", "httpx", "httpx2", "aiohttp")


def app_answers(evidence: Evidence) -> CheckResult:
    heard = evidence.placed.heard
    answered = sum(not one.censored for one in heard)
    figure = f"{answered} of {len(heard)} questions were answered, under {evidence.serving.server}"
    if heard and answered == len(heard):
        return ok("app-answers", "every question was answered", figure)
    ended = ", ".join(sorted({result.ended or "open" for result in evidence.placed.results}))
    return fault(
        "app-answers",
        "callers were not answered",
        f"{figure}; calls ended: {ended}; the last it printed: {evidence.last_printed}",
    )


# -- connections ---------------------------------------------------------------------------------


def tls_per_turn(evidence: Evidence) -> CheckResult:
    if evidence.answered < TURNS:
        return skipped("tls-per-turn", _UNANSWERED)
    turns = len(evidence.placed.turns)
    found: list[str] = []
    shaken = _by_turn(evidence, evidence.seen.handshakes)
    for host, (numbers, spots) in shaken.items():
        took = median(spot.ms or 0 for spot in spots)
        found.append(f"{host}: TLS in {numbers} of {turns} turns, {took:.0f} ms{_from(spots)}")
    if not found:
        for host, (numbers, spots) in _by_turn(evidence, evidence.seen.connects).items():
            found.append(f"{host}: connected in {numbers} of {turns} turns{_from(spots)}")
    if found:
        return fault("tls-per-turn", "connections are opened anew in each turn", some(found))
    connects = len(evidence.during(evidence.seen.connects))
    return ok("tls-per-turn", "no host was connected to in two turns", f"{connects} connects")


def dns_per_turn(evidence: Evidence) -> CheckResult:
    if evidence.answered < TURNS:
        return skipped("dns-per-turn", _UNANSWERED)
    turns = len(evidence.placed.turns)
    found = [
        f"{name} in {numbers} of {turns} turns{_from(spots)}"
        for name, (numbers, spots) in _by_turn(evidence, evidence.seen.lookups).items()
    ]
    if found:
        return fault("dns-per-turn", "names are resolved anew in each turn", some(found))
    return ok("dns-per-turn", "no name was resolved in two turns")


def _by_turn(evidence: Evidence, spots: Sequence[Spot]) -> dict[str, tuple[int, list[Spot]]]:
    """Those that happened in two turns or more: in how many, and which."""
    numbers: dict[str, set[int]] = defaultdict(set)
    found: dict[str, list[Spot]] = defaultdict(list)
    for number, happened in evidence.turns_with(spots).items():
        for spot in happened:
            numbers[spot.what].add(number)
            found[spot.what].append(spot)
    return {
        what: (len(turns), found[what]) for what, turns in numbers.items() if len(turns) >= TURNS
    }


def _from(spots: Iterable[Spot | Client]) -> str:
    places = sorted({spot.where for spot in spots} - {""})
    return f", from {places[0]}" if places else ""


# -- clients -------------------------------------------------------------------------------------


def client_per_turn(evidence: Evidence) -> CheckResult:
    if evidence.answered < TURNS:
        return skipped("client-per-turn", _UNANSWERED)
    turns: dict[str, set[int]] = defaultdict(set)
    made: dict[str, list[Client]] = defaultdict(list)
    for number, clients in evidence.turns_with(evidence.seen.clients).items():
        for one in clients:
            turns[one.what].add(number)
            made[one.what].append(one)
    total = len(evidence.placed.turns)
    found = [
        f"{what} in {len(numbers)} of {total} turns{_from(made[what])}"
        for what, numbers in turns.items()
        if len(numbers) >= TURNS
    ]
    if found:
        return fault("client-per-turn", "clients are constructed in each turn", some(found))
    return ok(
        "client-per-turn",
        "no client was constructed in two turns",
        f"{len(evidence.seen.clients)} constructed in all",
    )


def client_timeout(evidence: Evidence) -> CheckResult:
    clients = [one for one in _services(evidence) if one.has_timeout]
    found = [
        f"{one.what}: {_seconds(one.timeout_s)}{_retries(one)}{_from([one])}"
        for one in clients
        if one.timeout_s is None or one.timeout_s > TIMEOUT_S
    ]
    found += [f"requests without a timeout{_from([spot])}" for spot in evidence.seen.unlimited]
    if found:
        return fault("client-timeout", "clients wait longer than any caller", some(found))
    if not clients:
        return ok("client-timeout", "no client of a kind that is known was constructed")
    longest = max(one.timeout_s or 0 for one in clients)
    return ok("client-timeout", f"the longest timeout is {longest:.0f} s")


def client_keepalive(evidence: Evidence) -> CheckResult:
    clients = [one for one in _services(evidence) if one.has_keepalive]
    found = [
        f"{one.what}: {one.keepalive_s:.0f} s{_from([one])}"
        for one in clients
        if one.keepalive_s is not None and one.keepalive_s < KEEPALIVE_S
    ]
    if found:
        return fault("client-keepalive", "idle connections are dropped between turns", some(found))
    if not clients:
        return ok("client-keepalive", "no client of a kind that is known was constructed")
    return ok("client-keepalive", f"{len(clients)} clients keep idle connections")


def _services(evidence: Evidence) -> list[Client]:
    return [one for one in evidence.seen.clients if one.what.split(".")[0] in _SERVICES]


def _seconds(seconds: float | None) -> str:
    return "waits for ever" if seconds is None else f"timeout {seconds:.0f} s"


def _retries(one: Client) -> str:
    return "" if one.retries is None else f", {one.retries} retries"


# -- the recogniser ------------------------------------------------------------------------------


def stt_interim(evidence: Evidence) -> CheckResult:
    made = evidence.seen.recognisers
    if not made:
        return skipped("stt-interim", "no configuration of Google's recogniser was made here")
    found = [f"interim_results=False at {one.where}" for one in made if not one.interim_results]
    found += [f"single_utterance=True at {one.where}" for one in made if one.single_utterance]
    if found:
        return fault(
            "stt-interim", "the recogniser is asked for less than a turn needs", some(found)
        )
    return ok("stt-interim", "partials are asked for", f"{len(made)} streams, {_models(evidence)}")


def stt_encoding(evidence: Evidence) -> CheckResult:
    made = evidence.seen.recognisers
    if not made:
        return skipped("stt-encoding", "no configuration of Google's recogniser was made here")
    found = [
        f"{one.encoding} at {one.rate} Hz, {one.where}"
        for one in made
        if (one.encoding, one.rate) != ("MULAW", 8000)
    ]
    if found:
        return fault("stt-encoding", "the audio is converted before it is heard", some(found))
    return ok("stt-encoding", "the recogniser is given what Twilio sends", _models(evidence))


def _models(evidence: Evidence) -> str:
    models = sorted({one.model or "the default" for one in evidence.seen.recognisers})
    return f"model {', '.join(models)}"


def double_wait(evidence: Evidence) -> CheckResult:
    if not evidence.records:
        return skipped(
            "wait-after-final",
            "the application wrote no turns of these calls: set TURNS_FILE, or use CallMeter",
        )
    waits: list[int] = []
    for record in evidence.records:
        stamps, hangover = record.stamps, record.settings.get("VAD_HANGOVER_MS", 0)
        begun = stamps.turn_end if stamps.reply_start is None else stamps.reply_start
        if stamps.stt_final is None or stamps.speech_end is None or begun is None:
            continue
        text_ms = max(stamps.stt_final, stamps.speech_end + _int(hangover))
        waits.append(begun - text_ms)
    if not waits:
        return skipped("wait-after-final", "no turn of these calls had a final")
    wait = round(median(waits))
    figure = f"median {wait} ms from final and hangover to the reply's start, {len(waits)} turns"
    if wait > WAIT_MS:
        return fault("wait-after-final", "turns wait on after their final", figure)
    return ok("wait-after-final", "a final ends the wait", figure)


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


# -- read in the source --------------------------------------------------------------------------


def stream_age(evidence: Evidence) -> CheckResult:
    found = evidence.reading.streams
    what = "a recogniser stream that nothing renews"
    return _read(evidence, "stream-renewal", what, found, "no stream without renewal")


def wall_clock(evidence: Evidence) -> CheckResult:
    found = evidence.reading.wall_clock
    what = "differences of the wall clock"
    return _read(evidence, "wall-clock-latency", what, found, "no difference of the wall clock")


def frame_pacing(evidence: Evidence) -> CheckResult:
    found = evidence.reading.pacing
    what = "audio is paced by sleeping a frame at a time"
    return _read(evidence, "frame-pacing", what, found, "no loop sleeps a frame at a time")


def _read(evidence: Evidence, check: str, what: str, found: list[str], well: str) -> CheckResult:
    reading = evidence.reading
    if found:
        return fault(check, f"{what}, read in its source", some(found))
    unread = f", {len(reading.unread)} not: {reading.unread[0]}" if reading.unread else ""
    if not reading.files:
        return skipped(check, f"no source of the application's own was found{unread}")
    return ok(check, well, f"{reading.files} source files read{unread}")


def socket_compression(evidence: Evidence) -> CheckResult:
    if evidence.compression_unknown is not None:
        return skipped("socket-compression", evidence.compression_unknown)
    if evidence.compression is None:
        return ok("socket-compression", "it refuses to compress")
    return ok(
        "socket-compression",
        "it compresses for clients that offer it, which Twilio does not",
        f"{evidence.compression} was negotiated",
    )


TURN_CHECKS: Final = (
    tls_per_turn,
    dns_per_turn,
    client_per_turn,
    client_timeout,
    client_keepalive,
    stt_interim,
    stt_encoding,
    stream_age,
    double_wait,
    wall_clock,
    frame_pacing,
    socket_compression,
)
