"""What came of earlier runs whose windows have passed by now, beside what they expected.

Looked at after a run, when the newest data say it, once for every run: the verdict is kept with the run, the whole
document and its page under ``.propend/outcomes/ID``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from propend import pipeline
from propend.aftermath import question_of, said_of
from propend.aftermath_page import DOCUMENT_NAME
from propend.instance import Instance
from propend.store.catalog import RunRow
from propend.store.runs import WORK_FOLDER, RunEntry, read_json, read_unsealed
from propend.workspace import Workspace

Plain = dict[str, Any]
MOST_RUNS = 60


def folder_of(workspace: Workspace, instance_id: str) -> Path:
    """Where an instance's ``aftermath.json`` and ``aftermath.html`` are."""
    return workspace.home / WORK_FOLDER / "outcomes" / instance_id


def due(workspace: Workspace, instance_id: str) -> list[RunRow]:
    """Runs whose windows the newest run's data have passed, and that have no verdict; none where nothing is new."""
    kept = [r for r in workspace.runs.history(instance_id, state="succeeded", limit=MOST_RUNS) if r.scores_kept]
    if not kept or kept[0].summary is None:
        return []
    settle = timedelta(days=Instance.load(workspace.instances.version(instance_id).document).options.settle)
    until = datetime.fromisoformat(kept[0].summary["scored_at"])
    return [
        run
        for run in kept[1:]
        if run.summary and "realised" not in run.summary
        and datetime.fromisoformat(run.summary["expires_at"]) + settle <= until
    ]  # fmt: skip


def look_back(workspace: Workspace, instance_id: str, memory: str | None = None) -> dict[str, Plain]:
    """Judge the runs that are due, with all others of the same question beside them; gives the verdicts by run.

    Raises:
        PropendError: the data cannot be read, or nothing can be told yet.
    """
    runs = due(workspace, instance_id)
    if not runs:
        return {}
    newest = workspace.runs.history(instance_id, state="succeeded", limit=1)[0]
    same = {
        v.number for v in workspace.instances.versions(instance_id) if _asks_the_same(workspace, newest, v.document)
    }
    judged = [r for r in workspace.runs.history(instance_id, state="succeeded", limit=MOST_RUNS) if r.scores_kept]
    folders = [workspace.runs.folder(r) for r in judged if r.version in same]
    found = pipeline.evaluate(
        folders, out=folder_of(workspace, instance_id), memory=memory, home=workspace.instances.folder,
        protection=workspace.protection_of(instance_id),
    )  # fmt: skip
    told = {d["run_id"]: d["verdict"] for d in found.to_dict()["runs"] if d.get("matured")}
    verdicts = {r.id: told[r.id] for r in runs if r.id in told}
    for run_id, verdict in verdicts.items():
        workspace.runs.keep_verdict(run_id, verdict)
    return verdicts


def so_far(workspace: Workspace, instance_id: str) -> list[Plain]:
    """Every run of the question asked now, oldest first, as in ``aftermath.json``: what it expected, and what came.

    Runs that were not looked back at yet are there with what they expect, and ``matures_at``, from when it can be told.
    """
    runs = [r for r in workspace.runs.history(instance_id, state="succeeded", limit=MOST_RUNS) if r.summary]
    if not runs:
        return []
    known = {row["run_id"]: row for row in told(workspace, instance_id).get("runs", [])}
    versions = {v.number: v.document for v in workspace.instances.versions(instance_id)}
    same = {number for number, document in versions.items() if _asks_the_same(workspace, runs[0], document)}
    settle = timedelta(days=Instance.load(versions[runs[0].version]).options.settle)
    rows = [known.get(run.id) or _expecting(workspace, run, settle) for run in runs if run.version in same]
    return sorted((row for row in rows if row is not None), key=lambda row: str(row["scored_at"]))


def told(workspace: Workspace, instance_id: str) -> Plain:
    """``aftermath.json`` as it was last written; empty where nothing could be told yet."""
    path = folder_of(workspace, instance_id) / DOCUMENT_NAME
    return read_unsealed(path) if path.is_file() else {}


def _expecting(workspace: Workspace, run: RunRow, settle: timedelta) -> Plain | None:
    """What a run expects; None where its documents are gone."""
    folder = workspace.runs.folder(run)
    if not (folder / "run.json").is_file():
        return None
    record, evaluation, insights = (read_json(folder / f"{name}.json") for name in ("run", "evaluation", "insights"))
    known_from = datetime.fromisoformat(record["expires_at"]) + settle
    said = said_of(RunEntry(folder, record), evaluation, insights)
    return said | {"matured": False, "matures_at": known_from.isoformat(), "score_drift": None}


def _asks_the_same(workspace: Workspace, newest: RunRow, document: Plain) -> bool:
    now = Instance.load(workspace.instances.version(newest.instance_id, newest.version).document)
    return question_of(Instance.load(document)) == question_of(now)
