"""Base rates at many cutoffs, with a sample of the population at each: what the level's forecast looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from propend.events import EventLog, Partition
from propend.snapshots.build import Rows, survey_part
from propend.snapshots.program import Program

CUTOFFS_AT_ONCE = 16
"""Masks of a partition take eight bytes per profile and cutoff."""


@dataclass(frozen=True)
class LevelSample:
    """Outcomes counted at many cutoffs, through one or more outcome windows.

    Attributes:
        cutoffs: day numbers, ascending.
        met, labelled: int64[S, K] per program and cutoff: profiles that met the goal, and all with an outcome.
        rows: a sample of the population at every cutoff, ordered by profile and cutoff; labels are 0.
    """

    cutoffs: tuple[int, ...]
    met: NDArray[np.int64]
    labelled: NDArray[np.int64]
    rows: Rows


def sample_levels(
    log: EventLog, programs: Sequence[Program], cutoffs: Sequence[int], share: float, counted: float = 1.0
) -> LevelSample:
    """Count outcomes at cutoffs for every program and pick a share of the profiles, the same at all of them.

    Args:
        programs: the same lines with outcome windows of different lengths; the first says who is in the population.
        cutoffs: day numbers, ascending.
        share: of the profiles to sample, by their keys.
        counted: of the profiles whose outcomes are counted, likewise; no less than ``share``.
    """
    visitor = partial(_of_part, programs, tuple(cutoffs), share)
    met, labelled, owner, place = zip(*log.visit(visitor, max(share, counted)), strict=True)
    profile, column = np.concatenate(owner).astype(np.int64), np.concatenate(place)
    order = np.lexsort((column, profile))
    days = np.array(cutoffs, dtype=np.int64)[column[order]]
    rows = Rows(profile[order], days, np.zeros(len(days), np.uint8))
    return LevelSample(tuple(cutoffs), np.sum(met, axis=0), np.sum(labelled, axis=0), rows)


def _of_part(
    programs: Sequence[Program], cutoffs: tuple[int, ...], share: float, part: Partition
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Outcomes counted, then profile and position of the cutoff of each snapshot of the sample."""
    met, labelled = (np.zeros((len(programs), len(cutoffs)), dtype=np.int64) for _ in range(2))
    profile, column = [], []
    for first in range(0, len(cutoffs), CUTOFFS_AT_ONCE):
        block = slice(first, min(first + CUTOFFS_AT_ONCE, len(cutoffs)))
        seen = [survey_part(part, program, cutoffs[block]) for program in programs]
        for s, found in enumerate(seen):
            labelled[s, block] += found.labelled.sum(axis=0)
            met[s, block] += (found.labelled & found.met).sum(axis=0)
        chosen = seen[0].population.copy()
        chosen[part.of_share(share).profiles :] = False
        at = np.nonzero(chosen)
        profile.append(at[0] + part.first_profile)
        column.append(at[1] + first)
    return met, labelled, np.concatenate(profile), np.concatenate(column)
