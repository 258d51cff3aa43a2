"""How an instance stands: its question in words, the run that is served, what is under way, what went wrong last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from propend.errors import PropendError
from propend.instance import Instance
from propend.sentence import write_sentence
from propend.store.catalog import InstanceRow, RunRow
from propend.workspace import Workspace

Plain = dict[str, Any]
SCHEDULE_WORDS = {
    "daily": "every day at 04:00",
    "weekly": "every Monday at 04:00",
    "monthly": "on the first of every month at 04:00",
}
"""What the words of ``schedules.WORDS`` mean, on the clock of the instance's time zone."""
UNDER_WAY = ("queued", "running")
UNDONE = ("failed", "interrupted")


@dataclass(frozen=True)
class InstanceStanding:
    """One instance as its own pages show it (``overview`` has all of them).

    Attributes:
        document: of the version in force; the draft of an instance that has no version yet.
        question: goal and eligibility as a sentence; empty of a draft that does not say them yet.
        propensity_type: ``conversion`` or ``churn``.
        schedule: when it runs by itself, in words; empty where it does not.
        served: the run whose scores are served, if any.
        newest: the run asked for last, if any.
        is_edited: whether the version in force could give other scores than the one that is served.
        problem: what is wrong with its file, as ``PropendError.to_dict``.
    """

    document: Plain
    question: str
    propensity_type: str
    schedule: str
    time_zone: str
    served: RunRow | None
    newest: RunRow | None
    is_edited: bool
    problem: Plain | None

    @property
    def active(self) -> RunRow | None:
        """The newest run, while it waits or is executed."""
        return self.newest if self.newest is not None and self.newest.state in UNDER_WAY else None

    @property
    def is_incremental(self) -> bool:
        """Whether only new rows of some database are read."""
        events = dict(self.document.get("data") or {}).get("events")
        return any(
            isinstance(s, dict) and "incremental" in s for s in (events if isinstance(events, list) else [events])
        )

    @property
    def undone(self) -> RunRow | None:
        """The newest run, where it did not succeed: what is served is older."""
        return self.newest if self.newest is not None and self.newest.state in UNDONE else None

    @property
    def options(self) -> Plain:
        """The document's own options; none where it has none."""
        found = self.document.get("options")
        return found if isinstance(found, dict) else {}


def standing_of(workspace: Workspace, row: InstanceRow) -> InstanceStanding:
    """How an instance stands now."""
    document = dict(row.draft or {}) if row.version == 0 else workspace.instances.version(row.id, row.version).document
    try:
        instance: Instance | None = Instance.load(document)
    except PropendError:  # a draft may be unfinished; what runs never is
        instance = None
    problem, served = workspace.problems.get(row.id), workspace.runs.serving(row.id)
    return InstanceStanding(
        document=document,
        question=write_sentence(instance.goal, instance.eligible) if instance is not None else "",
        propensity_type="churn" if document.get("type") == "churn" else "conversion",
        schedule=schedule_words(instance.options.schedule) if instance is not None else "",
        time_zone=instance.options.time_zone if instance is not None else "UTC",
        served=served,
        newest=next(iter(workspace.runs.history(row.id, limit=1)), None),
        is_edited=served is not None and instance is not None and _is_edited(workspace, row, served, instance),
        problem=problem.to_dict() if problem is not None else None,
    )


def _is_edited(workspace: Workspace, row: InstanceRow, served: RunRow, instance: Instance) -> bool:
    if served.version == row.version:
        return False
    before = Instance.load(workspace.instances.version(row.id, served.version).document)
    return _unscheduled(before).hash != _unscheduled(instance).hash


def _unscheduled(instance: Instance) -> Instance:
    return instance.model_copy(update={"options": instance.options.model_copy(update={"schedule": None})})


def schedule_words(schedule: str | None) -> str:
    """When a schedule lets an instance run, in words; empty without one."""
    if not schedule:
        return ""
    return SCHEDULE_WORDS.get(schedule, f"at times of its own ({schedule})")
