"""What counts as done anew in each turn."""

from __future__ import annotations

import msgspec
from tests.doctor.gathered import FIRST_S, SECOND_S, gathered

from voicelat.doctor.of_app_turns import (
    client_keepalive,
    client_per_turn,
    client_timeout,
    dns_per_turn,
    double_wait,
    tls_per_turn,
)
from voicelat.doctor.probe.seen import Client, Seen, Spot
from voicelat.metrics.record import Stamps, TurnRecord


def test_a_connection_in_one_turn_is_kept_or_may_be() -> None:
    seen = Seen(handshakes=[Spot(FIRST_S, "api:443", 30.0), Spot(FIRST_S, "api:443", 30.0)])
    assert tls_per_turn(gathered(seen)).outcome == "ok"


def test_a_connection_in_two_turns_is_a_fault_with_its_time() -> None:
    seen = Seen(handshakes=[Spot(FIRST_S, "api:443", 30.0), Spot(SECOND_S, "api:443", 50.0)])
    assert tls_per_turn(gathered(seen)).evidence == "api:443: TLS in 2 of 2 turns, 40 ms"


def test_connections_without_tls_count_too() -> None:
    seen = Seen(connects=[Spot(FIRST_S, "10.0.0.1:80"), Spot(SECOND_S, "10.0.0.1:80")])
    assert tls_per_turn(gathered(seen)).evidence == "10.0.0.1:80: connected in 2 of 2 turns"


def test_turns_without_answers_prove_nothing() -> None:
    evidence = gathered(Seen(), answered=False)
    for judge in (tls_per_turn, dns_per_turn, client_per_turn):
        assert judge(evidence).outcome == "skipped"


def client(**changed: object) -> Client:
    return msgspec.convert({"at_s": FIRST_S, "what": "openai.OpenAI", **changed}, Client)


def test_an_unknown_timeout_or_keepalive_is_no_fault() -> None:
    evidence = gathered(Seen(clients=[client()]))
    assert client_timeout(evidence).outcome == "ok"
    assert client_keepalive(evidence).outcome == "ok"


def test_a_timeout_of_none_waits_for_ever_and_a_keepalive_of_none_keeps_for_ever() -> None:
    evidence = gathered(Seen(clients=[client(has_timeout=True, has_keepalive=True)]))
    assert client_timeout(evidence).evidence == "openai.OpenAI: waits for ever"
    assert client_keepalive(evidence).outcome == "ok"


def turn(reply_start: int) -> TurnRecord:
    stamps = Stamps(speech_end=1000, stt_final=1100, turn_end=1200, reply_start=reply_start)
    return TurnRecord(
        call_id="CA1",
        source="bot",
        turn=1,
        outcome="answered",
        stamps=stamps,
        settings={"VAD_HANGOVER_MS": 200},
    )


def test_a_reply_that_waits_behind_final_and_hangover_waits_twice() -> None:
    evidence = gathered(Seen(), records=[turn(1500), turn(1520)])
    assert double_wait(evidence).outcome == "fault"
    assert double_wait(evidence).evidence.startswith("median 310 ms from final and hangover")


def test_a_reply_at_the_end_of_the_hangover_does_not() -> None:
    assert double_wait(gathered(Seen(), records=[turn(1200)])).outcome == "ok"
    assert double_wait(gathered(Seen())).outcome == "skipped"
