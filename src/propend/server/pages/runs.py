"""Runs: those of an instance, one with its progress or its trouble, and two held against each other."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from propend.narrative import titled
from propend.pipeline import Run
from propend.report import language_of
from propend.retelling import in_english
from propend.server.cursors import cursor_of, moment_of
from propend.server.pages.served import retold
from propend.server.pages.shell import Manage, Page, View, invalid, path
from propend.server.shapes import Cursor
from propend.server.state import InstanceId, RunId
from propend.store.catalog import RunRow, now
from propend.store.runs import plain, read_json
from propend.workspace.journal import Journal
from propend.workspace.runs import ENDED

router = APIRouter()
Plain = dict[str, Any]
Chosen = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9-]{1,40}$")]
PAGE_ROWS = 25
MANY_RUNS = 60
STOP_ASKING = 286
"""The status by which htmx does not ask again."""
STAGES = {
    "read": "Reading the events",
    "survey": "Looking who is asked about, and who met the goal before",
    "features": "Describing every profile at past dates",
    "fit": "Learning from the past",
    "level": "Finding how high probabilities should be",
    "prove": "Testing on what the model has not seen",
    "fairness": "Comparing groups",
    "refit": "Learning once more, from everything",
    "horizons": "Learning how soon",
    "look back": "Looking what came of earlier scores",
    "compare": "Holding the new model against the old one",
    "describe": "Describing every profile as of now",
    "score": "Scoring everybody, with reasons",
    "write": "Writing it down",
}
"""What a run does, for people who wait for it."""
MENDS = {
    "data": ("Look at its data", {200, 201, 202, 203, 405, 407, 408, 411, 412}),
    "goal": ("Look at its goal", {101, 105, 400, 401, 409, 410, 413, 414}),
    "options": ("Look at its options", {117, 205, 402, 403}),
    "setup": ("Look at it again", {100, 140}),
}
"""Which step of the editor may mend a run that was refused, by the numbers of refusals."""


def mend_of(run: RunRow) -> tuple[str, str] | None:
    """Where what stopped a run can be mended, and what the link says; None where nobody can by editing."""
    number = str((run.error or {}).get("code", "")).rpartition("-")[2]
    for step, (words, numbers) in MENDS.items():
        if number.isdigit() and int(number) in numbers:
            return f"{path('instances', run.instance_id, 'edit')}?step={step}", words
    return None


# --- lists and one run ------------------------------------------------------------------------------------


@router.get("/instances/{instance_id}/runs")
def runs(instance_id: InstanceId, page: View, cursor: Cursor = None) -> Response:
    """The runs of an instance, the newest first."""
    instance = page.space.instances.get(instance_id)
    before = moment_of(cursor) if cursor is not None else None
    found = page.space.runs.history(instance_id, before=before, limit=PAGE_ROWS + 1)
    more = cursor_of(found[PAGE_ROWS - 1].queued_at.isoformat()) if len(found) > PAGE_ROWS else None
    served = page.space.runs.serving(instance_id)
    pair = comparable(page, instance_id)[:2]
    return page.html(
        "runs.html.j2", instance=instance, tab="runs", runs=found[:PAGE_ROWS], served=served, more=more, pair=pair
    )  # fmt: skip


@router.get("/runs/{run_id}")
def one_run(run_id: RunId, page: View) -> Response:
    """One run: its progress, what it made, or why it was refused."""
    run = page.space.runs.get(run_id)
    instance = page.space.instances.get(run.instance_id)
    record = retold(read_json(page.space.runs.folder(run) / "run.json"))[0] if run.state == "succeeded" else None
    return page.html(
        "run.html.j2", instance=instance, tab="runs", hides_run=run.state not in ENDED, run=run, record=record,
        told=[{**n, "title": titled(n["symbol"])} for n in (record or {}).get("warnings", [])],
        mend=mend_of(run), earlier=_before(page, run), usual_seconds=_usual_seconds(page, run),
        log=Journal(page.space.home, run).lines(), **_progress(page, run),
    )  # fmt: skip


@router.get("/runs/{run_id}/progress")
def progress(run_id: RunId, page: View, brief: bool = False) -> Response:
    """A part: how far a run is; asked for again and again until it has ended."""
    run = page.space.runs.get(run_id)
    ended = run.state in ENDED
    answer = page.html(
        "run_progress_part.html.j2", STOP_ASKING if ended else 200, run=run, brief=brief, **_progress(page, run)
    )
    if ended and not brief:
        answer.headers["HX-Refresh"] = "true"
    return answer


@router.get("/runs/{run_id}/log")
def run_log(run_id: RunId, page: View) -> Response:
    """A part: the last lines of a run's log; asked for again and again until it has ended."""
    run = page.space.runs.get(run_id)
    status = STOP_ASKING if run.state in ENDED else 200
    return page.html("run_log_part.html.j2", status, log=Journal(page.space.home, run).lines())


@router.post("/runs/{run_id}/cancel")
def cancel(run_id: RunId, page: Manage) -> Response:
    """Stop a run; the scores before it stay."""
    run = page.space.runs.cancel(run_id, page.who)
    return page.go(f"{path('runs', run.id)}?happened=cancelled")


def _progress(page: Page, run: RunRow) -> Plain:
    """What it does, for how long, and the stages that it has begun: those of a run that succeeded are in its record."""
    passed = Journal(page.space.home, run).stages() if run.state != "succeeded" else []
    seconds = ((run.finished_at or now()) - run.started_at).total_seconds() if run.started_at else 0.0
    return {"doing": STAGES.get(run.stage or "", "Starting"), "stages": STAGES, "seconds": seconds, "passed": passed}


def _usual_seconds(page: Page, run: RunRow) -> float | None:
    """How long the newest run of the instance that succeeded took."""
    done = page.space.runs.serving(run.instance_id)
    return (done.summary or {}).get("seconds") if done is not None and run.state not in ENDED else None


def _before(page: Page, run: RunRow) -> RunRow | None:
    """The run that succeeded before this one, to hold it against."""
    if run.state != "succeeded" or not run.scores_kept:
        return None
    found = page.space.runs.history(run.instance_id, state="succeeded", before=run.queued_at, limit=10)
    return next((r for r in found if r.scores_kept), None)


# --- two runs ---------------------------------------------------------------------------------------------


class Comparisons:
    """What moved between pairs of runs, for a while: it takes a look at every profile of both."""

    def __init__(self, most: int = 8) -> None:
        """``most``: so many pairs are kept."""
        self._most, self._lock = most, threading.Lock()
        self._known: OrderedDict[tuple[Any, ...], Plain] = OrderedDict()

    def of(self, page: Page, before: RunRow, after: RunRow) -> Plain:
        """``movement`` from one run to the other; looked at anew when the scores of either have changed.

        Raises:
            DifferentQuestionsError: they have different goals.
            ServerBusyError: too many wait for such work.
        """
        folders = [page.space.runs.folder(run) for run in (before, after)]
        key = tuple((str(f), (f / "scores.parquet").stat().st_mtime_ns) for f in folders)
        with self._lock:
            if key in self._known:
                return self._known[key]
        with page.heavy.turn():
            earlier, later = (Run.load(folder) for folder in folders)
            found: Plain = in_english(plain(later.movement(earlier)), language_of(later.record))
        with self._lock:
            self._known[key] = found
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return found


COMPARISONS = Comparisons()


def comparable(page: Page, instance_id: str) -> list[RunRow]:
    """Runs of an instance whose scores are still there, the newest first."""
    found = page.space.runs.history(instance_id, state="succeeded", limit=MANY_RUNS)
    return [run for run in found if run.scores_kept]


@router.get("/instances/{instance_id}/compare")
def compare(instance_id: InstanceId, page: View, before: Chosen = None, after: Chosen = None) -> Response:
    """Two runs, to be held against each other; what moved is asked for by the page, for it takes a while."""
    instance = page.space.instances.get(instance_id)
    choice = comparable(page, instance_id)
    ids = [run.id for run in choice]
    later = after or (ids[0] if ids else None)
    earlier = before or next((i for i in ids if i != later), None)
    return page.html(
        "compare.html.j2", instance=instance, tab="runs", choice=choice, before=earlier, after=later
    )  # fmt: skip


@router.get("/instances/{instance_id}/movement")
def movement(instance_id: InstanceId, page: View, before: Chosen = None, after: Chosen = None) -> Response:
    """A part: who moved from one run to another, and what moved them."""
    page.space.instances.get(instance_id)
    known = {run.id: run for run in comparable(page, instance_id)}
    if before not in known or after not in known or before == after:
        raise invalid("Two runs of this instance whose scores are kept are needed.", "choose two from the lists.")
    earlier, later = known[before], known[after]
    found = COMPARISONS.of(page, earlier, later)
    record = read_json(page.space.runs.folder(later) / "run.json")
    return page.html(
        "movement_part.html.j2", found=found, earlier=earlier, later=later, propensity_type=record["propensity_type"]
    )  # fmt: skip
