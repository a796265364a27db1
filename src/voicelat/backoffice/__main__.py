"""``python -m voicelat.backoffice``: serve the back office, and mint and revoke its tokens."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from voicelat.errors import MissingExtra, UsageError, VoicelatError

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def main() -> None:
    """Read the options and do as they say."""
    options = _parser().parse_args()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            _run(options)
    except ModuleNotFoundError as error:
        sys.exit(f"voicelat: {MissingExtra('agents', f'the back office ({error.name})')}")
    except VoicelatError as error:
        sys.exit(f"voicelat: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m voicelat.backoffice", description=__doc__)
    parser.add_argument(
        "--database",
        default="sqlite:///backoffice.sqlite3",
        help="sqlite:///FILE or postgresql://USER@HOST/NAME (a password: in ~/.pgpass)",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("upgrade", help="bring the tables up to date")
    serve = verbs.add_parser("serve", help="answer on loopback until Ctrl-C")
    serve.add_argument("--port", type=int, default=8765)
    serve.add_argument(
        "--needs-grant",
        action="append",
        default=[],
        metavar="AGENT:TOOL",
        help="a tool that a person has to approve; AGENT may be *; may be repeated",
    )
    token = verbs.add_parser("token", help="mint a token; it is shown once, as JSON")
    token.add_argument("--agent", required=True)
    token.add_argument("--tenant", required=True)
    token.add_argument("--scope", action="append", default=[], help="may be repeated")
    token.add_argument("--ttl", default="30d", help="how long it opens: 30d, 12h, 15m")
    verbs.add_parser("tokens", help="list the tokens, as JSON lines")
    verbs.add_parser("revoke", help="close a token").add_argument("token_id")
    return parser


def _run(options: argparse.Namespace) -> None:
    from voicelat.backoffice import tokens
    from voicelat.backoffice.database import Database
    from voicelat.backoffice.operation import snapshot
    from voicelat.backoffice.tables import Token

    if options.verb == "serve":
        _serve(options.database, options.port, options.needs_grant)
        return
    database = Database(options.database)
    database.upgrade()
    now = datetime.now(UTC)
    match options.verb:
        case "token":
            with database.write(options.tenant) as db:
                text = tokens.mint(
                    db,
                    agent=options.agent,
                    tenant=options.tenant,
                    scopes=options.scope,
                    ttl=_ttl(options.ttl),
                    now=now,
                )
            _print({"token": text, "token_id": text.partition(".")[0]})
        case "tokens":
            with database.read() as db:
                for row in db.query(Token).order_by(Token.created_at):
                    shown = {"tenant": row.tenant, **snapshot(row)}
                    _print({k: v for k, v in shown.items() if k != "secret_sha256"})
        case "revoke":
            with database.write("") as db:
                tokens.revoke(db, options.token_id, now)


def _serve(database: str, port: int, pairs: list[str]) -> None:
    from voicelat.backoffice.app import create_app
    from voicelat.backoffice.config import Config
    from voicelat.backoffice.run import serve

    needs_grant = frozenset(_pair(pair) for pair in pairs)
    app = create_app(Config(database=database, needs_grant=needs_grant))
    serve(app, port, lambda _url: None)


def _pair(text: str) -> tuple[str, str]:
    """(agent, tool) of ``AGENT:TOOL``. Raises UsageError when it is none."""
    from voicelat.backoffice.operations import OPERATIONS

    agent, _, tool = text.partition(":")
    if not agent or tool not in {operation.tool for operation in OPERATIONS}:
        raise UsageError(f"--needs-grant {text}: give AGENT:TOOL, like *:whatsapp.send")
    return agent, tool


def _ttl(text: str) -> timedelta:
    """The time that ``30d`` means. Raises UsageError when it means none."""
    matched = re.fullmatch(r"([0-9]{1,5})([mhd])", text)
    if matched is None:
        raise UsageError(f"--ttl {text}: give a number and m, h or d, like 30d")
    return timedelta(**{_UNITS[matched[2]]: int(matched[1])})


def _print(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
