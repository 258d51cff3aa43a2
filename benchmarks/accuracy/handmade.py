"""Windowed features in SQL and regularised LightGBM: a week's work of a careful data scientist, without propend."""

from __future__ import annotations

from typing import Any

import duckdb
import lightgbm as lgb
import numpy as np
import pyarrow as pa
from benchmarks.accuracy.studies import Study
from numpy.typing import NDArray

Float = NDArray[np.float64]
WINDOWS = (7, 14, 30, 60, 90, 180, 365)
MOST_KINDS, MOST_NUMBERS = 8, 5
PARAMETERS: dict[str, Any] = {
    "objective": "binary", "learning_rate": 0.03, "num_leaves": 15, "min_data_in_leaf": 40,
    "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 5.0,
    "num_threads": 2, "seed": 1, "deterministic": True, "force_row_wise": True, "verbose": -1,
}  # fmt: skip
MOST_ROUNDS, PATIENCE = 800, 40


def register_snapshots(session: duckdb.DuckDBPyConnection, profile: list[str], cutoff: Float) -> None:
    """Table ``snap``: row number, profile and the instant of the cutoff."""
    table = pa.table({"row": np.arange(len(profile)), "profile": profile, "day": cutoff.astype(np.int32)})
    session.register("snap_rows", table)
    session.execute(
        "create or replace table snap as "
        "select \"row\", profile, day, (date '1970-01-01' + day)::timestamp as cut from snap_rows"
    )


def goal_history(session: duckdb.DuckDBPyConnection, study: Study) -> Float:
    """float64[N, 6] per row of ``snap``, of the goal's event before the cutoff: days since the last (NaN never),
    count and money in the last 365 days; repeat days, days from first to last, days from first to the cutoff."""
    found = session.execute(f"""
        select min(date_diff('second', ts, cut)) / 86400.0,
               count(ts) filter (ts >= cut - interval 365 day), sum(value) filter (ts >= cut - interval 365 day),
               count(distinct ts::date) - 1, date_diff('day', min(ts)::date, max(ts)::date),
               date_diff('day', min(ts)::date, cut::date)
        from snap left join (select * from ev where ({study.goal})) e on e.profile = snap.profile and ts < cut
        group by "row", cut order by "row"
    """).fetchnumpy()
    return np.stack([np.ma.filled(np.ma.asarray(v, dtype=float), np.nan) for v in found.values()], axis=1)


def windowed_features(session: duckdb.DuckDBPyConnection, study: Study, before: int) -> Float:
    """float64[N, F] per row of ``snap``; kinds and fields are chosen from events before one day (since 1970)."""
    limit = f"(date '1970-01-01' + {before})::timestamp"
    kinds = session.execute(
        f"select kind from ev where ts < {limit} group by kind order by count(distinct profile) desc, kind "
        f"limit {MOST_KINDS}"
    ).fetchall()
    columns = [r[0] for r in session.execute("describe ev").fetchall() if r[0] not in ("profile", "ts", "kind")]
    families = {"anything": "true", "goal": f"({study.goal})"}
    families |= {f"kind {k}": "kind = '" + str(k).replace("'", "''") + "'" for (k,) in kinds}
    parts = [p for condition in families.values() for p in _family(condition)]
    for name in columns[:MOST_NUMBERS]:
        parts += [f'sum("{name}") filter (age < {w})' for w in (30, 90, 365)]
        parts += [f'avg("{name}") filter (age < 365)', f'max("{name}") filter (age < 365)']
    chosen = ", ".join(f"{p} as f{i}" for i, p in enumerate(parts))
    gaps = "lag(ts) over (partition by profile order by ts)"
    goal_gaps = f"lag(ts) over (partition by profile, ({study.goal}) order by ts)"
    session.execute(
        f"create or replace temp table lagged as select *, date_diff('second', {gaps}, ts) / 86400.0 as gap, "
        f"date_diff('second', {goal_gaps}, ts) / 86400.0 as goal_gap from ev"
    )
    found = session.execute(f"""
        select month(any_value(cut)) as month, {chosen}
        from snap left join (select * from lagged) e on e.profile = snap.profile and e.ts < snap.cut,
             lateral (select date_diff('second', ts, cut) / 86400.0 as age)
        group by "row" order by "row"
    """).fetchnumpy()
    X = np.stack([np.ma.filled(np.ma.asarray(v, dtype=float), np.nan) for v in found.values()], axis=1)
    return X[:, [j for j in range(X.shape[1]) if len(np.unique(X[:2000, j])) > 1 or j == 0]]


def _family(condition: str) -> list[str]:
    gap = "gap" if condition == "true" else "goal_gap"
    parts = [f"count(*) filter ({condition} and age < {w})" for w in WINDOWS]
    parts += [f"sum(value) filter ({condition} and age < {w})" for w in WINDOWS]
    parts += [f"min(age) filter ({condition})", f"max(age) filter ({condition})", f"count(*) filter ({condition})"]
    parts += [f"avg({gap}) filter ({condition})", f"stddev_pop({gap}) filter ({condition})"]
    parts += [f"min(age) filter ({condition}) / nullif(avg({gap}) filter ({condition}), 0)"]
    parts += [f"count(distinct ts::date) filter ({condition} and age < {w})" for w in (30, 90, 365)]
    parts += [f"count(*) filter ({condition} and age < 30) / nullif(count(*) filter ({condition} and age < 90), 0)"]
    return parts


def train_and_predict(X: Float, label: Float, cutoff: Float, profile: list[str], within: int, new: Float) -> Float:
    """Early stopping on the last cutoff, with windows purged against it; then all rows with those rounds."""
    last = cutoff.max()
    fitting, held = cutoff <= last - within, cutoff == last
    if not fitting.any() or len(np.unique(label[fitting])) < 2 or len(np.unique(label[held])) < 2:
        held = np.array([hash_share(p) < 0.2 for p in profile])
        fitting = ~held
    inside = lgb.Dataset(X[fitting], label[fitting], free_raw_data=False)
    check = lgb.Dataset(X[held], label[held], reference=inside, free_raw_data=False)
    stop = lgb.early_stopping(PATIENCE, verbose=False)
    first = lgb.train(PARAMETERS, inside, MOST_ROUNDS, valid_sets=[check], callbacks=[stop])
    everything = lgb.train(PARAMETERS, lgb.Dataset(X, label), max(first.best_iteration, 10))
    return np.asarray(everything.predict(new))


def hash_share(profile: str) -> float:
    """A number in [0, 1) that is the same on every run."""
    total = 0
    for c in profile:
        total = (total * 131 + ord(c)) % 1_000_003
    return (total * 7919 % 10_007) / 10_007
