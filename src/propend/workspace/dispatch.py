"""Who starts the processes of runs: a thread of the server, or the command line for one run.

Any number of dispatchers may look after one workspace: which run is whose is decided in the catalog.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import select, update

from propend.errors import RunWaitingError, StatusError
from propend.instance import Instance
from propend.store.catalog import InstanceRow, RunRow, VersionRow, now
from propend.workspace import Workspace
from propend.workspace.audit import SCHEDULE
from propend.workspace.journal import Journal
from propend.workspace.runs import ENDED
from propend.workspace.schedules import next_due

LOOK_SECONDS = 0.5
TIDY_SECONDS = 60.0
log = logging.getLogger("propend.dispatch")


def spawn(workspace: Workspace, run_id: str) -> subprocess.Popen[bytes]:
    """Start the process of a run; it goes on when this process ends. What it prints is in the run's log, too."""
    path = Journal(workspace.home, workspace.runs.get(run_id)).log
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "propend.workspace.execution", str(workspace.home), run_id]
    with path.open("ab") as out:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            env=os.environ | {"PROPEND_DATABASE_URL": workspace.catalog.url},
        )  # fmt: skip


def spawn_courier(workspace: Workspace) -> subprocess.Popen[bytes]:
    """Start a process that makes the pushes that are due; it goes on when this process ends."""
    path = workspace.home / ".propend" / "logs" / "pushes.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "propend.workspace.courier", str(workspace.home)],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            env=os.environ | {"PROPEND_DATABASE_URL": workspace.catalog.url},
        )  # fmt: skip


def enqueue_due(workspace: Workspace) -> list[str]:
    """Ask for the runs that schedules say are due; times missed while nobody looked are one run."""
    catalog, started = workspace.catalog, []
    with catalog.reading() as session:
        due = list(
            session.scalars(select(InstanceRow).where(InstanceRow.due_at <= now(), InstanceRow.status == "enabled"))
        )
    for instance in due:
        if not _take(workspace, instance):
            continue  # another dispatcher was first
        with suppress(RunWaitingError, StatusError):  # one that waits does the same
            started.append(workspace.runs.start(instance.id, by=SCHEDULE, trigger="schedule").id)
    return started


def _take(workspace: Workspace, instance: InstanceRow) -> bool:
    """Move an instance's next time on; False where somebody else did."""
    with workspace.catalog.writing() as session:
        version = session.get(VersionRow, (instance.id, instance.version))
        options = Instance.load(version.document).options if version else None
        later = next_due(options.schedule, options.zone, now()) if options and options.schedule else None
        moved = update(InstanceRow).where(InstanceRow.id == instance.id, InstanceRow.due_at == instance.due_at)
        result = session.execute(moved.values(due_at=later))
        return bool(getattr(result, "rowcount", 0))


def follow(
    workspace: Workspace, run_id: str, told: Callable[[RunRow], None], look_seconds: float = LOOK_SECONDS
) -> RunRow:
    """See a run to its end, starting its process when it is its turn; ``told`` hears of it now and then."""
    process: subprocess.Popen[bytes] | None = None
    while True:
        run = workspace.runs.get(run_id)
        told(run)
        if run.state in ENDED:
            if process is not None:
                process.wait()
            return run
        if process is not None and process.poll() is not None:
            process = None
            workspace.runs.reap()
            continue
        if run.state == "queued" and process is None:
            turn = workspace.runs.next_waiting()
            if turn is not None and turn.id == run_id:
                process = spawn(workspace, run_id)
        elif process is None:
            workspace.runs.reap()
        time.sleep(look_seconds)


class Dispatcher(threading.Thread):
    """Starts waiting runs, scheduled ones and pushes, ends those nobody is at work on, and tidies up."""

    def __init__(self, workspace: Workspace, ended: Callable[[RunRow], None] | None = None) -> None:
        """``ended`` hears of every run of this dispatcher that has ended."""
        super().__init__(name="dispatcher", daemon=True)
        self._workspace, self._ended = workspace, ended
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._courier: subprocess.Popen[bytes] | None = None
        self._halt = threading.Event()
        self._tidied = 0.0

    def stop(self) -> None:
        """Start nothing more; processes that are at work go on."""
        self._halt.set()
        self.join()

    def run(self) -> None:
        """Until stopped; what fails is logged and tried again."""
        while not self._halt.is_set():
            try:
                self.look()
            except Exception:  # a full disk, no more processes: whatever it is may pass, and nobody else looks after it
                log.exception("the workspace cannot be looked after now; it is tried again")
            self._halt.wait(LOOK_SECONDS)

    def look(self) -> None:
        """Once around."""
        runs = self._workspace.runs
        for run_id in [i for i, p in self._processes.items() if p.poll() is not None]:
            del self._processes[run_id]
            self._workspace.refresh()
            if self._ended is not None:
                self._ended(runs.get(run_id))
        if time.monotonic() - self._tidied > TIDY_SECONDS:
            self._tidied = time.monotonic()
            self._workspace.refresh()
            runs.prune()
            self._workspace.audit.prune()
            self._workspace.pushing.ask_expired()
        enqueue_due(self._workspace)
        if (self._courier is None or self._courier.poll() is not None) and self._workspace.pushing.due():
            self._courier = spawn_courier(self._workspace)
        waiting = runs.next_waiting()
        if waiting is not None and waiting.id not in self._processes:
            self._processes[waiting.id] = spawn(self._workspace, waiting.id)
