"""What another tool is asked for, and what it answers: the two files between propend's process and the tool's.

Windows are propend's: ``[cutoff - days, cutoff)`` for features, ``[cutoff, cutoff + days)`` for outcomes. Tools whose
windows are ``(time - days, time]`` are asked for a time half a millisecond before the cutoff, which is the same, as the
logs' times are whole milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

SHIFT_US = 500
"""Half of what the logs' times are multiples of."""
EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Asked:
    """One feature.

    Attributes:
        place: among the plan's; its column is ``f{place}``.
        op: name of the aggregate, as in ``propend.snapshots.plan.Op``.
        kind, category: of the events that count; empty for all.
        window_days: how far it looks back.
    """

    place: int
    op: str
    kind: str
    category: str
    window_days: int


@dataclass(frozen=True)
class Request:
    """One log, whom to describe, and when.

    Attributes:
        events: folder of Parquet files.
        cutoffs: day numbers; features are asked for at the only one, labels at all.
        lookback_days, outcome_days, eligibility_days: lengths of windows.
        goal: kind of event that the labels are about.
        features: empty where labels are asked for.
    """

    events: str
    cutoffs: Sequence[int]
    lookback_days: int
    outcome_days: int
    eligibility_days: int
    goal: str
    features: Sequence[Asked] = ()

    def write(self, folder: Path, people: pa.Table) -> None:
        """Also ``people``: customer and label of everybody who is to be described."""
        pq.write_table(people, folder / "people.parquet")
        (folder / "request.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> tuple[Request, pa.Table]:
        """What ``write`` wrote."""
        found = json.loads((folder / "request.json").read_text(encoding="utf-8"))
        found["features"] = [Asked(**x) for x in found["features"]]
        return Request(**found), pq.read_table(folder / "people.parquet")

    def looked_at(self, columns: Sequence[str]) -> pa.Table:
        """Columns of all events in the look-back of the cutoff."""
        end = day(self.cutoffs[-1])
        at = pc.field("at")
        inside = (at < end) & (at >= end - timedelta(days=self.lookback_days))
        return ds.dataset(self.events).to_table(columns=list(columns), filter=inside)


@dataclass(frozen=True)
class Answer:
    """What a tool made.

    Attributes:
        table: ``customer`` and ``f{place}`` of those features asked for that it has; of labels ``customer``, ``cutoff``
            and ``label``.
        load: seconds of reading and of bringing the events into the tool's form.
        make: seconds of making features or labels from that.
        features: how many it made, asked for or not.
        zero_for_missing: whether it has 0 where there is nothing to aggregate.
    """

    table: pa.Table
    load: float
    make: float
    features: int
    zero_for_missing: bool = False

    def figures(self) -> dict[str, Any]:
        """All but the table."""
        return {name: getattr(self, name) for name in ("load", "make", "features", "zero_for_missing")}


def day(number: int) -> datetime:
    """Midnight of a day number."""
    return EPOCH + timedelta(days=number)
