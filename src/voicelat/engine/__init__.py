"""The live runtime of one call, for a server of your own.

A loop on a stack of providers serves any socket that carries Media Streams messages::

    stack = Stack(ears, model, voice)
    with MetricRecorder("turns.jsonl") as recorder:
        loop = TurnLoop(stack, on_turn=recorder.record)

        async def media(socket: ServerConnection) -> None:  # of the websockets package
            await loop.run(WebsocketsTransport(socket))

        async with stack, serve(media, "127.0.0.1", 8080, compression=None):
            await asyncio.Future()

``examples/fifteen_lines.py`` has it whole. `TurnConfig` and `EngineConfig` hold the settings;
`policy` and `EouTuner` decide how patient it is; `TtsCache` is where a stack keeps its phrases;
any other socket becomes a `Transport`.
"""

from voicelat.engine.config import EngineConfig
from voicelat.engine.stack import Stack
from voicelat.engine.transport import Transport, WebsocketsTransport
from voicelat.engine.tts_cache import TtsCache
from voicelat.engine.turn_loop import CallSummary, TurnLoop
from voicelat.metrics.recorder import MetricRecorder
from voicelat.turn.config import TurnConfig
from voicelat.turn.policies import policy
from voicelat.turn.tuner import EouTuner

__all__ = [
    "CallSummary",
    "EngineConfig",
    "EouTuner",
    "MetricRecorder",
    "Stack",
    "Transport",
    "TtsCache",
    "TurnConfig",
    "TurnLoop",
    "WebsocketsTransport",
    "policy",
]
