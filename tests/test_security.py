"""Attacks on a server and what it reads, from whoever sends requests and whoever makes the data (docs/security.md)."""

from __future__ import annotations

import copy
import csv
import gzip
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI

import propend
from loopback import served
from permissions import routes
from propend.connectors.files import FREE_BYTES
from propend.errors import SourceUnreadableError
from propend.proposal import propose
from propend.server.access import BEFORE_LOG_IN, COOKIE, CSRF_HEADER, SAFE
from propend.server.app import create_app
from propend.workspace import Workspace
from propend.workspace.execution import execute
from propend.workspace.sessions import csrf_of
from shops import SHOP, shop

ROOT = Path(__file__).parent.parent
PASSWORD = "a quiet place by the sea"
HOSTILE = '=1+1\'"><hostile on="x"></script><hostile>{{7*7}}\u202e&lt;'
"""A formula for sheets, an end to texts and scripts of pages, an element, a template, a change of direction."""
HEADERS = (
    *("content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy", "permissions-policy"),
    *("cross-origin-opener-policy", "cross-origin-resource-policy", "cache-control", "x-request-id"),
)
HTML = {"Accept": "text/html"}


@dataclass(frozen=True)
class Site:
    """A server on a workspace whose data and definitions are hostile, with somebody who manages."""

    app: FastAPI
    space: Workspace
    address: str
    secret: str
    run_id: str

    def client(self, **more: Any) -> httpx.Client:
        """Of whoever manages."""
        headers = {CSRF_HEADER: csrf_of(self.secret)} | more.pop("headers", {})
        return httpx.Client(base_url=self.address, cookies={COOKIE: self.secret}, headers=headers, timeout=120, **more)

    def filled(self, path: str) -> str:
        """A route's address with what there is in place of its parameters."""
        known = {"run_id": self.run_id, "segment_id": "1", "number": "1", "destination_id": "1", "name": "ana"}
        found = re.sub(r"\{(instance_id)\}", "hostile", path)
        found = found.replace(
            "{profile_id}", str(httpx.URL(f"http://x/{_quoted(HOSTILE + 'p0001')}").raw_path[1:], "ascii")
        )
        return re.sub(r"\{(\w+)\}", lambda m: known.get(m[1], "1"), found)


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _hostile(table: pa.Table) -> pa.Table:
    for name in ("profile_id", "category"):
        texts = pc.binary_join_element_wise(HOSTILE, table.column(name), "")
        table = table.set_column(table.schema.get_field_index(name), name, texts)
    kinds = pc.if_else(pc.equal(table.column("event"), "visit"), HOSTILE, table.column("event"))
    return table.set_column(table.schema.get_field_index("event"), "event", kinds)


def _document() -> dict[str, Any]:
    found = copy.deepcopy(SHOP) | {"name": f"Hostile {HOSTILE}", "description": HOSTILE}
    found["data"]["events"] = "../data/events.parquet"
    found["events"] = {"buy": {"is": "purchase"}, HOSTILE: {"is": HOSTILE}}
    found["eligible"] = {"any_of": [{"did": HOSTILE, "within": "90d"}, {"did": "buy", "within": "90d"}]}
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("hostile") / "shop"
    (home / "data").mkdir(parents=True)
    (home / "propend.toml").write_text("", encoding="utf-8")
    pq.write_table(_hostile(shop()), home / "data" / "events.parquet")
    with closing(Workspace.open(home)) as space:
        space.instances.create(_document())
        (row,) = space.instances.all()
        run = space.runs.start(row.id)
        assert execute(space, run.id), space.runs.get(run.id).error
        app = create_app(space)
        people = app.state.accounts
        people.add("ana", "manage", PASSWORD, "local")
        secret = people.sessions.start(people.user("ana").id)
        with served(app) as address:
            found = Site(app, space, address, secret, run.id)
            with found.client() as http:
                body = {"name": HOSTILE[:80], "where": f"profile_id != {HOSTILE!r}".replace("\\'", "''")}
                made = http.post(f"/api/v1/instances/{row.id}/segments", json=body)
                assert made.status_code in (201, 422), made.text
                if made.status_code == 422:
                    made = http.post(
                        f"/api/v1/instances/{row.id}/segments", json={"name": HOSTILE, "where": "score >= 0"}
                    )
                    assert made.status_code == 201, made.text
            object.__setattr__(found, "filled", lambda path: Site.filled(found, path).replace("hostile", row.id, 1))
            yield found


class Elements(HTMLParser):
    """Elements and attributes of a page, and whether any is not ours."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.strange: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.strange += [tag] if tag == "hostile" else []
        self.strange += [f"{tag} {n}" for n, _ in attrs if n.startswith("on") or n == "hostile"]


# --- pages ---------------------------------------------------------------------------------------------------------


def test_hostile_texts_are_texts_on_every_page_and_in_the_report(site: Site) -> None:
    pages = sorted(path for method, path in routes(site.app) if method == "GET" and not path.startswith("/static"))
    shown = 0
    with site.client(headers=HTML) as http:
        for path in pages:
            for asked in (site.filled(path), f"{site.filled(path)}?q={_quoted(HOSTILE)}&name={_quoted(HOSTILE)}"):
                answer = http.get(asked)
                if not answer.headers.get("content-type", "").startswith("text/html"):
                    continue
                assert answer.status_code < 500, (path, answer.text[:500])
                assert Elements(answer.text).strange == [], path
                assert "<hostile" not in answer.text, path
                shown += "hostile" in answer.text
    assert shown >= 8


def test_mistakes_quote_no_markup(site: Site) -> None:
    with site.client(headers=HTML) as http:
        for asked in (f"/runs/{_quoted(HOSTILE)}", f"/{_quoted(HOSTILE)}", f"/login?next={_quoted(HOSTILE)}",
                      f"/profiles?id={_quoted(HOSTILE)}", f"/data/preview?path={_quoted(HOSTILE)}"):  # fmt: skip
            assert Elements(http.get(asked).text).strange == [], asked


def test_sheets_have_no_formula(site: Site) -> None:
    with site.client(headers={"Accept": "text/csv"}) as http:
        for path in (site.filled("/api/v1/instances/{instance_id}/scores"), "/api/v1/segments/1/members",
                     "/api/v1/audit?format=csv"):  # fmt: skip
            answer = http.get(path)
            rows = list(csv.reader(io.StringIO(answer.text)))
            assert (answer.status_code, len(rows) > 1) == (200, True), path
            assert [c for row in rows for c in row if re.match(r"[=+@\t\r]|-(?!\d)", c)] == [], path


# --- every answer --------------------------------------------------------------------------------------------------


def test_every_answer_has_the_headers_that_browsers_obey(site: Site) -> None:
    """Of every route, and of what no route answers."""
    addresses = [site.filled(path) for method, path in sorted(routes(site.app)) if method == "GET"]
    addresses += ["/static/none", "/nothing", "/api/v1/nothing", "/openapi.json"]
    seen = set()
    with site.client(headers=HTML) as http, httpx.Client(base_url=site.address, headers=HTML, timeout=120) as nobody:
        for address in addresses:
            for client in (http, nobody):
                answer = client.get(address)
                missing = [name for name in HEADERS if name not in answer.headers]
                assert missing == [], (address, answer.status_code)
                policy = answer.headers["content-security-policy"]
                assert "unsafe-eval" not in policy, address
                assert "default-src 'none'" in policy, address
                assert "frame-ancestors 'none'" in policy or "sandbox" in policy, address
                scripts = re.search(r"script-src ([^;]*)", policy)
                assert scripts is None or "unsafe-inline" not in scripts[1] or "sandbox" in policy, address
                if not address.startswith("/static"):
                    assert answer.headers["cache-control"] in ("no-store", "private, no-cache"), address
                seen.add(answer.status_code)
    assert {200, 401, 404} <= seen | {401 if 303 in seen else 0}


def test_a_session_alone_changes_nothing(site: Site) -> None:
    """Every route that changes something wants what only our own pages know, and no page of another site."""
    elsewhere = {CSRF_HEADER: csrf_of(site.secret), "Origin": "https://elsewhere.example"}
    asked = 0
    with httpx.Client(base_url=site.address, cookies={COOKIE: site.secret}, timeout=60) as http:
        for method, path in sorted(routes(site.app)):
            if method in SAFE:
                continue
            asked += 1
            address = site.filled(path)
            if path not in BEFORE_LOG_IN or method != "POST":
                assert http.request(method, address).status_code == 403, (method, path)
                form = http.request(method, address, data={"csrf_token": "0" * 64})
                assert form.status_code == 403, (method, path)
            assert http.request(method, address, headers=elsewhere).status_code == 403, (method, path)
    assert asked > 30


@pytest.mark.parametrize(
    "to",
    [
        "//e.example",
        "/\\e.example",
        "https://e.example",
        "/\t/e.example",
        "/\r\nSet-Cookie: a=b",
        "\\\\e.example",
        "e.example",
    ],
)
def test_nobody_is_sent_elsewhere(to: str, site: Site) -> None:
    for headers in ({}, {"HX-Request": "true"}):
        with site.client(headers=headers) as http:
            answer = http.get("/login", params={"next": to})
        where = answer.headers.get("location", answer.headers.get("hx-redirect"))
        assert (where, "set-cookie" in answer.headers) == ("/", False), headers


# --- paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fpropend.toml",
        "%2e%2e/%2e%2e/propend.toml",
        "..%5c..%5cpropend.toml",
        "%2fetc%2fpasswd",
        "%00",
        "a%00.json",
        ".propend%2fcatalog.db",
        "%252e%252e%252f",
        "..;%2f",
        "%c0%ae%c0%ae%2f",
        "/dev/zero",
        "CON",
        "a" * 3000,
    ],
)
def test_no_id_is_a_path(name: str, site: Site) -> None:
    """In every place of every route that reads."""
    with site.client() as http:
        for method, path in sorted(routes(site.app)):
            if method != "GET" or "{" not in path or path.startswith("/static"):
                continue
            answer = http.get(re.sub(r"\{\w+\}", name, path))
            assert answer.status_code in (303, 307, 404, 422), (path, answer.status_code)
            to = answer.headers.get("location", "")
            assert to == "" or httpx.URL(to).host in ("", httpx.URL(site.address).host), (path, to)
        for place in ("/static/", "/static/charts/"):
            assert http.get(place + name).status_code in (404, 405), place


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../propend.toml", "../../etc/passwd", "/proc/self/environ", "/dev/zero"]
)
def test_a_preview_is_of_data_that_instances_read(path: str, site: Site) -> None:
    with site.client(headers=HTML) as http:
        for route in ("preview", "columns", "events"):
            answer = http.get(f"/data/{route}", params={"path": path})
            assert (answer.status_code, "root:" in answer.text) == (422, False) or answer.status_code == 404


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    line = b"id,at,kind\n" + b"a,2024-01-01,buy\n" * 60_000
    with gzip.open(path, "wb", compresslevel=9) as file:
        for _ in range(FREE_BYTES // len(line) + 2):
            file.write(line)
    assert path.stat().st_size < 2_000_000
    with pytest.raises(SourceUnreadableError, match="unpacks to more than"):
        propose(path, tmp_path)


# --- SQL ------------------------------------------------------------------------------------------------------------

SQL = [
    "a'; DROP TABLE events; --",
    "a\"; ATTACH 'x' AS y; --",
    "/* ; */ 'OR' 1=1 --",
    "$1 %s {x} \\",
    "); SELECT getenv('HOME') --",
]


@pytest.mark.parametrize("text", SQL)
def test_names_and_values_are_never_statements(text: str) -> None:
    """Columns, kinds, values, named events: hostile ones mean what plain ones mean."""
    plain, table = "plain", shop(200, 200)
    found = []
    for word in (plain, text):
        names = {"event": f"event {word}", "category": f"category {word}", "profile_id": f"who {word}"}
        kinds = pc.if_else(pc.equal(table.column("event"), "visit"), word, table.column("event"))
        values = pc.if_else(pc.equal(table.column("category"), "bags"), word, table.column("category"))
        given = table.set_column(2, "event", kinds).set_column(4, "category", values)
        given = given.rename_columns([names.get(n, n) for n in given.column_names])
        asked = copy.deepcopy(SHOP)
        asked["data"]["columns"] |= {"profile": names["profile_id"], "event": names["event"]}
        field = names["category"]
        asked["events"] = {"buy": {"is": "purchase"}, word: {"is": word, "where": {field: {"in": [word, "shoes"]}}}}
        lines = [{"did": word, "within": "90d"}, {"count_distinct": f"buy.{field}", "gte": 2}]
        funnel = propend.check(asked | {"eligible": {"any_of": lines}}, data=given).to_dict()["funnel"]
        found.append([[n for n in line.values() if isinstance(n, int)] for line in funnel])
    assert found[0] == found[1]
    assert sum(map(sum, found[0])) > 100


# --- what others wrote ------------------------------------------------------------------------------------------------


def test_an_audit_without_its_tool_says_so() -> None:
    done = subprocess.run(
        [sys.executable, ".ci/audit", sys.executable], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(r"audit: no database of weaknesses can be reached here \(.*pip_audit\)", done.stdout)


# --- secrets --------------------------------------------------------------------------------------------------------

SECRETS = re.compile(
    r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b"
    r"|\bpp_[A-Za-z0-9_-]{43}\b|\bxox[baprs]-[A-Za-z0-9-]{20,}|\bsk_live_[A-Za-z0-9]{20,}"
    r"|\bAIza[0-9A-Za-z_-]{35}\b|\beyJ[\w-]{20,}\.eyJ[\w-]{20,}\."
)
"""Keys of common kinds, and our own tokens."""
SHOWN = {"src/propend/server/shapes_access.py: pp_Zk9c3wqkV"}
"""Made up, for the description of a route."""


def test_no_secret_is_in_the_tree() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    names = [
        n for n in listed if n and not n.startswith("tests/vendor") and not n.endswith((".min.js", ".parquet", ".png"))
    ]
    found = []
    for name in names or [str(p.relative_to(ROOT)) for p in (ROOT / "src").rglob("*.py")]:
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace") if (ROOT / name).is_file() else ""
        found += [f"{name}: {m[0][:12]}" for m in SECRETS.finditer(text)]
    assert set(found) == SHOWN
