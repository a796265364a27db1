"""A voice agent on Pipecat, and on nothing of ours: run in Pipecat's own environment.

``python pipecat_bot.py PORT``. A true pipeline (transport, voice detection, a processor, transport)
with a scripted voice in place of the cloud services: what it says is a murmur.
"""

import json
import math
import sys

import numpy as np
import uvicorn
from fastapi import FastAPI, WebSocket
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams
from pipecat.frames.frames import (
    Frame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport

RATE = 8000
app = FastAPI()


class Loudness(VADAnalyzer):
    """Voice is what is loud."""

    def num_frames_required(self) -> int:
        return self.sample_rate // 50

    def voice_confidence(self, buffer: bytes) -> float:
        samples = np.frombuffer(buffer, np.int16).astype(np.float64)
        rms = math.sqrt(float((samples**2).mean())) if len(samples) else 0.0
        return 1.0 if rms > 500 else 0.0


class Murmur(FrameProcessor):
    """Answers whatever was said, and stops when somebody speaks."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame):
            await self.broadcast_interruption()
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            await self.push_frame(TTSStartedFrame())
            time = np.arange(RATE * 2) / RATE
            samples = (np.sin(2 * np.pi * 220 * time) * 6000).astype(np.int16).tobytes()
            for at in range(0, len(samples), 640):
                piece = samples[at : at + 640]
                await self.push_frame(
                    TTSAudioRawFrame(audio=piece, sample_rate=RATE, num_channels=1)
                )
            await self.push_frame(TTSStoppedFrame())


@app.websocket("/media")
async def media(socket: WebSocket) -> None:
    await socket.accept()
    await socket.receive_text()  # connected
    start = json.loads(await socket.receive_text())["start"]
    transport = FastAPIWebsocketTransport(
        websocket=socket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            add_wav_header=False,
            serializer=TwilioFrameSerializer(
                start["streamSid"],
                params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
            ),
        ),
    )
    voice = VADProcessor(
        vad_analyzer=Loudness(params=VADParams(start_secs=0.1, stop_secs=0.2, min_volume=0.0))
    )
    task = PipelineTask(
        Pipeline([transport.input(), voice, Murmur(), transport.output()]),
        params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
    )

    @transport.event_handler("on_client_disconnected")
    async def gone(_transport: object, _client: object) -> None:
        await task.cancel()

    await PipelineRunner(handle_sigint=False).run(task)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
