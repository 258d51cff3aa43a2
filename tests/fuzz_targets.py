"""What outsiders can send or lay down, each as a function of bytes: it ends well, or with a ``PropendError``.

``tests/fuzzing.py`` makes inputs up; ``tests/test_fuzz.py`` plays back those that once found something
(``tests/corpus/TARGET/``). A function of this module raises anything else where propend does, or where what was read
does not come back as it was written.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tomllib
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from fastapi import FastAPI
from pydantic import ValidationError

from propend.conditions import Condition, condition_text, parse_conditions
from propend.errors import PropendError
from propend.instance import Instance
from propend.live import LiveModel
from propend.pipeline import Run
from propend.predicates import Column, condition_predicate
from propend.proposal import propose
from propend.question import spoken_sentence
from propend.segments import Rule
from propend.sentence import read_sentence, write_sentence
from propend.server.app import create_app
from propend.server.cursors import moment_of, place_of
from propend.server.routes.live import LiveBody
from propend.store.runs import (
    list_runs,
    load_model,
    read_contributions,
    read_features,
    read_json,
    read_scores,
    write_json,
)
from propend.store.seals import digest_of
from propend.workspace import Workspace
from propend.workspace.execution import execute
from propend.workspace.score_file import ScoreFile
from propend.workspace.settings import read_settings
from shops import instance, shop
from workspaces import document, made

EXAMPLES = Path(__file__).parent.parent / "examples"
CORPUS = Path(__file__).parent / "corpus"
COLUMN = Column("text", '"c"', 'TRY_CAST("c" AS DOUBLE)', 'TRY_CAST("c" AS TIMESTAMP)')
WHERE = (
    "bucket = 'high' and (probability >= 0.4 or raised_by in ('buy__lately'))",
    "not (percentile < 10 or profile_id starts with 'p0') and value.buy__lately exists",
    "profile_id matches '^p0[0-9]+$' and score between 1 and 90.5 and bucket not in ('low')",
    "buyers:bucket = 'low' or too_little_history = true",
)
"""Rules of every kind."""
CONDITIONS = (
    "amount >= 100 and category in ('shoes', 'bags') and note matches '^(a|b)+$'",
    "at between '2024-01-01' and '2024-02-01' and gift = true and \"odd name\" not exists",
    "category not in ('a') and note contains 'it''s' and x != -1.5e3 and y starts with ''",
)


class BrokenPromiseError(Exception):
    """What came back is not what was written, or an answer is a fault of the server."""


@dataclass(frozen=True)
class Ground:
    """A small shop that has been run once, with a folder for what is tried out."""

    home: Path
    tried: Path

    @classmethod
    def lay(cls, folder: Path) -> Ground:
        """A ground in a folder, in place of what is there: that may be of other code."""
        home = folder / "shop"
        shutil.rmtree(home, ignore_errors=True)
        made(home)
        with closing(Workspace.open(home)) as workspace:
            workspace.instances.create(document())
            if not execute(workspace, workspace.runs.start("buyers").id):
                raise BrokenPromiseError("the shop could not be run")
        return cls(home, folder / "tried")

    @cached_property
    def run(self) -> Path:
        """The run's folder."""
        return next((self.home / ".propend" / "runs" / "buyers").iterdir())

    @cached_property
    def model(self) -> LiveModel:
        """Its model."""
        return LiveModel.load(self.run)

    @cached_property
    def scores(self) -> ScoreFile:
        """Its scores."""
        return ScoreFile.open(self.run, elsewhere=lambda _: self.scores)

    @cached_property
    def sites(self) -> list[FastAPI]:
        """The application that answers requests, if one was made."""
        return []

    def site(self) -> FastAPI:
        """A copy of the workspace as it is served, to whoever reaches it; another where requests have emptied it."""
        home = self.tried.parent / "served"
        if not self.sites or not (home / "instances" / "buyers.yaml").exists():
            if self.sites:
                self.sites.pop().state.workspace.close()
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(self.home, home)
            self.sites.append(create_app(Workspace.open(home), access=False))
        return self.sites[0]

    @cached_property
    def loop(self) -> asyncio.Runner:
        """What answers requests."""
        return asyncio.Runner()

    def close(self) -> None:
        """Let go of what was opened to try inputs."""
        while self.sites:
            self.sites.pop().state.workspace.close()
        if "loop" in self.__dict__:  # made by the first request
            self.loop.close()

    def fresh(self, name: str, content: bytes) -> Path:
        """A file alone in a folder."""
        shutil.rmtree(self.tried, ignore_errors=True)
        self.tried.mkdir(parents=True)
        (self.tried / name).write_bytes(content)
        return self.tried / name


def _text(given: bytes) -> str:
    """As JSON may bring it: with halves of surrogate pairs where it is not UTF-8."""
    return given.decode("utf-8", "surrogateescape")


def _same(one: object, other: object) -> None:
    if one != other:
        raise BrokenPromiseError(f"{one!r:.300} came back as {other!r:.300}")


# --- languages ----------------------------------------------------------------------------------------------------


def sentence(_: Ground, given: bytes) -> None:
    """A goal as a sentence, and there and back."""
    goal, eligible = read_sentence(_text(given))
    _same((goal, eligible), read_sentence(write_sentence(goal, eligible)))
    spoken_sentence(goal, eligible)


def conditions(_: Ground, given: bytes) -> None:
    """Conditions of named events, there and back, and as an expression of an engine."""
    with suppress(ValueError):
        for plain in parse_conditions(_text(given)):
            one = Condition.model_validate(plain)
            condition_predicate(one, COLUMN)
            _same([one], [Condition.model_validate(c) for c in parse_conditions(condition_text(one))])


def rule(ground: Ground, given: bytes) -> None:
    """A rule of a segment, there and back, and asked of scores."""
    one = Rule.read(_text(given))
    _same(one.text, Rule.read(one.text).text)
    if not one.sentence:
        raise BrokenPromiseError("a rule without words")
    ground.scores.gate(one)
    found = ground.scores.count(one)
    _same(found, len(ground.scores.members(one).ids))


def yaml_document(ground: Ground, given: bytes) -> None:
    """An instance's document, there and back, by YAML and by its sentence."""
    found = Instance.load(ground.fresh("first.yaml", given))
    _same(found, Instance.load(ground.fresh("again.yaml", found.to_yaml().encode())))
    _same((found.goal, found.eligible), read_sentence(write_sentence(found.goal, found.eligible)))


def settings(ground: Ground, given: bytes) -> None:
    """A workspace's settings."""
    read_settings(ground.fresh("propend.toml", given).parent)


# --- data ---------------------------------------------------------------------------------------------------------


def csv_file(ground: Ground, given: bytes) -> None:
    """A CSV of any shape, looked at until an instance is proposed."""
    propose(ground.fresh("events.csv", given), ground.tried)


def json_file(ground: Ground, given: bytes) -> None:
    """Lines of JSON, XDM among them."""
    propose(ground.fresh("events.json", given), ground.tried)


def parquet_file(ground: Ground, given: bytes) -> None:
    """Parquet, damaged: the shop's first events with changes (``changed``)."""
    part = pq.read_table(ground.home / "events.parquet").slice(0, 300)
    path = ground.fresh("events.parquet", b"")
    pq.write_table(part, path)
    path.write_bytes(changed(path.read_bytes(), json.loads(given)))
    propose(path, ground.tried)


def live(ground: Ground, given: bytes) -> None:
    """Events of one profile, as they are sent."""
    try:
        body = LiveBody.model_validate_json(given)
    except ValidationError:
        return
    ground.model.score(
        body.events, body.attributes, profile_id=body.profile_id, now=body.now, regardless=body.regardless
    )


# --- files of runs ------------------------------------------------------------------------------------------------


def changed(content: bytes, changes: dict[str, Any]) -> bytes:
    """A file's content after changes: ``bytes``: [[place as a share, bytes cut, text put in], ...]; of JSON ``json``:
    [[steps into it, value], ...], where a step is a number that is taken modulo what there is, and no value removes.
    """
    for place, cut, text in changes.get("bytes", ()):
        at = int(len(content) * min(max(float(place), 0.0), 1.0))
        content = content[:at] + str(text).encode("latin-1", "replace") + content[at + max(int(cut), 0) :]
    steps = changes.get("json", ())
    if not steps:
        return content
    found = json.loads(content)
    for way, *value in steps:
        _change(found, way, value)
    return json.dumps(found).encode()


def _change(node: Any, way: list[int], value: list[Any]) -> None:
    for i, step in enumerate(way):
        keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
        if not keys:
            return
        key = keys[step % len(keys)]
        last = i == len(way) - 1 or not isinstance(node[key], dict | list) or not node[key]
        if last and value:
            node[key] = value[0]
        elif last:
            del node[key]
        if last:
            return
        node = node[key]


def run_files(ground: Ground, given: bytes) -> None:
    """A run's folder in which one file is damaged, or another's: everything that reads runs."""
    asked = json.loads(given)
    name = str(asked["file"])
    folder = ground.tried / "run"
    shutil.rmtree(ground.tried, ignore_errors=True)
    shutil.copytree(ground.run, folder)
    content = (ground.run / str(asked.get("as", name))).read_bytes()
    (folder / name).write_bytes(changed(content, asked))
    if asked.get("sealed"):
        _seal_again(folder, name)
    for ask in READERS:
        # who may seal a folder may have it read as they like: no harm is done beyond an exception
        with suppress(Exception if asked.get("sealed") else PropendError):
            ask(folder)


def _seal_again(folder: Path, name: str) -> None:
    """As if propend had written what stands there."""
    with suppress(ValueError, RecursionError, TypeError, KeyError, PropendError):
        if name.startswith("model/") and name != "model/model.json":
            saved = read_json(folder / "model" / "model.json")
            saved["files"][name.removeprefix("model/")] = digest_of(folder / name)
            write_json(folder / "model" / "model.json", saved)
        elif name.endswith(".json"):
            found = json.loads((folder / name).read_bytes())
            write_json(folder / name, {k: v for k, v in found.items() if k != "seal"})


def _live_of(folder: Path) -> None:
    with closing(LiveModel.load(folder)) as model:
        events = [{"at": "2022-10-01T10:00:00", "event": "purchase", "value": 20.0}]
        model.score(events, now=datetime(2022, 11, 1, tzinfo=UTC), regardless=True)


def _asked(folder: Path) -> None:
    scores = ScoreFile.open(folder)
    one = next(iter(scores.page(Rule(), "-probability", None, 3)), {"profile_id": "p0001"})
    scores.find(str(one["profile_id"]))
    for where in WHERE[:3]:
        found = Rule.read(where)
        scores.gate(found)
        scores.tally(found)


def _explained(folder: Path) -> None:
    run = Run.load(folder)
    run.moved("p0001", run)


READERS: tuple[Callable[[Path], object], ...] = (
    lambda folder: load_model(folder / "model"),
    list_runs,
    Run.load,
    read_scores,
    read_contributions,
    lambda folder: read_features(folder / "model"),
    _live_of,
    _asked,
    _explained,
)


# --- the server ---------------------------------------------------------------------------------------------------


def cursor(_: Ground, given: bytes) -> None:
    """A cursor, which is text that a caller gives back."""
    for kinds in ((str,), (int,), (float, str), (str, int)):
        with suppress(PropendError):
            place_of(_text(given), *kinds)
    moment_of(_text(given))


def request(ground: Ground, given: bytes) -> None:
    """A request as text: method, address, headers, an empty line, the body; refused, perhaps, and never a fault."""
    head, _, body = given.partition(b"\n\n")
    first, *rest = head.decode("latin-1").split("\n")
    method, _, address = first.partition(" ")
    headers = [
        (n.strip().encode("latin-1"), v.strip().encode("latin-1")) for n, _, v in (r.partition(":") for r in rest)
    ]
    path, _, query = address.partition("?")
    _same(True, _status(ground, method, path, query, headers, body) < 500)


def _status(ground: Ground, method: str, path: str, query: str, headers: list[tuple[bytes, bytes]], body: bytes) -> int:
    """The status of an answer, by way of the application itself: a client would refuse to send much of this."""
    ground_headers = [(n.lower(), v) for n, v in headers if n and n.lower() != b"host"]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method.upper()[:20] or "GET",
        "scheme": "http",
        "path": "/" + path.lstrip("/"),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(b"host", b"localhost"), *ground_headers],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "state": {},
    }
    statuses: list[int] = []

    async def answered() -> None:
        bodies = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return bodies.pop() if bodies else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await site(scope, receive, send)

    site = ground.site()
    ground.loop.run(answered())
    return statuses[0]


TARGETS: dict[str, Callable[[Ground, bytes], None]] = {
    "sentence": sentence,
    "conditions": conditions,
    "rule": rule,
    "yaml": yaml_document,
    "settings": settings,
    "csv": csv_file,
    "json": json_file,
    "parquet": parquet_file,
    "live": live,
    "run": run_files,
    "cursor": cursor,
    "request": request,
}


def tried(target: str, ground: Ground, given: bytes) -> bool:
    """Try one input; whether it was taken. Whatever else than a ``PropendError`` comes out is a find."""
    try:
        TARGETS[target](ground, given)
    except PropendError:
        return False
    return True


# --- what inputs are made of --------------------------------------------------------------------------------------


def seeds(target: str, ground: Ground) -> list[bytes]:
    """Good inputs of a target, which changes begin with; of files of runs, their names."""
    found = [p.read_bytes() for p in sorted((CORPUS / target).glob("*"))] if (CORPUS / target).is_dir() else []
    loaded = [Instance.load(p) for p in sorted(EXAMPLES.rglob("*.yaml"))]
    if target == "sentence":
        found += [write_sentence(i.goal, i.eligible).encode() for i in loaded]
    elif target == "yaml":
        found += [p.read_bytes() for p in sorted(EXAMPLES.rglob("*.yaml"))]
        found += [json.dumps(instance()).encode(), yaml.safe_dump(instance(options={"horizons": [7, 30]})).encode()]
    elif target in ("conditions", "rule"):
        found += [w.encode() for w in (CONDITIONS if target == "conditions" else WHERE)]
    else:
        found += _more_seeds(target, ground)
    return found


def _more_seeds(target: str, ground: Ground) -> list[bytes]:
    if target == "settings":
        keys = '[runs]\nat_once = 2\n[access]\naddress = "https://a.example"\n[exports]\nfolders = ["a"]\n'
        tomllib.loads(keys)
        return [keys.encode(), b'[policies.sensitive]\ngoals = "allow"\n[alerts]\nwebhook = "https://a.example/x"\n']
    if target == "csv":
        rows = shop(12, 120).to_pylist()
        lines = [f"{r['profile_id']};{r['at'].isoformat()};{r['event']};{r['amount'] or ''}" for r in rows]
        text = "\n".join(["id;at;kind;amount", *lines])
        return [text.encode(), text.replace(";", ",").encode("utf-16"), f'{text}\n"a;b";"c\n"";;'.encode("cp1252")]
    if target == "json":
        rows = [{k: str(v) for k, v in r.items()} for r in shop(12, 120).to_pylist()]
        xdm = {
            "_id": "1",
            "timestamp": "2024-01-01T00:00:00Z",
            "eventType": "commerce.purchases",
            "identityMap": {"ECID": [{"id": "a", "primary": True}]},
            "commerce": {"order": {"priceTotal": 4.5}},
            "productListItems": [{"SKU": "x", "quantity": 2}],
        }
        lists = [
            json.dumps(rows),
            "\n".join(map(json.dumps, rows)),
            "\n".join(json.dumps(xdm | {"_id": str(i)}) for i in range(40)),
        ]
        return [text.encode() for text in lists]
    if target == "live":
        events = [{"at": "2022-09-01T10:00:00Z", "event": "purchase", "value": 3.5, "category": "shoes"}]
        return [
            json.dumps(
                {
                    "events": events,
                    "now": "2022-10-30T00:00:00",
                    "regardless": True,
                    "profile_id": "x",
                    "attributes": {"a": 1},
                }
            ).encode()
        ]
    if target == "cursor":
        return [b"WzEsImEiXQ", b"WyIyMDI0LTAxLTAxVDAwOjAwOjAwKzAwOjAwIl0", b"WzAuNSwicDAwMDEiXQ"]
    if target == "request":
        return [line.encode("latin-1") for line in _requests(ground)]
    return []


def _requests(ground: Ground) -> list[str]:
    """One request of every route, of the pages too."""
    run_id, found = ground.run.name, []
    known = {"instance_id": "buyers", "run_id": run_id, "segment_id": "1", "profile_id": "p0001", "number": "1"}
    for path, methods in create_app(Workspace.open(ground.home), access=False).openapi()["paths"].items():
        for method in methods:
            filled = path
            for name, value in known.items():
                filled = filled.replace("{" + name + "}", value)
            found.append(
                f"{method.upper()} {filled}?limit=5&where=bucket = 'high'\ncontent-type: application/json\n\n{{}}"
            )
    found += [
        f"GET {p}\naccept: text/html\n\n"
        for p in (
            "/",
            "/data",
            "/profiles?id=p0001",
            "/segments",
            "/settings",
            "/audit",
            "/people",
            "/instances/buyers",
            f"/runs/{run_id}",
        )
    ]
    bodies = {
        "/api/v1/instances": {"document": document("Others")},
        "/api/v1/check": {"document": document()},
        "/api/v1/profiles/lookup": {"ids": ["p0001"]},
        "/api/v1/instances/buyers/score": {"events": []},
        "/api/v1/instances/buyers/segments": {"name": "A", "where": WHERE[0]},
    }
    return found + [f"POST {p}\ncontent-type: application/json\n\n{json.dumps(b)}" for p, b in bodies.items()]


JSON_MARKS = (
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    '"',
    "\\u0000",
    "\\ud800",
    "null",
    "1e400",
    "NaN",
    "-0",
    "true",
)
"""Pieces of any JSON."""

TOKENS: dict[str, tuple[str, ...]] = {
    "sentence": (
        "Of profiles who did",
        "never did",
        "whose",
        "to whom none of these applies: (",
        ")",
        ";",
        "for the first time",
        "(from 3 to 9 days ahead)",
        "at least 3 times",
        "exactly twice",
        "so far",
        "will do",
        "will never do",
        "all of",
        "any of",
        "1 to 2 times",
        "total amount of buy",
        "is more than 1e400",
        "then",
        "and",
        "or",
        "in the last 30 days",
        "99999999999",
        '"',
        "`",
        "in the next 1 day?",
        "-1",
        "0",
        "1.5",
    ),
    "conditions": (
        "and",
        "or",
        "not",
        "in (",
        ")",
        "between",
        "exists",
        "matches '(a+)+$'",
        "1e999",
        "'",
        '"',
        "''",
        "true",
        "is",
        "=",
        "!=",
        "<>",
        ">=",
        ",",
        "((",
        "-0",
        "nan",
        "\\",
    ),
    "rule": (
        "and",
        "or",
        "not (",
        "(",
        ")",
        "in (",
        "between",
        "exists",
        "matches '(a+)+$'",
        "1e999",
        "'",
        '"',
        "true",
        "factor",
        "raised_by",
        "value.x",
        "buyers:",
        "buyers:buyers:bucket",
        "profile_id",
        "probability",
        "=",
        "!=",
        "bucket",
        ",",
        "-0",
        "percentile",
        "score",
        "'\\",
    ),
    "yaml": (
        "&a",
        "*a",
        "<<: *a",
        "!!python/object/apply:os.system ['true']",
        "? ",
        "- ",
        ": ",
        "{",
        "}",
        "[",
        "]",
        "null",
        "~",
        ".inf",
        ".nan",
        "1e400",
        "0x10",
        "2024-01-01",
        "yes",
        "all_of",
        "any_of",
        "did",
        "within",
        "from",
        "where",
        "options",
        "events",
        "columns",
        "sum",
        "then",
        "exits",
        "horizons",
        "time_zone",
        "../../etc/passwd",
        "\\x00",
        "!!binary x",
        "--- ",
        "...",
        "99999999999999999999",
        "-1",
        "'",
        '"',
        "",
        " ",
        ">",
    ),
    "settings": (
        "[runs]",
        "[[runs]]",
        "=",
        '"',
        "'",
        "1e400",
        "99999999999999999999",
        "-1",
        "true",
        "nan",
        "{}",
        "[]",
        "[access.oidc]",
        ".",
        "\n",
        "exports",
        "folders",
    ),
    "csv": (
        ";",
        ",",
        "\t",
        "|",
        '"',
        '""',
        "'",
        "\n",
        "\r",
        "\r\n",
        "\x00",
        "\ufeff",
        "1e400",
        "nan",
        "-1",
        "9999-12-31T23:59:60Z",
        "0000-00-00",
        "99999999999999999999",
        "id",
        "at",
        "\\",
        "=1+1",
        "\x01",
    ),
    "json": (
        *JSON_MARKS,
        "[[[[[[[[",
        "_id",
        "timestamp",
        "identityMap",
        "eventType",
        "9999-12-31T23:59:59Z",
        "99999999999999999999",
        "\n",
    ),
    "live": (
        *JSON_MARKS,
        '"at"',
        '"event"',
        '"value"',
        "1969-12-31",
        "9999-12-31T23:59:59Z",
        "99999999999999999999",
        "0001-01-01",
        "-99:99",
    ),
    "request": (
        "/",
        "..",
        "%2e%2e%2f",
        "%00",
        "\x00",
        "?",
        "&",
        "=",
        "limit=",
        "cursor=",
        "where=",
        "order=",
        "format=csv",
        "since=",
        "as_of",
        "\u00e9".encode().decode("latin-1"),
        "99999999999999999999",
        "-1",
        "nan",
        "1e400",
        "content-length: 5",
        "accept: text/csv",
        "hx-request: true",
        "accept: text/html",
        'if-match: "1"',
        "idempotency-key: x",
        "null",
        "{",
        "}",
        "[",
        "]",
        '"',
        "'",
        "\\ud800",
        "content-type: multipart/form-data",
        "content-type: application/x-www-form-urlencoded",
        "content-type: application/json; charset=utf-16",
    ),
}
"""What is put into inputs, beside bytes of any kind."""
