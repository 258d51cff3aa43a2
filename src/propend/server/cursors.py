"""Cursors: where the next page begins, as a text that a caller gives back and does not read."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

from propend.errors import RequestInvalidError


def cursor_of(*place: Any) -> str:
    """A cursor for numbers and texts."""
    text = json.dumps(place, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """What ``cursor_of`` was given, which must be of these kinds.

    Raises:
        RequestInvalidError: it is no cursor of this list.
    """
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        raise _not_one() from None
    if not isinstance(found, list) or [type(v) for v in found] != list(kinds) or not all(map(_sound, found)):
        raise _not_one()
    return tuple(found)


def moment_of(cursor: str) -> datetime:
    """The instant in a cursor.

    Raises:
        RequestInvalidError: it is no cursor of this list.
    """
    (text,) = place_of(cursor, str)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _not_one() from None
    if found.tzinfo is None or found.year < 1900:
        raise _not_one()
    return found


def _sound(value: Any) -> bool:
    """Whether a database or a column can be asked for it."""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    return bool(abs(value) < 2**31)  # nor NaN


def _not_one() -> RequestInvalidError:
    return RequestInvalidError("The cursor is not one of this list.", "take `next` of the page before, as it is.")
