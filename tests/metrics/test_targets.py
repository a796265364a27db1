"""Targets and gates: known names, clear verdicts, and no pass without data."""

from __future__ import annotations

import pytest

from voicelat.errors import UsageError
from voicelat.metrics.targets import (
    COUNTS,
    DEFAULT_TARGETS,
    GATE_NAMES,
    ChangeGate,
    CountGate,
    Statistic,
    Target,
    check_gates,
    judge,
    parse_gate,
    parse_gates,
    target,
)

NO_COUNTS = dict.fromkeys(COUNTS, 0)


def known(number: str, statistic: Statistic) -> float | None:
    return {("TOTAL_LATENCY_MS", "p95"): 1500.0}.get((number, statistic))


def test_the_default_targets_are_those_of_the_field() -> None:
    assert {goal.name: goal.limit_ms for goal in DEFAULT_TARGETS} == {
        "first_partial_p50": 500,
        "final_p50": 700,
        "tts_ready_p50": 250,
        "total_p50": 2000,
        "total_p95": 3000,
    }


def test_gates_are_read_from_one_line() -> None:
    assert parse_gate(" total_p95=3000, cutoffs=0 ,") == [
        Target("total_p95", "TOTAL_LATENCY_MS", "p95", 3000),
        CountGate("cutoffs", 0),
    ]


@pytest.mark.parametrize("name", GATE_NAMES)
def test_every_name_offered_is_a_gate(name: str) -> None:
    (gate,) = parse_gate(f"{name}=12.5")
    assert gate.name == name


@pytest.mark.parametrize("text", ["speed=3", "total=3000", "TOTAL_LATENCY_MS=3", "p95=2"])
def test_an_unknown_gate_is_refused_with_the_names_there_are(text: str) -> None:
    with pytest.raises(UsageError, match="unknown gate") as caught:
        parse_gate(text)
    assert all(word in str(caught.value) for word in ("first_partial", "v2v", "p95", "cutoffs"))


@pytest.mark.parametrize("limit", ["", "=", "=fast", "=-1", "=nan", "=inf"])
def test_a_gate_needs_a_limit(limit: str) -> None:
    with pytest.raises(UsageError, match="needs a limit"):
        parse_gate(f"cutoffs=1,total_p95{limit}")


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown target"):
        target("cutoffs", 3)


@pytest.mark.parametrize(("limit", "ok"), [(1499, False), (1500, True), (1501, True)])
def test_a_target_is_met_up_to_its_limit(limit: float, ok: bool) -> None:
    (result,) = judge([target("total_p95", limit)], known)
    assert (result.value_ms, result.ok) == (1500, ok)
    (gate,) = check_gates([target("total_p95", limit)], known, NO_COUNTS)
    assert gate.ok is ok
    assert "1.50 s" in gate.says


def test_a_target_without_data_is_neither_met_nor_missed_but_its_gate_fails() -> None:
    (result,) = judge([target("total_p99", 3000)], known)
    assert result.ok is None
    (gate,) = check_gates([target("total_p99", 3000)], known, NO_COUNTS)
    assert gate.ok is False
    assert "unknown" in gate.says


@pytest.mark.parametrize(("cutoffs", "ok"), [(2, True), (3, False)])
def test_a_count_may_be_gated(cutoffs: int, ok: bool) -> None:
    (gate,) = check_gates(parse_gate("cutoffs=2"), known, {**NO_COUNTS, "cutoffs": cutoffs})
    assert (gate.ok, gate.value) == (ok, cutoffs)


def test_gates_about_a_change_have_a_percentage_and_a_floor() -> None:
    assert parse_gates("total_p95=+5%/50, cutoffs=0, cutoff_rate=+0%/2.5") == (
        [CountGate("cutoffs", 0)],
        [ChangeGate("total_p95", 5, 50), ChangeGate("cutoff_rate", 0, 2.5)],
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("total_p95=+5%", r"\+5%/50"),
        ("total_p95=+5/50", r"\+5%/50"),
        ("total_p95=+-5%/50", r"\+5%/50"),
        ("total_p99=+5%/50", "unknown gate 'total_p99' of a change"),
    ],
)
def test_a_gate_about_a_change_that_is_none_says_how_one_looks(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_gates(text)


def test_a_gate_about_a_change_needs_something_to_compare_with() -> None:
    with pytest.raises(UsageError, match="--compare"):
        parse_gate("total_p95=+5%/50")
