"""Which of very many labelled snapshots are learnt from.

Where both outcomes are common, some of the profiles are as good as all. Where one is rare, it is the one that
tells: its snapshots are kept, and of the others fewer (case-control sampling). A model of such a sample is right
but for its intercept, which is too high by the logarithm of how many times likelier the rare were kept
(Prentice and Pyke, Biometrika 66, 1979; King and Zeng, Political Analysis 9, 2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from propend.snapshots.build import Rows, Survey, rows_at

RARE_SHARE = 0.1
"""An outcome of fewer snapshots than this share is rare."""


@dataclass(frozen=True)
class Sample:
    """Snapshots drawn from all there are.

    Attributes:
        rows: the snapshots, labelled.
        times: how many times likelier one of the rarer outcome was drawn than one of the other; 1 where all alike.
        rarer: the label, 0 or 1, of the rarer outcome.
        even: bool[N]: rows of which each was as likely as any other to be here.
    """

    rows: Rows
    times: float
    rarer: int
    even: NDArray[np.bool_]

    @property
    def odds_shift(self) -> float:
        """By how much the log-odds of label 1 are higher here than among all."""
        return float(np.log(self.times)) * (1.0 if self.rarer else -1.0)

    def where(self, chosen: NDArray[np.bool_]) -> Sample:
        """Those rows of which bool[N] is true; the choice must not depend on labels."""
        return Sample(self.rows.where(chosen), self.times, self.rarer, self.even[chosen])


def draw(given: Survey, cutoffs: tuple[int, ...], most: int) -> Sample:
    """All labelled snapshots at some cutoffs, or about ``most`` of them, the same on every machine.

    Of a rare outcome all are kept, up to half of ``most``.
    """
    rows = rows_at(given, cutoffs, labelled=True)
    met = int(rows.label.sum())
    rarer, few = (1, met) if 2 * met <= len(rows) else (0, len(rows) - met)
    if len(rows) <= most:
        return Sample(rows, 1.0, rarer, np.ones(len(rows), dtype=bool))
    if few > RARE_SHARE * len(rows):
        some = rows_at(given, cutoffs, labelled=True, share=most / len(rows))
        return Sample(some, 1.0, rarer, np.ones(len(some), dtype=bool))
    of_few = min(1.0, 0.5 * most / max(few, 1))
    of_many = (most - of_few * few) / (len(rows) - few)
    lot = lots(given.keys[rows.profile], rows.cutoff)
    kept = lot < np.where(rows.label == rarer, of_few, of_many)
    return Sample(rows.where(kept), of_few / of_many, rarer, lot[kept] < of_many)


def draw_alike(whole: Rows, keys: NDArray[np.uint64], pattern: Sample) -> NDArray[np.bool_]:
    """bool[N]: which of rows drawn evenly make a sample like another, the rarer outcome as often over the other.

    Args:
        keys: uint64[N], stable hashes of the rows' profiles.
        pattern: the sample to be like.
    """
    kept: NDArray[np.bool_] = (whole.label == pattern.rarer) | (lots(keys, whole.cutoff) < 1.0 / pattern.times)
    return kept


def draw_evenly(given: Survey, cutoff: int, most: int, most_if_rare: int, rare_enough: int) -> Rows:
    """All labelled snapshots at a cutoff, or those of some profiles; of more where an outcome is rare.

    Args:
        most: about so many rows.
        most_if_rare: about so many at the most where the rarer outcome would have fewer than ``rare_enough``.
    """
    rows = rows_at(given, (cutoff,), labelled=True)
    met = int(rows.label.sum())
    few = max(min(met, len(rows) - met), 1)
    wanted = min(max(most, rare_enough * len(rows) // few), most_if_rare)
    return rows if len(rows) <= wanted else rows_at(given, (cutoff,), labelled=True, share=wanted / len(rows))


def lots(keys: NDArray[np.uint64], cutoff: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[N] in [0, 1), evenly spread, of profile and cutoff alone (splitmix64's finisher)."""
    z = keys ^ (cutoff.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.float64] = ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return mixed
