"""Operators of conditions as cards say them, and those that fit columns of a type."""

from __future__ import annotations

from propend.conditions import LISTS, OPERATORS, ORDERED, TEXT_ONLY
from propend.predicates import FieldType

OPERATOR_WORDS = {
    "exists": "has a value", "missing": "has no value", "eq": "is", "ne": "is not", "gt": "is more than",
    "gte": "is at least", "lt": "is less than", "lte": "is at most", "between": "is between", "in": "is one of",
    "not_in": "is none of", "starts_with": "begins with", "ends_with": "ends with", "contains": "contains",
    "matches": "matches the pattern",
}  # fmt: skip
"""Operators as people say them; ``missing`` is ``exists: false``."""
VALUELESS = ("exists", "missing")


def operators_for(kind: FieldType | None) -> tuple[str, ...]:
    """The operators that fit columns of a type, as cards have them; all of them where it is not known."""
    fits: tuple[str, ...] = OPERATORS
    if kind in ("number", "time"):
        fits = tuple(o for o in OPERATORS if o not in TEXT_ONLY)
    elif kind == "boolean":
        fits = tuple(o for o in OPERATORS if o not in TEXT_ONLY and o not in ORDERED and o not in LISTS)
    elif kind == "text":
        fits = tuple(o for o in OPERATORS if o not in ORDERED)
    return ("exists", "missing", *(o for o in fits if o != "exists"))
