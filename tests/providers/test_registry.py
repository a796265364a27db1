from __future__ import annotations

from collections.abc import Callable

import pytest

from voicelat.audio.vad import EnergyVad
from voicelat.errors import MissingExtra, ProviderError, UsageError
from voicelat.providers import registry, simulated
from voicelat.providers.openai_llm import OpenAiLlm
from voicelat.providers.protocols import LanguageModel, SpeechToText, TextToSpeech
from voicelat.providers.receptionist import ScriptedReceptionist
from voicelat.providers.registry import ProviderOptions

_OPTIONS = ProviderOptions()
_MAKERS: dict[str, Callable[[str, ProviderOptions], SpeechToText | LanguageModel | TextToSpeech]]
_MAKERS = {
    "stt": registry.speech_to_text,
    "llm": registry.language_model,
    "tts": registry.text_to_speech,
}


class Mine:
    """A provider of somebody's own, good for every role."""

    name = "mine"

    async def warm(self) -> None: ...

    async def open(self, language: str) -> None: ...

    async def reply(self, prompt: object) -> None: ...

    async def speak(self, text: str, language: str) -> None: ...

    async def aclose(self) -> None: ...


class Stranger:
    """Something that is no provider at all."""


class Needy:
    """One that cannot be made from a name."""

    def __init__(self, model: str) -> None:
        self.name = model


class Picky:
    """One that does not work without an extra."""

    def __init__(self) -> None:
        raise MissingExtra("picky", "the picky provider")


@pytest.mark.parametrize("role", _MAKERS)
@pytest.mark.parametrize("name", simulated.PROFILES)
def test_a_profile_names_a_whole_stack(role: str, name: str) -> None:
    assert _MAKERS[role](f"simulated:{name}", _OPTIONS).name == f"simulated:{name}"


@pytest.mark.parametrize("role", _MAKERS)
def test_simulated_alone_is_the_stack_most_people_have(role: str) -> None:
    assert _MAKERS[role]("simulated", _OPTIONS).name == "simulated:google-openai-google"


@pytest.mark.parametrize("role", _MAKERS)
def test_an_unknown_profile_is_a_usage_error(role: str) -> None:
    with pytest.raises(UsageError, match="acme"):
        _MAKERS[role]("simulated:acme", _OPTIONS)


@pytest.mark.parametrize("role", _MAKERS)
def test_a_class_of_your_own_is_named_by_its_module(role: str) -> None:
    assert _MAKERS[role](f"{__name__}:Mine", _OPTIONS).name == "mine"


@pytest.mark.parametrize("role", _MAKERS)
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("acme", "local, openai"),
        ("", "local, openai"),
        ("acme:", "local, openai"),
        (":Mine", "local, openai"),
        ("no.such.module:Class", "no.such"),
        (f"{__name__}:Nothing", "has no Nothing"),
        (f"{__name__}:Mine.name", "local, openai"),
        ("..relative:Class", "local, openai"),
        (f"{__name__}:_OPTIONS", "cannot be called"),
        (f"{__name__}:Needy", "missing a required argument"),
        ("builtins:int", "cannot be called"),
    ],
)
def test_a_name_that_is_none_is_one_clear_line(role: str, name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        _MAKERS[role](name, _OPTIONS)
    assert role in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_provider_says_about_itself_is_kept() -> None:
    with pytest.raises(MissingExtra, match="picky"):
        registry.speech_to_text(f"{__name__}:Picky", _OPTIONS)


def test_openai_gets_its_options() -> None:
    options = ProviderOptions(openai_api_key="a-key", openai_model="gpt-9")
    made = registry.language_model("openai", options)
    assert isinstance(made, OpenAiLlm)
    assert made.name == "openai:gpt-9"


def test_openai_without_a_key_says_so() -> None:
    with pytest.raises(ProviderError, match="OPENAI_API_KEY"):
        registry.language_model("openai", _OPTIONS)


@pytest.mark.parametrize("role", ["stt", "tts"])
def test_openai_hears_and_speaks(role: str) -> None:
    options = ProviderOptions(
        openai_api_key="a-key", openai_stt_model="it-1", openai_tts_model="it-1"
    )
    assert _MAKERS[role]("openai", options).name == "openai:it-1"


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("google", "google:v1:latest_long"),
        ("google:v1", "google:v1:latest_long"),
        ("google:v2", "google:v2:latest_long"),
    ],
)
def test_google_hears_in_both_versions(name: str, made: str) -> None:
    pytest.importorskip("google.cloud.speech")
    assert registry.speech_to_text(name, _OPTIONS).name == made


def test_google_gets_its_options() -> None:
    pytest.importorskip("google.cloud.texttospeech")
    options = ProviderOptions(
        google_stt_model="chirp_2",
        google_location="us-central1",
        google_tts_voice="he-IL-Wavenet-A",
        google_tts_endpoint="127.0.0.1:1",
    )
    assert registry.speech_to_text("google:v2", options).name == "google:v2:chirp_2"
    assert registry.text_to_speech("google", options).name == "google:he-IL-Wavenet-A"


@pytest.mark.parametrize("role", ["stt", "tts"])
def test_google_without_its_package_names_the_extra(
    role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicelat.providers.google_channel.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"pip install 'voicelat\[google\]'"):
        _MAKERS[role]("google", _OPTIONS)


def test_the_local_responder_is_the_scripted_receptionist() -> None:
    assert isinstance(registry.language_model("local", _OPTIONS), ScriptedReceptionist)


def test_local_speech_is_made_without_loading_its_models() -> None:
    pytest.importorskip("onnxruntime")
    assert registry.speech_to_text("local", _OPTIONS).name.startswith("local")
    assert registry.text_to_speech("local", _OPTIONS).name.startswith("local")


def test_each_call_gets_a_detector_of_its_own() -> None:
    make = registry.detector("energy")
    assert isinstance(make(), EnergyVad)
    assert make() is not make()


def test_the_seed_reaches_simulated_providers() -> None:
    one, other = (
        registry.text_to_speech("simulated:instant", ProviderOptions(seed=seed)) for seed in (1, 2)
    )
    assert isinstance(one, simulated.SimulatedTts)
    assert isinstance(other, simulated.SimulatedTts)
    assert one._word != other._word


@pytest.mark.parametrize(("role", "missing"), [("stt", "open"), ("llm", "reply"), ("tts", "speak")])
def test_what_is_no_provider_is_refused_before_a_call_meets_it(role: str, missing: str) -> None:
    with pytest.raises(UsageError, match=f"has no warm, {missing}, aclose"):
        _MAKERS[role](f"{__name__}:Stranger", _OPTIONS)
