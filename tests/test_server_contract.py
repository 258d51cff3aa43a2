"""Every route of a real server, on both databases, with good and bad requests; what it answers is what OpenAPI says."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from permissions import ACCESS_RULES
from postgres import databases
from servers import Server, serving
from shops import last_day
from workspaces import document, made

API = "/api/v1"
UNKNOWN = "20200101T000000-000000"
Answer = httpx.Response


@dataclass
class Shop:
    """A server with an instance that has been run twice, and what was asked of it."""

    server: Server
    http: httpx.Client
    home: Path
    described: dict[str, Any]
    driven: set[tuple[str, str]] = field(default_factory=set)
    runs: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Answer:
        """An answer whose status is as expected and, with its content, as OpenAPI says."""
        answer = self.http.request(
            method, path if path.startswith(("/health", "/ready", "/metrics")) else API + path, **more
        )
        assert answer.status_code == status, (method, path, answer.status_code, answer.text[:2000])
        template = next(t for t in self.described["paths"] if re.fullmatch(_pattern(t), answer.request.url.path))
        operation = self.described["paths"][template][method.lower()]
        self.driven.add((method, template))
        assert str(status) in operation["responses"], (method, template, status)
        content = operation["responses"][str(status)].get("content", {})
        kind = answer.headers.get("content-type", "").split(";")[0]
        assert kind in content if answer.content else not content or status == 304
        assert answer.headers["x-content-type-options"] == "nosniff"
        return answer

    def plain(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        return self.ask(method, path, status, **more).json()

    def code(self, method: str, path: str, status: int, **more: Any) -> str:
        """The code of the error that is answered."""
        error = self.plain(method, path, status, **more)["error"]
        assert set(error) == {"code", "symbol", "stage", "message", "hint", "facts"}
        return str(error["code"])

    def ended(self, run_id: str) -> dict[str, Any]:
        """A run at its end."""
        limit = time.monotonic() + 120
        while (found := self.plain("GET", f"/runs/{run_id}"))["state"] in ("queued", "running"):
            assert time.monotonic() < limit, found
            time.sleep(0.2)
        return dict(found)


def _pattern(template: str) -> str:
    return re.sub(r"\{profile_id\}", ".*", re.sub(r"\{(?!profile_id)\w+\}", "[^/]+", template))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    database = None if request.param == "sqlite" else databases(request).new()
    home = made(tmp_path_factory.mktemp(request.param) / "shop")
    with (
        serving(home, "--no-auth", "--json-logs", database=database) as server,
        httpx.Client(base_url=server.url, timeout=120) as http,
    ):
        found = Shop(server, http, home, http.get("/openapi.json").json())
        found.plain("POST", "/instances", 201, json={"document": document()})
        earlier = (last_day() - timedelta(days=45)).isoformat()
        for body in ({"as_of": earlier}, {"kind": "score"}):
            run = found.plain("POST", "/instances/buyers/runs", 201, json=body)
            ended = found.ended(run["id"])
            assert ended["state"] == "succeeded", ended
            found.runs.append(run["id"])
        yield found


def test_instances_are_made_read_edited_and_removed(shop: Shop) -> None:
    bad = document() | {"goal": {"any_off": ["buy"]}}
    assert shop.code("POST", "/instances", 422, json={"document": bad}) == "PROPEND-100"
    assert shop.code("POST", "/instances", 422, json={"document": document(), "name": "Both"}) == "PROPEND-133"
    assert shop.code("POST", "/instances", 422, content=b"{") == "PROPEND-133"
    assert shop.code("POST", "/instances", 422, content=b'{"name": "a\\u0000b"}') == "PROPEND-133"
    assert shop.code("POST", "/instances", 422, content=b'{"name": "a", "draft": {"x": NaN}}') == "PROPEND-133"
    draft = shop.plain("POST", "/instances", 201, json={"name": "Leavers", "draft": {"type": "churn"}})
    assert (draft["id"], draft["status"], draft["version"], draft["document"]) == ("leavers", "draft", 0, None)
    assert shop.code("POST", "/instances/leavers/enable", 409) == "PROPEND-113"
    assert shop.code("POST", "/instances/leavers/publish", 422) == "PROPEND-100"
    shop.ask("PUT", "/instances/leavers/draft", json={"draft": document("Leavers")})
    assert shop.plain("POST", "/instances/leavers/publish")["version"] == 1
    assert shop.code("POST", "/instances/leavers/publish", 409) == "PROPEND-113"
    read = shop.ask("GET", "/instances/leavers")
    assert (read.headers["etag"], read.json()["status"], read.json()["problem"]) == ('"1"', "enabled", None)
    changed = {"document": document("Leavers", minimum=60)}
    assert shop.code("PUT", "/instances/leavers", 422, json=changed) == "PROPEND-133"
    assert shop.code("PUT", "/instances/leavers", 422, json=changed, headers={"If-Match": "*"}) == "PROPEND-133"
    edited = shop.ask("PUT", "/instances/leavers", json=changed, headers={"If-Match": read.headers["etag"]})
    assert edited.headers["etag"] == '"2"'
    assert shop.code("PUT", "/instances/leavers", 412, json=changed, headers={"If-Match": '"1"'}) == "PROPEND-114"
    versions = shop.plain("GET", "/instances/leavers/versions?limit=1")
    assert [v["number"] for v in versions["items"]] == [2]
    more = shop.plain("GET", f"/instances/leavers/versions?limit=1&cursor={versions['next']}")
    assert ([v["number"] for v in more["items"]], more["next"]) == ([1], None)
    assert shop.plain("GET", "/instances/leavers/versions/2")["document"]["options"]["minimum"] == 60
    assert shop.code("GET", "/instances/leavers/versions/9", 404) == "PROPEND-103"
    found = shop.plain("GET", "/instances/leavers/differences?before=1&after=2")["items"]
    assert found == [{"place": "options", "before": None, "after": {"minimum": 60}}]
    assert shop.plain("POST", "/instances/leavers/disable")["status"] == "disabled"
    assert shop.code("POST", "/instances/leavers/runs", 409) == "PROPEND-113"
    assert shop.plain("POST", "/instances/leavers/enable")["status"] == "enabled"
    clone = shop.plain("POST", "/instances/leavers/clone", 201)
    assert (clone["id"], clone["name"], clone["status"]) == ("leavers-copy", "Leavers (copy)", "draft")
    first = shop.plain("GET", "/instances?limit=1")
    rest = shop.plain("GET", f"/instances?limit=2&cursor={first['next']}")
    assert [i["id"] for i in first["items"] + rest["items"]] == ["buyers", "leavers", "leavers-copy"]
    assert shop.code("GET", "/instances?cursor=x", 422) == "PROPEND-133"
    for name in ("leavers", "leavers-copy"):
        assert shop.ask("DELETE", f"/instances/{name}", 204).content == b""
        assert shop.code("GET", f"/instances/{name}", 404) == "PROPEND-103"
    assert shop.code("GET", "/instances/NO%20SUCH", 422) == "PROPEND-133"


def test_a_definition_is_checked_before_anything_is_trained(shop: Shop) -> None:
    found = shop.plain("POST", "/check", json={"instance": "buyers"})
    assert {"sentence", "funnel", "outcomes", "refusals", "expected_seconds"} <= set(found)
    earlier = (last_day() - timedelta(days=30)).isoformat()
    other = shop.plain("POST", "/check", json={"document": document(), "as_of": earlier})
    assert other["timeline"] != found["timeline"]
    assert shop.code("POST", "/check", 422, json={}) == "PROPEND-133"
    assert shop.code("POST", "/check", 404, json={"instance": "nobody"}) == "PROPEND-103"
    assert shop.code("POST", "/check", 422, json={"document": {}}) == "PROPEND-100"
    lost = document() | {"data": document()["data"] | {"events": "../nothing.parquet"}}
    assert shop.code("POST", "/check", 422, json={"document": lost}) == "PROPEND-200"
    assert shop.code("POST", "/check", 422, json={"instance": "buyers", "as_of": "1900-01-01"}) == "PROPEND-411"


def test_what_creates_is_done_once_for_a_key(shop: Shop) -> None:
    asked = {"json": {"name": "Once"}, "headers": {"Idempotency-Key": "one"}}
    first, again = (shop.ask("POST", "/instances", 201, **asked) for _ in range(2))
    assert first.json() == again.json()
    assert "idempotent-replay" not in first.headers
    assert again.headers["idempotent-replay"] == "true"
    other = {"json": {"name": "Other"}, "headers": {"Idempotency-Key": "one"}}
    assert shop.code("POST", "/instances", 409, **other) == "PROPEND-134"
    failing = {"json": {"document": {}}, "headers": {"Idempotency-Key": "two"}}
    assert {shop.code("POST", "/instances", 422, **failing) for _ in range(2)} == {"PROPEND-100"}
    assert shop.code("POST", "/instances", 422, json={"name": "x"}, headers={"Idempotency-Key": "a b"}) == "PROPEND-133"
    at_once = {"json": {"name": "Many"}, "headers": {"Idempotency-Key": "three"}}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shop.http.post(f"{API}/instances", **at_once), range(8)))
    assert {a.status_code for a in answers} <= {201, 409}
    assert {a.json()["id"] for a in answers if a.status_code == 201} == {"many"}
    ids = [i["id"] for i in shop.plain("GET", "/instances")["items"]]
    assert [i for i in ids if i.startswith(("once", "many", "other"))] == ["many", "once"]
    for name in ("once", "many"):
        shop.ask("DELETE", f"/instances/{name}", 204)


def test_runs_are_started_watched_and_cancelled(shop: Shop) -> None:
    assert shop.code("POST", "/instances/nobody/runs", 404) == "PROPEND-103"
    assert shop.code("POST", "/instances/buyers/runs", 422, json={"kind": "guess"}) == "PROPEND-133"
    started = [shop.http.post(f"{API}/instances/buyers/runs", json={"kind": "score"}) for _ in range(3)]
    refused = [a for a in started if a.status_code == 409]
    assert refused and {a.json()["error"]["code"] for a in refused} == {"PROPEND-112"}
    for answer in (a for a in started if a.status_code == 201):
        run_id = answer.json()["id"]
        shop.ask("POST", f"/runs/{run_id}/cancel")
        ended = shop.ended(run_id)
        assert (ended["state"], ended["error"]["code"]) == ("cancelled", "PROPEND-115")
        assert shop.code("POST", f"/runs/{run_id}/cancel", 409) == "PROPEND-113"
        assert shop.code("GET", f"/runs/{run_id}/evaluation", 404) == "PROPEND-103"
    done = shop.plain("GET", "/runs?instance=buyers&state=succeeded&limit=1")
    assert [r["id"] for r in done["items"]] == [shop.runs[1]]
    more = shop.plain("GET", f"/runs?instance=buyers&state=succeeded&limit=1&cursor={done['next']}")
    assert ([r["id"] for r in more["items"]], more["next"]) == ([shop.runs[0]], None)
    assert shop.code("GET", "/runs?state=odd", 422) == "PROPEND-133"
    assert shop.code("GET", "/runs?cursor=abc", 422) == "PROPEND-133"
    assert shop.code("GET", f"/runs/{UNKNOWN}", 404) == "PROPEND-103"
    assert shop.code("POST", f"/runs/{UNKNOWN}/cancel", 404) == "PROPEND-103"


def test_runs_have_documents_and_are_held_against_each_other(shop: Shop) -> None:
    for name, key in (("evaluation", "auc"), ("insights", "buckets"), ("record", "instance_hash")):
        assert key in shop.plain("GET", f"/runs/{shop.runs[0]}/{name}")
        assert shop.code("GET", f"/runs/{UNKNOWN}/{name}", 404) == "PROPEND-103"
    log = shop.plain("GET", f"/runs/{shop.runs[0]}/log")
    record = shop.plain("GET", f"/runs/{shop.runs[0]}/record")
    assert [s["stage"] for s in log["stages"]] == [*(s["name"] for s in record["stages"]), "write"]
    assert shop.code("GET", f"/runs/{UNKNOWN}/log", 404) == "PROPEND-103"
    page = shop.ask("GET", f"/runs/{shop.runs[0]}/report")
    assert page.text.startswith("<!doctype html>")
    assert "sandbox" in page.headers["content-security-policy"]
    assert shop.code("GET", f"/runs/{UNKNOWN}/report", 404) == "PROPEND-103"
    moved = shop.plain("GET", f"/runs/{shop.runs[1]}/comparison?since={shop.runs[0]}")
    assert moved["profiles"]["both"] > 100
    assert shop.code("GET", f"/runs/{shop.runs[1]}/comparison?since={UNKNOWN}", 404) == "PROPEND-103"
    assert shop.code("GET", f"/runs/{shop.runs[1]}/comparison", 422) == "PROPEND-133"


def test_an_instance_tells_of_the_run_that_is_served(shop: Shop) -> None:
    assert shop.plain("GET", "/instances/buyers")["serving"]["id"] == shop.runs[1]
    assert shop.plain("GET", "/instances/buyers/evaluation") == shop.plain("GET", f"/runs/{shop.runs[1]}/evaluation")
    factors = shop.plain("GET", "/instances/buyers/factors")
    assert (factors["run"], len(factors["buckets"]), bool(factors["factors"])) == (shop.runs[1], 3, True)
    realised = shop.plain("GET", "/instances/buyers/realised")
    assert [r["matured"] for r in realised["runs"]] == [True, False]
    shop.ask("POST", "/instances", 201, json={"name": "Empty"})
    for what in ("evaluation", "factors", "scores", "segments"):
        status = 200 if what == "segments" else 404
        shop.ask("GET", f"/instances/empty/{what}", status)
    assert shop.code("GET", "/instances/empty/realised", 422) == "PROPEND-121"
    shop.ask("DELETE", "/instances/empty", 204)
    for what in ("evaluation", "factors", "scores", "segments", "realised"):
        assert shop.code("GET", f"/instances/nobody/{what}", 404) == "PROPEND-103"


def paged(shop: Shop, path: str) -> list[dict[str, Any]]:
    """All items of a list, by pages."""
    items, cursor = [], ""
    while True:
        page = shop.plain("GET", f"{path}{'&' if '?' in path else '?'}limit=150{cursor}")
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = f"&cursor={page['next']}"


def test_scores_come_by_page_and_as_tables(shop: Shop) -> None:
    run = shop.plain("GET", f"/runs/{shop.runs[1]}")
    truth = pq.read_table(shop.home / ".propend" / "runs" / "buyers" / run["id"] / "scores.parquet")
    rows = paged(shop, "/instances/buyers/scores")
    assert [r["profile_id"] for r in rows] == truth.column("profile_id").to_pylist()
    assert [r["probability"] for r in rows] == truth.column("probability").to_pylist()
    assert rows[0]["factors"][0]["code"] == truth.column("factors")[0].as_py()[0]["code"]
    best = paged(shop, "/instances/buyers/scores?order=-probability")
    assert [(r["probability"], r["profile_id"]) for r in best] == sorted(
        ((r["probability"], r["profile_id"]) for r in rows), key=lambda p: (-p[0], p[1])
    )
    code = rows[0]["factors"][0]["code"]
    for query, holds in (
        ("bucket=high", lambda r: r["bucket"] == "high"),
        (
            "where=bucket%3D%27high%27+or+score%3C9&max_probability=0.9",
            lambda r: (r["bucket"] == "high" or r["score"] < 9) and r["probability"] <= 0.9,
        ),
        ("min_probability=0.2&max_probability=0.4", lambda r: 0.2 <= r["probability"] <= 0.4),
        (
            f"factor={code}&bucket=medium",
            lambda r: r["bucket"] == "medium" and code in [f["code"] for f in r["factors"]],
        ),
        ("factor=no_such", lambda _: False),
    ):
        wanted = [r["profile_id"] for r in rows if holds(r)]
        path = f"/instances/buyers/scores?{query}"
        assert [r["profile_id"] for r in paged(shop, path)] == wanted
        sheet = shop.ask("GET", f"{path}&format=csv")
        read = list(csv.DictReader(io.StringIO(sheet.text)))
        assert [r["profile_id"] for r in read] == wanted
        arrow = shop.ask("GET", path, headers={"Accept": "application/vnd.apache.arrow.stream"})
        assert pa.ipc.open_stream(arrow.content).read_all().column("profile_id").to_pylist() == wanted
        parquet = shop.ask("GET", f"{path}&format=parquet")
        assert pq.read_table(io.BytesIO(parquet.content)).column("profile_id").to_pylist() == wanted
    whole = pq.read_table(io.BytesIO(shop.ask("GET", "/instances/buyers/scores?format=parquet").content))
    assert whole.equals(truth)
    answer = shop.ask("GET", "/instances/buyers/scores?limit=1")
    assert answer.headers["etag"] == f'"{run["id"]}"'
    shop.ask("GET", "/instances/buyers/scores?limit=1", 304, headers={"If-None-Match": answer.headers["etag"]})
    shop.ask("GET", "/instances/buyers/scores?limit=1", headers={"If-None-Match": '"other"'})
    assert shop.code("GET", "/instances/buyers/scores?where=bucket", 422) == "PROPEND-100"
    mixed = answer.json()["next"]
    assert shop.code("GET", f"/instances/buyers/scores?order=-probability&cursor={mixed}", 422) == "PROPEND-133"
    for query in ("bucket=huge", "min_probability=2", "limit=0", "limit=1001", "format=xls", "order=age", "cursor=%00"):
        assert shop.code("GET", f"/instances/buyers/scores?{query}", 422) == "PROPEND-133"


def test_profiles_are_looked_up(shop: Shop) -> None:
    rows = paged(shop, "/instances/buyers/scores")
    found = shop.plain("GET", f"/profiles/{rows[3]['profile_id']}")
    assert found == {
        "profile_id": rows[3]["profile_id"],
        "scores": {"buyers": rows[3] | {"attributes": None}},
        "unreadable": [],
        "not_shown": [],
    }
    assert shop.code("GET", "/profiles/nobody", 404) == "PROPEND-104"
    assert shop.code("GET", "/profiles/a%2Fb/c", 404) == "PROPEND-104"
    assert "nobody" not in shop.http.get(f"{API}/profiles/nobody").text
    ids = [r["profile_id"] for r in rows]
    many = shop.plain("POST", "/profiles/lookup", json={"ids": [*ids[::-1], "nobody", ids[0]]})
    assert [i["profile_id"] for i in many["items"]] == ids[::-1]
    assert (many["missing"], many["unreadable"]) == (["nobody"], [])
    assert many["items"][0]["scores"]["buyers"] == rows[-1] | {"attributes": None}
    one = shop.plain("POST", "/profiles/lookup", json={"ids": ids[:2], "instances": ["buyers"]})
    assert len(one["items"]) == 2
    assert shop.code("POST", "/profiles/lookup", 404, json={"ids": ids, "instances": ["nobody"]}) == "PROPEND-103"
    assert shop.code("POST", "/profiles/lookup", 422, json={"ids": []}) == "PROPEND-133"
    assert shop.code("POST", "/profiles/lookup", 422, json={"ids": ["x"] * 5001}) == "PROPEND-133"
    assert shop.code("POST", "/profiles/lookup", 422, content=b" " * 8_000_001) == "PROPEND-133"


def test_a_profile_is_scored_from_the_events_that_are_sent(shop: Shop) -> None:
    row = paged(shop, "/instances/buyers/scores")[0]
    events = pq.read_table(shop.home / "events.parquet")
    own = events.filter(pc.equal(events.column("profile_id"), row["profile_id"])).drop_columns("profile_id").to_pylist()
    body = {"profile_id": row["profile_id"], "events": [e | {"at": str(e["at"])} for e in own]}
    found = shop.plain("POST", "/instances/buyers/score", json=body)
    assert (found["probability"], found["score"]) == (row["probability"], row["score"])
    assert [f["code"] for f in found["factors"]] == [f["code"] for f in row["factors"]]
    assert shop.code("POST", "/instances/nobody/score", 404, json=body) == "PROPEND-103"
    assert shop.code("POST", "/instances/buyers/score", 422, json={"events": [{"at": "then"}]}) == "PROPEND-160"


def test_segments_are_rules_over_scores(shop: Shop) -> None:
    rows = paged(shop, "/instances/buyers/scores")
    body = {"name": "Likely", "where": "bucket = 'high' and probability >= 0.6"}
    path = "/instances/buyers/segments"
    made_one = shop.plain("POST", path, 201, json=body, headers={"Idempotency-Key": "segment"})
    wanted = [r["profile_id"] for r in rows if r["bucket"] == "high" and r["probability"] >= 0.6]
    assert (made_one["count"], made_one["run"]) == (len(wanted), shop.runs[1])
    assert made_one["sentence"] == "Profiles of whom bucket is high and probability is at least 0.6."
    assert shop.code("POST", path, 409, json=body) == "PROPEND-113"
    assert shop.code("POST", path, 422, json={"name": "Bad", "where": "age > 3"}) == "PROPEND-100"
    assert shop.code("POST", path, 422, json={"name": "Bad", "where": "1; DROP TABLE segments"}) == "PROPEND-100"
    assert shop.code("POST", "/instances/nobody/segments", 404, json=body) == "PROPEND-103"
    own = f"/segments/{made_one['id']}"
    joined_ids = paged(shop, f"{own}/members?change=joined")
    assert joined_ids == [{"profile_id": i, "change": "joined"} for i in wanted]
    history = shop.plain("GET", f"{own}/history")
    assert [(r["run"], r["members"], r["where"]) for r in history["items"]] == [
        (shop.runs[1], len(wanted), body["where"])
    ]
    shop.ask("GET", f"{own}/members?change=gone", 422)
    shop.ask("GET", "/segments/999/history", 404)
    members = shop.ask("GET", f"{own}/members")
    assert [r["profile_id"] for r in members.json()["items"]] == wanted[:100]
    shop.ask("GET", f"{own}/members", 304, headers={"If-None-Match": members.headers["etag"]})
    sheet = shop.ask("GET", f"{own}/members", headers={"Accept": "text/csv"})
    assert len(sheet.text.splitlines()) == len(wanted) + 1
    code = rows[0]["factors"][0]["code"]
    changed = {"name": "Raised", "where": f"raised_by = '{code}'"}
    found = shop.plain("PUT", own, json=changed)
    assert found["count"] == sum(any(f["code"] == code and f["impact"] > 0 for f in r["factors"]) for r in rows)
    assert shop.ask("GET", f"{own}/members").headers["etag"] != members.headers["etag"]
    assert shop.plain("GET", own) == found
    joined = {"name": "Raised", "where": f"bucket = 'high' or not (raised_by = '{code}' or value.{code} not exists)"}
    either = shop.plain("PUT", own, json=joined)
    high = sum(r["bucket"] == "high" for r in rows)
    assert (either["where"], either["problem"], either["count"] >= high) == (joined["where"], None, True)
    nowhere = {"name": "Nowhere", "where": "bucket = 'high' or value.nothing > 3"}
    elsewhere = shop.plain("POST", path, 422, json=nowhere)
    assert "there is no factor 'nothing' with a value" in str(elsewhere)
    assert shop.plain("PUT", own, json=changed) == found
    second = shop.plain("POST", path, 201, json=body)
    assert shop.code("PUT", f"/segments/{second['id']}", 409, json=changed) == "PROPEND-113"
    first = shop.plain("GET", f"{path}?limit=1")
    rest = shop.plain("GET", f"{path}?cursor={first['next']}")
    assert [s["name"] for s in first["items"] + rest["items"]] == ["Raised", "Likely"]
    for one in (own, f"/segments/{second['id']}"):
        shop.ask("DELETE", one, 204)
        for method in ("GET", "DELETE"):
            assert shop.code(method, one, 404) == "PROPEND-103"
    assert shop.code("PUT", own, 404, json=changed) == "PROPEND-103"
    assert shop.code("GET", f"{own}/members", 404) == "PROPEND-103"


def test_scores_are_pushed_to_destinations(shop: Shop) -> None:
    rows = paged(shop, "/instances/buyers/scores")
    path, body = "/instances/buyers/destinations", {"name": "Sheet", "kind": "file", "options": {"format": "jsonl"}}
    one = shop.plain("POST", path, 201, json=body, headers={"Idempotency-Key": "destination"})
    assert (one["options"], one["segment"], one["enabled"], one["last"]) == ({"format": "jsonl"}, None, True, None)
    assert shop.code("POST", path, 409, json=body) == "PROPEND-113"
    assert shop.code("POST", path, 404, json=body | {"kind": "fax"}) == "PROPEND-260"
    assert shop.code("POST", path, 404, json=body | {"segment": 999}) == "PROPEND-260"
    assert shop.code("POST", path, 422, json=body | {"options": {"nmae": 1}}) == "PROPEND-100"
    assert shop.code("POST", path, 422, json=body | {"options": {"folder": ".."}}) == "PROPEND-262"
    secret = {"url": "postgresql://u:geheim@db/crm", "table": "scores"}
    refused = shop.ask("POST", path, 422, json=body | {"kind": "postgres", "options": secret})
    assert (refused.json()["error"]["code"], "geheim" in refused.text) == ("PROPEND-100", False)
    own = f"/destinations/{one['id']}"
    tried = shop.plain("POST", f"{own}/try")
    assert (tried["says"][0][:6], tried["shown"].split('"')[1]) == ("5 rows", "profile_id")
    assert not (shop.home / "exports").exists()
    asked = shop.plain("POST", f"{own}/push", 201)
    assert (asked["state"], asked["run"]) == ("waiting", shop.runs[1])
    limit = time.monotonic() + 60
    while (last := shop.plain("GET", own)["last"])["state"] != "succeeded":
        assert time.monotonic() < limit, last
        time.sleep(0.2)
    assert (last["id"], last["rows"], last["tries"], last["error"]) == (asked["id"], len(rows), 1, None)
    written = shop.home / "exports" / "buyers-all.jsonl"
    assert [json.loads(line)["profile_id"] for line in written.read_text().splitlines()] == [
        r["profile_id"] for r in rows
    ]
    assert [p["id"] for p in shop.plain("GET", f"{own}/pushes?limit=1")["items"]] == [asked["id"]]
    second = shop.plain("POST", path, 201, json={"name": "Off", "kind": "file", "enabled": False})
    first = shop.plain("GET", f"{path}?limit=1")
    rest = shop.plain("GET", f"{path}?cursor={first['next']}")
    assert [d["name"] for d in first["items"] + rest["items"]] == ["Sheet", "Off"]
    changed = shop.plain("PUT", own, json={"name": "Zip", "options": {"gzip": True}, "enabled": False})
    assert (changed["name"], changed["enabled"], changed["last"]["what"]) == ("Zip", False, "retract")
    assert not written.exists()
    assert shop.code("PUT", own, 409, json={"name": "Off", "options": {"gzip": True}}) == "PROPEND-113"
    shop.ask("DELETE", own, 204)
    shop.ask("DELETE", f"/destinations/{second['id']}?keep_exports=true", 204)
    for method, gone in (
        ("GET", own),
        ("DELETE", own),
        ("POST", f"{own}/push"),
        ("POST", f"{own}/try"),
        ("GET", f"{own}/pushes"),
    ):
        assert shop.code(method, gone, 404) == "PROPEND-260"
    assert shop.code("PUT", own, 404, json={"name": "Zip", "options": {}}) == "PROPEND-260"
    assert shop.code("GET", "/instances/nobody/destinations", 404) == "PROPEND-103"


def test_a_person_is_forgotten(shop: Shop) -> None:
    gone = shop.plain("GET", "/instances/buyers/scores?limit=1")["items"][0]["profile_id"]
    before = shop.plain("GET", "/instances/buyers")
    assert shop.ask("GET", f"/profiles/{gone}").status_code == 200
    removal = shop.plain("DELETE", f"/profiles/{gone}")
    assert (removal["known"], removal["rows"] >= 2, gone in str(removal)) == (False, True, False)
    assert shop.code("GET", f"/profiles/{gone}", 404) == "PROPEND-104"
    assert shop.plain("POST", "/profiles/lookup", json={"ids": [gone]})["missing"] == [gone]
    assert gone not in shop.ask("GET", "/instances/buyers/scores", headers={"Accept": "text/csv"}).text
    events = [{"at": "2022-10-01T10:00:00", "event": "visit"}]
    body = {"profile_id": gone, "events": events}
    assert shop.code("POST", "/instances/buyers/score", 404, json=body) == "PROPEND-104"
    assert shop.plain("DELETE", f"/profiles/{gone}")["known"] is True
    assert shop.plain("GET", "/instances/buyers")["version"] == before["version"]


def test_it_says_how_it_is(shop: Shop) -> None:
    assert shop.plain("GET", "/healthz")["status"] == "ok"
    assert shop.plain("GET", "/readyz")["status"] == "ready"
    figures = shop.ask("GET", "/metrics").text
    for line in (
        'propend_runs{state="succeeded"} 2.0',
        'propend_requests_total{method="GET",route="/healthz",status="200"}',
        'propend_request_seconds_bucket{le="0.01",method="GET",route="/api/v1/profiles/{profile_id}"}',
        'propend_serving_scores{instance="buyers"}',
        'propend_last_run_age_seconds{instance="buyers"}',
    ):
        assert line in figures
    unknown = shop.http.get("/api/v1/nothing")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "PROPEND-103")
    wrong = shop.http.patch("/api/v1/instances")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "PROPEND-133")
    assert "POST" in wrong.headers["allow"] or "GET" in wrong.headers["allow"]
    assert shop.http.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert shop.http.get("/healthz", headers={"X-Request-ID": "a\tb"}).headers["x-request-id"] != "a\tb"


def test_the_log_names_routes_and_nobody(shop: Shop) -> None:
    shop.http.get(f"{API}/profiles/p0001?secret=tell", headers={"Authorization": "Bearer pp_abc"})
    time.sleep(0.2)
    text = shop.server.log.read_text()
    for named in ("p0001", "secret", "pp_abc", "nobody"):
        assert named not in text
    lines = [json.loads(line) for line in text.splitlines()]
    asked = [line for line in lines if line["logger"] == "propend.requests"]
    last = asked[-1]
    assert (last["method"], last["route"], last["caller"]) == ("GET", "/api/v1/profiles/{profile_id}", "local")
    assert {"status", "milliseconds", "request_id", "at", "level"} <= set(last)


def test_every_route_was_driven(shop: Shop) -> None:
    """It is the last test of this file: by now each route has been asked at least once, by the tests above.

    Those of access are driven by tests/test_access.py, with log-in.
    """
    described = {
        (method.upper(), template) for template, methods in shop.described["paths"].items() for method in methods
    }
    assert described - ACCESS_RULES.keys() - shop.driven == set()
