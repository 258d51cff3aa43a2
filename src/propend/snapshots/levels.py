"""Base rates at many cutoffs, with a sample of the population at each: what the level's forecast looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from propend.events import EventLog
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
    met, labelled = (np.zeros((len(programs), len(cutoffs)), dtype=np.int64) for _ in range(2))
    profile, column, base = [], [], 0
    for whole in log.partitions():
        part = whole.first(_below(whole.keys, max(share, counted)))
        if part.profiles == 0:  # profiles come in the order of their keys
            break
        for first in range(0, len(cutoffs), CUTOFFS_AT_ONCE):
            block = slice(first, min(first + CUTOFFS_AT_ONCE, len(cutoffs)))
            seen = [survey_part(part, program, tuple(cutoffs[block])) for program in programs]
            for s, found in enumerate(seen):
                labelled[s, block] += found.labelled.sum(axis=0)
                met[s, block] += (found.labelled & found.met).sum(axis=0)
            chosen = seen[0].population
            chosen[_below(part.keys, share) :] = False
            at = np.nonzero(chosen)
            profile.append(at[0] + base)
            column.append(at[1] + first)
        base += whole.profiles
    owner, place = np.concatenate(profile).astype(np.int64), np.concatenate(column)
    order = np.lexsort((place, owner))
    days = np.array(cutoffs, dtype=np.int64)[place[order]]
    return LevelSample(tuple(cutoffs), met, labelled, Rows(owner[order], days, np.zeros(len(days), np.uint8)))


def _below(keys: NDArray[np.uint64], share: float) -> int:
    """How many of ascending keys belong to a share of all profiles."""
    return len(keys) if share >= 1.0 else int(np.searchsorted(keys, np.uint64(int(share * 2.0**64))))
