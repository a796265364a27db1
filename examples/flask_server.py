"""A Flask bot with flask-sock: the same file under threads, gevent and eventlet.

    gunicorn -k gthread --threads 50 flask_server:app
    gunicorn -k gevent flask_server:app
    EVENTLET_NO_GREENDNS=1 gunicorn -k eventlet flask_server:app      # gunicorn 25.3.0 or older

Settings as for ``voicelat serve``: the environment, ``.env``, ``voicelat.toml``.
"""

import os

from flask import Flask, Response, abort, request
from flask_sock import Server, Sock

from voicelat.bridge import Bridge
from voicelat.twilio.signature import handshake_is_genuine, webhook_is_genuine
from voicelat.twilio.twiml import connect_stream

TOKEN = os.environ.get("TWILIO_AUTH_TOKEN", "")
BASE = os.environ.get("PUBLIC_BASE_URL", "http://127.0.0.1:8000")
STREAM = BASE.replace("http", "ws", 1) + "/media"

app = Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"max_message_size": 65_536}
sock = Sock(app)

bridge = Bridge()
bridge.warm()  # the worker is being loaded: better now than when somebody is on the line


@app.post("/voice")
def voice() -> Response:
    form = {name: request.form.getlist(name) for name in request.form}
    if TOKEN and not webhook_is_genuine(TOKEN, f"{BASE}/voice", form, dict(request.headers)):
        abort(403)
    return Response(connect_stream(STREAM, insecure=not TOKEN), mimetype="text/xml")


@sock.route("/media")  # type: ignore[untyped-decorator]  # flask-sock ships no types
def media(ws: Server) -> None:
    if TOKEN and not handshake_is_genuine(TOKEN, STREAM, dict(request.headers)):
        return
    bridge.serve(ws)


@app.get("/metrics")
def metrics() -> Response:
    return Response(bridge.metrics(), mimetype="text/plain")
