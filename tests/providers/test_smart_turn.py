from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelat.audio.mulaw import BYTES_PER_MS, encode, silence
from voicelat.audio.wav import read
from voicelat.errors import MissingExtra, ProviderError
from voicelat.providers import smart_turn
from voicelat.providers.smart_turn import INSTALL_WEIGHTS, WEIGHTS, SmartTurn, features, upsampled

_EIGHT_S = 8000 * BYTES_PER_MS


@pytest.fixture(scope="session")
def model() -> SmartTurn:
    """The real model. Skips where it is not installed."""
    model = SmartTurn()
    try:
        model.warm()
    except MissingExtra as missing:
        pytest.skip(str(missing))
    return model


@pytest.fixture
def nothing_loaded() -> None:
    """As if no model had been loaded in this process."""
    smart_turn._shared.cache_clear()


@pytest.fixture
def installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_loaded: None
) -> Callable[[bytes], Path]:
    """Installs a ``pipecat-ai`` with these weights, before any other."""

    def install(weights: bytes) -> Path:
        info = tmp_path / "pipecat_ai-9.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pipecat-ai\nVersion: 9\n")
        path = tmp_path / WEIGHTS.path
        path.parent.mkdir(parents=True)
        path.write_bytes(weights)
        # Executing it would fail: the package is looked up, never imported.
        (tmp_path / "pipecat" / "__init__.py").write_text("raise SystemExit(1)")
        return path

    monkeypatch.syspath_prepend(tmp_path)
    return install


def _voice(ms: int, amplitude: float = 6000.0, seed: int = 1) -> bytes:
    noise = np.random.default_rng(seed).normal(0.0, amplitude, ms * BYTES_PER_MS)
    return encode(noise.clip(-32000, 32000).astype(np.int16))


def test_without_its_weights_the_error_names_both_commands(
    monkeypatch: pytest.MonkeyPatch, nothing_loaded: None, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(MissingExtra) as caught:
        SmartTurn().warm()
    assert INSTALL_WEIGHTS in str(caught.value)
    assert "pip install 'voicelat[turn-model]'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_weights_are_refused_with_the_command_that_brings_the_right_ones(
    installed: Callable[[bytes], Path],
) -> None:
    installed(b"other weights")
    with pytest.raises(ProviderError, match="not the file voicelat was tested") as caught:
        SmartTurn().warm()
    assert caught.value.advice == "give_up"
    assert "--force-reinstall --no-deps pipecat-ai==" in str(caught.value)


def test_a_package_that_lost_its_weights_is_refused(installed: Callable[[bytes], Path]) -> None:
    installed(b"").unlink()
    with pytest.raises(ProviderError, match="cannot be read") as caught:
        SmartTurn().probability(b"")
    assert caught.value.provider == "smart-turn"


def test_short_audio_stands_at_the_end_behind_silence() -> None:
    heard = upsampled(_voice(1000))
    assert heard.shape == (128_000,)
    assert not heard[:-16_000].any()
    assert np.sqrt((heard[-16_000:] ** 2).mean()) > 0.05


def test_only_the_last_eight_seconds_count() -> None:
    last = _voice(8000, seed=2)
    assert np.array_equal(upsampled(_voice(3000) + last), upsampled(last))


def test_the_audio_is_doubled_in_rate_and_stays_in_place() -> None:
    click = bytearray(silence(8000))
    click[_EIGHT_S // 2] = encode(np.array([30000], np.int16))[0]
    assert int(np.abs(upsampled(bytes(click))).argmax()) == _EIGHT_S


def test_a_quiet_line_sounds_like_a_loud_one() -> None:
    wave = 8000 * np.sin(2 * np.pi * 300 / 16_000 * np.arange(128_000)) / 32768
    loud = features(wave.astype(np.float32))
    assert features((wave / 8).astype(np.float32)) == pytest.approx(loud, abs=1e-3)


@settings(max_examples=25)
@given(st.binary(max_size=3000), st.integers(0, 70_000))
def test_any_bytes_have_features(audio: bytes, more: int) -> None:
    heard = features(upsampled(audio + silence(more // BYTES_PER_MS)))
    assert heard.shape == (80, 800)
    assert np.isfinite(heard).all()


def test_the_features_are_bit_for_bit_those_of_the_package_with_the_weights(
    speech_data: Path,
) -> None:
    try:
        path = WEIGHTS.locate().parents[1] / "_whisper_features.py"
    except MissingExtra as missing:
        pytest.skip(str(missing))
    if not path.is_file():
        pytest.skip("the installed pipecat-ai has no _whisper_features.py")
    spec = importlib.util.spec_from_file_location("reference", path)  # without its package
    assert spec is not None and spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    caller = encode(read(speech_data / "lca_auto_repairs_40_2ch.wav").channels[0])
    for ms in (1, 700, 3000, 9000):
        samples = upsampled(caller[: (30_000 + ms) * BYTES_PER_MS][-ms * BYTES_PER_MS :])
        expected = reference.compute_whisper_log_mel_features(samples)
        assert features(samples) == pytest.approx(expected, abs=1e-6)


def test_pauses_before_the_other_side_speaks_sound_more_finished_than_others(
    model: SmartTurn, speech_data: Path
) -> None:
    name = "lca_auto_repairs_40_2ch.wav"
    caller = encode(read(speech_data / name).channels[0])
    files = json.loads((speech_data / "manifest.json").read_text())["files"]
    (entry,) = (each for each in files if each["file"] == name)
    heard: dict[str, list[float]] = {"hold": [], "shift": [], "overlap": []}
    for event in entry["turn_boundaries"]["events"]:
        if event["who"] == "caller" and event["gap"] >= 0.2:
            end = round((event["end"] + 0.17) * 1000) * BYTES_PER_MS
            heard[event["kind"]].append(model.probability(caller[:end]))
    assert median(heard["hold"]) < 0.2
    assert median(heard["shift"]) > 0.4


@pytest.mark.parametrize("audio", [b"", b"\x00", silence(20_000), _voice(9000)])
def test_any_audio_has_a_probability(model: SmartTurn, audio: bytes) -> None:
    assert 0.0 <= model.probability(audio) <= 1.0


def test_many_threads_share_one_model_and_get_the_same_answers(model: SmartTurn) -> None:
    turns = [_voice(500 * n, seed=n) for n in range(1, 7)]
    alone = [model.probability(turn) for turn in turns]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(SmartTurn().probability, turns))
    assert together == alone
