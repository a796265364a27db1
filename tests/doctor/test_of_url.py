"""A server with planted faults is found out over real sockets; a good one is not accused."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doctor.bad_server import STREAM, Site, running
from tests.doctor.told import Told, faults, outcomes
from tests.serve.running import QUESTION, serving

from voicelat.doctor.catalog import CHECKS
from voicelat.doctor.of_url import examine_url, judged_expiry
from voicelat.doubles.agents import VICES, serve_agent
from voicelat.errors import ConnectError, UsageError, VoicelatError
from voicelat.loadtest.cast import Cast
from voicelat.loadtest.scenario import Patience, Scenario, Talk
from voicelat.loadtest.utterances import Utterance
from voicelat.settings import load

TOKEN = "0123456789abcdef" * 2
SIGNED = load({"TWILIO_AUTH_TOKEN": TOKEN}, environ={})
UNSIGNED = load({}, environ={})
EVERYTHING = frozenset(CHECKS)
QUIET_ONES = EVERYTHING - {"wall-clock", "dns", "round-trip"}


def cast(questions: int = 2, barge_ins: float = 0.0, reply_ms: int = 1500) -> Cast:
    talk = Talk(
        questions=questions,
        think_ms=(20, 60),
        barge_ins=barge_ins,
        barge_after_ms=(200, 300),
    )
    patience = Patience(greeting_ms=0, reply_ms=reply_ms, quiet_ms=300)
    return Cast([Utterance(QUESTION)], Scenario(talk=talk, patience=patience))


async def examined(site: Site, wanted: frozenset[str] = QUIET_ONES) -> Told:
    told = Told()
    async with running(site) as url:
        used = SIGNED if site.token else UNSIGNED
        await examine_url(url, used, told, wanted, calls=0)
    return told


async def test_our_own_server_is_not_accused() -> None:
    told = Told()
    async with serving() as server:
        await examine_url(f"{server.url}/voice", UNSIGNED, told, cast=cast(), calls=1)
    if outcomes(told)["voice-to-voice"] == "skipped":
        pytest.skip("this machine is too busy for a caller to keep its time")
    assert faults(told) == []
    assert outcomes(told)["calls"] == "ok"
    assert outcomes(told)["reads-audio"] == "ok"


async def test_our_own_media_socket_alone_is_not_accused() -> None:
    told = Told()
    async with serving() as server:
        await examine_url(server.media, UNSIGNED, told, calls=0)
    assert faults(told) == []
    assert outcomes(told)["stream-url"] == "ok"


async def test_a_server_that_checks_signatures_is_not_accused() -> None:
    told = await examined(Site(token=TOKEN))
    assert faults(told) == []
    assert outcomes(told)["forged-requests"] == outcomes(told)["forged-sockets"] == "ok"


async def refused(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=404)


async def moved(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPTemporaryRedirect("/media/")


async def hanging_up(request: web.Request) -> web.StreamResponse:
    websocket = web.WebSocketResponse(compress=False)
    await websocket.prepare(request)
    await websocket.receive()
    await websocket.close()
    return websocket


PLANTED: dict[str, tuple[Site, set[str]]] = {
    "an error": (Site(status=500), {"webhook-status"}),
    "JSON": (Site(kind="application/json"), {"webhook-type"}),
    "no TwiML": (Site(twiml="hello"), {"twiml"}),
    "a fork": (
        Site(twiml='<Response><Start><Stream url="{stream}"/></Start></Response>'),
        {"one-way-stream"},
    ),
    "no fallback": (Site(twiml=STREAM.replace("<Say>Sorry.</Say>", "")), {"spoken-fallback"}),
    "a query": (Site(twiml=STREAM.replace("{stream}", "{stream}?call=1")), {"stream-url"}),
    "closing": (Site(keeps=False), {"keep-alive"}),
    "Werkzeug": (Site(headers={"Server": "Werkzeug/3.1"}), {"development-server"}),
    "a debugger": (Site(not_found="<title>Werkzeug Debugger</title>"), {"debug-pages"}),
    "no route": (Site(media=refused), {"socket"}),
    "a slash": (Site(media=moved), {"socket", "stream-url"}),
    "deflate": (Site(deflates=True), {"compression"}),
    "a deaf socket": (Site(reads=False), {"reads-audio"}),
    "a dying socket": (Site(media=hanging_up), {"reads-audio"}),
}


@pytest.mark.parametrize("name", PLANTED)
async def test_a_planted_fault_is_found_and_nothing_else(name: str) -> None:
    site, expected = PLANTED[name]
    assert set(faults(await examined(site))) == expected


async def test_all_faults_of_one_server_are_found_at_once() -> None:
    bad = Site(
        kind="application/json",
        keeps=False,
        headers={"Server": "Werkzeug/3.1.3 Python/3.11"},
        not_found="Traceback (most recent call last):",
        twiml=(
            '<Response><Connect><Stream url="{stream}?call=1" track="both_tracks">'
            '<Parameter name="a" value="1"/><Parameter name="a" value="2"/></Stream></Connect>'
            "</Response>"
        ),
        deflates=True,
        reads=False,
    )
    told = Told()
    async with running(bad) as url:
        await examine_url(url, SIGNED, told, QUIET_ONES, calls=0)
    assert set(faults(told)) == {
        *("webhook-type", "keep-alive", "development-server", "debug-pages", "stream-url"),
        *("stream-track", "stream-parameters", "spoken-fallback", "compression", "reads-audio"),
        *("forged-requests", "forged-sockets"),
    }


async def test_a_server_that_takes_forged_requests_is_found() -> None:
    told = Told()
    async with running(Site()) as url:
        await examine_url(url, SIGNED, told, QUIET_ONES, calls=0)
    assert faults(told) == ["forged-requests", "forged-sockets"]


@pytest.mark.parametrize(("name", "said"), [("mute", "never answers"), ("deaf", "interruptions")])
async def test_an_agents_vice_is_found_by_calling_it(name: str, said: str) -> None:
    told = Told()
    async with serve_agent(VICES[name]) as url:
        deaf = name == "deaf"  # and answers, however busy this machine is
        callers = cast(3, barge_ins=float(deaf), reply_ms=10_000 if deaf else 1500)
        await examine_url(url, UNSIGNED, told, frozenset({"calls"}), cast=callers, calls=1)
    found = " ".join(one.what for one in told if one.outcome == "fault")
    if not found:
        pytest.skip("this machine is too busy for a caller to keep its time")
    assert said in found


async def test_nobody_there_is_an_error_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/voice"
    with pytest.raises(ConnectError, match=r"refused|failed"):
        await examine_url(url, UNSIGNED, Told())


async def test_another_kind_of_url_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="give a socket"):
        await examine_url("ftp://bot.example/voice", UNSIGNED, Told())


async def test_checks_that_are_not_wanted_are_not_done() -> None:
    told = await examined(Site(), frozenset({"twiml"}))
    assert set(outcomes(told)) == {"twiml"}


# -- certificates -----------------------------------------------------------------------------


@asynccontextmanager
async def with_tls(folder: Path) -> AsyncIterator[str]:
    """A TLS server whose certificate it has signed itself."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server = await asyncio.start_server(lambda *_: None, "localhost", 0, ssl=context)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}/voice"


async def test_a_certificate_nobody_trusts_is_found_and_ends_the_examination(
    tmp_path: Path,
) -> None:
    told = Told()
    async with with_tls(tmp_path) as url:
        await examine_url(url, UNSIGNED, told, calls=0)
    assert [one.check for one in told] == ["certificate"]
    assert faults(told) == ["certificate"]


async def test_a_certificate_that_is_trusted_is_not_accused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    async with with_tls(tmp_path) as url:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        await examine_url(url, UNSIGNED, told, frozenset({"certificate"}))
    assert outcomes(told) == {"certificate": "ok"}


@pytest.mark.parametrize(("days", "outcome"), [(3, "fault"), (60, "ok")])
def test_a_certificate_that_ends_soon_is_found(days: int, outcome: str) -> None:
    now = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
    ends = f"{now + dt.timedelta(days=days):%b %d %H:%M:%S %Y} GMT"
    assert judged_expiry({"notAfter": ends}, now).outcome == outcome


# -- whatever it answers ----------------------------------------------------------------------


async def told_of_bytes(answer: bytes) -> Told:
    """Of a server that answers everything with these bytes, and closes."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(answer)
        writer.close()

    told = Told()
    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/voice"
        await examine_url(url, SIGNED, told, QUIET_ONES | {"wall-clock"}, calls=1)
    return told


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"
ANSWERS = st.one_of(
    st.binary(),
    st.binary().map(lambda body: HEAD + b"\r\n" + body),
    st.binary().map(lambda header: HEAD + header + b"\r\n\r\n<Response/>"),
    st.binary().map(lambda body: HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body),
    st.binary().map(lambda date: HEAD + b"Date: " + date + b"\r\n\r\n<Response/>"),
    st.integers(0, 9999).map(lambda status: f"HTTP/1.1 {status} X\r\n\r\n".encode()),
)


@settings(max_examples=60)
@given(
    st.one_of(
        st.tuples(st.just("ws://127.0.0.1:"), st.text("0123456789/?#[]: x", max_size=12)),
        st.tuples(st.just("ws://["), st.text("0123456789abcdef]%/", max_size=12)),
    )
)
def test_whatever_a_streams_url_is_only_documented_errors_come_of_it(url: tuple[str, str]) -> None:
    try:
        told = asyncio.run(examined(Site(twiml=STREAM.replace("{stream}", "".join(url)))))
    except VoicelatError:
        return
    assert faults(told)


@settings(max_examples=60)
@given(ANSWERS)
def test_whatever_a_server_answers_only_documented_errors_come_of_it(answer: bytes) -> None:
    try:
        told = asyncio.run(told_of_bytes(answer))
    except VoicelatError:
        return
    assert told
