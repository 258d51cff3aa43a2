"""One profile through time: its scores of the runs that are kept, and its events with the windows of a run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from propend.engines.one_profile import Happened, events_of
from propend.errors import InstanceNotFoundError, ProfileNotFoundError, ScoresGoneError
from propend.events import EventRequest
from propend.instance import Instance
from propend.narrative import Given
from propend.profile_charts import profile_events, score_history
from propend.snapshots.program import excluded_events
from propend.store.catalog import RunRow
from propend.store.lookup import ScoreIndex
from propend.store.runs import plain
from propend.workspace import Workspace

Plain = dict[str, Any]
MOST_RUNS = 12
"""Each is a file to be opened."""
MOST_EVENTS = 500
MOST_KINDS = 8
OTHER_KINDS = "other kinds"
LOOKED_BACK, OUTCOME = "looked back on", "spoken about"
"""The two windows of a run, as ``charts.CODES`` has them."""
HISTORY, EVENTS = score_history.__name__, profile_events.__name__
"""The pictures that rows are made for here."""


def history(workspace: Workspace, run: RunRow, profile_id: str) -> list[Plain]:
    """A profile's rows of the newest runs whose scores are kept, up to one of them, oldest first."""
    found: list[Plain] = []
    newer = workspace.runs.history(run.instance_id, state="succeeded", limit=4 * MOST_RUNS)
    kept = [r for r in newer if r.scores_kept and r.queued_at <= run.queued_at][:MOST_RUNS]
    for earlier in kept:
        try:
            row = ScoreIndex.open(workspace.runs.folder(earlier)).find(profile_id)
        except (ScoresGoneError, InstanceNotFoundError):
            continue  # removed for their age, or damaged: the others are shown
        if row is not None:
            found.append(plain(row))
    return found[::-1]


def history_rows(rows: Sequence[Plain], given: Given) -> list[Plain]:
    """The rows of the chart ``score_history``; of runs of the same day the last."""
    by_day = {
        str(given.date_of(row["scored_at"].isoformat())): {
            "scored_on": str(given.date_of(row["scored_at"].isoformat())),
            "probability": row["probability"], "low": row["probability_low"], "high": row["probability_high"],
            "score": row["score"], "bucket": row["bucket"], "tone": given.tones[row["bucket"]],
        }
        for row in rows
    }  # fmt: skip
    return [by_day[day] for day in sorted(by_day)]


# --- events -----------------------------------------------------------------------------------------------------


def timeline(workspace: Workspace, run: RunRow, given: Given, profile_id: str) -> Plain:
    """The newest events of a profile, and the windows of a run.

    Gives how many there are (``total``), how many of them are told (``told``), and ``rows`` of the chart
    ``profile_events``.

    Raises:
        ProfileNotFoundError: the person is to be forgotten.
        PropendError: the data cannot be read.
    """
    if workspace.privacy.is_forgotten(profile_id):
        raise ProfileNotFoundError("This person has been forgotten.", "what is left of them is in your own data only.")
    instance = Instance.load(workspace.instances.version(run.instance_id, run.version).document)
    request = EventRequest((), exclude=excluded_events(instance), time_zone=instance.options.time_zone)
    found, total = events_of(
        instance.data, workspace.instances.folder, request, profile_id, MOST_EVENTS, workspace.settings.runs.memory
    )
    return {"total": total, "told": len(found), "rows": event_rows(found, windows(given))}


def windows(given: Given) -> list[tuple[str, date, date]]:
    """The look-back and the outcome window of a run: which, its first day, and the day after its last."""
    shape, cutoff = given.run["timeline"], given.date_of(given.run["scored_at"])
    begin = cutoff + timedelta(days=shape["lead_days"])
    return [
        (LOOKED_BACK, cutoff - timedelta(days=shape["lookback_days"]), cutoff),
        (OUTCOME, begin, begin + timedelta(days=shape["outcome_days"])),
    ]


def event_rows(events: Sequence[Happened], spans: Sequence[tuple[str, date, date]]) -> list[Plain]:
    """The rows of the chart ``profile_events``: the windows, then the events; rare kinds stand together."""
    counted = Counter(e.kind for e in events)
    named = {kind for kind, _ in counted.most_common(MOST_KINDS)}
    told = [
        {"at": _moment(e.at), "until": None, "kind": e.kind, "value": _number(e.value),
         "line": e.kind if e.kind in named else OTHER_KINDS}
        for e in events
    ]  # fmt: skip
    return [{"at": str(a), "until": str(b), "kind": name, "value": None, "line": ""} for name, a, b in spans] + told


def _moment(at: int) -> str:
    """Of the local wall clock, to the minute."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).strftime("%Y-%m-%d %H:%M")


def _number(value: float | None) -> str | None:
    return f"{value:,.2f}".removesuffix(".00") if value is not None and math.isfinite(value) else None
