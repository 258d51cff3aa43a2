"""Whether the factors named are those the model goes by: take them away, or give nothing else, and look.

Deletion sets the features of one factor after another to what is typical; a true order moves the log-odds most with
its first steps. Insertion begins with a typical profile and gives it one factor after another; a true order comes near
the profile's own log-odds with its first steps (Petsiuk, Das and Saenko 2018, RISE, for pictures).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend.explain.factors import Explainer

Matrix = NDArray[np.float32]
Float = NDArray[np.float64]
Ints = NDArray[np.int64]

STEPS = 5
CHECKED_ROWS = 500


@dataclass(frozen=True)
class Curves:
    """How far profiles move, or are from themselves, as the mean absolute difference in log-odds.

    Attributes:
        deletion: float64[K + 1], after so many factors were taken away, from none on.
        insertion: float64[K + 1], after so many were given to a typical profile, from none on.
    """

    deletion: Float
    insertion: Float


def typical_row(X: Matrix) -> Matrix:
    """float32[F]: the mean of every feature, missing where it is missing for most."""
    out = np.full(X.shape[1], np.nan, dtype=np.float32)
    for j in range(X.shape[1]):
        known = X[:, j][~np.isnan(X[:, j])]
        if 2 * len(known) > len(X):
            out[j] = np.mean(known, dtype=np.float64)
    return out


def curves(explainer: Explainer, X: Matrix, order: Ints, typical: Matrix, steps: int = STEPS) -> Curves:
    """Both curves of rows.

    Args:
        X: float32[N, F], all features of the plan.
        order: int64[N, K] or [K], positions of factors, those to begin with first; K is at least ``steps``.
        typical: float32[F].
        steps: factors taken away and given.
    """
    model, columns = explainer.model, [explainer.columns[explainer.group == g] for g in range(len(explainer.factors))]
    orders = np.broadcast_to(order, (len(X), np.shape(order)[-1]))
    without, given = [X.copy()], [np.repeat(typical[None, :], len(X), axis=0)]
    for step in range(min(steps, orders.shape[1])):
        less, more = without[-1].copy(), given[-1].copy()
        for g in np.unique(orders[:, step]):
            rows, places = np.flatnonzero(orders[:, step] == g)[:, None], columns[g][None, :]
            less[rows, places], more[rows, places] = typical[places], X[rows, places]
        without.append(less)
        given.append(more)
    margin = model.margin(np.concatenate([*without, *given])).reshape(2, len(without), len(X))
    apart = np.abs(margin - margin[0, 0]).mean(axis=2)
    return Curves(apart[0], apart[1])


def named_order(explainer: Explainer, X: Matrix) -> Ints:
    """int64[N, G]: each row's factors, those with the most impact first."""
    return np.argsort(-np.abs(explainer.contributions(X).impact), axis=1, kind="stable")


def random_order(explainer: Explainer, rows: int, seed: int) -> Ints:
    """int64[N, G]: each row's factors in an order of its own."""
    ordered = np.tile(np.arange(len(explainer.factors)), (rows, 1))
    return np.random.default_rng(seed).permuted(ordered, axis=1)


def faithfulness(explainer: Explainer, X: Matrix, seed: int) -> dict[str, Any]:
    """What a run says of its own factors, as plain data: both curves, in the named order and in a random one."""
    rows = X[:: max(1, len(X) // CHECKED_ROWS)][:CHECKED_ROWS]
    typical = typical_row(rows)
    orders = {"named": named_order(explainer, rows), "random": random_order(explainer, len(rows), seed)}
    found = {name: curves(explainer, rows, order, typical) for name, order in orders.items()}
    return {"profiles": len(rows)} | {
        name: {"deletion": c.deletion.tolist(), "insertion": c.insertion.tolist()} for name, c in found.items()
    }
