"""Workers and servers are killed at random instants: no committed run is lost, no half-written one is shown.

``make kills`` does it fifty times and more; here a few times. The seed is said, so that what failed can be repeated.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from propend.pipeline import Run
from propend.store.catalog import RunRow
from propend.workspace import Workspace
from propend.workspace.dispatch import follow, spawn
from propend.workspace.runs import ENDED
from workspaces import document, opened

KILLS = int(os.environ.get("KILLS", "6"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
LONGEST_SECONDS = 7.0
"""About as long as a run of the shop takes, with the start of its process."""


@dataclass
class Witness:
    """What was true before a kill, and must be true after it."""

    home: Path
    scores: dict[str, int] = field(default_factory=dict)

    def look(self) -> list[RunRow]:
        """Open the workspace as the next process would, and hold it against all that was committed."""
        workspace = Workspace.open(self.home)
        try:
            runs = workspace.runs.history("buyers", limit=1000)
            succeeded = {r.id: r for r in runs if r.state == "succeeded"}
            assert set(self.scores) <= set(succeeded), "a committed run was lost"
            for run_id, run in succeeded.items():
                found = Run.load(workspace.runs.folder(run))
                assert run.summary is not None
                assert (
                    found.scores.num_rows == run.summary["population"] == self.scores.get(run_id, found.scores.num_rows)
                )
                self.scores[run_id] = found.scores.num_rows
            served = workspace.runs.serving("buyers")
            later = workspace.runs.history(
                "buyers", limit=1000
            )  # a worker outlives its server, and may commit meanwhile
            newest = {next((r.id for r in seen if r.state == "succeeded"), None) for seen in (runs, later)}
            assert (served.id if served else None) in newest
            busy = {r.id for r in runs if r.state in ("queued", "running")}
            self._nothing_else(workspace, set(succeeded) | busy)
            return runs
        finally:
            workspace.close()

    def _nothing_else(self, workspace: Workspace, known: set[str]) -> None:
        work = workspace.home / ".propend"
        for path in [*work.glob("runs/*/*"), *work.glob("tmp/*")]:
            assert any(run_id in path.name for run_id in known), f"{path.name} is nobody's"


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    workspace = opened(tmp_path / "shop")
    workspace.instances.create(document())
    assert follow(workspace, workspace.runs.start("buyers").id, lambda _run: None).state == "succeeded"
    workspace.close()
    found = Witness(tmp_path / "shop")
    found.look()
    return found


def test_workers_killed_at_random_instants(witness: Witness) -> None:
    chance = random.Random(SEED)
    print(f"SEED={SEED}")
    states = []
    for _ in range(KILLS):
        workspace = Workspace.open(witness.home)
        waiting = workspace.runs.next_waiting()
        run_id = waiting.id if waiting else workspace.runs.start("buyers", kind=chance.choice(["auto", "train"])).id
        process = spawn(workspace, run_id)
        time.sleep(chance.uniform(0, LONGEST_SECONDS))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        workspace.close()
        state = next(r.state for r in witness.look() if r.id == run_id)
        assert state in ("queued", "interrupted", "succeeded")
        states.append(state)
    print(states)
    workspace = Workspace.open(witness.home)  # and after all that it works
    waiting = workspace.runs.next_waiting()
    run_id = waiting.id if waiting else workspace.runs.start("buyers").id
    assert follow(workspace, run_id, lambda _run: None).state == "succeeded"
    workspace.close()
    witness.look()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def serve(home: Path) -> tuple[subprocess.Popen[bytes], str]:
    port = free_port()
    command = [sys.executable, "-m", "propend", "serve", "--workspace", home, "--port", str(port), "--no-auth"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return process, f"http://127.0.0.1:{port}"


def answers(url: str, seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while True:
        try:
            if httpx.get(f"{url}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            assert time.monotonic() < limit, "the server does not answer"
        time.sleep(0.1)


def test_servers_killed_at_random_instants(witness: Witness) -> None:
    """Runs are asked for over REST; the server dies, sometimes with the worker, and the next one takes over."""
    chance = random.Random(SEED + 1)
    print(f"SEED={SEED}")
    accepted: set[str] = set()
    for _ in range(KILLS):
        process, url = serve(witness.home)
        answers(url)
        asked = httpx.post(f"{url}/api/v1/instances/buyers/runs", json={}, timeout=30)
        assert asked.status_code in (200, 201, 202, 409), asked.text
        if asked.status_code != 409:
            accepted.add(asked.json()["id"])
        time.sleep(chance.uniform(0, LONGEST_SECONDS))
        if chance.random() < 0.5:
            workers = subprocess.run(["pgrep", "-f", str(witness.home)], capture_output=True, text=True, check=False)
            for pid in workers.stdout.split():
                if int(pid) != process.pid:
                    os.kill(int(pid), signal.SIGKILL)
        process.kill()
        process.wait()
        witness.look()
    process, url = serve(witness.home)
    answers(url)
    limit = time.monotonic() + 90
    while any(r.state not in ENDED for r in witness.look()):
        assert time.monotonic() < limit, "a run neither ends nor is executed"
        time.sleep(0.5)
    process.terminate()
    process.wait(timeout=30)
    states = {r.id: r.state for r in witness.look()}
    assert accepted <= set(states), "a run that was accepted is not known any more"
    print(sorted(states.values()))
