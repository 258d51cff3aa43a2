"""How the instances of a workspace stand: what each is for, how good it is, whom it scored, and what it does now.

However many instances there are, the catalog is asked a handful of questions. Documents of the runs that are served
are read once, and again only when another run is served or somebody is taken out of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from propend.errors import InstanceNotFoundError
from propend.instance import Instance
from propend.narrative import TONES, Given, judged
from propend.question import spoken_sentence
from propend.store.catalog import InstanceRow, RunRow, VersionRow, now
from propend.store.runs import read_json
from propend.workspace import Workspace

TOTAL_SECONDS = 60.0
"""How long the number of scores that were given is good enough."""
Plain = dict[str, Any]


@dataclass(frozen=True)
class Bucket:
    """A part of the profiles that were scored.

    Attributes:
        name: ``high``, ``medium`` or ``low``.
        tone: ``good``, ``medium`` or ``bad``: what it is to be in it.
        n, share: profiles in it, and their share of all.
        rate: the share of them that is expected to meet the goal.
    """

    name: str
    tone: str
    n: int
    share: float
    rate: float


@dataclass(frozen=True)
class Result:
    """What the run that is served found.

    Attributes:
        population: profiles that it scored.
        buckets: from high to low.
        grade, ranks: how good the ranking is, in words, and what that means.
        auc: ``{value, low, high}``; values are None where it is not defined.
        better_than_chance: whether the ranking is shown to be.
        same_period: whether the test was on the period that was learnt from, which flatters.
        tested: profiles in the test.
        met: how many of them met the goal.
        scored_on, until_on: days, in words, of which the scores speak.
        expires_at: when that time is over.
    """

    population: int
    buckets: tuple[Bucket, ...]
    grade: str
    ranks: str
    auc: Plain
    better_than_chance: bool
    same_period: bool
    tested: int
    met: int
    scored_on: str
    until_on: str
    expires_at: datetime

    @property
    def is_over(self) -> bool:
        """Whether the time that the scores speak of has passed."""
        return self.expires_at <= now()


@dataclass(frozen=True)
class InstanceSummary:
    """One instance among all of them: its line of the first page.

    Attributes:
        row: of the catalog.
        type: ``conversion`` or ``churn``; None of a draft that does not say yet.
        sentence: the question that it answers; None of a draft.
        schedule: when it is run; None where nobody but people start it.
        latest: the run that was asked for last.
        served: the run whose scores are served.
        result: what that one found; None where its documents are gone.
    """

    row: InstanceRow
    type: str | None
    sentence: str | None
    schedule: str | None
    latest: RunRow | None
    served: RunRow | None
    result: Result | None

    @property
    def is_busy(self) -> bool:
        """Whether a run of it waits or is executed."""
        return self.latest is not None and self.latest.state in ("queued", "running")

    @property
    def has_failed(self) -> bool:
        """Whether its last run came to nothing, and nobody wanted that."""
        return self.latest is not None and self.latest.state in ("failed", "interrupted")


class Overview:
    """How instances stand; safe for threads."""

    def __init__(self, workspace: Workspace) -> None:
        """``workspace``: an open one."""
        self._workspace = workspace
        self._results: dict[str, tuple[tuple[Any, ...], Result]] = {}
        self._total: tuple[float, int] = (0.0, 0)
        self._lock = threading.Lock()

    def of(self, instances: Sequence[InstanceRow], serving: Sequence[RunRow]) -> list[InstanceSummary]:
        """How these instances stand, in their order.

        Args:
            serving: the runs that are served, of these instances at least.
        """
        ids = [row.id for row in instances]
        versions, latest = self._workspace.instances.newest_versions(ids), self._workspace.runs.newest(ids)
        served = {run.instance_id: run for run in serving}
        return [
            self._summary(row, versions.get(row.id), latest.get(row.id), served.get(row.id)) for row in instances
        ]  # fmt: skip

    def scored_this_year(self) -> int:
        """Scores that were given since the first of January (UTC), once for each run: a minute old at the most."""
        counted_at, total = self._total
        if counted_at and time.monotonic() - counted_at < TOTAL_SECONDS:
            return total
        total = self._workspace.runs.scored_since(_new_year(now()))
        self._total = time.monotonic(), total
        return total

    def _summary(
        self, row: InstanceRow, version: VersionRow | None, latest: RunRow | None, served: RunRow | None
    ) -> InstanceSummary:
        result = self._result(served) if served is not None else None
        if version is None:
            kind = (row.draft or {}).get("type")
            kind = kind if kind in TONES else None
            return InstanceSummary(row, kind, None, None, latest, served, result)
        instance = Instance.load(version.document)
        sentence = spoken_sentence(instance.goal, instance.eligible)
        return InstanceSummary(row, instance.type, sentence, instance.options.schedule, latest, served, result)

    def _result(self, run: RunRow) -> Result | None:
        folder = self._workspace.runs.folder(run)
        stamp = (run.id, *(_changed(folder / f"{name}.json") for name in ("evaluation", "insights")))
        with self._lock:
            known = self._results.get(run.instance_id)
        if known is not None and known[0] == stamp:
            return known[1]
        try:
            found = _read(folder)
        except InstanceNotFoundError:  # its instance is being removed
            return None
        with self._lock:
            self._results[run.instance_id] = (stamp, found)
        return found


def _read(folder: Path) -> Result:
    evaluation, insights, run = (read_json(folder / f"{name}.json") for name in ("evaluation", "insights", "run"))
    given = Given(evaluation, insights, run)
    population, order = insights["population"], list(TONES["conversion"])
    buckets = [
        Bucket(b["bucket"], given.tones[b["bucket"]], b["n"], b["n"] / max(population, 1), b["expected_rate"])
        for b in insights["buckets"]
    ]
    grade, ranks = judged(evaluation)
    return Result(
        population=population,
        buckets=tuple(sorted(buckets, key=lambda b: order.index(b.name))),
        grade=grade,
        ranks=ranks,
        auc=evaluation["auc"],
        better_than_chance=evaluation["verdict"]["better_than_chance"],
        same_period=given.same_period,
        tested=evaluation["n"],
        met=evaluation["positives"],
        scored_on=given.day(run["scored_at"]),
        until_on=given.day_before(run["expires_at"]),
        expires_at=datetime.fromisoformat(run["expires_at"]),
    )


def _changed(path: Path) -> int:
    """Changes when a file is written anew; 0 where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _new_year(at: datetime) -> datetime:
    return at.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
