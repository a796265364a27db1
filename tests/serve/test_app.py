"""The webhooks and the operators' pages, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from xml.etree import ElementTree as ET

import httpx
import pytest
from starlette.datastructures import FormData
from tests.serve.running import QUESTION, Running, instant_stack, serving, until
from twilio.request_validator import RequestValidator

from voicelat import __version__
from voicelat.caller import Say, Script, Silence, WaitForReply
from voicelat.engine.stack import Stack
from voicelat.errors import ConnectError, ProviderError, UsageError
from voicelat.loadtest.line import place_call
from voicelat.metrics.exporters.live import LiveSink
from voicelat.metrics.record import TurnRecord
from voicelat.providers.simulated import SimulatedLlm, profile
from voicelat.serve.app import TwilioServer
from voicelat.serve.config import ServeConfig

SECRET = "12345"
PUBLIC = "https://bot.example"
CALL = {"CallSid": "CA1", "From": "+14158675309", "To": "+18005551212"}
SIGNED = ServeConfig(auth_token=SECRET, public_base_url=PUBLIC)
LONG_CALL: Script = [Say(QUESTION), Silence(60_000)]


def signature(path: str, form: Mapping[str, object], secret: str = SECRET) -> dict[str, str]:
    """The header Twilio's own package makes for a request to ``path`` of the public server."""
    made: str = RequestValidator(secret).compute_signature(f"{PUBLIC}{path}", form)
    return {"X-Twilio-Signature": made}


async def post(
    server: Running, path: str, form: Mapping[str, str | Sequence[str]]
) -> httpx.Response:
    """A genuine request."""
    return await server.http.post(path, data=dict(form), headers=signature(path, form))


def twiml(response: httpx.Response) -> ET.Element:
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/xml")
    return ET.fromstring(response.text)


def stream(response: httpx.Response) -> ET.Element:
    found = twiml(response).find("Connect/Stream")
    assert found is not None
    return found


async def test_a_call_is_answered_with_a_stream_and_a_safety_net() -> None:
    async with serving(SIGNED) as server:
        answer = await post(server, "/voice", CALL)
    assert stream(answer).get("url") == "wss://bot.example/media"
    assert stream(answer).get("statusCallback") == "https://bot.example/stream-status"
    assert [verb.tag for verb in twiml(answer)] == ["Connect", "Say"]


async def test_each_call_gets_a_token_of_its_own() -> None:
    async with serving(SIGNED) as server:
        answers = [await post(server, "/voice", CALL) for _ in range(2)]
    tokens = {p.get("value") for answer in answers for p in stream(answer).iter("Parameter")}
    assert [p.get("name") for p in stream(answers[0])] == ["token"]
    assert len(tokens) == 2


async def test_without_a_token_of_twilios_the_stream_may_be_unencrypted() -> None:
    async with serving() as server:
        answer = await server.http.post("/voice", data=CALL)
    assert stream(answer).get("url") == server.media


async def test_with_one_it_may_not_and_the_caller_hears_an_apology(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(ServeConfig(auth_token=SECRET)) as server:
        made = RequestValidator(SECRET).compute_signature(f"{server.url}/voice", CALL)
        headers = {"X-Twilio-Signature": made}
        answer = await server.http.post("/voice", data=CALL, headers=headers)
    assert [verb.tag for verb in twiml(answer)] == ["Say"]
    assert "PUBLIC_BASE_URL" in caplog.text


async def test_a_base_url_may_end_with_a_slash() -> None:
    config = ServeConfig(auth_token=SECRET, public_base_url=f"{PUBLIC}/")
    async with serving(config) as server:
        answer = await post(server, "/voice", CALL)
    assert stream(answer).get("url") == "wss://bot.example/media"


@pytest.mark.parametrize("path", ["/voice", "/stream-status"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Twilio-Signature": ""},
        {"X-Twilio-Signature": "bm90IHRoaXM="},
        signature("/voice", CALL, secret="54321"),
        signature("/elsewhere", CALL),
        signature("/voice", {**CALL, "To": "+1"}),
    ],
)
async def test_a_forged_webhook_is_refused_and_counted(path: str, headers: dict[str, str]) -> None:
    async with serving(SIGNED) as server:
        answer = await server.http.post(path, data=CALL, headers=headers)
        assert answer.status_code == 403
        assert "token" not in answer.text
        assert await server.events("forged webhook") == 1


async def test_a_query_and_a_repeated_field_are_signed_too() -> None:
    form = {**CALL, "Media": ["a", "b"]}
    sent = FormData([*CALL.items(), ("Media", "a"), ("Media", "b")])
    async with serving(SIGNED) as server:
        headers = signature("/voice?tenant=7", sent)
        answer = await server.http.post("/voice?tenant=7", data=form, headers=headers)
        assert answer.status_code == 200
        answer = await server.http.post("/voice?tenant=8", data=form, headers=headers)
        assert answer.status_code == 403


@pytest.mark.parametrize("body", [b"x" * 70_000, b"%ff=%zz&&&=", b"\xff\x00", b""])
async def test_any_body_gets_an_answer(body: bytes) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    async with serving() as server:
        answer = await server.http.post("/voice", content=body, headers=headers)
        assert answer.status_code == (413 if len(body) > 65_536 else 200)
        answer = await server.http.post("/stream-status", content=body)
        assert answer.status_code in {204, 413}


async def test_a_body_without_a_length_is_refused() -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"a=b&"
        yield b"c=d"

    async with serving() as server:
        answer = await server.http.post("/voice", content=endless())
        assert answer.status_code == 413
        assert await server.events("oversized webhook") == 1


async def test_stream_errors_are_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    started = {"StreamEvent": "stream-started", "StreamSid": "MZ1"}
    failed = {"StreamEvent": "stream-error", "StreamSid": "MZ1", "StreamError": "31920 no socket"}
    strange = {"StreamEvent": "stream-danced\n", "StreamSid": "MZ1"}
    caplog.set_level(logging.INFO, "voicelat.serve")
    async with serving(SIGNED) as server:
        for form in (started, failed, failed, strange):
            assert (await post(server, "/stream-status", form)).status_code == 204
        assert await server.events("status stream-started") == 1
        assert await server.events("status stream-error") == 2
        assert await server.events("status unknown") == 1
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 2
    assert "31920 no socket" in errors[0]


async def test_when_all_lines_are_busy_the_caller_is_told() -> None:
    async with serving(ServeConfig(max_calls=1)) as server:
        call = asyncio.create_task(place_call(server.media, LONG_CALL))
        await until(server.taken)
        answer = twiml(await server.http.post("/voice", data=CALL))
        assert [verb.tag for verb in answer] == ["Say"]
        assert "busy" in (answer[0].text or "")
        call.cancel()


async def test_health_says_how_many_calls_there_are() -> None:
    async with serving() as server:
        answer = await server.http.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "calls": 0, "version": __version__}


async def test_a_draining_server_says_so_and_takes_no_call() -> None:
    async with serving() as server:
        server.server.draining = True
        answer = await server.http.get("/healthz")
        assert (answer.status_code, answer.json()["status"]) == (503, "draining")
        assert [v.tag for v in twiml(await server.http.post("/voice", data=CALL))] == ["Say"]


async def test_a_scrape_is_what_prometheus_reads() -> None:
    async with serving() as server:
        answer = await server.http.get("/metrics")
        assert "text/plain" in answer.headers["content-type"]
        assert (await server.metrics())["voicelat_calls"] == 0


async def test_other_paths_and_methods_are_not_there() -> None:
    async with serving() as server:
        assert (await server.http.get("/voice")).status_code == 405
        assert (await server.http.get("/")).status_code == 404
        assert (await server.http.get("/media")).status_code == 404


def test_an_open_server_is_not_even_built() -> None:
    with pytest.raises(UsageError, match="TWILIO_AUTH_TOKEN"):
        TwilioServer(instant_stack(), ServeConfig(host="0.0.0.0"))


class Mute:
    """A voice that has lost itself."""

    name = "mute"

    def __init__(self) -> None:
        self.warmed = 0

    async def warm(self) -> None:
        self.warmed += 1

    async def speak(self, text: str, language: str) -> AsyncGenerator[bytes, None]:
        raise ProviderError(self.name, f"no voice for {text} in {language}", "give_up")
        yield b""

    async def aclose(self) -> None: ...


async def test_warming_twice_warms_once_and_a_phrase_that_cannot_be_said_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mute, stack = Mute(), instant_stack()
    server = TwilioServer(Stack(stack.stt, stack.llm, mute), ServeConfig())
    await server.warm()
    await server.warm()
    assert mute.warmed == 1
    assert "cannot say 'Hello, how can I help you?': mute: no voice" in caplog.text


async def test_providers_that_are_not_ready_in_time_are_told_in_one_line() -> None:
    class Slow(SimulatedLlm):
        async def warm(self) -> None:
            await asyncio.Event().wait()

    stack = instant_stack()
    stack.llm = Slow(profile("instant"))
    server = TwilioServer(stack, ServeConfig(warm_timeout_s=0.05))
    with pytest.raises(ConnectError, match="WARM_TIMEOUT_S"):
        await server.warm()


class Silent:
    """A transport whose peer hangs up at once."""

    async def receive(self) -> None:
        return None

    async def send(self, text: str) -> None:
        raise AssertionError(text)

    async def close(self) -> None:
        pass


async def test_a_call_without_the_lifespan_is_served_and_complained_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = TwilioServer(instant_stack(), ServeConfig())
    summary = await server.take_call(Silent())
    assert summary.why == "closed before start"
    assert "run TwilioServer.lifespan" in caplog.text
    assert b'why="not warmed up"} 1' in server.exposition()
    caplog.clear()
    async with server.lifespan():
        await server.take_call(Silent())
    assert "lifespan" not in caplog.text


async def test_a_database_that_hangs_costs_no_call_its_answer_and_what_it_loses_shows() -> None:
    hangs = threading.Event()

    class Hanging:
        def write(self, _records: Sequence[TurnRecord]) -> list[str]:
            hangs.wait()
            return []

        def close(self) -> None:
            pass

    sink = LiveSink("sql", Hanging(), queue_size=1, flush_interval_s=0.0)
    script: Script = [Say(QUESTION), WaitForReply(quiet_ms=100)] * 3
    async with serving(sinks=[sink]) as server:
        result = await place_call(server.media, script)
        await until(server.idle)
        metrics = await server.metrics()
        hangs.set()
    assert [heard.v2v_ms is not None for heard in result.heard] == [True] * 3
    assert metrics["voicelat_sql_waiting"] == 1
    assert metrics["voicelat_sql_records_total{dropped}"] == 2
    assert sink.counts().written == 1


async def test_a_server_brings_its_last_turns_over_before_it_ends() -> None:
    written: list[TurnRecord] = []

    class Database:
        def write(self, records: Sequence[TurnRecord]) -> list[str]:
            written.extend(records)
            return []

        def close(self) -> None:
            pass

    async with serving(sinks=[LiveSink("sql", Database(), flush_interval_s=3600)]) as server:
        await place_call(server.media, [Say(QUESTION), WaitForReply(quiet_ms=100)])
        assert written == []
    assert [record.turn for record in written] == [1]
