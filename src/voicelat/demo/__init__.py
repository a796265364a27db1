"""The main job on an embedded default: our server, a few simulated callers, the report.

No account, no key and, after installation, no network.
"""

from voicelat.demo.run import DemoPlan, DemoResult, LiveTurn, run_demo

__all__ = ["DemoPlan", "DemoResult", "LiveTurn", "run_demo"]
