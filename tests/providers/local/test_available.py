from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import voicelat

_SOURCE = str(Path(voicelat.__file__).parents[1])


def _python(code: str, *options: str) -> str:
    command = [
        sys.executable,
        *options,
        "-c",
        f"import sys; sys.path.insert(0, {_SOURCE!r}); {code}",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_without_its_packages_local_speech_says_what_to_do_in_one_line() -> None:
    # -S leaves the installed packages out.
    said = _python("from voicelat.providers.local import available; print(available())", "-S")
    assert "\n" not in said
    assert "pip install 'voicelat[local]'" in said or "choose other providers" in said


def test_with_its_packages_local_speech_is_available(local_speech: None) -> None:
    said = _python("from voicelat.providers.local import available; print(available())")
    assert said == "None"


def test_importing_local_speech_loads_no_onnxruntime() -> None:
    parts = ", ".join(f"voicelat.providers.local.{name}" for name in ("vad", "stt", "tts"))
    assert _python(f"import {parts}; print('onnxruntime' in sys.modules)") == "False"
