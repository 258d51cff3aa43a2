"""Which features of very large training data are worth their time: those that trees of a sample make use of.

Fits take as long as there are cells, and of some hundred features most say what others say, too (decision 0021 has the
figures).
"""

from __future__ import annotations

import numpy as np
import xgboost as xgb

from propend.language import say
from propend.model.members import THREADS_PER_FIT, tree_parameters
from propend.model.train import Columns, Dropped, TrainingSet

MAX_CELLS, KEPT_CELLS = 18_000_000, 10_800_000
"""Snapshots times features: from how many on features are left out, and how many are learnt from then."""
LEAST_FEATURES = 80
SAMPLE_ROWS, SAMPLE_ROUNDS, SAMPLE_RATE = 20_000, 50, 0.15


def screened(train: TrainingSet, columns: Columns, seed: int) -> tuple[Columns, list[Dropped]]:
    """The features that settle most in trees of a sample, as many as make ``KEPT_CELLS``; and the others.

    Few data keep all. What the simple member sees and what stands for texts of many values stays.

    Args:
        train: labelled snapshots of the training cutoffs only.
    """
    most = max(LEAST_FEATURES, KEPT_CELLS // max(len(train), 1))
    if len(train) * len(columns.used) <= MAX_CELLS or len(columns.used) <= most:
        return columns, []
    rows = np.linspace(0, len(train) - 1, SAMPLE_ROWS).astype(np.int64)
    label = train.label[rows]
    sample = xgb.QuantileDMatrix(train.X[rows][:, columns.used], label=label, nthread=THREADS_PER_FIT, max_bin=128)
    parameters = tree_parameters(float(label.mean()), seed, SAMPLE_RATE)
    booster = xgb.train(parameters, sample, num_boost_round=SAMPLE_ROUNDS)
    gain = np.zeros(len(columns.used))
    for name, total in booster.get_score(importance_type="total_gain").items():
        gain[int(name[1:])] = total
    gain[[*columns.simple, *(place for place, _ in columns.coded)]] = np.inf
    kept = np.sort(np.argsort(-gain, kind="stable")[:most])
    left = np.setdiff1d(np.arange(len(columns.used)), kept)
    place = {int(old): new for new, old in enumerate(kept)}
    fewer = Columns(
        used=columns.used[kept],
        heavy=columns.heavy[kept],
        simple=np.array([place[int(j)] for j in columns.simple], dtype=np.int64),
        coded=tuple((place[j], values) for j, values in columns.coded),
    )
    reason = say("says what others say, too")
    return fewer, [Dropped(int(j), reason) for j in columns.used[left]]
