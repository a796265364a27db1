"""Student's t against the printed tables."""

from __future__ import annotations

import pytest

from voicelat.metrics.student import t_quantile


@pytest.mark.parametrize(
    ("p", "freedom", "table"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 3, 3.182),
        (0.975, 10, 2.228),
        (0.975, 1000, 1.962),
        (0.995, 5, 4.032),
        (0.95, 8, 1.860),
    ],
)
def test_the_quantiles_are_those_of_the_tables(p: float, freedom: int, table: float) -> None:
    assert t_quantile(p, freedom) == pytest.approx(table, rel=0.003)


def test_a_fraction_of_a_degree_is_dropped() -> None:
    assert t_quantile(0.975, 4.9) == t_quantile(0.975, 4)
