"""A scripted telephone caller behind Twilio: the mirror image of the turn machine.

Pure: text and time go in, text comes out. It says what its script says, on its own clock and
whatever the server does, plays what it gets as Twilio does, and measures what a person on the
telephone would: independently of the server, and in audio samples.
"""

from voicelat.caller.call import (
    TRUSTED_LATENESS_MS,
    CallerEvent,
    CallResult,
    CallSetup,
    Close,
    Closed,
    Leave,
    Opened,
    Output,
    Tick,
    Violation,
    lateness_p99,
)
from voicelat.caller.ear import Heard
from voicelat.caller.machine import Caller
from voicelat.caller.script import (
    BargeIn,
    Dtmf,
    HangUp,
    Pause,
    Say,
    Script,
    Silence,
    Step,
    WaitForReply,
)

__all__ = [
    "TRUSTED_LATENESS_MS",
    "BargeIn",
    "CallResult",
    "CallSetup",
    "Caller",
    "CallerEvent",
    "Close",
    "Closed",
    "Dtmf",
    "HangUp",
    "Heard",
    "Leave",
    "Opened",
    "Output",
    "Pause",
    "Say",
    "Script",
    "Silence",
    "Step",
    "Tick",
    "Violation",
    "WaitForReply",
    "lateness_p99",
]
