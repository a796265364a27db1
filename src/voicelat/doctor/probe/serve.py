"""The servers: uvicorn, gunicorn with the application's own configuration, or plain threads."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from voicelat.doctor.probe.child import Child
from voicelat.doctor.probe.seen import Gunicorn

if TYPE_CHECKING:
    from socket import socket

__all__ = ["serve"]

_HOST: Final = "127.0.0.1"
_NO_EVENTLET: Final = 26
"""The first major version of gunicorn without an eventlet worker."""
_OVERRIDES: Final = {
    "workers": 1,  # the one that is watched
    "reload": False,
    "daemon": False,
    "control_socket_disable": True,
}


def serve(child: Child) -> None:
    """Serve until killed."""
    if child.plan.gunicorn is not None and _under_gunicorn(child):
        return
    kind = child.load()
    if kind == "asgi":
        _under_uvicorn(child)
    else:
        _in_threads(child)


def _under_uvicorn(child: Child) -> None:
    """On asyncio's own loop: uvloop connects without telling the interpreter."""
    import asyncio

    import uvicorn

    plan = child.plan
    config = uvicorn.Config(
        child.app,
        host=_HOST,
        port=plan.port,
        loop="asyncio",
        ws=plan.uvicorn_ws,
        ws_per_message_deflate=plan.uvicorn_deflate,
        log_config=None,  # the application's own, if it has one
        lifespan="auto",
    )

    class Watched(uvicorn.Server):
        async def startup(self, sockets: list[socket] | None = None) -> None:
            await super().startup(sockets)
            if self.should_exit:
                child.fail("its startup failed: run it under uvicorn to see how")
            child.serving("uvicorn")

    asyncio.run(Watched(config).serve())


def _in_threads(child: Child) -> None:
    # Only now: what it imports must see what the application has patched.
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """The access log of a server that the application did not choose is not its own."""

    server = make_server(_HOST, child.plan.port, child.app, threaded=True, request_handler=Quiet)
    child.serving("werkzeug")
    server.serve_forever()


def _under_gunicorn(child: Child) -> bool:
    """False: this gunicorn cannot start its worker, or it is one for ASGI."""
    from gunicorn.app.wsgiapp import (  # type: ignore[import-untyped]
        WSGIApplication,
    )

    class Watched(WSGIApplication):  # type: ignore[misc]  # it ships no types
        master = os.getpid()
        serving = False

        def load_wsgiapp(self) -> Any:
            child.load(before_fork=os.getpid() == self.master)
            return child.app

        def wsgi(self) -> Any:
            app = super().wsgi()
            if os.getpid() == self.master:  # preloaded, before the fork
                child.seen.gunicorn = structs.replace(configured, grpc_before_fork=_grpc_loaded())
            elif not self.serving:
                self.serving = True
                child.serving(f"gunicorn -k {configured.worker}")
            return app

    sys.argv = ["gunicorn", *(child.plan.gunicorn or ()), child.plan.module]
    application = Watched("%(prog)s [OPTIONS] [APP_MODULE]", prog="gunicorn")
    configured = child.seen.gunicorn = _configured(application.cfg)
    if "uvicorn" in configured.worker or "asgi" in configured.worker:
        return False
    if configured.worker == "eventlet" and _major(configured.version) >= _NO_EVENTLET:
        return False
    for setting, value in {**_OVERRIDES, "bind": f"{_HOST}:{child.plan.port}"}.items():
        if setting in application.cfg.settings:
            application.cfg.set(setting, value)
    application.run()
    return True


def _configured(cfg: Any) -> Gunicorn:
    from importlib import metadata

    return Gunicorn(
        version=metadata.version("gunicorn"),
        worker=cfg.worker_class_str,
        workers=cfg.workers,
        threads=cfg.threads,
        timeout_s=cfg.timeout,
        preload=cfg.preload_app,
        grpc_before_fork=False,
        reload=cfg.reload,
        access_log=cfg.accesslog is not None,
    )


def _grpc_loaded() -> bool:
    return "grpc" in sys.modules


def _major(version: str) -> int:
    return int(version.split(".", 1)[0])
