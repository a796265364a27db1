"""What an examination told, by check."""

from __future__ import annotations

from collections.abc import Iterable

from voicelat.doctor.result import CheckResult

__all__ = ["Told", "faults", "outcomes"]


class Told(list[CheckResult]):
    """Is told each result."""

    def __call__(self, result: CheckResult) -> None:
        """One of them."""
        self.append(result)


def outcomes(results: Iterable[CheckResult]) -> dict[str, str]:
    """Check -> the gravest of what was told."""
    order = ("ok", "skipped", "fault")
    found: dict[str, str] = {}
    for one in results:
        worst = max(order.index(one.outcome), order.index(found.get(one.check, "ok")))
        found[one.check] = order[worst]
    return found


def faults(results: Iterable[CheckResult]) -> list[str]:
    """The checks that found something, in order."""
    return [one.check for one in results if one.outcome == "fault"]
