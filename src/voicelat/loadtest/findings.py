"""x"""

from collections.abc import Sequence

from voicelat.caller import CallResult
from voicelat.metrics.diagnosis import Finding


def findings(calls: Sequence[CallResult]) -> list[Finding]:
    return []
