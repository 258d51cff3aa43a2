"""Seconds from data to explained scores beside one plain LightGBM fit on the very same training matrix."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
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

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            propend.run(document, data=table, as_of=as_of, out=Path(folder) / "run")

    def plain() -> None:
        lgb.train(PLAIN, lgb.Dataset(train.X, train.label), ROUNDS)

    seconds: dict[str, list[float]] = {"propend": [], "plain": []}
    for _ in range(TURNS):
        seconds["propend"].append(_seconds(ours))
        seconds["plain"].append(_seconds(plain))
    return Speed(min(seconds["propend"]), min(seconds["plain"]), *train.X.shape)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
