"""Texts with very many values as one number: the log-odds of the outcome among others with the same value.

Of a snapshot that is learnt from, its own fold is left out, so that no profile is described by its own outcome. What
few profiles tell is shrunk towards all, by as much as the values differ among themselves (empirical Bayes by the
method of moments; the encoding is Micci-Barreca's, *SIGKDD Explorations* 3, 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from propend.model.calibrate import logit

Float = NDArray[np.float64]
Codes = NDArray[np.float32]
Labels = NDArray[np.uint8]
Ints = NDArray[np.int64]

LEAST_PRIOR = 2.0
"""Profiles that the prior of a value counts for, at the least."""


@dataclass(frozen=True)
class Encoding:
    """What each value of a text says.

    Attributes:
        place: position of the column among those the model uses.
        odds: float64[V + 1], log-odds of each value above those of all; 0 for any other value, which is the last.
    """

    place: int
    odds: Float

    def __call__(self, codes: Codes) -> Codes:
        """float32[N]: the log-odds of the values; NaN where there is none."""
        known = ~np.isnan(codes)
        out = np.full(len(codes), np.nan, dtype=np.float32)
        out[known] = self.odds[codes[known].astype(np.int64)]
        return out


def fit_encoding(place: int, codes: Codes, label: Labels, key: NDArray[np.uint64], size: int) -> Encoding:
    """The log-odds of each value, all snapshots of a profile with one value counting as one.

    Args:
        codes: float32[N], positions of values, ``size`` for any other value, NaN for none.
        key: uint64[N], of the profiles.
        size: V, how many values have a position.
    """
    known = ~np.isnan(codes)
    at, y = codes[known].astype(np.int64), label[known].astype(np.float64)
    weight = 1.0 / _alike(at, key[known])
    n, met = (np.bincount(at, weights=w, minlength=size + 1).astype(np.float64) for w in (weight, weight * y))
    odds = np.zeros(size + 1)
    if n.sum() > 0 and 0 < met.sum() < n.sum():
        rate = met.sum() / n.sum()
        prior = _prior(n, met, rate)
        odds[:size] = (logit((met + prior * rate) / (n + prior)) - logit(rate))[:size]
    return Encoding(place, odds)


def _alike(at: Ints, key: NDArray[np.uint64]) -> Float:
    """float64[N]: how many snapshots the profile has with that value."""
    order = np.lexsort((at, key))
    first = np.ones(len(at), dtype=bool)
    first[1:] = (np.diff(at[order]) != 0) | (key[order][1:] != key[order][:-1])
    group = np.cumsum(first) - 1
    out = np.empty(len(at))
    out[order] = np.bincount(group)[group] if len(at) else 0.0
    return out


def _prior(n: Float, met: Float, rate: float) -> float:
    """How many profiles the rate of all counts for in the rate of a value; very many where values hardly differ."""
    seen = n > 0
    total, within = n.sum(), rate * (1.0 - rate)
    between = float(np.sum(n[seen] * (met[seen] / n[seen] - rate) ** 2)) - (int(seen.sum()) - 1) * within
    spread = max(between, 0.0) / max(total - float(np.sum(n**2)) / total, 1e-9)
    return max(LEAST_PRIOR, float(within) / max(float(spread), 1e-12))


def encode_out_of_fold(
    X: NDArray[np.float32],
    coded: Sequence[tuple[int, int]],
    label: Labels,
    key: NDArray[np.uint64],
    fold: Ints,
) -> tuple[NDArray[np.float32], tuple[Encoding, ...]]:
    """Snapshots to learn from, each described without its fold, and the encodings for all others.

    Args:
        X: float32[N, C], the columns the model uses; not changed.
        coded: columns of codes, and how many values each has.
        fold: int64[N]; all rows of a profile are in one fold.
    """
    if not coded:
        return X, ()
    out, encodings = X.copy(), []
    for place, size in coded:
        codes = X[:, place]
        for k in range(int(fold.max()) + 1):
            inside, outside = fold != k, fold == k
            found = fit_encoding(place, codes[inside], label[inside], key[inside], size)
            out[outside, place] = found(codes[outside])
        encodings.append(fit_encoding(place, codes, label, key, size))
    return out, tuple(encodings)
