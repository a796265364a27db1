"""``voicelat settings``."""

from __future__ import annotations

from voicelat.verbs.options import AsJson, Sets, examples, load_settings, new_console, print_json

__all__ = ["EXAMPLES", "settings"]


EXAMPLES = examples(
    "voicelat settings",
    "voicelat settings --set VAD_HANGOVER_MS=200",
    "voicelat settings --json | jq '.settings[] | select(.source != \"default\")'",
)


def settings(sets: Sets = None, as_json: AsJson = False) -> None:
    """Show every setting, its value, where the value came from, and what it means."""
    from voicelat.settings import SETTINGS

    loaded = load_settings(sets)
    if as_json:
        print_json(loaded.described())
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    for heading in ("value", "from", "meaning"):
        table.add_column(heading, overflow="fold")
    for setting in SETTINGS:
        value = setting.written(loaded.shown(setting.name))
        source = loaded.sources[setting.name]
        style = None if source == "default" else "bold"
        table.add_row(setting.name, value, source, setting.meaning, style=style)
    new_console().print(table)
