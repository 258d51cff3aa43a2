"""Seconds from data to explained scores beside one plain LightGBM fit on the very same training matrix."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import lightgbm as lgb
from benchmarks.accuracy.results import Speed
from benchmarks.accuracy.studies import Study

import propend
from propend.preparation import Stages, prepare, read_inputs
from propend.training import build_plan, gather

ROUNDS, TURNS = 300, 2
PLAIN: dict[str, Any] = {"objective": "binary", "num_threads": 2, "verbose": -1}
"""The library's defaults (learning rate 0.1, 31 leaves), on as many threads as everybody has."""


def measure_speed(study: Study) -> Speed:
    """Both on one study, as of its end.

    Raises:
        PropendError: propend refuses the study.
    """
    document, table, as_of = study.document(), study.table(), study.as_of or None
    with prepare(read_inputs(document, table, as_of), Stages()) as prepared:
        train = gather(prepared, build_plan(prepared)).train

    turns: list[tuple[float, float, float]] = []
    for _ in range(TURNS):
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run = propend.run(document, data=table, as_of=as_of, out=Path(folder) / "run")
            whole = time.perf_counter() - started
        started = time.perf_counter()
        lgb.train(PLAIN, lgb.Dataset(train.X, train.label), ROUNDS)
        turns.append((run.record["seconds"], whole, time.perf_counter() - started))
    to_scores, whole, plain = (min(column) for column in zip(*turns, strict=True))
    return Speed(to_scores, whole, plain, *train.X.shape)
