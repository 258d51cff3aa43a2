"""A form's fields as nested data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Plain = dict[str, Any]
MOST_PARTS = 8
"""Of a name of a form's field."""


def nested(pairs: Iterable[tuple[str, str]]) -> Plain:
    """A form's fields as nested data: ``goal.items.0.event`` is ``{"goal": {"items": [{"event": ...}]}}``.

    Numbers are positions, in their order, with or without gaps; a name that ends in ``[]`` is a list of all its values.
    """
    tree: Plain = {}
    for name, value in pairs:
        many = name.endswith("[]")
        path = name.removesuffix("[]").split(".", MOST_PARTS)
        node = tree
        for part in path[:-1]:
            inner = node.setdefault(part, {})
            if not isinstance(inner, dict):
                break
            node = inner
        else:
            if many:
                node.setdefault(path[-1], []).append(value)
            else:
                node[path[-1]] = value
    found: Plain = _with_lists(tree)
    return found


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(key.isdecimal() for key in node):
        return [_with_lists(node[key]) for key in sorted(node, key=int)]
    return {key: _with_lists(value) for key, value in node.items()}


def mapping(value: Any) -> Plain:
    """A mapping; an empty one of anything else."""
    return value if isinstance(value, dict) else {}


def rows_of(value: Any) -> list[Plain]:
    """The mappings of a list; none of anything else."""
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []
