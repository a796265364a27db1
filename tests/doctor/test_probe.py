"""The probe's own parts, in this process."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from voicelat.doctor.probe.after_import import watch_imports
from voicelat.doctor.probe.load import kind_of, routes
from voicelat.doctor.probe.place import Owner


def test_a_hook_is_called_once_its_module_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "watched_module.py").write_text("half = 1\nwhole = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    seen: list[ModuleType] = []
    watch_imports({"watched_module": seen.append, "sys": seen.append})
    assert seen == [sys]
    import watched_module  # type: ignore[import-not-found]

    assert seen == [sys, watched_module]
    assert watched_module.whole == 2
    assert type(watched_module.__spec__.loader).__name__ == "SourceFileLoader"
    del sys.modules["watched_module"]


def test_installed_packages_and_voicelat_are_not_the_applications_own(tmp_path: Path) -> None:
    owner = Owner(str(tmp_path))
    assert owner.owns(str(tmp_path / "bot.py"))
    assert not owner.owns(str(tmp_path / "venv/lib/python3.11/site-packages/flask/app.py"))
    assert not owner.owns(__file__)
    import voicelat

    whole = Owner(str(Path(voicelat.__file__).parents[1]))
    assert not whole.owns(voicelat.__file__)


def test_kinds_of_applications_are_told_apart() -> None:
    async def asgi(scope: object, receive: object, send: object) -> None: ...

    def wsgi(environ: object, start_response: object) -> None: ...

    class Server:
        async def __call__(self, scope: object, receive: object, send: object) -> None: ...

    assert kind_of(asgi) == kind_of(Server()) == "asgi"
    assert kind_of(wsgi) == "wsgi"
    assert kind_of("app") is None
    assert kind_of(lambda: None) is None


def test_only_routes_that_sound_like_a_voice_webhook_are_posted_to() -> None:
    flask = pytest.importorskip("flask")
    flask_sock = pytest.importorskip("flask_sock")
    app = flask.Flask(__name__)
    sock = flask_sock.Sock(app)
    for path in ("/orders/cancel", "/twilio/voice", "/voice", "/voice/<name>"):
        app.add_url_rule(path, path, lambda: "", methods=["POST"])
    sock.route("/updates", endpoint="updates")(lambda ws: None)
    sock.route("/media-stream", endpoint="media")(lambda ws: None)
    assert routes(app) == (["/voice", "/twilio/voice"], ["/media-stream", "/updates"])


def test_routes_of_mounted_applications_come_behind_its_own() -> None:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Mount, Route, WebSocketRoute

    async def voice(request: object) -> Response:
        return Response()

    async def media(ws: object) -> None: ...

    own = [Route("/voice", voice, methods=["POST"]), WebSocketRoute("/media", media)]
    app = Starlette(routes=[Mount("/agent", routes=own), *own])
    assert routes(app) == (["/voice", "/agent/voice"], ["/media", "/agent/media"])
