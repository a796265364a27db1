"""The clients inside providers: ours keep their connections, vendors' defaults do not."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from types import ModuleType

import pytest
from tests.doctor.told import faults, outcomes

from voicelat.doctor.clients import clients_in, http_clients, judged_clients
from voicelat.providers.protocols import Prompt
from voicelat.settings import load

openai = pytest.importorskip("openai")


class Careless:
    """A model as one writes it first: with the vendor's own defaults."""

    name = "careless"

    def __init__(self) -> None:
        self._inner = {"client": openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:1")}

    async def warm(self) -> None:
        """Nothing."""

    async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        """Says the question."""
        yield prompt.text

    async def aclose(self) -> None:
        """Close the client."""
        await self._inner["client"].close()


class NoClient(Careless):
    """One without any."""

    def __init__(self) -> None:
        self._inner = {}

    async def aclose(self) -> None:
        """Nothing."""


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("mine_for_the_doctor")
    vars(module).update(Careless=Careless, NoClient=NoClient)
    monkeypatch.setitem(sys.modules, module.__name__, module)


async def test_our_own_clients_keep_their_connections() -> None:
    settings = load(
        {
            "LLM_PROVIDER": "openai",
            "TTS_PROVIDER": "openai",
            "STT_PROVIDER": "openai",
            "FALLBACK_PROVIDER": "openai",
            "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
        },
        environ={},
    )
    found = await http_clients(settings)
    assert [one.outcome for one in found] == ["skipped", "ok", "ok", "ok"]  # its ears are a socket


@pytest.mark.usefixtures("mine")
async def test_a_vendors_defaults_are_found_in_a_provider_of_ones_own() -> None:
    settings = load({"LLM_PROVIDER": "mine_for_the_doctor:Careless"}, environ={})
    (found,) = await http_clients(settings)
    assert found.outcome == "fault"
    for said in ("after 5 s of idling", "waited for 600 s", "2 retries"):
        assert said in found.what


@pytest.mark.usefixtures("mine")
async def test_a_provider_without_a_client_is_skipped() -> None:
    settings = load({"LLM_PROVIDER": "mine_for_the_doctor:NoClient"}, environ={})
    assert outcomes(await http_clients(settings)) == {"http-clients": "skipped"}


async def test_an_aiohttp_session_that_waits_five_minutes_is_found() -> None:
    aiohttp = pytest.importorskip("aiohttp")
    async with aiohttp.ClientSession() as session:
        found = judged_clients("mine", clients_in({"session": session}))
    assert faults(found) == ["http-clients"]


async def test_a_patient_httpx_client_is_not_accused() -> None:
    httpx = pytest.importorskip("httpx")
    limits = httpx.Limits(keepalive_expiry=None)
    async with httpx.AsyncClient(limits=limits, timeout=8.0) as client:
        assert faults(judged_clients("mine", clients_in([client]))) == []


def test_a_client_that_blocks_is_found() -> None:
    requests = pytest.importorskip("requests")
    with requests.Session() as session:
        (found,) = judged_clients("mine", clients_in([session]))
    assert "blocks the event loop" in found.what


def test_an_object_that_holds_itself_is_walked_once() -> None:
    loop: dict[str, object] = {}
    loop["again"] = loop
    assert clients_in(loop) == []
