"""``python -m voicelat`` is ``voicelat``."""

from voicelat.cli import app

__all__: list[str] = []

app(prog_name="voicelat")
