"""What the code says of itself: docstrings, routes of the server, what errors advise, comments of aggregates."""

from __future__ import annotations

import ast
import inspect
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from propend.errors import ConfigurationError, PropendError
from propend.server import access
from propend.server.app import PREFIX, ROUTERS, create_app
from propend.server.routes import health
from propend.workspace import Workspace

PACKAGE = Path(inspect.getfile(PropendError)).parent


def said(thing: object) -> str:
    """The docstring of a class or function as one line, up to its sections; not one that it inherits."""
    text = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    return _line(re.split(r"\n\s*(?:Args|Attributes|Raises|Returns):", text)[0])


def said_first(thing: object) -> str:
    """The first paragraph of its docstring."""
    return _line(inspect.cleandoc(getattr(thing, "__doc__", None) or "").split("\n\n")[0])


def fields_said(model: type[BaseModel]) -> dict[str, str]:
    """What a model's docstring says of each of its attributes."""
    text = inspect.cleandoc(model.__doc__ or "")
    if "Attributes:" not in text:
        return {}
    rows = re.findall(r"^    ([\w, ]+): (.*(?:\n {8}.*)*)", text.split("Attributes:")[1], re.MULTILINE)
    return {name.strip(): _line(words) for names, words in rows for name in names.split(",")}


def _line(text: str) -> str:
    """On one line, with Markdown's way to quote code."""
    return " ".join(text.replace("``", "`").split())


# --- routes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Route:
    """One route of the server.

    Attributes:
        tag: what it is about.
        role: who may use it: ``open``, ``view`` or ``manage``.
        does: its docstring.
        takes: name, place and words of each parameter, and the fields of its body.
    """

    tag: str
    method: str
    path: str
    role: str
    does: str
    takes: tuple[tuple[str, str, str], ...]


@cache
def routes() -> tuple[Route, ...]:
    """Every route that OpenAPI describes, in the order of the server."""
    roles = dict(_roles())
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "propend.toml").write_text("", encoding="utf-8")
        workspace = Workspace.open(folder)
        described = create_app(workspace, access=False).openapi()
        workspace.close()
    return tuple(
        Route(
            operation["tags"][0], method.upper(), path, roles[method.upper(), path],
            _line(operation.get("description", "").split("\f")[0]), tuple(_taken(operation, described)),
        )
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    )  # fmt: skip


def _roles() -> Iterator[tuple[tuple[str, str], str]]:
    for prefix, router in [*((PREFIX, router) for router in ROUTERS), ("", health.router)]:
        for route in router.routes:
            if isinstance(route, APIRoute):
                asked = set(_asked(route.dependant))
                role = "manage" if asked & MANAGERS else "view" if asked & VIEWERS else "open"
                path = prefix + re.sub(r":\w+}", "}", route.path)
                yield from (((method, path), role) for method in route.methods)


MANAGERS = {access.manager, access._manager}
VIEWERS = {access.viewer, access._viewer}


def _asked(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for lower in dependant.dependencies:
        yield from _asked(lower)


def _taken(operation: dict[str, Any], described: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for parameter in operation.get("parameters", ()):
        yield parameter["name"], parameter["in"], _worded(parameter.get("description", ""), parameter["schema"])
    for content in operation.get("requestBody", {}).get("content", {}).values():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        body = described["components"]["schemas"].get(name, {})
        must = body.get("required", ())
        for field, shape in body.get("properties", {}).items():
            words = _worded(shape.get("description", ""), shape)
            yield field, "body" if field in must else "body, optional", words


def _worded(description: str, shape: dict[str, Any]) -> str:
    """What is said of a parameter, or what form it has where its name says all."""
    shapes = [s for s in shape.get("anyOf", [shape]) if s.get("type") != "null"]
    values = [value for s in shapes for value in s.get("enum", ())]
    if description or values:
        return _line(description) or "one of " + ", ".join(f"`{value}`" for value in values)
    kinds = {"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
    return kinds.get(shapes[0].get("type", ""), "an object") if shapes else ""


# --- errors -----------------------------------------------------------------------------------------------------


@cache
def hints() -> dict[str, tuple[str, ...]]:
    """What each class of error advises where it is raised, each text once; figures in them as ``…``."""
    found: dict[str, dict[str, None]] = {}
    names = {kind.__name__ for kind in _below(PropendError)}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                advises = len(node.args) > 1 and node.func.id != ConfigurationError.__name__
                hint = _text_of(node.args[1]) if advises else ""
                if hint:
                    found.setdefault(node.func.id, {})[hint] = None
    return {name: tuple(sorted(texts)) for name, texts in found.items()}


def _below(kind: type) -> Iterator[type]:
    for lower in kind.__subclasses__():
        yield lower
        yield from _below(lower)


def _text_of(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _line(node.value)
    if isinstance(node, ast.JoinedStr):
        return _line("".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values))
    return ""


def errors() -> list[type[PropendError]]:
    """Every class of refusal with a code of its own, by number."""
    own = [kind for kind in _below(PropendError) if kind.__module__ == PropendError.__module__]
    return sorted(dict.fromkeys(own), key=lambda kind: kind.number)


# --- features ---------------------------------------------------------------------------------------------------


def comments_of_members(kind: type) -> dict[str, str]:
    """What the comment beside each member of an enumeration says."""
    return dict(re.findall(r"^    ([A-Z_]+) = \d+  # (.+)$", inspect.getsource(kind), re.MULTILINE))
