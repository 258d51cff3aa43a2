"""The same features by other engines: one aggregate each, as people write them, at one cutoff after the other.

The expressions are made from propend's own plan, so that what is compared is the same; those of its features that no
single aggregate gives (gaps between active days, sessions, latest values) the others are spared.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import featuretools as ft
import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from propend.snapshots.plan import Channel, Feature, Op, Plan

DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Columns:
    """What the columns of a log are called."""

    profile: str = "customer"
    at: str = "at"
    kind: str = "event"
    value: str = "value"


def shared_features(plan: Plan) -> list[Feature]:
    """Features that one aggregate gives."""
    return [f for f in plan.features if f.op in SQL]


# --- DuckDB ---------------------------------------------------------------------------------------------


def _where(plan: Plan, feature: Feature, kinds: dict[str, str]) -> Iterator[str]:
    channel: Channel = plan.channels[feature.channel]
    if channel.source in ("kind", "bit"):
        yield f"event = '{kinds.get(channel.name, channel.name)}'"
    elif channel.source == "value":
        yield f"{channel.name} = '{channel.value}'"
    if feature.window_days != plan.lookback_days:
        yield f"us >= {{cutoff}} - {feature.window_days * DAY_US}"


SQL = {
    Op.COUNT: "count(*) {filter}",
    Op.SUM: "coalesce(sum(value) {filter}, 0)",
    Op.MAX: "max(value) {filter}",
    Op.VALUE_MEAN: "avg(value) {filter}",
    Op.ACTIVE_DAYS: "count(DISTINCT us // 86400000000) {filter}",
    Op.DAYS_SINCE_LAST: "({cutoff} - max(us) {filter}) / 86400000000.0",
    Op.DAYS_SINCE_FIRST: "({cutoff} - min(us) {filter}) / 86400000000.0",
    Op.DISTINCT: "count(DISTINCT {field}) {filter}",
    Op.SHARE: "count(*) {filter} / count(*)",
}


def duckdb_features(
    pattern: str, plan: Plan, cutoffs: Sequence[int], kinds: dict[str, str], *, keep: bool = False
) -> list[Any]:
    """Conditional aggregates, one per feature; gives the results as Arrow tables if kept, else how many rows."""
    connection = duckdb.connect()
    found = []
    for day in cutoffs:
        cutoff = day * DAY_US
        asked = []
        for i, feature in enumerate(shared_features(plan)):
            tests = " AND ".join(_where(plan, feature, kinds))
            filtered = f"FILTER (WHERE {tests})" if tests else ""
            text = SQL[feature.op].replace("{filter}", filtered).replace("{field}", feature.field)
            asked.append(f"{text.replace('{cutoff}', str(cutoff))} AS f{i}")
        table = connection.sql(f"""
            SELECT customer, {", ".join(asked)}
            FROM (SELECT *, epoch_us("at") AS us FROM '{pattern}')
            WHERE us < {cutoff} AND us >= {cutoff - plan.lookback_days * DAY_US} GROUP BY customer""").to_arrow_table()
        found.append(table if keep else table.num_rows)
    return found


def duckdb_group(pattern: str) -> int:
    """One scan and group of all events, with four aggregates: the measure of what reading costs."""
    asked = 'customer, count(*), sum(value), min("at"), max("at")'
    return duckdb.connect().sql(f"SELECT {asked} FROM '{pattern}' GROUP BY customer").to_arrow_table().num_rows


# --- Polars ---------------------------------------------------------------------------------------------


def polars_features(
    pattern: str, plan: Plan, cutoffs: Sequence[int], kinds: dict[str, str], *, keep: bool = False
) -> list[Any]:
    """The same as expressions of a lazy group-by, on the streaming engine."""
    found = []
    for day in cutoffs:
        cutoff = day * DAY_US
        us = pl.col("at").cast(pl.Int64)
        events = pl.scan_parquet(pattern).with_columns(us.alias("us"), (us // DAY_US).alias("day"))
        events = events.filter((pl.col("us") < cutoff) & (pl.col("us") >= cutoff - plan.lookback_days * DAY_US))
        asked = [_expression(plan, f, cutoff, kinds).alias(f"f{i}") for i, f in enumerate(shared_features(plan))]
        table = events.group_by("customer").agg(asked).collect(engine="streaming")
        found.append(table if keep else table.height)
    return found


def _expression(plan: Plan, feature: Feature, cutoff: int, kinds: dict[str, str]) -> pl.Expr:
    channel, op = plan.channels[feature.channel], feature.op
    inside = pl.lit(True)
    if channel.source in ("kind", "bit"):
        inside = pl.col("event") == kinds.get(channel.name, channel.name)
    elif channel.source == "value":
        inside = pl.col(channel.name) == channel.value
    if feature.window_days != plan.lookback_days:
        inside = inside & (pl.col("us") >= cutoff - feature.window_days * DAY_US)
    if op is Op.COUNT:
        return inside.sum()
    if op is Op.SHARE:
        return inside.sum() / pl.len()
    column = {Op.ACTIVE_DAYS: "day", Op.DISTINCT: feature.field}.get(op, "value" if op in VALUED else "us")
    some = pl.col(column).filter(inside)
    if op in (Op.ACTIVE_DAYS, Op.DISTINCT):
        return some.n_unique()
    if op is Op.DAYS_SINCE_LAST:
        return (cutoff - some.max()) / DAY_US
    if op is Op.DAYS_SINCE_FIRST:
        return (cutoff - some.min()) / DAY_US
    return {Op.SUM: some.sum, Op.MAX: some.max, Op.VALUE_MEAN: some.mean}[op]()


VALUED = (Op.SUM, Op.MAX, Op.VALUE_MEAN)


# --- the same? ------------------------------------------------------------------------------------------


def differences(ours: NDArray[np.float32], theirs: Any, rows: NDArray[np.int64]) -> float:
    """The largest relative difference of any cell; of those who are missing on one side only it is infinite."""
    worst = 0.0
    for i in range(ours.shape[1]):
        column = np.asarray(theirs.column(f"f{i}").to_pandas(), dtype=np.float64)[rows]
        mine = ours[:, i].astype(np.float64)
        if (np.isnan(mine) != np.isnan(column)).any():
            return float("inf")
        gap = np.abs(mine - column) / np.maximum(np.abs(column), 1.0)
        worst = max(worst, float(np.nanmax(gap, initial=0.0)))
    return worst


# --- featuretools ---------------------------------------------------------------------------------------

AGGREGATIONS = ["count", "sum", "mean", "max", "time_since_last", "time_since_first", "num_unique"]


def featuretools_features(pattern: str, lookback_days: int, cutoffs: Sequence[int]) -> tuple[int, int]:
    """Deep feature synthesis with cutoff times, of everybody at every cutoff: rows and features.

    Its features are its own, some hundred, with those of each kind; windows other than the look-back it has none.
    """
    events = duckdb.sql(f"SELECT customer, \"at\", event, category, value FROM '{pattern}'").df()
    events = events.reset_index(names="event_id")
    es = ft.EntitySet("log")
    es.add_dataframe(dataframe_name="events", dataframe=events, index="event_id", time_index="at",
                     logical_types={"event": "Categorical", "category": "Categorical"})  # fmt: skip
    es.add_dataframe(dataframe_name="people", dataframe=events[["customer"]].drop_duplicates(), index="customer")
    es.add_relationship("people", "customer", "events", "customer")
    es.add_interesting_values(dataframe_name="events", values={"event": sorted(events["event"].unique())})
    people = es["people"]["customer"].to_numpy()
    days = np.repeat(np.array(cutoffs, dtype="datetime64[D]").astype("datetime64[ns]"), len(people))
    times = pd.DataFrame({"customer": np.tile(people, len(cutoffs)), "time": days})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hundreds, of how it calls pandas
        matrix, _ = ft.dfs(
            entityset=es, target_dataframe_name="people", cutoff_time=times, agg_primitives=AGGREGATIONS,
            where_primitives=["count", "sum"], trans_primitives=[], training_window=ft.Timedelta(lookback_days, "d"),
            include_cutoff_time=False, n_jobs=1,
        )  # fmt: skip
    return matrix.shape
