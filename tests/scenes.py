"""What people and servers do with a workspace, each as one scene that faults can strike (``faults``).

A scene has the folder that it is played on; ``prepare`` of it makes what it starts from, beforehand and without faults.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import alembic.command
from alembic.config import Config
from sqlalchemy import create_engine, make_url

from propend import cli, demo
from propend.store import migrations
from propend.store.catalog import sqlite_url
from propend.workspace import Workspace, courier, execution
from propend.workspace.audit import LOCAL
from propend.workspace.dispatch import follow
from propend.workspace.segments import Segments
from workspaces import document, opened

PERSON = "p0007"


@dataclass(frozen=True)
class Scene:
    """One thing that is done.

    Attributes:
        does: does it, on a workspace's folder.
        prepare: what is there beforehand.
        again: makes a workspace in which it was broken off ready for another try, where that needs anything.
    """

    does: Callable[[Path], int]
    prepare: Callable[[Path], None]
    again: Callable[[Path], None] = lambda _home: None


def play(name: str, home: Path) -> int:
    """Play a scene; gives its exit status."""
    return SCENES[name].does(home)


# --- what is there beforehand ---------------------------------------------------------------------------------


def served(home: Path, table: dict[str, str] | None = None) -> None:
    """A workspace with two instances, both with scores, one of them pushed to three places, and to a table."""
    workspace = opened(home)
    workspace.instances.create(document())
    workspace.instances.create(document("Others"))
    for form in ({"format": "csv", "gzip": True}, {"format": "parquet", "name": "people"}):
        workspace.destinations.create("buyers", str(form["format"]), "file", form)
    workspace.destinations.create("buyers", "xdm", "xdm-profile", {"tenant": "shop"})
    if table is not None:
        workspace.destinations.create("buyers", "table", "postgres", table)
    for instance_id in ("buyers", "others"):
        run(workspace, instance_id)
    workspace.close()


def run(workspace: Workspace, instance_id: str, kind: str = "auto") -> None:
    """A run, to its end."""
    ended = follow(workspace, workspace.runs.start(instance_id, kind=kind).id, lambda _: None)
    assert ended.state == "succeeded", ended.error


def asked(kind: str) -> Callable[[Path], None]:
    """A run of ``buyers`` waits."""

    def prepare(home: Path) -> None:
        workspace = Workspace.open(home)
        if workspace.runs.next_waiting() is None:
            workspace.runs.start("buyers", kind=kind)
        workspace.close()

    return prepare


def push_asked(home: Path) -> None:
    """Pushes to every destination wait, of the newest run."""
    workspace = Workspace.open(home)
    for row in workspace.destinations.all("buyers"):
        workspace.pushing.ask(row.id)
    workspace.close()


def segment_made(home: Path) -> None:
    """A segment whose members no run has told yet."""
    workspace = Workspace.open(home)
    segments = Segments(workspace.catalog, workspace.instances)
    if not segments.all("buyers"):
        segments.create("buyers", "Likely", "percentile >= 80")
    workspace.close()


def segment_and_run(home: Path) -> None:
    """The same, and a run that is to tell them."""
    segment_made(home)
    asked("score")(home)


def forgetting_begun(home: Path) -> None:
    """Somebody is to be forgotten, which is known by a keyed hash, and who did it was killed before anything else."""
    workspace = Workspace.open(home)
    workspace.privacy._remember(PERSON, LOCAL)
    workspace.close()


def old_catalog(home: Path) -> None:
    """The catalog is as the first propend left it."""
    url = make_url(os.environ.get("PROPEND_DATABASE_URL") or sqlite_url(home / ".propend" / "catalog.db"))
    engine = create_engine(url if url.drivername == "sqlite" else url.set(drivername="postgresql+psycopg"))
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "0001")
    engine.dispose()


def nothing(_home: Path) -> None:
    """What is served, and no more."""


# --- what is done ---------------------------------------------------------------------------------------------


def worker(home: Path) -> int:
    """The process of the run that waits."""
    workspace = Workspace.open(home)
    waiting = workspace.runs.next_waiting()
    workspace.close()
    assert waiting is not None
    execution.NICENESS = 0  # nobody else is to go before it here
    sys.argv = ["execution", str(home), waiting.id]
    return execution.main()


def push(home: Path) -> int:
    """The process of pushes that wait."""
    courier.NICENESS = 0
    sys.argv = ["courier", str(home)]
    return courier.main()


def command(*words: str) -> Callable[[Path], int]:
    """A command; ``HOME`` in it stands for the folder."""

    def does(home: Path) -> int:
        sys.argv = ["propend", *(word.replace("HOME", str(home)) for word in words)]
        cli.main()
        return 0

    return does


def upload(home: Path) -> int:
    """A file of events arrives, in parts; one that is there already does not come again."""
    workspace = Workspace.open(home)
    workspace.data.add(demo.orders_path(), "more.parquet")
    workspace.close()
    return 0


def edit(home: Path) -> int:
    """A new version of one instance, and a new instance."""
    workspace = Workspace.open(home)
    workspace.instances.edit("buyers", document() | {"description": "edited"})
    if "third" not in {row.id for row in workspace.instances.all()}:
        workspace.instances.create(document("Third"))
    workspace.close()
    return 0


SERVED = ("--workspace", "HOME")
ON_POSTGRES = (
    *("score", "train", "push", "retract table", "migrate", "forget", "forget on", "edit", "segment"),
    *("members", "members of a run", "destination", "delete"),
)
"""Scenes that send messages to PostgreSQL, where the catalog is in it."""
SCENES = {
    "score": Scene(worker, asked("score"), asked("score")),
    "train": Scene(worker, asked("train"), asked("train")),
    "push": Scene(push, push_asked, push_asked),
    "retract": Scene(command("destination", "remove", "1", *SERVED), nothing),
    "retract table": Scene(command("destination", "remove", "4", *SERVED), nothing),
    "export": Scene(command("export", "buyers", "--to", "HOME/best.csv.gz", *SERVED), nothing),
    "migrate": Scene(command("history", *SERVED), old_catalog),
    "upload": Scene(upload, nothing),
    "forget": Scene(command("forget", PERSON, *SERVED), nothing),
    "forget on": Scene(command("history", *SERVED), forgetting_begun),
    "members": Scene(command("segment", "show", "1", "--history", *SERVED), segment_made),
    "members of a run": Scene(worker, segment_and_run, segment_and_run),
    "edit": Scene(edit, nothing),
    "segment": Scene(command("segment", "create", "buyers", "likely", "percentile >= 80", *SERVED), nothing),
    "destination": Scene(command("destination", "add", "others", "crm", *SERVED), nothing),
    "delete": Scene(command("delete", "others", "--yes", *SERVED), nothing),
    "init": Scene(command("init", "HOME/new", "--data", "HOME/events.parquet"), nothing),
    "run --out": Scene(command("run", "HOME/instances/buyers.yaml", "--out", "HOME/results"), nothing),
}
