"""Features by FastProp of getML: it makes all of its own kind; those asked for are picked by their SQL.

Its engine, which the wheel for Linux brings, is started for this and shut down again; it listens on this machine only.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import getml
import numpy as np
import pandas as pd
import pyarrow as pa
from benchmarks.speed.others.request import SHIFT_US, Answer, Request, day
from benchmarks.speed.others.sql import meaning

AGGREGATIONS = getml.feature_learning.aggregations
ROLES = getml.data.roles
ASKED = [getattr(AGGREGATIONS, name) for name in ("COUNT", "SUM", "MAX", "MIN", "AVG")]
ALL = 100_000
"""More than it makes: none are left out for telling little of the target."""
VALUES = 20
"""Of each text, the most frequent ones that conditions are made of."""


def answer(request: Request, people: pa.Table) -> Answer:
    """Seconds of making are those of ``transform``; learning which features there are is counted as loading."""
    if getml.engine.is_monitor_alive():
        raise RuntimeError("an engine of getML is running already; it would be shut down")
    with TemporaryDirectory() as home:
        getml.engine.launch(
            allow_push_notifications=False, launch_browser=False, home_directory=home, in_memory=True, quiet=True
        )
        try:
            return _ask(request, people, Path(home))
        finally:
            getml.engine.shutdown()


def _ask(request: Request, people: pa.Table, home: Path) -> Answer:
    getml.engine.set_project(home.name)
    started = time.perf_counter()
    events = request.looked_at(["customer", "at", "event", "category", "value"]).to_pandas()
    roles = {
        ROLES.join_key: ["customer"],
        ROLES.time_stamp: ["at"],
        ROLES.categorical: ["event", "category"],
        ROLES.numerical: ["value"],
    }
    log = getml.data.DataFrame.from_pandas(events, name="events", roles=roles)
    at = day(request.cutoffs[-1]) - pd.Timedelta(microseconds=SHIFT_US)
    described = pd.DataFrame({**{n: people.column(n).to_pandas() for n in ("customer", "label")}, "cutoff": at})
    roles = {ROLES.join_key: ["customer"], ROLES.time_stamp: ["cutoff"], ROLES.target: ["label"]}
    population = getml.data.DataFrame.from_pandas(described, name="population", roles=roles)
    windows = sorted({f.window_days for f in request.features})
    container = getml.data.Container(train=population)
    container.add(**{f"events_{days}": log for days in windows})
    pipeline = _pipeline(request, population, log, windows)
    pipeline.fit(container.train, check=False)
    load = time.perf_counter() - started
    started = time.perf_counter()
    made = np.asarray(pipeline.transform(container.train))
    make = time.perf_counter() - started
    columns = _columns(request, pipeline, made)
    table = pa.table({"customer": described["customer"], **columns})
    return Answer(table, load, make, made.shape[1], zero_for_missing=True)


def _pipeline(request: Request, population: Any, log: Any, windows: list[int]) -> Any:
    """One join of the events per window: with several of one table it multiplies their helping columns."""
    model = getml.data.DataModel(population.to_placeholder("population"))
    for days in windows:
        model.add(log.to_placeholder(f"events_{days}"))
        memory = None if days == request.lookback_days else getml.data.time.days(days)
        model.population.join(
            getattr(model, f"events_{days}"), on="customer", time_stamps=("cutoff", "at"), memory=memory
        )
    learner = getml.feature_learning.FastProp(
        loss_function=getml.feature_learning.loss_functions.CrossEntropyLoss,
        aggregation=ASKED, n_most_frequent=VALUES, num_features=ALL, min_df=1, sampling_factor=1.0,
    )  # fmt: skip
    return getml.Pipeline(data_model=model, feature_learners=[learner])


def _columns(request: Request, pipeline: Any, made: np.ndarray) -> dict[str, np.ndarray]:
    """Those of its features that were asked for."""
    places = {meaning(str(f.sql), request.lookback_days): i for i, f in enumerate(pipeline.features)}
    found = {}
    for feature in request.features:
        place = places.get((feature.op, feature.kind, feature.category, feature.window_days))
        if place is not None:
            values = made[:, place]
            if feature.op.startswith("DAYS_SINCE"):
                values = np.where(values == 0, 0, (values + SHIFT_US / 1e6) / 86_400)
            found[f"f{feature.place}"] = values
    return found
