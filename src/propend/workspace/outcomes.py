"""What came of earlier runs whose windows have passed by now, beside what they expected.

Looked at after a run, when the newest data say it, once for every run: the verdict is kept with the run, the whole
document and its page under ``.propend/outcomes/ID``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from propend import pipeline
from propend.aftermath import question_of
from propend.instance import Instance
from propend.store.catalog import RunRow
from propend.store.runs import WORK_FOLDER
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
        folders, out=folder_of(workspace, instance_id), memory=memory, home=workspace.instances.folder
    )
    told = {d["run_id"]: d["verdict"] for d in found.to_dict()["runs"] if d.get("matured")}
    verdicts = {r.id: told[r.id] for r in runs if r.id in told}
    for run_id, verdict in verdicts.items():
        workspace.runs.keep_verdict(run_id, verdict)
    return verdicts


def _asks_the_same(workspace: Workspace, newest: RunRow, document: Plain) -> bool:
    now = Instance.load(workspace.instances.version(newest.instance_id, newest.version).document)
    return question_of(Instance.load(document)) == question_of(now)
