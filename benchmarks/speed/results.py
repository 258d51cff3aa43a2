"""What was measured, as one file: runs of other sizes are added to it, and the tables and pictures are made from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """The whole job on one log with one budget of memory; seconds, bytes.

    Attributes:
        events: of the log, in round numbers.
        size: their name, ``5M``.
        memory: the budget, ``-`` for the default.
        used: events that were read.
        read, describe, model, score: reading and coding; survey and features; learning and proving; scoring and
            explaining.
        whole: all of it, from the files to scores, factors and report on disk.
        again: scoring anew with the saved model.
        group: DuckDB's one scan and group-by of the same files, in the same run.
        peak: the most memory that the process held.
        auc: of the proof.
    """

    events: int
    size: str
    memory: str
    used: int
    read: float
    describe: float
    model: float
    score: float
    whole: float
    again: float
    group: float
    peak: float
    auc: float

    @property
    def key(self) -> str:
        return f"{self.size} {self.memory}"

    @property
    def stages(self) -> dict[str, float]:
        """Seconds by stage, in order, the report and what lies between the stages among them."""
        named = {"read": self.read, "describe": self.describe, "learn and prove": self.model, "score": self.score}
        return {**named, "report, files": self.whole - sum(named.values())}


@dataclass(frozen=True)
class Snapshots:
    """Propend's snapshots of everybody in the population, without reading.

    Attributes:
        features, cutoffs, rows: how many; rows at all cutoffs.
        one, all: seconds at the newest cutoff and at all.
        gap: largest relative difference from DuckDB's features; none where not compared.
    """

    events: int
    size: str
    group: float
    features: int
    cutoffs: int
    rows: int
    one: float
    all: float
    gap: float | None = None

    @property
    def key(self) -> str:
        return self.size


@dataclass(frozen=True)
class Beside:
    """Another tool, and propend on the same log in the same run.

    Attributes:
        tool, version: which.
        task: ``features`` or ``labels``.
        cutoffs: how many.
        rows, features: that the tool made.
        load: seconds of reading and bringing the events into its form; 0 where that is not apart.
        seconds: of making features or labels.
        ours: of propend's, for as many of the same as the tool has.
        shared: features that both have and that were compared; of labels, 1.
        ratio: seconds per cell over propend's.
        gap: largest relative difference; of labels, how many differ. None where nothing could be compared.
        not_run: why there are no figures.
    """

    events: int
    size: str
    tool: str
    task: str
    cutoffs: int
    version: str = ""
    rows: int = 0
    features: int = 0
    load: float = 0.0
    seconds: float = 0.0
    ours: float = 0.0
    shared: int = 0
    ratio: float = 0.0
    gap: float | None = None
    not_run: str = ""

    @property
    def key(self) -> str:
        return f"{self.size} {self.tool}"


@dataclass(frozen=True)
class Results:
    """Everything measured, by key; a later measurement of the same takes an earlier one's place."""

    jobs: dict[str, Job] = field(default_factory=dict)
    snapshots: dict[str, Snapshots] = field(default_factory=dict)
    beside: dict[str, Beside] = field(default_factory=dict)

    def add(self, found: Job | Snapshots | Beside) -> None:
        """In its place, by size."""
        kept: dict[str, Any] = {Job: self.jobs, Snapshots: self.snapshots, Beside: self.beside}[type(found)]
        kept[found.key] = found

    def save(self, target: Path) -> None:
        """As JSON, by size, by one rename."""
        target.parent.mkdir(parents=True, exist_ok=True)
        text = {name: {k: asdict(x) for k, x in _ordered(getattr(self, name))} for name in KINDS}
        half = target.with_suffix(".tmp")
        half.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
        half.replace(target)


KINDS: dict[str, Any] = {"jobs": Job, "snapshots": Snapshots, "beside": Beside}


def _ordered(kept: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(kept.items(), key=lambda pair: pair[1].events)


def load(target: Path) -> Results:
    """What was saved; empty where there is nothing."""
    if not target.exists():
        return Results()
    found = json.loads(target.read_text(encoding="utf-8"))
    return Results(**{name: {k: kind(**x) for k, x in found[name].items()} for name, kind in KINDS.items()})
