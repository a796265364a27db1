"""Write docs/cli.md and docs/settings.md from the program itself.

``python docs/generate.py`` writes them; with ``--check`` it only says whether they are stale
(exit code 1). `make docs` and the tests call it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from voicelat.cli import app
from voicelat.settings import SETTINGS

HERE = Path(__file__).parent
STAMP = "<!-- Written by docs/generate.py: change the program, then run `make docs`. -->"
MARKUP = re.compile(r"\[/?(?:bold|dim|italic)\]")


def verbs() -> dict[str, Any]:
    """Every verb of the command line: name -> command, groups as "group verb"."""
    return dict(_walk(typer.main.get_command(app), ""))


def _walk(command: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, child in command.commands.items():
        if hasattr(child, "commands"):
            yield from _walk(child, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", child


def plain(markup: str | None) -> str:
    """Help text without its markup."""
    return MARKUP.sub("", markup or "").strip()


def cli_page() -> str:
    """The reference of the command line."""
    parts = [
        STAMP,
        "# Command line",
        "Exit codes: 0 fine, 1 a gate failed, 2 bad usage or input, 3 could not connect,"
        " 130 stopped by Ctrl-C. A mistake is one line on stderr that begins with `voicelat:`.",
    ]
    for name, command in verbs().items():
        parts += [f"## voicelat {name}", plain(command.help), _parameters(command)]
        title, *examples = plain(command.epilog).split("\n\n")
        parts += [f"{title}:", "\n".join(["```sh", *examples, "```"])]
    return "\n\n".join(parts) + "\n"


def _parameters(command: Any) -> str:
    rows = ["| argument or option | default | meaning |", "|---|---|---|"]
    for parameter in command.params:
        name = parameter.metavar or parameter.name.upper()
        if parameter.param_type_name == "option":
            value = "" if parameter.is_flag else f" {name}"
            name = f"{', '.join([*parameter.opts, *parameter.secondary_opts])}{value}"
        default = "" if parameter.default in (None, False, ()) else f"`{parameter.default}`"
        rows.append(_row(f"`{name}`", default, plain(parameter.help)))
    return "\n".join(rows)


def settings_page() -> str:
    """Every setting."""
    rows = [
        _row(f"`{s.name}`", f"`{s.written(s.default)}`", s.allowed, s.meaning) for s in SETTINGS
    ]
    head = ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
    return (
        "\n\n".join(
            [
                STAMP,
                "# Settings",
                "A value is taken from the first place that has one: the command line"
                " (`--set NAME=VALUE`), the environment, `.env` in the working directory,"
                " `voicelat.toml` there (or the file that `VOICELAT_CONFIG` names), the default."
                " `voicelat settings` shows the values in force and where each came from.",
                "\n".join(head + rows),
            ]
        )
        + "\n"
    )


def _row(*cells: str) -> str:
    escaped = [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def main(check: bool) -> int:
    """Write both pages, or compare them with what would be written; 1 when one is stale."""
    stale = False
    for path, page in ((HERE / "cli.md", cli_page()), (HERE / "settings.md", settings_page())):
        if not check:
            path.write_text(page, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != page:
            stale = True
            print(f"{path.name} is stale: run `make docs`", file=sys.stderr)
    return int(stale)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
