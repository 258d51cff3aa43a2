"""Of very large data the features that trees of a sample make use of are learnt from; few data keep all."""

from __future__ import annotations

import numpy as np
import pytest

from propend.model.screening import screened
from propend.model.train import Columns, TrainingSet

N, F = 3_000, 140


def learnt_from() -> tuple[TrainingSet, Columns]:
    """Ten features that tell, the rest noise; one that is simple and one of codes tell nothing either."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(N, F + 3)).astype(np.float32)
    told = X[:, 20:30].sum(axis=1) / 3
    label = (rng.random(N) < 1 / (1 + np.exp(-told))).astype(np.uint8)
    used = np.arange(3, F + 3)
    columns = Columns(used, np.arange(F) % 2 == 0, np.array([1]), ((4, 50),))
    return TrainingSet(X, label, rng.integers(0, 2**63, N).astype(np.uint64), np.zeros(N, np.int64)), columns


def test_small_data_keep_every_feature() -> None:
    train, columns = learnt_from()
    assert screened(train, columns, 1) == (columns, [])


def test_of_large_data_what_tells_stays_and_what_must(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("propend.model.screening.MAX_CELLS", 60_000)
    monkeypatch.setattr("propend.model.screening.KEPT_CELLS", 60_000)
    monkeypatch.setattr("propend.model.screening.LEAST_FEATURES", 20)
    train, columns = learnt_from()
    fewer, left = screened(train, columns, 1)
    assert len(fewer.used) == 20
    assert set(range(20, 30)) <= set(fewer.used.tolist())
    assert fewer.used[fewer.simple].tolist() == [4]
    assert [(fewer.used[place], values) for place, values in fewer.coded] == [(7, 50)]
    assert fewer.heavy.tolist() == [(j - 3) % 2 == 0 for j in fewer.used]
    assert sorted([*fewer.used.tolist(), *(d.column for d in left)]) == columns.used.tolist()
    assert {d.reason for d in left} == {"says what others say, too"}
    again, _ = screened(train, columns, 1)
    assert again.used.tolist() == fewer.used.tolist()
