"""Documents as plain data, and what is wrong in them in the document's own words, places and lines."""

from __future__ import annotations

import difflib
import json
import re
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import yaml
from pydantic import ValidationError

from propend.conditions import is_spelled_out, read_where
from propend.errors import ConfigurationError, InstanceNotFoundError, Mistake
from propend.goal import AGGREGATES, BOUNDS, COMBINATORS, STARTERS, Did, Group, Measure, Part, Then

MAX_DOCUMENT_BYTES = 250_000
MAX_PLACES = 200_000
MAX_NESTING = 64

Place = tuple[str | int, ...]
Lines = dict[Place, int]


def nearest(name: str, valid: Iterable[str]) -> str:
    """The valid name most like ``name``, or an empty text."""
    folded = {v.lower(): v for v in sorted(valid, reverse=True)}
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else ""


_PASSWORD = re.compile(r"(://[^/\s:@]*:)\S+(?=@)|(\b(?:sslpassword|password|passwd|pwd)\s*=\s*)[^&;\s]+", re.IGNORECASE)
_ADDRESS = re.compile(r"(env|keyring):|[A-Za-z][A-Za-z0-9+.-]+://")


def without_passwords(value: Any) -> Any:
    """A text, or a document's texts, with the passwords of addresses hidden: ``postgresql://ana:hidden@host/shop``."""
    if isinstance(value, str):
        return _PASSWORD.sub(lambda found: f"{found[1] or found[2]}hidden", value)
    if isinstance(value, dict):
        return {without_passwords(k): without_passwords(v) for k, v in value.items()}
    return type(value)(map(without_passwords, value)) if isinstance(value, list | tuple) else value


_STORES = re.compile(r"(https?|s3[an]?|gc?s|az|azure|abfss?)://", re.IGNORECASE)
_KEY = re.compile(r"sig|token|key|secret|passw|credential|sas", re.IGNORECASE)


def secret_in(address: str) -> str:
    """What an address of a store or web server holds that nobody should read; empty if nothing."""
    if not _STORES.match(address):
        return ""
    parts = urlsplit(address)
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if _KEY.search(name)]
    if parts.password is not None:
        return "a password"
    if parts.username is not None and not parts.scheme.lower().startswith("abfs"):
        return "a name to log in with"
    return f"a key ({names[0]})" if names else ""


def has_password(address: str) -> bool:
    """Whether a password stands in an address."""
    return _PASSWORD.search(address) is not None


def database_at(text: str) -> dict[str, str] | None:
    """``env:SHOP_URL?table=shop.orders`` as keys of a source: ``database`` with ``table`` or ``query``; else None.

    What else stands behind the question mark is the address's own.
    """
    address, _, rest = text.partition("?")
    asked = parse_qsl(rest, keep_blank_values=True)
    named = {key: value for key, value in asked if key in ("table", "query") and value}
    if not address or len(named) != 1:
        return None
    others = [pair for pair in asked if pair[0] not in ("table", "query")]
    return {"database": address + (f"?{urlencode(others, quote_via=quote)}" if others else "")} | named


def is_database_address(text: str) -> bool:
    """Whether a text is an address, or says where one is kept, and no path."""
    return _ADDRESS.match(text) is not None


# --- reading ------------------------------------------------------------------------------------------------


def read_document(source: str | Path | dict[str, Any]) -> tuple[Any, Lines, str]:
    """Plain data, the line of each place in it, and what to call it in messages.

    Raises:
        InstanceNotFoundError: there is no such file.
        ConfigurationError: the text is not YAML, a key stands twice, or it is too large or nested too deeply.
    """
    if isinstance(source, dict):
        _refuse_unwieldy(source, "the instance")
        return source, {}, "the instance"
    path = Path(source)
    if not path.is_file():
        beside = sorted(p.name for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        near = nearest(path.name, beside)
        raise InstanceNotFoundError(
            f"There is no instance document {str(path)!r}.",
            f"did you mean {near!r}?" if near else "`propend init DIR --data PATH` writes a first one.",
            path=str(path),
        )
    document, node = _parsed(path)
    _refuse_unwieldy(document, path.name)
    return document, dict(_lines_of(node)), path.name


def read_text(text: str, label: str = "the document") -> tuple[Any, Lines]:
    """Plain data of a text as a document has it, and the line of each place in it.

    Raises:
        ConfigurationError: as ``read_document``.
    """
    document, node = _parsed_bytes(text.encode("utf-8", "replace"), label)
    _refuse_unwieldy(document, label)
    return document, dict(_lines_of(node))


def _parsed(path: Path) -> tuple[Any, yaml.Node | None]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationError([Mistake("document", f"cannot be read: {error.strerror}")], path.name) from None
    return _parsed_bytes(raw, path.name)


def _parsed_bytes(raw: bytes, label: str) -> tuple[Any, yaml.Node | None]:
    place, problem = "document", ""
    try:
        if len(raw) > MAX_DOCUMENT_BYTES:
            problem = f"{len(raw):,} bytes; at most {MAX_DOCUMENT_BYTES:,} are read"
        else:
            return _constructed(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        problem = f"not UTF-8: {error.reason} at byte {error.start + 1:,}"
    except RecursionError:
        problem = f"nested more than {MAX_NESTING} deep"
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else place
        problem = f"not valid YAML: {getattr(error, 'problem', None) or str(error).splitlines()[0].split(';')[0]}"
    raise ConfigurationError([Mistake(place, problem)], label)


def _constructed(text: str) -> tuple[Any, yaml.Node | None]:
    """Plain data, and the nodes with their lines; JSON is read as such: YAML knows neither its tabs nor its pairs."""
    json_document = None
    if text.lstrip().startswith("{"):
        try:
            json_document = json.loads(text)
        except json.JSONDecodeError:
            json_document = None  # a mapping in YAML's flow style
    loader = _Loader(text if json_document is None else text.replace("\t", " "))
    node = loader.get_single_node()
    document = None if node is None else loader.construct_document(node)
    return document if json_document is None else json_document, node


class _Loader(yaml.SafeLoader):
    """Safe YAML with the scalars of version 1.2, refusing a key given twice.

    PyYAML's own rules are those of 1.1, in which ``NO`` is false, ``0101`` is 65 and ``1e3`` is a text.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is a single word or text", key.start_mark)
            if key.value in seen:
                name = without_passwords(key.value)
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} stands there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that either version of YAML would read as something else; queries keep their lines."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        # PyYAML reads a line break of Unicode back as another one, unless it is escaped.
        style = '"' if re.search("[\x85\u2028\u2029]", text) else "|" if "\n" in text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)

_SCALARS = {
    "bool": (r"(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    "int": (r"[-+]?(?:0|[1-9]\d*)$", "-+0123456789"),
    "float": (
        r"[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.inf|\.Inf|\.INF)$|\.(?:nan|NaN|NAN)$",
        "-+0123456789.",
    ),
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag.rsplit(":", 1)[1] not in _SCALARS]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, (_pattern, _first) in _SCALARS.items():
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(_pattern, re.ASCII), list(_first))


def write_yaml(document: dict[str, Any]) -> str:
    """Plain data as YAML that ``read_document`` reads back."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _refuse_unwieldy(document: Any, label: str) -> None:
    """Nesting and size are bounded before anything walks the document; aliases count as often as they are used."""
    level, places, nesting = [document], 0, 0
    while level:
        places, nesting = places + len(level), nesting + 1
        if nesting > MAX_NESTING:
            raise ConfigurationError([Mistake("document", f"nested more than {MAX_NESTING} deep")], label)
        if places > MAX_PLACES:
            raise ConfigurationError([Mistake("document", f"more than {MAX_PLACES:,} places")], label)
        level = list(islice((child for node in level for child in _children(node)), MAX_PLACES + 1))


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list | tuple) else ()


def _lines_of(node: yaml.Node | None, place: Place = ()) -> Iterator[tuple[Place, int]]:
    if node is None:
        return
    yield place, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            yield from _lines_of(child, (*place, str(key.value)))
            yield (*place, str(key.value)), key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield from _lines_of(child, (*place, index))


# --- mistakes -----------------------------------------------------------------------------------------------

_ITEMS: dict[str, type[Part]] = {"Group": Group, "Did": Did, "Measure": Measure, "Then": Then}
_LENGTHS = {
    "too_short": "at least {min_length} needed, found {actual_length}",
    "too_long": "at most {max_length} are possible, found {actual_length}",
    "string_too_short": "an empty text says nothing",
    "string_too_long": "a text of at most {max_length} characters is needed",
}
Complaint = Any  # pydantic's ErrorDetails: type, loc, msg, input, ctx


def mistakes_of(error: ValidationError, model: type[Part], document: Any, lines: Lines) -> list[Mistake]:
    """Every complaint about a document, each once, with its place and line and the nearest valid name."""
    complaints: list[Complaint] = error.errors(include_url=False)
    found = []
    for one in complaints:
        beside = [c for c in complaints if c is not one and c["loc"][: len(one["loc"])] == one["loc"]]
        if one["type"] == "too_short" and beside:
            continue  # pydantic counts only the valid items; the invalid ones are already listed
        owner = one["loc"][:-1]
        strange = [str(c["loc"][-1]) for c in complaints if c["type"] == "extra_forbidden" and c["loc"][:-1] == owner]
        headless = any(c["loc"] == (*owner, "did") and c["type"] == "missing" for c in complaints)
        if headless and one["type"] == "extra_forbidden":
            continue  # told together with the key that is missing, of which it is probably a misspelling
        place = _place_in(document, owner if headless and one["type"] == "missing" else one["loc"])
        problem = _headless(strange) if headless and one["type"] == "missing" else _problem(one, model)
        found.append(Mistake(_written(place, lines), *problem))
    return list(dict.fromkeys(found))


def _headless(strange: Sequence[str]) -> tuple[str, str]:
    near = next(filter(None, (nearest(key, STARTERS) for key in strange)), "")
    return f"one of {', '.join(STARTERS)} is needed, found {', '.join(map(repr, strange)) or 'none'}", near


def _problem(one: Complaint, model: type[Part]) -> tuple[str, str]:
    kind, message, given = one["type"], str(one["msg"]), one["input"]
    if kind == "extra_forbidden":
        key, valid = str(one["loc"][-1]), _model_at(model, one["loc"]).document_keys()
        return f"unknown key {key!r}; allowed here: {', '.join(sorted(valid))}", nearest(key, valid)
    if kind == "invalid_key" or (kind == "string_type" and one["loc"][-1] == "[key]"):
        return f"a key is a text, not {reprlib.repr(given)}; write it in quotes", ""
    if kind == "missing":
        return "is missing and needed", ""
    if kind == "literal_error":
        expected = str(one["ctx"]["expected"])
        return f"{given!r:.80} is not one of {expected}", nearest(str(given), re.findall(r"'([^']*)'", expected))
    if kind in _LENGTHS:
        return _LENGTHS[kind].format(**one["ctx"]), ""
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"a mapping is needed, not {reprlib.repr(given)}", ""
    if kind == "value_error":
        return message.removeprefix("Value error, "), ""
    return f"{reprlib.repr(given)} is not {message.removeprefix('Input should be ')}", ""


def _model_at(model: type[Part], loc: Place) -> type[Part]:
    """The model that complained, found by following a complaint's place through the fields."""
    named = False
    for part in loc[:-1]:
        field = next((f for name, f in model.model_fields.items() if part in (f.alias, name)), None)
        if named or (field is None and part not in _ITEMS):
            named = False  # the key of a named event, or an index
        elif field is None:
            model = _ITEMS[str(part)]
        else:
            named = get_origin(field.annotation) is dict
            model = _part_in(field.annotation) or model
    return model


def _part_in(annotation: Any) -> type[Part] | None:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    return next(filter(None, map(_part_in, get_args(annotation))), None)


def _place_in(document: Any, loc: Place) -> Place:
    """A complaint's place as the document has it: the models' own joints left out, combinators put in."""
    place: list[str | int] = []
    node = document
    for i, part in enumerate(loc):
        if loc[0] == "events" and i == 3 and loc[2] == "where" and isinstance(part, int):
            return (*place, *next(islice(_conditions_in(node), part, None), ()))
        key = _key_in(node, part)
        if key is not None:
            place.append(str(key) if isinstance(node, dict) else key)
            node = node[key] if not isinstance(node, dict) or key in node else None
    return tuple(place)


def _key_in(node: Any, part: str | int) -> str | int | None:
    """What a joint of the model is called at this node; None where it is not written at all."""
    if isinstance(node, list | tuple):
        return part if isinstance(part, int) and part < len(node) else None
    if not isinstance(node, dict):
        return None
    if part in node:
        return part
    keys = {"items": COMBINATORS, "threshold": BOUNDS} | dict.fromkeys(("aggregate", "event", "field"), AGGREGATES)
    if part in keys:
        return next((k for k in keys[part] if k in node), None)
    return None if isinstance(part, int) or part in ("group", "[key]", *_ITEMS) else part


def _conditions_in(where: Any, place: Place = ()) -> Iterator[Place]:
    """The place of every condition, in the order in which they are read."""
    if isinstance(where, dict) and not is_spelled_out(where):
        for field, tests in where.items():
            yield from ((*place, str(field)) for _ in (tests if isinstance(tests, dict) else (tests,)))
    elif isinstance(where, list | tuple):
        for index, part in enumerate(where):
            yield from _conditions_in(part, (*place, index))
    else:
        yield from (place for _ in read_where(where))


def _written(place: Place, lines: Lines) -> str:
    text = ""
    for part in place:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else str(part)
    known = place
    while known and known not in lines:
        known = known[:-1]
    return (text or "document") + (f" (line {lines[known]})" if known else "")
