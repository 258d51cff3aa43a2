"""Server time of every page, with many scored profiles, many instances and many runs behind them.

One instance has scores of as many profiles as wanted, with ten attributes each; beside it stand others, each with many
runs. ``propend serve`` is asked for every page over and over, by one client on this machine: what is measured is from
the question to the whole answer. Rules of segments are asked with another value each time, for what was worked out once
is kept.

    python -m benchmarks.pages               # 50,000 scored profiles, 20 instances with 20 runs each; two minutes
    FULL=1 python -m benchmarks.pages        # a million, 200 instances with 200 runs each; ten minutes

The last line is one sentence of figures. The exit status is 1 where the median of a page is above 300 ms, or one fails.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
from benchmarks.serving.shop import SERVED, Shop, make_shop
from benchmarks.speed.logs import Size

from propend.store.catalog import RunRow, now
from propend.store.runs import GROUP_ROWS, read_scores, write_table
from propend.workspace import Workspace
from propend.workspace.segments import Segments

FULL = os.environ.get("FULL") == "1"
FOLDER = Path(os.environ.get("OUT") or ".bench/pages")
SIZE = Size(1_000_000, 20_000) if FULL else Size(100_000, 2_000)
SCORED = 1_000_000 if FULL else 50_000
FEW = 2_000
"""Profiles that each further instance has scored."""
INSTANCES, RUNS = (200, 200) if FULL else (20, 20)
ASKED = 20
LIMIT = 0.3
INSTANCE = f"/instances/{SERVED}"
PAGES = (
    "/", "/?status=enabled&start=30", f"{INSTANCE}/card",
    INSTANCE, f"{INSTANCE}/evaluation", f"{INSTANCE}/performance", f"{INSTANCE}/runs", f"{INSTANCE}/model",
    f"{INSTANCE}/audience", f"{INSTANCE}/edit", "/instances/new", "/data", "/runs/RUN",
    "/profiles", "/profiles/PROFILE", "/segments", "/segments/1", "/segments/2", "/people", "/account", "/audit",
    "/audit?kind=run&who=local", "/settings", "/settings/disk",
)  # fmt: skip
"""Every place. ``RUN`` and ``PROFILE`` stand for ids; a place that answers 404 is told of, and left out."""
SAVED = ("bucket = 'high'", "attribute.plan = 'plan 1' and probability >= 0.01")
RULES = (
    "probability >= 0.0{n}1",
    "attribute.plan = 'plan {n}'",
    "attribute.town = 'town {n}' or attribute.code = 'code {n}'",
    "attribute.spend >= {n} and bucket = 'high'",
    "attribute.vip = true and attribute.country in ('land {n}', 'land 2')",
    "attribute.joined >= '20{n:02}-01-31' and not (attribute.age < {n})",
)  # fmt: skip
"""Rules, each asked with numbers of its own."""


@dataclass(frozen=True)
class Timed:
    """One page: its first answer, the median and the worst of the others, in seconds; its size in bytes."""

    page: str
    status: int
    first: float = 0.0
    median: float = 0.0
    worst: float = 0.0
    size: int = 0


def main() -> int:
    """0 if every page is there and quick."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    shop = make_shop(SIZE, SCORED, FOLDER, lively=1)
    crowd(shop)
    known_of(shop)
    print(f"{len(shop.ids):,} scored profiles; {INSTANCES} further instances with {RUNS} runs each\n")
    print(f"{'page':44} {'first':>9} {'median':>8} {'worst':>8} {'size':>8}", flush=True)
    with serving(shop.home) as address, httpx.Client(base_url=address, timeout=120) as client:
        timed = [_told(_timed(client, page, shop)) for page in PAGES]
        print(f"\n{'a rule, counted for the first time':80} {'first':>9} {'median':>8} {'worst':>8}")
        timed += [_told(_counted(client, rule), 80) for rule in RULES]
    there = [t for t in timed if t.status != 404]
    missing = [t.page for t in timed if t.status == 404]
    if missing:
        print(f"\nnot there: {', '.join(missing)}")
    slow = [t for t in there if t.status != 200 or t.median > LIMIT]
    slowest = max(there, key=lambda t: t.median)
    print(
        f"\nWith {len(shop.ids):,} scored profiles the slowest of {len(there)} pages, {slowest.page}, takes "
        f"{1e3 * slowest.median:.0f} ms at the median, the median of all {1e3 * _middle(there):.0f} ms; "
        f"{len(slow)} take more than {1e3 * LIMIT:.0f} ms or fail."
    )
    return int(bool(slow))


def crowd(shop: Shop) -> None:
    """Further instances, each with the documents of the run that is served, few of its scores, and many runs."""
    workspace = Workspace.open(shop.home)
    document = workspace.instances.version(SERVED).document
    documents = {name: (shop.run / f"{name}.json").read_bytes() for name in ("evaluation", "insights", "run")}
    summary, few = workspace.runs.served(SERVED).summary, read_scores(shop.run).slice(0, FEW)
    for i in range(INSTANCES):
        row = workspace.instances.create(document | {"name": f"Shop {i:03}"})
        with workspace.catalog.writing() as session:
            for k in range(RUNS):
                at = now() - timedelta(days=RUNS - k)
                run_id = f"{row.id}-{k:03}"
                folder = f".propend/runs/{row.id}/{run_id}"
                session.add(RunRow(
                    id=run_id, instance_id=row.id, version=1, kind="auto", trigger="schedule", state="succeeded",
                    options={}, folder=folder, asked_by="schedule", queued_at=at, started_at=at, finished_at=at,
                    progress=1.0, scores_kept=False, cancel_asked=False, summary=summary, model_run=run_id,
                ))  # fmt: skip
        newest = shop.home / folder
        newest.mkdir(parents=True)
        for name, content in documents.items():
            (newest / f"{name}.json").write_bytes(content)
        write_table(newest / "scores.parquet", few)
    workspace.close()


def known_of(shop: Shop) -> None:
    """Ten attributes of everybody as a run writes them, and segments."""
    n, chance = len(shop.ids), np.random.default_rng(3)

    def texts(of: str, many: int) -> pa.DictionaryArray:
        places = pa.array(chance.integers(0, many, n).astype(np.int32), mask=chance.random(n) < 0.05)
        return pa.DictionaryArray.from_arrays(places, pa.array([f"{of} {i}" for i in range(many)]))

    held = {of: texts(of, many) for of, many in (("country", 30), ("plan", 40), ("campaign", 300), ("town", 5_000))}
    held["code"] = texts("code", max(n // 20, 50))
    held |= {of: pa.array(chance.gamma(2, 50, n).round(2)) for of in ("spend", "age", "seats")}
    held |= {"vip": pa.array(chance.random(n) < 0.3)}
    held |= {"joined": pa.array(chance.integers(1_200_000_000_000_000, 1_700_000_000_000_000, n), pa.timestamp("us"))}
    columns = {"profile_id": pa.array(shop.ids), **{f"attribute__{name}": values for name, values in held.items()}}
    write_table(shop.run / "attributes.parquet", pa.table(columns), GROUP_ROWS)
    workspace = Workspace.open(shop.home)
    for i, where in enumerate(SAVED):
        Segments(workspace.catalog, workspace.instances).create(SERVED, f"Segment {i}", where)
    workspace.close()


def _counted(client: httpx.Client, rule: str) -> Timed:
    """A rule with another number each time, as the form of a segment asks it."""
    seconds, failed = [], 0
    for n in range(ASKED + 1):
        form = {"instance": SERVED, "mode": "text", "where": rule.format(n=n)}
        began = time.perf_counter()
        answer = client.post("/segments/count", data=form, headers={"HX-Request": "true"})
        seconds.append(time.perf_counter() - began)
        failed += answer.status_code != 200 or "figures" not in answer.text
    first, *others = seconds
    return Timed(rule, 500 if failed else 200, first, statistics.median(others), max(others), len(answer.content))


def _timed(client: httpx.Client, page: str, shop: Shop) -> Timed:
    address = page.replace("RUN", shop.run.name).replace("PROFILE", shop.ids[len(shop.ids) // 2])
    seconds = []
    for _ in range(ASKED + 1):
        began = time.perf_counter()
        answer = client.get(address, headers={"Accept": "text/html"})
        seconds.append(time.perf_counter() - began)
        if answer.status_code == 404:
            return Timed(page, 404)
    first, *others = seconds
    return Timed(page, answer.status_code, first, statistics.median(others), max(others), len(answer.content))


def _told(timed: Timed, width: int = 44) -> Timed:
    """The same, after its line was printed."""
    if timed.status != 404:
        took = f"{1e3 * timed.first:6.0f} ms {1e3 * timed.median:5.0f} ms {1e3 * timed.worst:5.0f} ms"
        said = "" if timed.status == 200 else f"  status {timed.status}"
        print(f"{timed.page:{width}} {took} {timed.size / 1e3:5.0f} kB{said}", flush=True)
    return timed


def _middle(timed: list[Timed]) -> float:
    return statistics.median(t.median for t in timed)


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """The address of a server of a workspace, ended afterwards."""
    command = [sys.executable, "-m", "propend", "serve", "--workspace", str(home), "--port", "0", "--no-auth"]
    with (FOLDER / "server.log").open("w") as log, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
