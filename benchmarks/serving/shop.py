"""A workspace to be served: one instance with scores of as many profiles as wanted, and one that can be trained."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from benchmarks.speed.job import document
from benchmarks.speed.logs import Size, make_log

from propend.engines import connect
from propend.store.runs import GROUP_ROWS, read_scores, write_table
from propend.workspace import Workspace
from propend.workspace.dispatch import follow

SERVED, TRAINED = "served", "trained"


@dataclass(frozen=True)
class Shop:
    """What is asked about.

    Attributes:
        home: the workspace's folder.
        run: the folder of the run that is served.
        ids: profiles that are scored.
        events: of some of them, by their id.
    """

    home: Path
    run: Path
    ids: list[str]
    events: dict[str, list[dict[str, Any]]]


def make_shop(size: Size, scored: int, folder: Path, lively: int = 300) -> Shop:
    """Run an instance, and repeat its rows under further ids until so many are scored.

    Args:
        size: of the log that is learnt from.
        scored: profiles among the scores that are served.
        lively: profiles whose events are taken along.
    """
    log, home = make_log(size, folder), folder / "workspace"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    (home / "propend.toml").write_text("", encoding="utf-8")
    workspace = Workspace.open(home)
    for name in (SERVED, TRAINED):
        workspace.instances.create(document(log.absolute()) | {"name": name})
    started = workspace.runs.start(SERVED)
    ended = follow(workspace, started.id, lambda _: None)
    if ended.state != "succeeded":
        raise RuntimeError(f"the run {ended.state}: {ended.error}")
    run = workspace.runs.folder(ended)
    workspace.close()
    known = read_scores(run, columns=["profile_id"]).column("profile_id").to_pylist()
    ids = _widen(run, scored)
    return Shop(home, run, ids, _events_of(log, known[:: max(1, len(known) // lively)]))


def _widen(run: Path, scored: int) -> list[str]:
    """Rows of the run over and over under ids of their own, written as a run writes them; all ids."""
    table = read_scores(run)
    taken = table.take(pa.array(np.arange(scored) % len(table)))
    old = table.column("profile_id").to_pylist()
    ids = sorted(f"{old[i % len(old)]}-{i // len(old)}" if i >= len(old) else old[i] for i in range(scored))
    write_table(run / "scores.parquet", taken.set_column(0, "profile_id", pa.array(ids)), GROUP_ROWS)
    return ids


def _events_of(log: Path, profiles: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Events of some profiles as the columns of the log have them, times as texts."""
    with connect() as session:
        database: Any = session._db  # type: ignore[attr-defined]
        database.register("wanted", pa.table({"customer": profiles}))
        batches = database.batches(
            f"SELECT l.* FROM read_parquet('{log}/*.parquet') l JOIN wanted USING (customer) ORDER BY customer", 1 << 17
        )
        rows = [row for batch in batches for row in batch.to_pylist()]
    plain = [row | {"at": row["at"].isoformat()} for row in rows]
    return {name: list(events) for name, events in itertools.groupby(plain, key=lambda row: row["customer"])}
