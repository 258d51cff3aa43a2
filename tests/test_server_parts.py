"""Parts of the server one by one: errors and statuses, rules of segments, tables for sheets, cursors, turns."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import propend
from permissions import ACCESS_RULES, wrong
from propend import errors
from propend.errors import (
    ConfigurationError,
    NotAllowedError,
    NotLoggedInError,
    PropendError,
    RequestInvalidError,
    ServerBusyError,
)
from propend.scoring import SCORES_SCHEMA
from propend.segments import COLUMNS, FACTORS, Rule
from propend.server.app import OPEN, create_app
from propend.server.cursors import cursor_of, moment_of, place_of
from propend.server.failures import status_of
from propend.server.listening import is_loopback
from propend.server.serving import ScoreFile, Serving, stream
from propend.server.state import HeavyWork
from propend.store.catalog import now
from propend.store.runs import write_json, write_table
from propend.workspace import Workspace
from propend.workspace.dispatch import follow
from servers import serving
from workspaces import document, made, opened

ROOT = Path(__file__).parent.parent

READING = {"POST /api/v1/profiles/lookup", "POST /api/v1/instances/{instance_id}/score"}
"""Routes that are posted to and change nothing."""

# --- errors ---------------------------------------------------------------------------------------------------


def kinds(kind: type[PropendError] = PropendError) -> Iterator[type[PropendError]]:
    for sub in kind.__subclasses__():
        yield sub
        yield from kinds(sub)


def test_every_error_has_its_status() -> None:
    statuses: dict[int, set[str]] = {}
    for kind in kinds():
        if kind.__module__ == "propend.errors":
            error = ConfigurationError([]) if kind is ConfigurationError else kind("x")
            statuses.setdefault(status_of(error), set()).add(kind.symbol)
    assert statuses[401] == {"NOT_LOGGED_IN"}
    assert statuses[403] == {"NOT_ALLOWED"}
    assert statuses[404] == {"NOT_FOUND", "PROFILE_NOT_FOUND", "SCORES_GONE", "DESTINATION_NOT_FOUND"}
    assert statuses[409] == {
        "NOT_ENRICHED",
        "NOT_IN_THIS_STATE",
        "RUN_WAITING_ALREADY",
        "IDEMPOTENCY_KEY_USED",
        "OUTPUT_EXISTS",
        "NOT_FOR_LIVE_SCORING",
    }
    assert statuses[412] == {"CHANGED_MEANWHILE"}
    assert statuses[429] == {"TOO_MANY_ATTEMPTS"}
    assert statuses[503] == {"CATALOG_UNAVAILABLE", "SERVER_BUSY"}
    assert {"CONFIGURATION_INVALID", "REQUEST_INVALID", "NOT_ENOUGH_OBJECTIVE", "BAD_MODEL"} <= statuses[422]
    assert statuses[502] == {"PROVIDER_FAILED", "PUSH_FAILED"}
    assert set(statuses) == {401, 403, 404, 409, 412, 422, 429, 500, 502, 503}


# --- rules of segments ----------------------------------------------------------------------------------------


def some_scores(n: int = 400, seed: int = 5) -> pa.Table:
    """Scores as a run writes them, with odd texts in them."""
    random = np.random.default_rng(seed)
    heads = ["=1+1", "+x", "-x", "@x", "\tx", "\rx", "plain", 'ä, "b"', "a\nb", ""]
    rows = []
    for i in range(n):
        probability = float(np.round(random.beta(1, 4), 3))
        factors = [
            {"code": code, "label": f"{heads[i % len(heads)]}{code}", "value": "1", "typical": "2",
             "impact": float(random.normal()), "importance": "low"}
            for code in random.choice(["a", "b", "c", "d"], random.integers(0, 4), replace=False)
        ]  # fmt: skip
        rows.append({
            "profile_id": f"{heads[i % len(heads)]}{i:05d}", "score": float(random.uniform(0, 100)),
            "probability": probability, "probability_low": probability / 2, "probability_high": 1.0,
            "too_little_history": bool(random.integers(0, 2)), "percentile": int(random.integers(1, 101)),
            "bucket": str(random.choice(["low", "medium", "high"])), "times_average": probability * 3,
            "propensity_type": "conversion", "scored_at": now(), "expires_at": now(), "factors": factors,
            "run_id": "r", "instance": "Shop",
        })  # fmt: skip
    return pa.Table.from_pylist(sorted(rows, key=lambda r: r["profile_id"].encode()), SCORES_SCHEMA)


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> ScoreFile:
    folder = tmp_path_factory.mktemp("scores")
    write_table(folder / "scores.parquet", some_scores())
    write_json(folder / "run.json", {"attributes": []})
    return ScoreFile.open(folder)


def codes(row: dict[str, Any], sign: int = 0) -> set[str]:
    return {f["code"] for f in row["factors"] if sign == 0 or f["impact"] * sign > 0}


RULES = {
    "bucket = 'high' and probability >= 0.4": lambda r: r["bucket"] == "high" and r["probability"] >= 0.4,
    "bucket in ('high', 'low')": lambda r: r["bucket"] in ("high", "low"),
    "bucket not in ('high', 'low')": lambda r: r["bucket"] == "medium",
    "bucket != 'high'": lambda r: r["bucket"] != "high",
    "probability between 0.1 and 0.2": lambda r: 0.1 <= r["probability"] <= 0.2,
    "percentile = 7": lambda r: r["percentile"] == 7,
    "percentile in (7, 8, 99999999999999999999)": lambda r: r["percentile"] in (7, 8),
    "percentile not in (7, 8)": lambda r: r["percentile"] not in (7, 8),
    "percentile < 10.5": lambda r: r["percentile"] < 10.5,
    "too_little_history = true": lambda r: r["too_little_history"],
    "too_little_history is not true": lambda r: not r["too_little_history"],
    "profile_id starts with '='": lambda r: r["profile_id"].startswith("="),
    "profile_id ends with '7'": lambda r: r["profile_id"].endswith("7"),
    "profile_id contains '00'": lambda r: "00" in r["profile_id"],
    "profile_id matches '^plain0*1\\d\\d$'": lambda r: re.search(r"^plain0*1\d\d$", r["profile_id"]),
    "profile_id > 'p'": lambda r: r["profile_id"] > "p",
    "expected_days exists": lambda _: False,
    "expected_days not exists": lambda _: True,
    "expected_days > 3": lambda _: False,
    "score exists": lambda _: True,
    "factor = 'a'": lambda r: "a" in codes(r),
    "factor != 'a'": lambda r: "a" not in codes(r),
    "factor in ('a', 'b') and bucket = 'low'": lambda r: codes(r) & {"a", "b"} and r["bucket"] == "low",
    "raised_by = 'c'": lambda r: "c" in codes(r, 1),
    "lowered_by not in ('c', 'd')": lambda r: not codes(r, -1) & {"c", "d"},
    "raised_by = 'a' and lowered_by = 'b'": lambda r: "a" in codes(r, 1) and "b" in codes(r, -1),
}


@pytest.mark.parametrize("where", sorted(RULES))
def test_a_rule_means_those_it_says(scores: ScoreFile, where: str) -> None:
    rule = Rule.read(where)
    wanted = [r["profile_id"] for r in some_scores().to_pylist() if RULES[where](r)]
    found = [i for b in scores.batches(rule, ["profile_id"]) for i in b.column("profile_id").to_pylist()]
    assert (found, scores.count(rule)) == (wanted, len(wanted))
    assert rule.sentence.startswith("Profiles of whom ")
    assert [r["profile_id"] for r in scores.page(rule, "profile", None, 10)] == wanted[:10]


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("age > 3", "scores have no column 'age'"),
        ("bucket = 'huge'", "a bucket is one of low, medium, high"),
        ("bucket > 3", "bucket is a text"),
        ("probability = 'high'", "probability is a number"),
        ("too_little_history = 1", "too_little_history is true or false"),
        ("factor starts with 'a'", "factor takes codes"),
        ("factor exists", "factor takes codes"),
        ("probability > 0.1 or", "cannot be read"),
        ("not bucket = 'low'", "`not` stands after the field, or before brackets"),
        ("(bucket = 'low'", "a bracket that opens is closed"),
        ("not (" * 30 + "score > 3" + ")" * 30, "at most 20 deep"),
        (" or ".join(["score > 3"] * 1001), "at most 1,000 conditions"),
        ("bukket = 'low'", "Did you mean 'bucket'?"),
        ("attribute. = 'low'", "scores have no column"),
        ("probability > 0.1; DROP TABLE runs", "cannot be read"),
        ("profile_id matches '('", "the pattern is not valid"),
        ("", "cannot be read"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(where: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        Rule.read(where)


def test_columns_that_rules_know_are_those_of_scores() -> None:
    assert set(COLUMNS) - {"expected_days"} <= set(SCORES_SCHEMA.names)
    assert not set(FACTORS) & set(SCORES_SCHEMA.names)


# --- tables -----------------------------------------------------------------------------------------------------


def test_no_cell_of_a_sheet_is_a_formula(scores: ScoreFile) -> None:
    text = b"".join(stream(scores, Rule(), "csv")).decode()
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    truth = some_scores().to_pylist()
    assert len(read) == len(truth)
    for row, told in zip(truth, read, strict=True):
        for name in ("profile_id", "raised_by", "lowered_by", "bucket"):
            assert told[name][:1] not in ("=", "+", "-", "@", "\t", "\r") or not told[name]
        assert told["profile_id"].removeprefix("'") == row["profile_id"]
        raised = "; ".join(f["label"] for f in row["factors"] if f["impact"] > 0)
        assert told["raised_by"].removeprefix("'") == raised
        assert float(told["probability"]) == row["probability"]


def test_streams_hold_the_same_rows(scores: ScoreFile) -> None:
    truth = some_scores().select([n for n in SCORES_SCHEMA.names if not n.endswith("_at")])
    arrow = pa.ipc.open_stream(b"".join(stream(scores, Rule(), "arrow"))).read_all()
    parquet = pq.read_table(io.BytesIO(b"".join(stream(scores, Rule(), "parquet"))))
    for found in (arrow, parquet):
        assert found.select(truth.column_names).equals(truth)
    nobody = Rule.read("factor = 'nobody'")
    for form in ("csv", "arrow", "parquet"):
        assert b"".join(stream(scores, nobody, form))


@pytest.mark.parametrize("order", ["profile", "-probability"])
@pytest.mark.parametrize("limit", [1, 7, 399, 400, 1000])
def test_pages_follow_each_other(scores: ScoreFile, order: str, limit: int) -> None:
    rule, found, after = Rule.read("bucket != 'low'"), [], None
    while rows := scores.page(rule, order, after, limit):
        found += [(r["probability"], r["profile_id"]) for r in rows]
        after = rows[-1]
    rows = [(r["probability"], r["profile_id"]) for r in some_scores().to_pylist() if r["bucket"] != "low"]
    by_id = sorted(rows, key=lambda r: r[1].encode())
    assert found == (by_id if order == "profile" else sorted(by_id, key=lambda r: -r[0]))


def test_parts_of_a_cluster_are_one_table(tmp_path: Path) -> None:
    """Parts divide profiles by the hashes of their ids, as events are parted on a cluster."""
    table = some_scores()
    hashes = [hashlib.md5(i.encode()).digest() for i in table.column("profile_id").to_pylist()]
    by_hash = sorted(range(table.num_rows), key=hashes.__getitem__)
    for part, rows in enumerate((sorted(by_hash[:150]), sorted(by_hash[150:]))):
        folder = tmp_path / "scores.parquet"
        folder.mkdir(exist_ok=True)
        write_table(folder / f"part-{part}.parquet", table.take(rows))
    write_json(tmp_path / "run.json", {"attributes": []})
    found = ScoreFile.open(tmp_path)
    ids = table.column("profile_id").to_pylist()
    assert [r["profile_id"] for r in found.page(Rule(), "profile", None, 50)] == ids[:50]
    assert set(found.find_many([ids[0], ids[1], "nobody"])) == {ids[0], ids[1]}
    assert found.count(Rule()) == table.num_rows


# --- cursors and turns ------------------------------------------------------------------------------------------


def test_cursors_are_theirs_alone() -> None:
    assert place_of(cursor_of("a", 3, 0.5), str, int, float) == ("a", 3, 0.5)
    assert moment_of(cursor_of(now().isoformat()))
    wrong = ["", "x", "é", cursor_of(3), cursor_of("a", 2), cursor_of(True), cursor_of("\0"), cursor_of("\ud800")]
    for text in wrong:
        with pytest.raises(RequestInvalidError):
            place_of(text, str)
    for number in (2**31, -(2**40)):
        with pytest.raises(RequestInvalidError):
            place_of(cursor_of(number), int)
    for text in (cursor_of("yesterday"), cursor_of("2026-01-01T00:00:00"), cursor_of("0001-01-01T00:00:00+00:00")):
        with pytest.raises(RequestInvalidError):
            moment_of(text)


def test_heavy_work_takes_turns() -> None:
    heavy, inside, most = HeavyWork(5.0, 2), [0], [0]

    def work() -> None:
        with heavy.turn():
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.05)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    impatient = HeavyWork(0.05, 1)
    with impatient.turn(), pytest.raises(ServerBusyError), impatient.turn():
        pass
    with impatient.turn():
        pass


# --- who may listen, and to whom ---------------------------------------------------------------------------------


def test_without_access_control_only_this_machine_is_served(tmp_path: Path) -> None:
    assert [is_loopback(h) for h in ("127.0.0.1", "::1", "localhost", "127.9.9.9")] == [True] * 4
    assert [is_loopback(h) for h in ("0.0.0.0", "::", "192.168.1.1", "nowhere.invalid", "")] == [False] * 5
    home = made(tmp_path / "shop")

    def refused(*options: str) -> str:
        command = [sys.executable, "-m", "propend", "serve", "--workspace", str(home), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        return done.stderr

    assert "only loopback is allowed" in refused("--no-auth", "--host", "0.0.0.0")
    assert "cannot listen on" in refused("--host", "nowhere.invalid")
    with serving(home, "--no-auth") as server:
        assert "in use" in refused("--no-auth", "--port", server.url.rsplit(":", 1)[1])


def test_without_its_libraries_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['uvicorn'] = None; from propend.cli import app; app(['serve'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the server needs uvicorn: pip install 'propend[server]'" in done.stderr


def test_everybody_gets_what_the_page_says_and_no_more(tmp_path: Path) -> None:
    """Every route, asked by nobody, by one who views and by one who manages."""
    text = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("rest.md", "pages.md"))
    written = re.findall(r"^\| `([A-Z]+) (/[^\s`]*)` \| (\w+) \|", text, re.MULTILINE)
    rules = {(method, path): "anyone" if role == "open" else role for method, path, role in written}
    home = made(tmp_path / "shop")
    with serving(home) as server:
        workspace = Workspace.open(home)
        app = create_app(workspace)
        assert wrong(app, workspace, server.url, rules) == []
        workspace.close()


def test_the_first_user_is_made_with_the_token_of_the_first_start(tmp_path: Path) -> None:
    with serving(made(tmp_path / "shop")) as server, httpx.Client(base_url=f"{server.url}/api/v1") as http:
        assert server.process.stdout is not None
        told = [server.process.stdout.readline().strip() for _ in range(3)]
        body = {"token": told[2], "name": "ana", "password": "four or five long words"}
        assert http.post("/setup", json=body).status_code == 201
        session = http.post("/session", json={"name": "ana", "password": "four or five long words"})
        csrf = {"X-CSRF-Token": session.json()["csrf"]}
        assert http.post("/instances", json={"name": "Mine"}).status_code == 403
        made_one = http.post("/instances", json={"name": "Mine"}, headers=csrf)
        assert (made_one.status_code, made_one.json()["created_by"]) == (201, "ana")
        asked = {"name": "program", "scope": "view", "days": 1}
        token = http.post("/tokens", json=asked, headers=csrf).json()
        with propend.connect(server.url, token["secret"]) as served:
            assert [i["id"] for i in served.instances()] == ["mine"]
            with pytest.raises(NotAllowedError):
                served.delete("mine")
        with propend.connect(server.url, "pp_wrong") as served, pytest.raises(NotLoggedInError):
            served.instances()
        assert token["secret"] not in server.log.read_text()


def test_told_to_end_it_ends_well_and_its_run_goes_on(tmp_path: Path) -> None:
    home = made(tmp_path / "shop")
    with serving(home, "--no-auth") as server:
        http = httpx.Client(base_url=f"{server.url}/api/v1", timeout=60)
        assert http.post("/instances", json={"document": document()}).status_code == 201
        run_id = http.post("/instances/buyers/runs").json()["id"]
        limit = time.monotonic() + 60
        while http.get(f"/runs/{run_id}").json()["state"] == "queued":
            assert time.monotonic() < limit
            time.sleep(0.1)
        http.close()
        assert server.stop() == 0
    with serving(home, "--no-auth") as server:
        http = httpx.Client(base_url=f"{server.url}/api/v1", timeout=60)
        limit = time.monotonic() + 100
        while (state := http.get(f"/runs/{run_id}").json()["state"]) == "running":
            assert time.monotonic() < limit
            time.sleep(0.2)
        assert state == "succeeded"
        http.close()


# --- what is wrong with a file, and what is described -------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    found = opened(tmp_path / "shop")
    yield found
    found.close()


def test_a_file_that_was_spoilt_by_hand_is_told_of(tmp_path: Path) -> None:
    home = made(tmp_path / "shop")
    with serving(home, "--no-auth") as server:
        httpx.post(f"{server.url}/api/v1/instances", json={"document": document()})
    (home / "instances" / "buyers.yaml").write_text("name: Buyers\ngoal: 3\n", encoding="utf-8")
    with serving(home, "--no-auth") as server:
        found = httpx.get(f"{server.url}/api/v1/instances/buyers").json()
    assert (found["version"], found["problem"]["code"]) == (1, "PROPEND-100")


def test_the_page_has_every_route_and_who_may(workspace: Workspace) -> None:
    text = (ROOT / "docs" / "rest.md").read_text(encoding="utf-8")
    table = text.split("## Routes")[1].split("## Scores")[0]
    written = dict(re.findall(r"^\| `([A-Z]+ /\S+)` \| (\w+) \|", table, re.MULTILINE))
    described = create_app(workspace, access=False).openapi()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    assert set(written) == routes
    others = READING | {f"{m} {p}" for m, p in ACCESS_RULES}
    changes = {r for r in routes if not r.startswith("GET")} - others
    assert {r for r, role in written.items() if role == "manage" and r not in others} == changes
    assert {r.split()[1] for r, role in written.items() if role == "open"} >= set(OPEN)


def test_the_page_has_every_metric(workspace: Workspace) -> None:
    text = (ROOT / "docs" / "rest.md").read_text(encoding="utf-8")
    told = create_app(workspace, access=False).state.metrics.text()
    named = set(re.findall(r"^# TYPE (propend_\w+)", told, re.MULTILINE))
    written = set(re.findall(r"`(propend_\w+)`", text.split("## Logs and metrics")[1]))
    assert {n for n in named if not n.endswith("_created")} == written
    assert errors.ServerBusyError.number == 135


def test_an_instance_that_is_removed_hides_no_other(tmp_path: Path) -> None:
    """What is served is known as of a second ago; files may be gone by now."""
    workspace = opened(tmp_path / "shop")
    for name in ("a", "b"):
        workspace.instances.create(document(name))
        assert follow(workspace, workspace.runs.start(name).id, lambda _run: None).state == "succeeded"
    known = Serving(workspace)
    scores = known.scores(workspace.runs.served("b"))
    one = next(scores.batches(Rule.of(), ["profile_id"])).column("profile_id")[0].as_py()
    assert set(known.profiles([one]).of(one)) == {"a", "b"}
    workspace.delete("a")
    assert known.profiles([one]).unreadable == ()
    assert set(known.profiles([one]).of(one)) == {"b"}
    workspace.close()
