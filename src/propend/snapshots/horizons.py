"""Outcomes of snapshots at several horizons: the same lines with outcome windows of other lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from propend.events import EventLog
from propend.snapshots.build import Rows, survey_part
from propend.snapshots.program import Program

UNMET, MET, UNKNOWN = 0, 1, 2


def outcomes_at(log: EventLog, programs: Sequence[Program], rows: Rows) -> NDArray[np.uint8]:
    """uint8[H, N]: whether each snapshot met the goal of each program; ``UNKNOWN`` where it has no label.

    Whether a window is fully observed is not asked here: that depends on the day at which one stands.

    Args:
        programs: one per horizon.
        rows: ordered by profile.
    """
    found = np.full((len(programs), len(rows)), UNKNOWN, dtype=np.uint8)
    base = 0
    for part in log.partitions():
        first, end = np.searchsorted(rows.profile, (base, base + part.profiles))
        if end > first:
            days = tuple(np.unique(rows.cutoff[first:end]).tolist())
            at = rows.profile[first:end] - base, np.searchsorted(days, rows.cutoff[first:end])
            for h, program in enumerate(programs):
                seen = survey_part(part, program, days)
                found[h, first:end] = np.where(seen.labelled[at], seen.met[at], UNKNOWN)
        base += part.profiles
    return found
