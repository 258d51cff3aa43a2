"""Faults that came to light one by one: a full disk, a clock that is put back, a catalog that is away for a moment."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from postgres import databases
from propend.errors import CatalogUnavailableError, RunCancelledError, told_of
from propend.store.catalog import AttemptRow, PushRow, RunRow, now
from propend.workspace import Workspace, execution
from propend.workspace.attempts import Attempts
from propend.workspace.dispatch import Dispatcher, follow, spawn
from propend.workspace.execution import execute
from workspaces import document, made, opened


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    found = opened(tmp_path / "shop")
    found.instances.create(document())
    yield found
    found.close()


# --- what is told -----------------------------------------------------------------------------------------------


def test_a_disk_that_refuses_is_told_with_its_free_bytes(tmp_path: Path) -> None:
    missing = str(tmp_path / "not" / "there")
    told = told_of(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), missing), "The scores cannot be written")
    free = told.facts["free_bytes"]
    assert (told.code, str(told)) == (
        "PROPEND-204",
        "PROPEND-204 WRITE_FAILED\nThe scores cannot be written: No space left on device "
        f"({missing!r}); {free / 1e6:,.0f} MB are free there.\n"
        "Hint: free some space, then do it again; what there was before stands.",
    )
    assert told_of(ValueError("x")).code == "PROPEND-1"
    for no_memory in (MemoryError(), pa.ArrowMemoryError("malloc of 9"), OSError(errno.ENOMEM, "x")):
        assert told_of(no_memory).code == "PROPEND-205"
    assert told_of(told) is told


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB that is really full when it is."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "propend-test", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path, leave: int) -> Path:
    """Fill a disk but for so many bytes; gives the file that does."""
    filler = place / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(place).free - leave)
    return filler


def propend(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "propend", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_a_full_disk_is_told_and_keeps_the_scores_that_were_served(small_disk: Path) -> None:
    home = made(small_disk / "shop")
    workspace = Workspace.open(home)
    workspace.instances.create(document())
    first = follow(workspace, workspace.runs.start("buyers").id, lambda _: None)
    assert first.state == "succeeded", first.error
    for leave in (400_000, 0):
        filler = fill(small_disk, leave)
        done = propend("run", "buyers", "--kind", "train", "--workspace", str(home))
        assert (done.returncode, "Traceback" in done.stderr, "PROPEND-1 " in done.stderr) == (1, False, False), done
        assert "free" in done.stderr, done.stderr
        exported = propend("export", "buyers", "--to", str(home / "all.csv"), "--workspace", str(home))
        assert "PROPEND-1 " not in exported.stderr, exported.stderr
        assert (exported.returncode == 0) == (home / "all.csv").exists()  # a small file may still have room
        (home / "all.csv").unlink(missing_ok=True)
        filler.unlink()
        workspace.refresh()
        served = workspace.runs.serving("buyers")
        assert served is not None
        assert served.id == first.id
        assert [p.name for p in home.glob(".propend/runs/buyers/*")] == [first.id]
        for waiting in workspace.runs.history(state="queued"):
            workspace.runs.cancel(waiting.id)
    again = follow(workspace, workspace.runs.start("buyers").id, lambda _: None)
    assert again.state == "succeeded"
    workspace.close()


# --- who looks after a workspace ----------------------------------------------------------------------------------


def test_a_dispatcher_outlives_a_disk_that_refuses(workspace: Workspace) -> None:
    """A file in the place of the folder of logs is what a full disk is to it: the run's process cannot be started."""
    logs = workspace.home / ".propend" / "logs"
    logs.write_text("in the way")
    run_id = workspace.runs.start("buyers").id
    heard: list[RunRow] = []
    dispatcher = Dispatcher(workspace, heard.append)
    dispatcher.start()
    try:
        time.sleep(1.5)
        assert (dispatcher.is_alive(), workspace.runs.get(run_id).state) == (True, "queued")
        logs.unlink()
        limit = time.monotonic() + 240
        while not heard and time.monotonic() < limit:
            time.sleep(0.2)
        assert [(run.id, run.state) for run in heard] == [(run_id, "succeeded")]
    finally:
        dispatcher.stop()


def test_what_a_killed_process_did_not_remove_is_removed(workspace: Workspace) -> None:
    """It was killed between the row that says that the run has ended, and the removal of its files."""
    run = workspace.runs.start("buyers")
    workspace.runs.claim(run.id, os.getpid())
    workspace.runs.end(run.id, "failed", RunCancelledError("It is over."))
    folder, scratch = workspace.runs.folder(run), workspace.runs.scratch(run)
    for left in (folder, scratch):
        left.mkdir(parents=True)
        (left / "run.json").write_text("{}")
    foreign = folder.with_name("20200101T000000-abcdef")  # of the command line, which has no row
    foreign.mkdir()
    workspace.refresh()
    assert [p.exists() for p in (folder, scratch, foreign)] == [False, False, True]


def test_how_far_a_run_is_need_not_be_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog that is away for a moment ends no run: what it decides is asked again at the end."""

    def away(*_given: object) -> bool:
        raise CatalogUnavailableError("It is away.")

    monkeypatch.setattr(workspace.runs, "tell", away)
    run_id = workspace.runs.start("buyers").id
    assert execute(workspace, run_id)
    assert workspace.runs.get(run_id).state == "succeeded"


# --- clocks -------------------------------------------------------------------------------------------------------


def test_later_runs_are_served_though_the_clock_was_put_back(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("propend.workspace.runs.now", lambda: now() + timedelta(days=1))
        first = workspace.runs.start("buyers").id
        execute(workspace, first)
    second = workspace.runs.start("buyers").id
    execute(workspace, second)
    served, row = workspace.runs.serving("buyers"), workspace.runs.get(first)
    assert served is not None
    assert (served.id, [r.id for r in workspace.runs.all_serving()]) == (second, [second])
    assert row.finished_at is not None
    assert served.finished_at == row.finished_at + timedelta(microseconds=1)


def test_a_push_does_not_wait_for_a_day_that_was_put_back(workspace: Workspace) -> None:
    execute(workspace, workspace.runs.start("buyers").id)
    destination = workspace.destinations.create("buyers", "sheet", "file", {})
    push = workspace.pushing.ask(destination.id)
    due = []
    for ahead in (timedelta(minutes=30), timedelta(days=1)):
        with workspace.catalog.writing() as session:
            session.get(PushRow, push.id).due_at = now() + ahead  # type: ignore[union-attr]
        due.append(workspace.pushing.due())
    assert due == [[], [push.id]]


def test_failed_log_ins_of_a_clock_that_was_put_back_lock_nobody_out(workspace: Workspace) -> None:
    attempts = Attempts(workspace.catalog)
    for _ in range(5):
        attempts.begin("ana", "10.0.0.1")
    with workspace.catalog.writing() as session:
        for row in session.query(AttemptRow):
            row.at = now() + timedelta(days=1)
    assert attempts.begin("ana", "10.0.0.1").rows


# --- a database that ends connections -----------------------------------------------------------------------------


def test_connections_that_a_database_ends(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a run is executed every connection to the catalog is ended, over and over."""
    url = databases(request).new()
    monkeypatch.setenv("PROPEND_DATABASE_URL", url)
    workspace = opened(tmp_path / "shop", url=url)
    workspace.instances.create(document())
    assert follow(workspace, workspace.runs.start("buyers").id, lambda _: None).state == "succeeded"
    served = workspace.runs.serving("buyers")
    run_id = workspace.runs.start("buyers", kind="score").id
    process = spawn(workspace, run_id)
    ended = 0
    with psycopg.connect(url, autocommit=True) as connection:
        while process.poll() is None:
            for (done,) in connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid()"
            ):
                ended += bool(done)
            time.sleep(0.3)
    workspace.refresh()
    run, now_served = workspace.runs.get(run_id), workspace.runs.serving("buyers")
    assert ended > 0
    assert run.state in ("succeeded", "failed", "interrupted", "queued")
    assert served is not None
    assert now_served is not None
    assert now_served.id == (run_id if run.state == "succeeded" else served.id)
    assert run.error is None or run.error["code"] in ("PROPEND-111", "PROPEND-116"), run.error
    again = run if run.state == "queued" else workspace.runs.start("buyers", kind="score")
    assert follow(workspace, again.id, lambda _: None).state == "succeeded"
    workspace.close()


# --- memory -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", ["never begins", "cannot be made"])
def test_a_run_that_nothing_can_look_after_fails(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Where memory ends as the thread beside the work begins, ``threading`` would wait for it without end."""

    def not_begun(*_asked: object) -> int:
        if failing == "cannot be made":
            raise RuntimeError("can't start new thread")
        return 0

    monkeypatch.setattr(execution, "start_new_thread", not_begun)
    monkeypatch.setattr(execution, "BEGIN_SECONDS", 0.1)
    run_id = workspace.runs.start("buyers").id
    assert execute(workspace, run_id)
    run = workspace.runs.get(run_id)
    assert (run.state, (run.error or {})["symbol"]) == ("failed", "NOT_ENOUGH_MEMORY")


def test_a_run_without_memory_is_told_and_keeps_the_scores(workspace: Workspace) -> None:
    """Its address space ends while it works; whatever the libraries make of that, the scores before stay served."""
    execute(workspace, workspace.runs.start("buyers").id)
    served = workspace.runs.serving("buyers")
    states = []
    for megabytes in (900, 1400):
        run_id = workspace.runs.start("buyers", kind="train").id
        limited = ["bash", "-c", f'ulimit -v {megabytes * 1024}; exec "$0" "$@"', sys.executable]
        command = [*limited, "-m", execution.__name__, str(workspace.home), run_id]
        subprocess.run(command, capture_output=True, check=False, timeout=300)
        workspace.refresh()
        run = workspace.runs.get(run_id)
        assert run.state != "succeeded" or workspace.runs.serving("buyers") == run
        states.append(run.state)
        if run.state == "queued":
            workspace.runs.cancel(run_id)
    newest = workspace.runs.serving("buyers")
    assert served is not None
    assert newest is not None
    assert newest.id == served.id or "succeeded" in states
    again = workspace.runs.start("buyers")
    assert follow(workspace, again.id, lambda _: None).state == "succeeded"
