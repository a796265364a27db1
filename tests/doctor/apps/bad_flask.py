"""A Flask bot with as many faults as fit into one file. Each stands in test_of_app_bad.py."""

import gc
import logging
import os
import time

import agents  # noqa: F401
import openai
import requests
from bots import Ear
from flask import Flask, Response
from flask_sock import Server, Sock
from google.cloud import speech


class Telegraph(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(0.003)


logging.getLogger("werkzeug").setLevel(logging.INFO)
logging.getLogger("werkzeug").addHandler(logging.StreamHandler())
log = logging.getLogger("bot")
log.setLevel(logging.INFO)
log.addHandler(Telegraph())

app = Flask(__name__)
app.debug = True
app.config["TEMPLATES_AUTO_RELOAD"] = True
sock = Sock(app)

model = openai.OpenAI(api_key="none", base_url="http://127.0.0.1:1")
rubbish = [[number] for number in range(2_000_000)]


def listen(client: speech.SpeechClient, audio: list[bytes]) -> None:
    config = speech.StreamingRecognitionConfig(
        config=speech.RecognitionConfig(
            encoding=speech.RecognitionConfig.AudioEncoding.LINEAR16, sample_rate_hertz=16000
        ),
        single_utterance=True,
    )
    if audio:
        client.streaming_recognize(config, audio)


def think() -> float:
    began = time.time()
    requests.get(os.environ["VENDOR_URL"], verify=False)
    import slow_to_import  # noqa: F401

    listen(model, [])
    gc.collect()
    return time.time() - began


@app.post("/voice")
def voice() -> Response:
    twiml = '<Response><Connect><Stream url="wss://bot.example/ws/calls"/></Connect></Response>'
    return Response(twiml, mimetype="text/xml")


@sock.route("/ws/calls")
def calls(ws: Server) -> None:
    ear = Ear()
    while True:
        text = ws.receive()
        log.info("a message of %d bytes", len(text or ""))
        if ear.over(text):
            return
        if ear.hears_the_end(text):
            log.info("thought for %.3f s", think())
            for _ in range(10):
                ws.send(ear.reply(1))
                time.sleep(0.02)
