"""A server under mixed work for as long as wanted: what it holds must not grow.

Several clients look people up, score them live, view pages, count segments, take scores as streams, check definitions,
edit, upload, push, have people forgotten, and run one instance after the other, some of whose runs are cancelled. What
the server's process holds (memory, open files, threads, connections to its catalog) and what lies on the disk besides
runs is looked at all the while. After a warm-up a robust slope (Theil and Sen) says what each has grown by.

    python -m benchmarks.soak                # five minutes
    MINUTES=1 python -m benchmarks.soak      # as long as that
    FULL=1 python -m benchmarks.soak         # an hour

The last line is one sentence of figures. The exit status is 1 where something grew beyond its bound, where anything was
answered with an error, or where something temporary is left when all is quiet.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from benchmarks.pages import PAGES
from benchmarks.serving.shop import SERVED, TRAINED, Shop, make_shop
from benchmarks.speed.logs import Size

from propend.workspace import Workspace
from propend.workspace.dispatch import follow

MINUTES = float(os.environ.get("MINUTES") or (60 if os.environ.get("FULL") == "1" else 5))
FOLDER = Path(os.environ.get("OUT") or ".bench/soak").absolute()
SIZE, SCORED, LIVELY = Size(60_000, 1_500), 20_000, 50
READERS = 3
EVERY_SECONDS = 1.0 if MINUTES <= 10 else 5.0
WARM_SHARE = 0.25
"""Of the time, before growth is counted: caches fill, libraries are loaded."""
PAUSE_SECONDS = 0.03
QUIET_SECONDS = 150
"""After the last run has ended; the server tidies up every minute."""
FORGOTTEN = 40
"""Profiles that are forgotten one after the other, and asked for by nobody."""
SETTINGS = '[serving]\nmemory_mb = 64\n[exports]\nfolders = ["exports"]\n'
SEED = int(os.environ.get("SEED") or 1)
BOUNDS = {
    "memory of the server, MB": 60.0,
    "open files": 8.0,
    "threads": 8.0,
    "open files of the catalog": 6.0,
    "temporary files": 6.0,
    "catalog and logs, MB an hour": 60.0,
    "disk of a run, MB": 1.0,
}
"""By how much each may have grown at the end of the time after the warm-up, by its slope. Threads that answer come with
the most questions that were ever asked at once (at most 40 of them), and go again."""
if MINUTES < 5:
    BOUNDS["memory of the server, MB"] = 150.0  # caches are still being filled: only a flood is seen in so short a time
JOURNAL_MB = 5.0
"""SQLite's journal grows to about 4 MB before it is begun anew: less than this in all is no growth, in a short time."""
Plain = dict[str, Any]


@dataclass
class Told:
    """What came of the questions, by kind; safe for threads."""

    asked: Counter[str] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, kind: str, answer: httpx.Response, expected: tuple[int, ...] = ()) -> None:
        """An answer; 503 with a time to come again is no error, for it says that others are served first."""
        with self.lock:
            self.asked[kind] += 1
            if answer.status_code == 503 and "retry-after" in answer.headers:
                self.busy[kind] += 1
            elif answer.status_code >= 400 and answer.status_code not in expected:
                self.errors.append(f"{kind}: {answer.status_code} {answer.text[:300]!r}")

    def fail(self, kind: str, error: Exception) -> None:
        """A question that got no answer."""
        with self.lock:
            self.asked[kind] += 1
            self.errors.append(f"{kind}: {error!r}")


def main() -> int:
    """0 if nothing grew, nothing failed and nothing is left."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    shop = make_shop(SIZE, SCORED, FOLDER, lively=LIVELY)
    (shop.home / "propend.toml").write_text(SETTINGS, encoding="utf-8")
    _run_once(shop.home)
    told, over = Told(), threading.Event()
    with serving(shop.home) as (address, process):
        _prepare(address)
        watch = Watch(process.pid, shop.home)
        clients = [Client(address, shop, told, over, number) for number in range(READERS + 2)]
        work = [*[c.read for c in clients[:READERS]], clients[-2].manage, clients[-1].run]
        threads = [threading.Thread(target=does) for does in work]
        for thread in threads:
            thread.start()
        watch.look_for(60 * MINUTES)
        over.set()
        for thread in threads:
            thread.join()
        left = _left_when_quiet(address, shop.home, process.pid)
        alive = process.poll() is None
    left += [path for path in temporary(shop.home) if path not in left]  # what the server held is gone with it
    return _reported(watch, told, left, alive)


@contextmanager
def serving(home: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server whose temporary files lie in a folder of its own; its address and its process."""
    command = [sys.executable, "-m", "propend", "serve", "--workspace", str(home), "--port", "0", "--no-auth"]
    temporary = FOLDER / "tmp"
    temporary.mkdir()
    with (FOLDER / "server.log").open("w") as log, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | {"TMPDIR": str(temporary)}
    ) as process:  # fmt: skip
        if process.stdout is None:
            raise RuntimeError("nothing is heard of the server")
        try:
            yield process.stdout.readline().split()[-1], process
        finally:
            process.terminate()


def _run_once(home: Path) -> None:
    """Scores of the instance that is run over and over."""
    workspace = Workspace.open(home)
    ended = follow(workspace, workspace.runs.start(TRAINED).id, lambda _: None)
    workspace.close()
    if ended.state != "succeeded":
        raise RuntimeError(f"the run {ended.state}: {ended.error}")


def _prepare(address: str) -> None:
    """A segment and a destination of each instance."""
    with httpx.Client(base_url=f"{address}/api/v1", timeout=120) as client:
        for name in (SERVED, TRAINED):
            segment = {"name": "likely", "where": "percentile >= 90 and probability >= 0.01"}
            client.post(f"/instances/{name}/segments", json=segment).raise_for_status()
            for form in ("csv", "parquet"):
                place = {"name": form, "kind": "file", "options": {"format": form}}
                client.post(f"/instances/{name}/destinations", json=place).raise_for_status()


# --- who asks -------------------------------------------------------------------------------------------------


class Client:
    """One who asks, one question after the other."""

    def __init__(self, address: str, shop: Shop, told: Told, over: threading.Event, number: int) -> None:
        """``number``: tells its choices apart from those of others."""
        self._shop, self._told, self._over = shop, told, over
        self._chance = random.Random(SEED * 1000 + number)
        self._http = httpx.Client(base_url=address, timeout=120)
        self._kept, self._forgotten = shop.ids[:-FORGOTTEN], list(shop.ids[-FORGOTTEN:])
        self._made = 0

    def read(self) -> None:
        """What those who look do."""
        self._on_and_on(
            {self._look_up: 10, self._look_many_up: 2, self._score_live: 2, self._view: 4, self._count: 2,
             self._stream: 1, self._figures: 1},
            PAUSE_SECONDS,
        )  # fmt: skip

    def manage(self) -> None:
        """What those who manage do, more slowly."""
        self._on_and_on(
            {self._check: 3, self._edit: 2, self._change_segments: 3, self._upload: 1, self._push: 2, self._forget: 1},
            1.0,
        )

    def run(self) -> None:
        """Runs of both instances, one after the other; some are trained anew, some cancelled."""
        number = 0
        while not self._over.is_set():
            number += 1
            kind = "train" if number % 5 == 0 else "auto"
            answer = self._ask("run", "POST", f"/api/v1/instances/{TRAINED}/runs", json={"kind": kind}, expected=(409,))
            run_id = answer.json().get("id") if answer is not None else None
            if run_id is None:
                self._over.wait(1.0)
            elif number % 4 == 0:
                self._over.wait(self._chance.uniform(0, 4))
                self._ask("cancel", "POST", f"/api/v1/runs/{run_id}/cancel", expected=(409,))
            while run_id is not None and not self._over.wait(0.5):
                answer = self._ask("run's state", "GET", f"/api/v1/runs/{run_id}")
                if answer is not None and answer.json().get("state") not in ("queued", "running"):
                    break

    def _on_and_on(self, doing: dict[Callable[[], None], int], pause: float) -> None:
        kinds, weights = list(doing), list(doing.values())
        while not self._over.is_set():
            self._chance.choices(kinds, weights)[0]()
            self._over.wait(pause * self._chance.uniform(0.5, 1.5))
        self._http.close()

    def _ask(
        self, kind: str, method: str, path: str, *, expected: tuple[int, ...] = (), **more: Any
    ) -> httpx.Response | None:
        try:
            answer = self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            self._told.fail(kind, error)
            return None
        self._told.count(kind, answer, expected)
        return answer

    # --- reading

    def _look_up(self) -> None:
        self._ask("look-up", "GET", f"/api/v1/profiles/{self._chance.choice(self._kept)}")

    def _look_many_up(self) -> None:
        ids = self._chance.sample(self._kept, 500)
        self._ask("500 look-ups", "POST", "/api/v1/profiles/lookup", json={"ids": ids})

    def _score_live(self) -> None:
        name = self._chance.choice(list(self._shop.events))
        body = {"profile_id": name, "events": self._shop.events[name], "regardless": True}
        self._ask("live score", "POST", f"/api/v1/instances/{self._instance()}/score", json=body)

    def _view(self) -> None:
        page = self._chance.choice(PAGES).replace("RUN", self._shop.run.name)
        page = page.replace("PROFILE", self._chance.choice(self._kept))
        # a new instance's scores may not be there yet, and people and accounts are not without access
        self._ask("page", "GET", page, headers={"Accept": "text/html"}, expected=(404, 409))

    def _count(self) -> None:
        found = self._ask("segments", "GET", f"/api/v1/instances/{self._instance()}/segments")
        for segment in found.json()["items"][:1] if found is not None and found.status_code == 200 else ():
            self._ask("segment's count", "GET", f"/api/v1/segments/{segment['id']}", expected=(404,))
            self._ask("segment's members", "GET", f"/api/v1/segments/{segment['id']}/members", expected=(404,))
        where = f"probability >= {self._chance.uniform(0, 0.3):.3f}"
        self._ask("members of a rule", "GET", f"/api/v1/instances/{SERVED}/scores", params={"where": where})

    def _stream(self) -> None:
        form = self._chance.choice(["csv", "arrow", "parquet"])
        path = f"/api/v1/instances/{self._instance()}/scores"
        self._ask("scores as a stream", "GET", path, params={"format": form}, expected=(404,))

    def _figures(self) -> None:
        for path in ("/metrics", "/readyz", f"/api/v1/instances/{self._instance()}/factors", "/api/v1/runs"):
            self._ask("figures", "GET", path, expected=(404,))

    def _instance(self) -> str:
        return self._chance.choice([SERVED, TRAINED])

    # --- managing

    def _check(self) -> None:
        self._ask("check", "POST", "/api/v1/check", json={"instance": self._instance()})

    def _edit(self) -> None:
        path = f"/api/v1/instances/{SERVED}"
        found = self._ask("instance", "GET", path)
        if found is not None and found.status_code == 200:
            self._made += 1
            document = found.json()["document"] | {"description": f"edited {self._made} times"}
            self._ask("edit", "PUT", path, json={"document": document}, headers={"If-Match": found.headers["etag"]})

    def _change_segments(self) -> None:
        self._made += 1
        path, name = f"/api/v1/instances/{self._instance()}/segments", f"for a while {self._made}"
        made = self._ask("new segment", "POST", path, json={"name": name, "where": "percentile >= 50"})
        if made is not None and made.status_code == 201:
            address = f"/api/v1/segments/{made.json()['id']}"
            self._ask("change of a segment", "PUT", address, json={"name": name, "where": "percentile >= 80"})
            self._ask("removal of a segment", "DELETE", address)

    def _upload(self) -> None:
        self._made += 1
        rows = "".join(f"p{n},2024-01-{n % 28 + 1:02d},buy,{n}\n" for n in range(2_000))
        name = f"events-{self._made}.csv"
        self._ask("upload", "POST", "/data/files", params={"name": name}, content="profile,at,event,value\n" + rows)
        self._ask("look at a file", "GET", "/data/columns", params={"path": f"data/{name}"}, expected=(422,))

    def _push(self) -> None:
        found = self._ask("destinations", "GET", f"/api/v1/instances/{SERVED}/destinations")
        if found is not None and found.status_code == 200:
            chosen = self._chance.choice(found.json()["items"])
            self._ask("push", "POST", f"/api/v1/destinations/{chosen['id']}/push")

    def _forget(self) -> None:
        if self._forgotten:
            self._ask("forgetting", "DELETE", f"/api/v1/profiles/{self._forgotten.pop()}")


# --- what is held ---------------------------------------------------------------------------------------------


class Watch:
    """Looks at a process and its workspace, over and over."""

    def __init__(self, process: int, home: Path) -> None:
        """``process``: of the server; those of runs are not counted."""
        self._proc, self._home = Path(f"/proc/{process}"), home
        self.at: list[float] = []
        self.held: dict[str, list[float]] = {name: [] for name in BOUNDS}

    def look_for(self, seconds: float) -> None:
        """For so long, or until the process ends."""
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds and (self._proc / "fd").exists():
            for name, value in self._look().items():
                self.held[name].append(value)
            self.at.append(passed)
            if len(self.at) % max(1, round(60 / EVERY_SECONDS)) == 0:
                print(f"{passed / 60:5.0f} min  {self._line()}", flush=True)
            time.sleep(EVERY_SECONDS)

    def growth(self, name: str) -> float:
        """By how much it has grown after the warm-up, by its slope; of the catalog, in an hour."""
        at, held = np.array(self.at), np.array(self.held[name])
        after = at >= WARM_SHARE * at[-1]
        slope = theil_sen(at[after], held[after])
        return slope * (3600.0 if name.endswith("an hour") else float(at[-1] - at[after][0]))

    def _line(self) -> str:
        return ", ".join(f"{name} {values[-1]:,.1f}" for name, values in self.held.items())

    def _look(self) -> dict[str, float]:
        status = (self._proc / "status").read_text()
        files = [_target(path) for path in (self._proc / "fd").iterdir()]
        work = self._home / ".propend"
        runs = sum(1 for _ in work.glob("runs/*/[0-9]*"))
        return {
            "memory of the server, MB": _number(status, "VmRSS") / 1024,
            "open files": float(len(files)),
            "threads": _number(status, "Threads"),
            "open files of the catalog": float(sum("catalog.db" in f for f in files)),
            "temporary files": float(len(temporary(self._home))),
            "catalog and logs, MB an hour": (taken(work) - taken(work / "runs") - taken(work / "tmp")) / 1e6,
            "disk of a run, MB": taken(work / "runs") / 1e6 / max(runs, 1),
        }


def theil_sen(at: np.ndarray, values: np.ndarray) -> float:
    """The median of the slopes of all pairs, a second."""
    first, second = np.triu_indices(len(at), 1)
    return float(np.median((values[second] - values[first]) / (at[second] - at[first]))) if len(first) else 0.0


def temporary(home: Path) -> list[Path]:
    """What lies about that is meant to go: of the server, of runs that were executed, of what was written half-way."""
    work, found = home / ".propend", list[Path]()
    for folder, form in (
        (FOLDER / "tmp", "**/*"), (work, "runs/*/.*"), (work, "runs/*/*/*.erasing"), (work, "tmp/*"),
        (home, "data/.*"), (home, "exports/.*"), (home, "instances/.*"),
    ):  # fmt: skip
        try:
            found += folder.glob(form)
        except OSError:  # a folder that was removed while it was looked at
            continue
    return found


def taken(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).lstat().st_size
            except OSError:  # gone meanwhile
                continue
    return total


def _number(status: str, name: str) -> float:
    found = re.search(rf"{name}:\s*(\d+)", status)
    return float(found[1]) if found else 0.0


def _target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:  # closed meanwhile
        return ""


def _left_when_quiet(address: str, home: Path, process: int) -> list[Path]:
    """What is temporary, not open, and still there some time after the last run has ended."""

    def left() -> list[Path]:
        held = {Path(_target(path)).parent for path in Path(f"/proc/{process}/fd").iterdir()}
        return [path for path in temporary(home) if path not in held and path.parent not in held]

    with httpx.Client(base_url=f"{address}/api/v1", timeout=120) as client:
        while any(client.get("/runs", params={"state": s}).json()["items"] for s in ("queued", "running")):
            time.sleep(1.0)
    limit = time.monotonic() + QUIET_SECONDS
    while left() and time.monotonic() < limit:
        time.sleep(1.0)
    return left()


# --- what is told ---------------------------------------------------------------------------------------------


def _reported(watch: Watch, told: Told, left: list[Path], alive: bool) -> int:
    grown = {name: watch.growth(name) for name in BOUNDS}
    print(f"\n{'held':34} {'at first':>10} {'median':>10} {'most':>10} {'grown by':>10} {'at most':>10}")
    for name, bound in BOUNDS.items():
        held = np.array(watch.held[name])
        figures = (held[0], float(np.median(held)), held.max(), grown[name], bound)
        print(f"{name:34} " + " ".join(f"{x:>10,.1f}" for x in figures))
    print(f"\nasked: {', '.join(f'{kind} {n:,}' for kind, n in told.asked.most_common())}")
    print(f"told to come again: {dict(told.busy) or 'nobody'}")
    for error in told.errors[:20]:
        print(f"error: {error}")
    for path in left[:20]:
        print(f"left: {path}")
    (FOLDER / "samples.json").write_text(json.dumps({"at": watch.at} | watch.held), encoding="utf-8")
    beyond = [name for name, bound in BOUNDS.items() if grown[name] > bound]
    hourly = "catalog and logs, MB an hour"
    if hourly in beyond and grown[hourly] * watch.at[-1] / 3600 < JOURNAL_MB:
        beyond.remove(hourly)
    memory, files = np.array(watch.held["memory of the server, MB"]), np.array(watch.held["open files"])
    print(
        f"\nIn {watch.at[-1] / 60:.0f} minutes of mixed work {sum(told.asked.values()):,} questions got "
        f"{len(told.errors)} errors, and {sum(told.busy.values())} were told to come again; the server held "
        f"{np.median(memory):,.0f} MB at the median and {memory.max():,.0f} at most and grew by "
        f"{grown['memory of the server, MB']:+.1f} MB after its warm-up, open files by {grown['open files']:+.1f} "
        f"(median {np.median(files):.0f}), threads by {grown['threads']:+.1f}; {len(left)} temporary files are left; "
        f"beyond its bound: {', '.join(beyond) or 'nothing'}."
    )
    return int(bool(beyond or told.errors or left or not alive))


if __name__ == "__main__":
    sys.exit(main())
