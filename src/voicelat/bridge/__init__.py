"""The engine behind a server you have: Flask under threads, gevent or eventlet.

One bridge per application; one blocking call per media socket::

    bridge = Bridge({"STT_PROVIDER": "google", "LLM_PROVIDER": "openai", "TTS_PROVIDER": "google"})

    @sock.route("/media")                 # flask-sock
    def media(ws):
        bridge.serve(ws)                  # until the call is over

Settings come from where ``voicelat serve`` takes them, those given here first. The engine is
asyncio, and lives in a thread of the worker; under a server that has monkey-patched the standard
library it lives in a process of its own, because gRPC hangs there (measured 2026-11, eventlet and
gevent). `Bridge` sees which, starts it, restarts it, and takes it along when the worker ends.
``docs/existing-servers.md`` says which server needs what.

An ASGI server needs no bridge: mount `voicelat.serve.app.TwilioServer.app`.
"""

from voicelat.bridge.bridge import BlockingSocket, Bridge
from voicelat.bridge.patched import patched_by

__all__ = ["BlockingSocket", "Bridge", "patched_by"]
