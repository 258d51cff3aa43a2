"""Labels by Compose: a function of each customer's events in one window after the other."""

from __future__ import annotations

import time

import composeml as cp
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from benchmarks.speed.others.request import Answer, Request, day


def answer(request: Request, people: pa.Table) -> Answer:
    """Of everybody at every cutoff, each the length of an outcome window after the one before."""
    if set(np.diff(request.cutoffs)) - {request.outcome_days}:
        raise ValueError("Compose takes cutoffs at one distance only")
    started = time.perf_counter()
    events = ds.dataset(request.events).to_table(columns=["customer", "at", "event"]).to_pandas()
    events = events.sort_values("at", kind="stable")
    load = time.perf_counter() - started
    started = time.perf_counter()

    def met(window: pd.DataFrame) -> int:
        return int((window["event"].to_numpy() == request.goal).any())

    length = f"{request.outcome_days}d"
    maker = cp.LabelMaker(
        target_dataframe_index="customer", time_index="at", labeling_function={"label": met}, window_size=length
    )
    found = maker.search(
        events, num_examples_per_instance=len(request.cutoffs), minimum_data=str(day(request.cutoffs[0])),
        maximum_data=str(day(request.cutoffs[-1] + request.outcome_days)), gap=length, drop_empty=False, verbose=False,
    )  # fmt: skip
    make = time.perf_counter() - started
    cutoff = found["time"].to_numpy().astype("datetime64[D]").astype(np.int64)
    return Answer(pa.table({"customer": found["customer"], "cutoff": cutoff, "label": found["label"]}), load, make, 1)
