"""Outcomes of snapshots at several horizons: the same lines with outcome windows of other lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from propend.events import EventLog, Partition
from propend.snapshots.build import Rows, survey_part
from propend.snapshots.levels import CUTOFFS_AT_ONCE
from propend.snapshots.program import Program

UNMET, MET, UNKNOWN = 0, 1, 2


def outcomes_at(log: EventLog, programs: Sequence[Program], rows: Rows) -> NDArray[np.uint8]:
    """uint8[H, N]: whether each snapshot met the goal of each program; ``UNKNOWN`` where it has no label.

    Whether a window is fully observed is not asked here: that depends on the day at which one stands.

    Args:
        programs: one per horizon.
        rows: ordered by profile.
    """
    return np.concatenate(list(log.visit(partial(_of_part, programs, rows))), axis=1)


def _of_part(programs: Sequence[Program], rows: Rows, part: Partition) -> NDArray[np.uint8]:
    own = part.among(rows.profile)
    wanted, owner = np.unique(rows.profile[own] - part.first_profile, return_inverse=True)
    return _outcomes(_only(part, wanted), programs, owner, rows.cutoff[own])


def _outcomes(
    part: Partition, programs: Sequence[Program], owner: NDArray[np.int64], cutoff: NDArray[np.int64]
) -> NDArray[np.uint8]:
    out = np.full((len(programs), len(cutoff)), UNKNOWN, dtype=np.uint8)
    days = np.unique(cutoff)
    for block in np.split(days, range(CUTOFFS_AT_ONCE, len(days), CUTOFFS_AT_ONCE)):
        here = np.flatnonzero(np.isin(cutoff, block))
        at = owner[here], np.searchsorted(block, cutoff[here])
        for h, program in enumerate(programs):
            seen = survey_part(part, program, tuple(block.tolist()))
            out[h, here] = np.where(seen.labelled[at], seen.met[at], UNKNOWN)
    return out


def _only(part: Partition, profiles: NDArray[np.int64]) -> Partition:
    """Some profiles of a partition, ascending, without their attributes: a sample need not look at everybody."""
    if len(profiles) == part.profiles:
        return part
    starts, sizes = part.offsets[profiles], np.diff(part.offsets)[profiles]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    events = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], sizes)
    return replace(
        part,
        profile_ids=part.profile_ids[profiles],
        keys=part.keys[profiles],
        offsets=offsets,
        at=part.at[events],
        kind=part.kind[events],
        bits=part.bits[events],
        value=part.value[events],
        numbers=np.ascontiguousarray(part.numbers[:, events]),
        texts=np.ascontiguousarray(part.texts[:, events]),
        attributes=None,
        lives=part.lives and part.lives.of(profiles),
    )
