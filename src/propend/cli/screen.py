"""What all commands write with: the two streams, refusals, and texts that a terminal must not obey."""

from __future__ import annotations

import json
import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from propend.errors import PropendError

out = Console(soft_wrap=True, highlight=False, emoji=False)
err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]


def fail(error: PropendError, as_json: bool) -> NoReturn:
    """Tell a refusal, and end the command with its status."""
    show_error(error, as_json)
    raise typer.Exit(error.exit_status)


def show_error(error: PropendError, as_json: bool) -> None:
    """Tell a refusal: in words on the second stream, and as JSON on the first where that is asked for."""
    if as_json:
        out.print_json(json.dumps({"error": error.to_dict()}, default=str))
    err.print(_printable(str(error)), markup=False, style="bold red" if sys.stderr.isatty() else "")


_CONTROLS = {c: f"\\x{c:02x}" for c in (*range(32), *range(127, 160)) if chr(c) not in "\n\t"}


def _printable(text: str) -> str:
    """Control characters spelled out: ids and kinds are other people's texts, and a terminal obeys."""
    return text.translate(_CONTROLS)


def tell(text: str) -> None:
    """Print a text as it is."""
    out.print(_printable(text), markup=False)
