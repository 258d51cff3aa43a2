"""Runs: started, watched, cancelled, held against each other; their documents, and those of the run that is served."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, Response
from pydantic import Field, RootModel

from propend import pipeline
from propend.errors import InstanceNotFoundError, NoOutcomeKnownError
from propend.pipeline import Run
from propend.server.access import Manager, Viewer
from propend.server.cursors import cursor_of, moment_of
from propend.server.idempotency import Creating
from propend.server.shapes import (
    Cursor,
    FactorsOut,
    Limit,
    Plain,
    RunBody,
    RunLog,
    RunOut,
    RunPage,
    StageOut,
    refusals,
)
from propend.server.state import Heavy, InstanceId, RunId, Scores, Space
from propend.store.catalog import RunRow
from propend.store.runs import plain, read_json
from propend.workspace import Workspace
from propend.workspace.journal import Journal

router = APIRouter(tags=["runs"])
State = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
"""A page with scripts of its own, kept apart from the session of who reads it."""


class Document(RootModel[Plain]):
    """A document as it stands in the folder of the run (docs/results.md)."""

    root: Annotated[
        Plain, Field(examples=[{"proof": "out-of-time", "auc": {"value": 0.81, "low": 0.79, "high": 0.83}}])
    ]


@router.post("/instances/{instance_id}/runs", status_code=201, response_model=RunOut, responses=refusals(404, 409))
def start_run(
    instance_id: InstanceId, space: Space, caller: Manager, once: Creating, body: RunBody | None = None
) -> Response:
    """Ask for a run; it waits until it can be executed, in a process of its own."""
    asked = body or RunBody()
    options: Plain = {"as_of": asked.as_of.isoformat()} if asked.as_of is not None else {}
    options |= {"full": True} if asked.full else {}

    def work() -> RunOut:
        return RunOut.of(
            space.runs.start(instance_id, by=caller.name, kind=asked.kind, trigger="api", options=options)
        )  # fmt: skip

    return once.answer(201, work)


@router.get("/runs", responses=refusals())
def list_runs(
    space: Space,
    _caller: Viewer,
    instance: Annotated[str | None, Query(pattern=r"^[a-z0-9-]{1,80}$")] = None,
    state: State | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RunPage:
    """Runs, the newest first."""
    before = moment_of(cursor) if cursor is not None else None
    found = space.runs.history(instance, state=state, before=before, limit=limit + 1)
    more = cursor_of(found[limit - 1].queued_at.isoformat()) if len(found) > limit else None
    return RunPage(items=[RunOut.of(row) for row in found[:limit]], next=more)


@router.get("/runs/{run_id}", responses=refusals(404))
def get_run(run_id: RunId, space: Space, _caller: Viewer) -> RunOut:
    """One run: its state and, while it is executed, its stage and the share done."""
    return RunOut.of(space.runs.get(run_id))


@router.post("/runs/{run_id}/cancel", responses=refusals(404, 409))
def cancel_run(run_id: RunId, space: Space, caller: Manager) -> RunOut:
    """Stop a run: at once if it waits, within moments if it is executed. Nothing of it is kept."""
    return RunOut.of(space.runs.cancel(run_id, caller.name))


@router.get("/runs/{run_id}/log", responses=refusals(404))
def get_log(run_id: RunId, space: Space, _caller: Viewer) -> RunLog:
    """The stages passed, with their seconds, and the last 200 lines of the log; also of a run that failed."""
    journal = Journal(space.home, space.runs.get(run_id))
    stages = [StageOut(stage=s.name, began_at=s.began_at, seconds=s.seconds) for s in journal.stages()]
    found = journal.lines()
    return RunLog(run=run_id, stages=stages, lines=list(found.texts), cut=found.cut)


@router.get("/runs/{run_id}/evaluation", responses=refusals(404))
def get_evaluation(run_id: RunId, space: Space, _caller: Viewer) -> Document:
    """The proof: `evaluation.json`."""
    return _document(space, space.runs.get(run_id), "evaluation")


@router.get("/runs/{run_id}/insights", responses=refusals(404))
def get_insights(run_id: RunId, space: Space, _caller: Viewer) -> Document:
    """Buckets, factors, example profiles: `insights.json`."""
    return _document(space, space.runs.get(run_id), "insights")


@router.get("/runs/{run_id}/record", responses=refusals(404))
def get_record(run_id: RunId, space: Space, _caller: Viewer) -> Document:
    """What was run, on what, with which warnings: `run.json`."""
    return _document(space, space.runs.get(run_id), "run")


@router.get(
    "/runs/{run_id}/report",
    response_class=FileResponse,
    responses={200: {"content": {"text/html": {}}, "description": "One page; it needs no network."}, **refusals(404)},
)
def get_report(run_id: RunId, space: Space, _caller: Viewer) -> FileResponse:
    """The report for people, as one page."""
    path = space.runs.folder(_finished(space.runs.get(run_id))) / "report.html"
    if not path.is_file():
        raise InstanceNotFoundError(f"Run {run_id} has no report any more.", "run the instance again.", run=run_id)
    return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})


@router.get("/runs/{run_id}/comparison", responses=refusals(404))
def get_comparison(
    run_id: RunId,
    since: Annotated[str, Query(pattern=r"^[A-Za-z0-9-]{1,40}$", description="Id of the earlier run.")],
    space: Space,
    _caller: Viewer,
) -> Document:
    """What moved from an earlier run of the same goal to this one (docs/results.md, what moved)."""
    later, earlier = (_loaded(space, space.runs.get(i)) for i in (run_id, since))
    return Document(plain(later.movement(earlier)))


@router.get("/instances/{instance_id}/evaluation", responses=refusals(404))
def get_serving_evaluation(instance_id: InstanceId, space: Space, scores: Scores, _caller: Viewer) -> Document:
    """The proof of the model whose scores are served."""
    return _document(space, scores.served(instance_id), "evaluation")


@router.get("/instances/{instance_id}/factors", responses=refusals(404))
def get_factors(instance_id: InstanceId, space: Space, scores: Scores, _caller: Viewer) -> FactorsOut:
    """What raises and lowers the scores that are served, over all profiles and in each bucket."""
    run = scores.served(instance_id)
    found = _document(space, run, "insights").root
    return FactorsOut(
        instance=instance_id, run=run.id, base=found["base"], factors=found["factors"], buckets=found["buckets"]
    )


@router.get("/instances/{instance_id}/realised", responses=refusals(404))
def get_realised(instance_id: InstanceId, space: Space, heavy: Heavy, _caller: Viewer) -> Document:
    """What came of the runs whose windows have passed, beside what they expected (docs/results.md, aftermath.json)."""
    space.instances.get(instance_id)
    done = space.runs.history(instance_id, state="succeeded", limit=1000)
    folders = [folder for run in done if run.scores_kept and (folder := space.runs.folder(run)).is_dir()]
    if not folders:
        raise NoOutcomeKnownError(f"{instance_id!r} has no run whose scores are kept.", "run it, and wait.")
    with heavy.turn():
        return Document(plain(pipeline.evaluate(folders).to_dict()))


def _document(space: Workspace, run: RunRow, name: str) -> Document:
    return Document(read_json(space.runs.folder(_finished(run)) / f"{name}.json"))


def _loaded(space: Workspace, run: RunRow) -> Run:
    return Run.load(space.runs.folder(_finished(run)))


def _finished(run: RunRow) -> RunRow:
    """A run that has left documents.

    Raises:
        InstanceNotFoundError: it has not.
    """
    if run.state != "succeeded":
        raise InstanceNotFoundError(
            f"Run {run.id} has no documents: it is {run.state}.", "wait for its end, or see its error.", run=run.id
        )
    return run
