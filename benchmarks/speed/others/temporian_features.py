"""Features by Temporian: moving aggregates of event sets, sampled half a millisecond before the cutoff."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import temporian as tp
from benchmarks.speed.others.request import SHIFT_US, Answer, Asked, Request

DAY = 86_400.0


def answer(request: Request, people: pa.Table) -> Answer:
    """Counts, sums, maxima, means and recency; distinct values and active days it has no aggregate for."""
    started = time.perf_counter()
    events = request.looked_at(["customer", "at", "event", "category", "value"]).to_pandas()
    events["at"] = events["at"].to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    log = tp.from_pandas(events, indexes=["customer"], timestamps="at")
    cutoff = request.cutoffs[-1] * DAY
    asked_at = pd.DataFrame({"customer": people.column("customer").to_pandas(), "at": cutoff - SHIFT_US / 1e6})
    sampling = tp.from_pandas(asked_at, indexes=["customer"], timestamps="at")
    load = time.perf_counter() - started
    started = time.perf_counter()

    @cache
    def events_of(kind: str, category: str) -> Any:
        if kind:
            return log.filter(log["event"].equal(kind))
        return log.filter(log["category"].equal(category)) if category else log

    made = [
        AGGREGATES[f.op](events_of(f.kind, f.category), tp.duration.days(f.window_days), sampling).rename(_name(f))
        for f in request.features
        if f.op in AGGREGATES
    ]
    table = tp.to_pandas(tp.glue(*made))
    make = time.perf_counter() - started
    for feature in request.features:
        if feature.op in ("DAYS_SINCE_LAST", "DAYS_SINCE_FIRST"):
            table[_name(feature)] = (cutoff - table[_name(feature)]) / DAY
    return Answer(pa.Table.from_pandas(table.drop(columns="timestamp")), load, make, len(made))


def _name(feature: Asked) -> str:
    return f"f{feature.place}"


Aggregate = Callable[[Any, float, Any], Any]
AGGREGATES: dict[str, Aggregate] = {
    "COUNT": lambda events, window, at: events.moving_count(window, sampling=at),
    "SUM": lambda events, window, at: events["value"].moving_sum(window, sampling=at),
    "MAX": lambda events, window, at: events["value"].moving_max(window, sampling=at),
    "VALUE_MEAN": lambda events, window, at: events["value"].simple_moving_average(window, sampling=at),
    "DAYS_SINCE_LAST": lambda events, window, at: events.timestamps().moving_max(window, sampling=at),
    "DAYS_SINCE_FIRST": lambda events, window, at: events.timestamps().moving_min(window, sampling=at),
}
"""``since_last`` wants a sampling of everybody with events, and knows no look-back."""
