from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from voicelat.errors import MissingExtra, ProviderError
from voicelat.providers.local.weights import MOONSHINE, PIPER, SILERO, WeightFile


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "some_voice"
    folder.mkdir()
    # Executing it would fail: packages are found, not imported.
    (folder / "__init__.py").write_text("raise SystemExit(1)")
    (folder / "model.onnx").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_a_file_with_the_pinned_hash_is_given(package: Path) -> None:
    file = WeightFile("some_voice", "model.onnx", hashlib.sha256(b"weights").hexdigest())
    assert file.verify() == package / "model.onnx"


@pytest.mark.parametrize("path", ["model.onnx", "gone.onnx"])
def test_a_changed_or_lost_file_is_named_and_given_up(package: Path, path: str) -> None:
    with pytest.raises(ProviderError, match=f"some_voice/{path}") as caught:
        WeightFile("some_voice", path, "0" * 64).verify()
    assert caught.value.advice == "give_up"


def test_a_package_that_is_not_installed_names_the_extra() -> None:
    with pytest.raises(MissingExtra, match=r"voicelat\[local\]"):
        WeightFile("no_such_package_here", "model.onnx", "0" * 64).locate()


def test_the_installed_weights_are_the_pinned_ones(local_speech: None) -> None:
    for file in (SILERO, *MOONSHINE.values(), *PIPER.values()):
        assert file.verify().is_file()
