"""Where values come from, which place wins, and what is said of a value that cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.errors import InvalidFile, InvalidSetting, UsageError
from voicelat.metrics.targets import DEFAULT_TARGETS
from voicelat.settings import SETTINGS, Settings, load

ROOT = Path(__file__).parents[2]

by_bound = pytest.mark.parametrize(
    ("name", "bound"),
    [
        (setting.name, bound)
        for setting in SETTINGS
        for bound in re.findall(r"(?<= )-?[\d.]+(?= |$)", setting.allowed)
        if "number" in setting.allowed
    ],
)


def test_every_place_gives_way_to_the_one_above_it(tmp_path: Path) -> None:
    names = ["VAD_HANGOVER_MS", "STT_TIMEOUT_MS", "SPEAK_GATE_MS", "PORT"]
    (tmp_path / "voicelat.toml").write_text("".join(f"{name} = 1\n" for name in names))
    (tmp_path / ".env").write_text("".join(f"{name}=2\n" for name in names[1:]))
    settings = load(
        {"PORT": "4"},
        environ={"SPEAK_GATE_MS": "3", "PORT": "3"},
        folder=tmp_path,
    )
    assert [(settings.value(name), settings.sources[name]) for name in [*names, "HOST"]] == [
        (1, "voicelat.toml"),
        (2, ".env"),
        (3, "the environment"),
        (4, "the command line"),
        ("127.0.0.1", "default"),
    ]


def test_the_example_file_is_read_whole_and_holds_the_defaults(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    settings = load(environ={}, folder=tmp_path)
    from_file = [name for name, source in settings.sources.items() if source == ".env"]
    assert from_file == [
        "DEBUG",
        "EVENTLET_NO_GREENDNS",
        "STT_PARTIAL_DEBOUNCE_MS",
        "STT_TIMEOUT_MS",
        "VAD_HANGOVER_MS",
        "MIN_UTT_SEC",
        "TTS_RATE",
        "TTS_PITCH",
        "TTS_PREWARM",
        "AI_MAX_WORDS_FIRST_REPLY",
        "ASYNC_LOG_QUEUE",
    ]
    assert settings.warnings == ()
    assert all(settings.value(s.name) == s.default for s in SETTINGS)


@pytest.mark.parametrize(
    ("word", "means"),
    [
        ("0", False),
        ("false", False),
        ("No", False),
        ("OFF", False),
        ("1", True),
        ("TRUE", True),
        ("yes", True),
        (" on ", True),
    ],
)
def test_a_switch_understands_the_usual_words(word: str, means: bool, tmp_path: Path) -> None:
    assert load(environ={"SPECULATE": word}, folder=tmp_path).speculate is means


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("VAD_HANGOVER_MS", "fast", "a whole number from 0 to 5000 ms"),
        ("VAD_HANGOVER_MS", "-1", "a whole number from 0 to 5000 ms"),
        ("VAD_HANGOVER_MS", "", "a whole number from 0 to 5000 ms"),
        ("MIN_UTT_SEC", "nan", "a number from 0 to 5 s"),
        ("TTS_PITCH", "inf", "a number from -20 to 20 semitones"),
        ("DEBUG", "vite:*", "0 or 1 (or false/true, no/yes, off/on)"),
        ("VAD", "webrtc", "one of energy, silero"),
        ("SPEECH_LANGUAGE", "en_US:en", "a BCP-47 tag such as en-US or he-IL"),
        ("PUBLIC_BASE_URL", "me.example", "a URL with http:// or https://, or empty for none"),
    ],
)
def test_an_impossible_value_is_told_with_what_is_allowed_and_where_it_stands(
    name: str, value: str, allowed: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSetting) as caught:
        load(environ={name: value}, folder=tmp_path)
    assert str(caught.value) == f"{name}={value!r}: must be {allowed} (from the environment)"


def test_a_bad_line_of_the_env_file_is_named_by_its_number(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# a comment\nDEBUG=1\n\nPORT=high # the port\n")
    with pytest.raises(InvalidSetting, match=r"PORT='high': .* \(from \.env line 4\)$"):
        load(environ={}, folder=tmp_path)


def test_a_bad_value_that_something_stronger_replaces_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=high\n")
    assert load({"port": "90"}, environ={}, folder=tmp_path).port == 90


def test_a_toml_value_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    (tmp_path / "voicelat.toml").write_text("port = true\n")
    with pytest.raises(InvalidSetting, match=r"PORT=True: .* \(from voicelat\.toml\)$"):
        load(environ={}, folder=tmp_path)


def test_toml_speaks_its_own_types_and_lower_case(tmp_path: Path) -> None:
    (tmp_path / "voicelat.toml").write_text('speculate = false\nmin_utt_sec = 1\nvad = "energy"\n')
    settings = load(environ={}, folder=tmp_path)
    assert (settings.speculate, settings.min_utt_sec, settings.vad) == (False, 1.0, "energy")


def test_another_toml_file_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "fast.toml").write_text("vad_hangover_ms = 80\n")
    settings = load(environ={"VOICELAT_CONFIG": "fast.toml"}, folder=tmp_path)
    assert settings.vad_hangover_ms == 80
    assert settings.sources["VAD_HANGOVER_MS"] == "fast.toml"


def test_a_named_toml_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"fast\.toml: cannot be read"):
        load(environ={"VOICELAT_CONFIG": "fast.toml"}, folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("voicelat.toml", b"port = \n", "is not TOML"),
        ("voicelat.toml", b"\xff\xfe", "cannot be read"),
        (".env", b"\xff\xfe", "cannot be read"),
        (".env", b'DEBUG=0\nGREETING="Hello\n', "line 2 is not NAME=VALUE"),
    ],
)
def test_a_file_that_is_no_such_file_is_told(
    name: str, content: bytes, why: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidFile, match=why):
        load(environ={}, folder=tmp_path)


def test_a_mistyped_name_is_warned_of_with_the_right_one(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=x\nVAD_HANGOVER=100\n")
    (tmp_path / "voicelat.toml").write_text("colour = 1\nstt_timeout = 1\n")
    assert load(environ={}, folder=tmp_path).warnings == (
        "voicelat.toml: colour is not a setting",
        "voicelat.toml: stt_timeout is not a setting; did you mean STT_TIMEOUT_MS?",
        ".env line 2: VAD_HANGOVER is not a setting; did you mean VAD_HANGOVER_MS?",
    )


def test_a_mistyped_override_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^prot is not a setting; did you mean PORT\?$"):
        load({"prot": "80"}, environ={}, folder=tmp_path)


def test_an_empty_value_means_none_where_there_may_be_none(tmp_path: Path) -> None:
    settings = load(environ={"GREETING": "", "TURNS_FILE": " "}, folder=tmp_path)
    assert (settings.greeting, settings.turns_file) == (None, None)


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    key = "sk-very-secret"
    settings = load(environ={"OPENAI_API_KEY": key}, folder=tmp_path)
    assert settings.openai_api_key == key
    assert settings.shown("TWILIO_AUTH_TOKEN") is None
    for text in (repr(settings), str(settings), str(settings.described())):
        assert key not in text
        assert "********" in text
    assert "OPENAI_API_KEY" not in settings.in_force()


def test_a_secret_of_the_wrong_type_is_not_shown_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "voicelat.toml").write_text("openai_api_key = 424242\n")
    with pytest.raises(InvalidSetting) as caught:
        load(environ={}, folder=tmp_path)
    assert "424242" not in str(caught.value)


def test_the_settings_in_force_are_those_that_can_change_a_turn(tmp_path: Path) -> None:
    environ = {"VAD_HANGOVER_MS": "200", "PORT": "1", "RECORD_DIR": "/private"}
    in_force = load(environ=environ, folder=tmp_path).in_force()
    assert in_force["VAD_HANGOVER_MS"] == 200
    assert in_force["SPEAK_GATE_MS"] == load(environ={}, folder=tmp_path).speak_gate_ms
    assert {"PORT", "RECORD_DIR", "OPENAI_MODEL"}.isdisjoint(in_force)


def test_the_turn_gets_its_settings_in_milliseconds() -> None:
    turn = Settings(
        min_utt_sec=0.3, vad_hangover_ms=200, greeting=None, stt_min_confidence=0.4
    ).turn()
    assert turn.min_confidence == 0.4
    assert (turn.min_utt_ms, turn.hangover_ms, turn.greeting) == (300, 200, False)


def test_the_default_targets_are_those_of_the_report() -> None:
    assert Settings().targets() == DEFAULT_TARGETS


def test_the_engine_gets_its_settings() -> None:
    engine = Settings(send_lead_ms=100, ai_max_words_first_reply=9, greeting=None).engine()
    assert (engine.send_lead_ms, engine.max_reply_words, engine.greeting) == (100, 9, "")


@by_bound
def test_every_bound_is_one_the_layers_take(name: str, bound: str) -> None:
    settings = load({name: bound}, environ={}, folder=ROOT / "tests")
    settings.turn()
    settings.engine()


@given(st.sampled_from([s.name for s in SETTINGS]), st.text())
def test_any_text_is_a_value_or_one_line_of_error(name: str, text: str) -> None:
    try:
        value = load({name: text}, environ={}, folder=ROOT / "tests").value(name)
    except InvalidSetting as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 900
    else:
        assert value is None or isinstance(value, (bool, int, float, str))


@given(st.binary())
def test_any_env_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("env")
    (folder / ".env").write_bytes(content)
    try:
        load(environ={}, folder=folder)
    except UsageError as error:
        assert len(str(error).splitlines()) == 1
