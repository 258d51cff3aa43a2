"""Look-ups and live scores: their latency in this process, and over HTTP while a run is training.

The scores that are served are those of a run on a log as shops have them, repeated under further ids until there are as
many as wanted. Over HTTP a client in a process of its own asks ``propend serve`` at a fixed rate, while runs are
trained, one after the other; every answer must be right. Without ``propend serve`` that part is left out, and said so.

    python -m benchmarks.serving             # 50,000 scored profiles, 50 look-ups a second for 8 seconds
    FULL=1 python -m benchmarks.serving      # a million, 200 a second for a minute; ten minutes

The last line is one sentence of figures.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from benchmarks.serving.shop import SERVED, TRAINED, Shop, make_shop
from benchmarks.speed.logs import Size

from propend.live import LiveModel
from propend.store.lookup import ScoreIndex

FULL = os.environ.get("FULL") == "1"
FOLDER = Path(os.environ.get("OUT") or ".bench/serving")
SIZE = Size(5_000_000, 100_000) if FULL else Size(100_000, 2_000)
SCORED = 1_000_000 if FULL else 50_000
RATE, SECONDS = (200, 60) if FULL else (50, 8)
ASKED = 2_000 if FULL else 300
BATCH = 5_000


def main() -> int:
    """0 if every question over HTTP was answered."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    shop = make_shop(SIZE, SCORED, FOLDER)
    print(f"{len(shop.ids):,} scored profiles, learnt from {SIZE.events:,} events of {SIZE.profiles:,} profiles\n")
    here = in_process(shop)
    over = over_http(shop) if served() else None
    sentence = f"Of {len(shop.ids):,} scored profiles one is found in {here['lookup'][0]:.1f} ms at the median"
    sentence += f", {BATCH:,} in {here['batch']:.2f} s, and one is scored live in {here['live'][0]:.1f} ms"
    if over is None:
        print("`propend serve` is not there: nothing was asked over HTTP\n")
        print(f"{sentence}; nothing was asked over HTTP.")
        return 0
    sentence += (
        f"; over HTTP {over['rate']:.0f} look-ups a second for {SECONDS} s while a run was training took "
        f"{over['p50']:.1f} ms at the median, {over['p95']:.1f} at 95 % and {over['p99']:.1f} at 99 %, "
        f"with {over['errors']:.0f} errors."
    )
    print(sentence)
    return int(over["errors"] > 0)


# --- in this process ----------------------------------------------------------------------------------------


def in_process(shop: Shop) -> dict[str, Any]:
    """Milliseconds of look-ups and live scores at 50, 95 and 99 %, seconds of a batch."""
    chance = np.random.default_rng(2)
    tracemalloc.start()
    index = ScoreIndex.open(shop.run)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    some = [shop.ids[i] for i in chance.choice(len(shop.ids), ASKED)]
    many = [shop.ids[i] for i in chance.choice(len(shop.ids), BATCH, replace=False)]
    lookup = latencies([lambda i=i: _found(index.find(i)) for i in some])
    began = time.perf_counter()
    found = index.find_many(many)
    batch = time.perf_counter() - began
    if len(found) != BATCH:
        raise RuntimeError(f"{len(found)} of {BATCH} profiles were found")
    size = (shop.run / "scores.parquet").stat().st_size
    print(f"look-up            {told(lookup)}; the index keeps {kept / 1e3:.0f} kB; the file has {size / 1e6:.0f} MB")
    print(f"{BATCH:,} at once      {batch:.2f} s")
    model = LiveModel.load(shop.run)
    names = list(shop.events) * (1 + ASKED // len(shop.events))
    model.score(shop.events[names[0]])  # kernels are read from the cache once
    live = latencies([lambda n=n: model.score(shop.events[n], profile_id=n) for n in names[:ASKED]])
    print(f"scored live        {told(live)}; {1e3 / live[3]:.0f} a second by one thread\n")
    model.close()
    return {"lookup": lookup, "batch": batch, "live": live}


def _found(row: dict[str, Any] | None) -> None:
    if row is None:
        raise RuntimeError("a scored profile was not found")


def latencies(questions: Sequence[Callable[[], Any]]) -> tuple[float, float, float, float]:
    """Milliseconds at 50, 95 and 99 %, and the mean."""
    took = []
    for question in questions:
        began = time.perf_counter()
        question()
        took.append(1e3 * (time.perf_counter() - began))
    p50, p95, p99 = np.quantile(took, [0.5, 0.95, 0.99]).tolist()
    return p50, p95, p99, float(np.mean(took))


def told(took: Sequence[float]) -> str:
    return f"{took[0]:.1f} ms at the median, {took[1]:.1f} at 95 %, {took[2]:.1f} at 99 %"


# --- over HTTP ----------------------------------------------------------------------------------------------


def served() -> bool:
    """Whether this propend has a server."""
    asked = subprocess.run([sys.executable, "-m", "propend", "serve", "--help"], capture_output=True, check=False)
    return asked.returncode == 0


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """The address of a server of a workspace, on a free port of this machine."""
    command = [sys.executable, "-m", "propend", "serve", "--workspace", str(home), "--port", "0", "--no-auth"]
    with (FOLDER / "server.log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield _address(server)
    finally:
        server.terminate()
        server.wait(30)


def _address(server: subprocess.Popen[bytes]) -> str:
    limit = time.monotonic() + 60
    while time.monotonic() < limit and server.poll() is None:
        said = re.search(r"http://[\w.]+:\d+", (FOLDER / "server.log").read_text(encoding="utf-8"))
        if said:
            return said.group()
        time.sleep(0.1)
    raise RuntimeError(f"the server does not listen: {(FOLDER / 'server.log').read_text(encoding='utf-8')[-500:]}")


def over_http(shop: Shop) -> dict[str, float]:
    """Look-ups at a fixed rate while runs are trained; then a batch and live scores."""
    with serving(shop.home) as address, httpx.Client(base_url=address, timeout=120) as client:
        over = threading.Event()
        training = threading.Thread(target=_train, args=(address, over))
        training.start()
        try:
            found = _loaded(address, shop.ids)
        finally:
            over.set()
            training.join()
        print(f"over HTTP          {told([found['p50'], found['p95'], found['p99']])}; {found['errors']:.0f} errors")
        began = time.perf_counter()
        answer = client.post(
            "/api/v1/profiles/lookup", json={"ids": shop.ids[:: max(1, len(shop.ids) // BATCH)][:BATCH]}
        )
        print(f"{BATCH:,} over HTTP    {time.perf_counter() - began:.2f} s, status {answer.status_code}")
        if client.get("/openapi.json").json()["paths"].get("/api/v1/instances/{instance_id}/score"):
            _score_live(client, shop)
    return found


def _score_live(client: httpx.Client, shop: Shop) -> None:
    def one(name: str) -> None:
        body = {"profile_id": name, "events": shop.events[name]}
        client.post(f"/api/v1/instances/{SERVED}/score", json=body).raise_for_status()

    names = list(shop.events)
    one(names[0])
    live = latencies([lambda n=n: one(n) for n in names[:ASKED]])
    print(f"live over HTTP     {told(live)}; {1e3 / live[3]:.0f} a second by one client\n")


def _loaded(address: str, ids: Sequence[str]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.serving.load", address, str(RATE), str(SECONDS)]
    done = subprocess.run(command, input="\n".join(ids), capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _train(address: str, over: threading.Event) -> None:
    """Runs of the other instance, one after the other; the one that is executed at the end is cancelled."""
    with httpx.Client(base_url=address, timeout=60) as client:
        while not over.is_set():
            started = client.post(f"/api/v1/instances/{TRAINED}/runs", json={"kind": "train"})
            started.raise_for_status()
            run_id = started.json()["id"]
            while client.get(f"/api/v1/runs/{run_id}").json()["state"] in ("queued", "running"):
                if over.wait(0.5):
                    client.post(f"/api/v1/runs/{run_id}/cancel")
                    return


if __name__ == "__main__":
    sys.exit(main())
