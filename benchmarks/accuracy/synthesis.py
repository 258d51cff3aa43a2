"""Deep feature synthesis by featuretools, for the same trees."""

from __future__ import annotations

import duckdb
import featuretools as ft
import numpy as np
import pandas as pd
from numpy.typing import NDArray

AGGREGATIONS = ["count", "sum", "mean", "max", "min", "std", "trend", "time_since_last", "time_since_first",
                "avg_time_between", "num_unique"]  # fmt: skip


def deep_features(session: duckdb.DuckDBPyConnection) -> NDArray[np.float64]:
    """float64[N, F] per row of ``snap``, depth 2, events strictly before each cutoff and at most 365 days old."""
    events = session.execute("select * from ev order by profile, ts").df().reset_index(names="event_id")
    # featuretools counts events at the cutoff itself; propend and the labels do not
    snap = session.execute('select "row", profile, cut - interval 1 microsecond as time from snap').df()
    es = ft.EntitySet("log")
    es.add_dataframe(dataframe_name="events", dataframe=events, index="event_id", time_index="ts",
                     logical_types={"kind": "Categorical"})  # fmt: skip
    es.add_dataframe(dataframe_name="profiles", dataframe=events[["profile"]].drop_duplicates(), index="profile")
    es.add_relationship("profiles", "profile", "events", "profile")
    common = session.execute("select kind from ev group by kind order by count(*) desc limit 8").fetchall()
    es.add_interesting_values(dataframe_name="events", values={"kind": [k for (k,) in common]})
    matrix, _ = ft.dfs(
        entityset=es, target_dataframe_name="profiles", cutoff_time=snap[["profile", "time", "row"]],
        agg_primitives=AGGREGATIONS, where_primitives=["count", "sum"], trans_primitives=["month", "weekday"],
        max_depth=2, training_window=ft.Timedelta(365, "d"), include_cutoff_time=True, n_jobs=1,
    )  # fmt: skip
    ordered = matrix.sort_values("row").drop(columns="row")
    return pd.DataFrame(ordered).select_dtypes(["number", "bool"]).astype("float64").to_numpy()
