"""gevent patches when gRPC and an HTTP client are there already."""

import grpc  # noqa: F401
import requests  # noqa: F401
from gevent import monkey

monkey.patch_all()

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
            ws.send(ear.reply())
