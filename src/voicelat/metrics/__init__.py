"""What a turn measured, and what many turns say: records, percentiles, diagnosis, exporters.

For a server with a loop of its own: a `CallMeter` for each call, and one `MetricRecorder`.
"""

from voicelat.metrics.meter import CallMeter
from voicelat.metrics.record import CallInfo, TurnRecord
from voicelat.metrics.recorder import MetricRecorder

__all__ = ["CallInfo", "CallMeter", "MetricRecorder", "TurnRecord"]
