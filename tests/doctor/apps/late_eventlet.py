"""Patches when everything that matters has been imported, and then blocks the hub."""

import logging  # noqa: F401
import threading
from time import sleep

import grpc  # noqa: F401
import requests  # noqa: F401

LOCK = threading.RLock()

import eventlet  # noqa: E402

eventlet.monkey_patch()

from bots import Ear  # noqa: E402
from flask import Flask  # noqa: E402
from flask_sock import Server, Sock  # noqa: E402

app = Flask(__name__)
sock = Sock(app)


@sock.route("/media")
def media(ws: Server) -> None:
    ear = Ear()
    while not ear.over(text := ws.receive()):
        if ear.hears_the_end(text):
            sleep(0.2)
            ws.send(ear.reply())
