"""Faults at every operation of every scene: what was served is served, nothing is left over, a repeat gives the same.

    make crashes                    # every operation that changes a file, with every fault; hours
    POINTS=20 make crashes          # twenty of each scene
    SCENE=push,edit make crashes    # of these; KIND=kill, of one kind
    SCENE=push KIND=kill AT=17      # one of them, as a failure names it

What was struck and what held is counted in ``.bench`` (``struck``), by a seed that is said. Here a few of each scene.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
import yaml

import struck as counted
from faults import Fault, Played, Stage, stage
from postgres import databases
from propend.pipeline import Run
from propend.store.membership import read_members
from propend.store.runs import load_model
from propend.workspace import Workspace
from propend.workspace.segments import Segments
from scenes import ON_POSTGRES, SCENES, served

POINTS = os.environ.get("POINTS", "")
SCENE, KIND, AT = (os.environ.get(name, "") for name in ("SCENE", "KIND", "AT"))
WIDE = bool(POINTS or SCENE)
"""Whether more is asked for than the sample that every run of the tests plays."""
FEW, SLOW = 2, ("score", "train", "run --out", "members of a run")
"""Points of a scene in the sample: half as many of those in which something is trained or scored."""
IN_FILES = [name for name in SCENES if name != "retract table" and (WIDE or name != "members of a run")]
IN_MESSAGES = ON_POSTGRES if WIDE else ("score", "push", "edit", "segment", "delete")
"""Scenes that are struck at operations on files, and at messages to PostgreSQL."""
SEED = int(os.environ.get("SEED", "0")) or (random.SystemRandom().randrange(1, 10**6) if POINTS else 1)
"""`make crashes` draws anew each time; the few points of `make test` are always the same."""
FAULTS = ("kill", "end", "full", "broken", "read-only", "day-on", "day-back", *(("memory",) if WIDE else ()))
OF_MESSAGES = ("kill", "cut", *(("end", "day-on", "day-back", "memory") if WIDE else ()))
OF_RUN = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")
ASIDE = re.compile(r"\.propend/(catalog\.db.*|logs/.*|locks/.*|pushes/.*\.lock|forgetting\.lock)")
"""What is judged by what is read from it, or is there to stay."""
CONTENT = re.compile(r"exports/.*|data/.*|instances/.*|best.*|events.*|new/.*")
"""Files that are, to the byte, what they were or what they are to be."""
NOT_LOOKED_AT = re.compile(r"new/.*\.propend\.tmp")
"""Of a workspace that nobody has opened since: whoever does, as a repeat, removes it."""


@dataclass(frozen=True)
class Seen:
    """A workspace as the next process finds it.

    Attributes:
        scores: of every instance that serves any, a digest of its scores.
        files: of every file, by its path without ids of runs, a digest; empty where its content is not compared.
    """

    scores: dict[str, str]
    files: dict[str, str]


def look(home: Path) -> Seen:
    """Open a workspace as the next process would, and read all that it says it has."""
    workspace = Workspace.open(home)
    try:
        assert workspace.problems == {}
        scores = {}
        for instance in workspace.instances.all():
            document = yaml.safe_load((home / "instances" / f"{instance.id}.yaml").read_text())
            assert document["name"] == instance.name
            run = workspace.runs.serving(instance.id)
            if run is not None:
                folder = workspace.runs.folder(run)
                found = Run.load(folder)
                assert (folder / "report.html").read_text().rstrip().endswith("</html>")
                assert found.contributions.num_rows == found.scores.num_rows
                load_model(workspace.runs.folder(workspace.runs.get(run.model_run or run.id)) / "model")
                scores[instance.id] = digest_of(found.scores)
            scores |= members_of(workspace, instance.id)
        known = {r.folder for r in workspace.runs.history(limit=1000) if r.state not in ("failed", "interrupted")}
        there = {p.relative_to(home).as_posix() for p in home.glob(".propend/runs/*/*")}
        assert there <= known, f"nobody's: {there - known}"
    finally:
        workspace.close()
    if os.environ.get("PROPEND_DATABASE_URL"):
        scores["table"] = digest_of_table(os.environ["PROPEND_DATABASE_URL"])
    if (home / "results").is_dir():
        scores["results"] = digest_of(Run.load(home / "results").scores)
    return Seen(scores, files_of(home))


def members_of(workspace: Workspace, instance_id: str) -> dict[str, str]:
    """Of each segment whose members were told, a digest of them."""
    found = {}
    for segment in Segments(workspace.catalog, workspace.instances).every(instance_id):
        for told in workspace.membership._rows(segment.id, 1):
            ids = read_members(workspace.runs.folder(workspace.runs.get(told.run_id)), segment.id)
            assert ids is not None, f"no file has the members of segment {segment.id}"
            assert len(ids) == told.members
            found[f"members of {segment.id}"] = hashlib.sha256(repr(ids.to_pylist()).encode()).hexdigest()[:12]
    return found


def digest_of(scores: pa.Table) -> str:
    """Of scores, whichever run they are of."""
    table = scores.drop_columns(["run_id"]).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return hashlib.sha256(sink.getvalue()).hexdigest()[:12]


def digest_of_table(url: str) -> str:
    """Of what was pushed to a table."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT profile_id, probability, percentile, (SELECT count(*) FROM propend_pushes) FROM buyers ORDER BY 1"
        ).fetchall()
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:12]


def files_of(home: Path) -> dict[str, str]:
    found = {}
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home).as_posix()
        if not ASIDE.fullmatch(name) and path.is_file():
            compared = CONTENT.fullmatch(name) is not None
            found[OF_RUN.sub("RUN", name)] = hashlib.sha256(path.read_bytes()).hexdigest()[:12] if compared else ""
    return found


@pytest.fixture(scope="module")
def on() -> Iterator[Stage]:
    with stage() as found:
        yield found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that serves scores, at the place where scenes are played."""
    home = tmp_path_factory.mktemp("crashes") / "shop"
    served(home)
    keep(home, "base")
    return home


def keep(home: Path, name: str) -> None:
    """A state of the folder, and of its catalog where that is in a server of its own, to come back to."""
    shutil.rmtree(home.with_name(name), ignore_errors=True)
    shutil.copytree(home, home.with_name(name))
    copy_database(os.environ.get("PROPEND_DATABASE_URL", ""), "", name)


def restore(home: Path, name: str) -> None:
    """Back to it."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(home.with_name(name), home)
    copy_database(os.environ.get("PROPEND_DATABASE_URL", ""), name, "")


def copy_database(url: str, source: str, target: str) -> None:
    """A database of PostgreSQL in the place of another: names are those of the address with a suffix."""
    if url:
        server, _, name = url.rpartition("/")
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}{target}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}{target}" TEMPLATE "{name}{source}"')


@pytest.mark.parametrize("name", IN_FILES)
def test_faults_at_every_operation(name: str, base: Path, on: Stage) -> None:
    assert struck_everywhere(name, base, on, FAULTS) == []


@dataclass(frozen=True)
class Messages:
    """A stage whose catalog, and a table that scores are pushed to, are in PostgreSQL; and the workspace on it."""

    on: Stage
    home: Path
    url: str

    @property
    def port(self) -> int:
        """Of the server: what is sent there is counted."""
        return int(self.url.rpartition("/")[0].rpartition(":")[2])


@pytest.fixture(scope="module")
def messages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Messages]:
    url, home = databases(request).new(), tmp_path_factory.mktemp("messages") / "shop"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PROPEND_DATABASE_URL", url)
        served(home, {"url": url, "table": "buyers"})
        keep(home, "base")
    with stage(PROPEND_DATABASE_URL=url) as on:
        yield Messages(on, home, url)


@pytest.mark.parametrize("name", IN_MESSAGES)
def test_faults_at_every_message_to_postgres(name: str, messages: Messages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but messages to the server is counted."""
    monkeypatch.setenv("PROPEND_DATABASE_URL", messages.url)
    assert struck_everywhere(name, messages.home, messages.on, OF_MESSAGES, messages.port) == []


def struck_everywhere(name: str, home: Path, on: Stage, kinds: Sequence[str], port: int = 0) -> list[str]:
    """A scene with faults at all its operations, or a sample of these; gives what was promised in vain."""
    if SCENE and name not in SCENE.split(","):
        pytest.skip(f"SCENE={SCENE}")
    scene = SCENES[name]
    restore(home, "base")
    scene.prepare(home)
    keep(home, "ready")
    clean = on.play(home, name, Fault(), port)
    assert clean.status == 0, clean.text
    after = look(home)
    restore(home, "ready")
    before = look(home)
    print(f"{name}: {len(clean.operations)} operations, SEED={SEED}")
    failed = []
    for fault in points(name, len(clean.operations), kinds):
        restore(home, "ready")
        found = len(failed)
        try:
            strike(name, home, on, fault, before, after, port)
        except Exception as error:
            where = clean.operations[fault.at - 1] if fault.at <= len(clean.operations) else "?"
            failed.append(f"SCENE={name!r} KIND={fault.kind} AT={fault.at} ({where}): {type(error).__name__} {error}")
            print(failed[-1], file=sys.stderr)
        if POINTS:
            catalog = "postgresql" if port else "sqlite"
            counted.note(catalog, name, fault, len(clean.operations), " ".join(failed[found:]))
    return failed


def points(name: str, operations: int, kinds: Sequence[str]) -> list[Fault]:
    """Which faults are tried of a scene."""
    if AT:
        return [Fault(KIND, int(AT))]
    every = [Fault(kind, at) for at in range(1, operations + 1) for kind in kinds if KIND in ("", kind)]
    if POINTS == "all":
        return every
    few = int(POINTS or (FEW // 2 if name in SLOW else FEW))
    return random.Random(f"{SEED} {name}").sample(every, min(few, len(every)))


def strike(name: str, home: Path, on: Stage, fault: Fault, before: Seen, after: Seen, port: int) -> None:
    """A scene with one fault: what is promised holds after it, and a repeat gives what it would have given."""
    struck = on.play(home, name, fault, port)
    told_as_promised(struck, fault)
    found = look(home)
    for instance, digest in found.scores.items():
        assert digest in (before.scores.get(instance), after.scores.get(instance)), f"other scores of {instance}"
    lost = before.scores.keys() & after.scores.keys() - found.scores.keys()
    assert not lost, f"not served any more: {lost}"
    left = {n for n, d in found.files.items() if d not in (before.files.get(n), after.files.get(n))}
    left = {name for name in left if not NOT_LOOKED_AT.fullmatch(name)}
    assert not left, f"left over, or neither old nor new: {sorted(left)}"
    SCENES[name].again(home)
    again = on.play(home, name, Fault())
    assert again.status == 0 or "already" in again.text or "There is no" in again.text, f"a repeat fails: {again.text}"
    at_last = look(home)
    assert at_last.scores == after.scores, f"other scores after a repeat: {at_last.scores} {after.scores}"
    assert at_last.files.keys() == after.files.keys(), at_last.files.keys() ^ after.files.keys()


def told_as_promised(struck: Played, fault: Fault) -> None:
    """Nobody sees a traceback, or an error that says nothing."""
    assert struck.status != -signal.SIGALRM, f"it hangs: {struck.text[-500:]}"
    if fault.kind not in ("kill", "end", "memory"):  # whom the system gives no memory may end anywhere
        assert struck.status >= 0
    if fault.kind not in ("kill", "end"):
        assert "PROPEND-1 " not in struck.text, struck.text


def test_points_are_counted_by_scene_and_kind() -> None:
    """A point that was struck again counts once, as it was the last time."""
    points = [
        {"catalog": "sqlite", "scene": "push", "kind": kind, "at": at, "operations": 106, "failed": failed}
        for kind, at, failed in (("kill", 1, "left over"), ("kill", 1, ""), ("kill", 2, ""), ("full", 1, "left over"))
    ] + [{"catalog": "postgresql", "scene": "push", "kind": "cut", "at": 9, "operations": 30, "failed": ""}]
    assert counted.table(points).splitlines() == [
        "| scene | catalog | operations | kill | full | cut | together |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| push | postgresql | 30 |  |  | 1 | 1 |",
        "| push | sqlite | 106 | 2 | 0 of 1 |  | 2 of 3 |",
        "| together |  |  | 2 | 0 of 1 | 1 | 3 of 4 |",
    ]
