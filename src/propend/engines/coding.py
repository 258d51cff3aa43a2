"""Texts as codes and numbers without nulls: the forms in which rows leave the database."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend.engines.database import Database
from propend.predicates import quote_name

LONGEST_TEXT = 200
_KEPT_TEXT = 183


def vocabulary(db: Database, query: str) -> tuple[str, tuple[str, ...]]:
    """A type whose codes number a query's distinct texts in ascending order, and these texts."""
    name = quote_name(db.new_name("texts"))
    db.run(f"CREATE TYPE {name} AS ENUM (SELECT DISTINCT t FROM ({query}) AS v(t) WHERE t IS NOT NULL ORDER BY t)")
    values = db.rows(f"SELECT unnest(enum_range(CAST(NULL AS {name})))")
    return name, tuple(str(v[0]) for v in values)


def coded(text: str, kind: str) -> str:
    """A text's code in a vocabulary, -1 where it has none."""
    return f"coalesce(CAST(enum_code(CAST({text} AS {kind})) AS INTEGER), -1)"


def number(expression: str) -> str:
    """A number with NaN for null: arrays have no nulls."""
    return f"coalesce({expression}, CAST('nan' AS DOUBLE))"


def plain(values: Any, dtype: Any) -> NDArray[Any]:
    """A column without nulls as an ordinary array."""
    return np.ascontiguousarray(np.ma.getdata(values), dtype=dtype)


def short_text(text: str) -> str:
    """A text that is not too long for a vocabulary: the end of a long one gives way to its digest."""
    cut = f"left({text}, {_KEPT_TEXT}) || '…' || left(md5({text}), 16)"
    # bytes are counted faster than characters, and are at least as many
    long = f"strlen({text}) > {LONGEST_TEXT} AND length({text}) > {LONGEST_TEXT}"
    return f"(CASE WHEN {long} THEN {cut} ELSE {text} END)"


def shortened(text: str) -> str:
    """What ``short_text`` makes of a text."""
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:_KEPT_TEXT]}…{md5(text.encode(), usedforsecurity=False).hexdigest()[:16]}"


def not_blank(text: str) -> str:
    """A text if there is anything but white space in it; most begin with something, which is seen at once."""
    return f"(CASE WHEN {text} >= '!' THEN {text} WHEN {trimmed(text)} <> '' THEN {text} END)"


def trimmed(text: str) -> str:
    """A text without white space around it; trimming only where there is some is many times faster."""
    blank = f"left({text}, 1) <= ' ' OR right({text}, 1) <= ' '"
    return f"(CASE WHEN {blank} THEN trim({text}, ' \t\r\n') ELSE {text} END)"
