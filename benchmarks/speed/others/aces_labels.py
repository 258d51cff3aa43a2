"""Labels by ACES: predicates of events, a trigger at every cutoff, one window before it and one after it."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow as pa
from aces.config import EventConfig, PlainPredicateConfig, TaskExtractorConfig, WindowConfig
from aces.predicates import get_predicates_df
from aces.query import query
from benchmarks.speed.others.request import Answer, Request, day
from omegaconf import DictConfig

MET, ACTIVE, CUTOFF = "met", "active", "cutoff"


def answer(request: Request, people: pa.Table) -> Answer:
    """Of those with an event in the days of the eligibility, at every cutoff: the population and its labels."""
    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        target = Path(folder) / "predicates.parquet"
        _predicates(request).write_parquet(target)
        load = time.perf_counter() - started
        started = time.perf_counter()
        task = TaskExtractorConfig(
            predicates={name: PlainPredicateConfig(name) for name in (MET, ACTIVE, CUTOFF)},
            trigger=EventConfig(CUTOFF),
            windows={
                "before": WindowConfig(
                    f"end - {request.eligibility_days}d", "trigger", True, False, has={ACTIVE: "(1, None)"}
                ),
                "after": WindowConfig("trigger", f"start + {request.outcome_days}d", True, False, label=MET),
            },
        )
        source = DictConfig({"path": str(target), "standard": "direct", "ts_format": None})
        found = query(task, get_predicates_df(task, source))
        make = time.perf_counter() - started
    table = found.select(
        pl.col("subject_id").alias("customer"),
        pl.col("trigger").dt.epoch("d").cast(pl.Int64).alias("cutoff"),
        (pl.col("label") > 0).cast(pl.Int64).alias("label"),
    )
    return Answer(table.to_arrow(), load, make, 1)


def _predicates(request: Request) -> pl.DataFrame:
    """One row per customer and time: how many events of each predicate; ACES wants the triggers among them."""
    events = pl.scan_parquet(f"{request.events}/*.parquet").select(
        pl.col("customer").alias("subject_id"),
        pl.col("at").alias("timestamp"),
        (pl.col("event") == request.goal).cast(pl.Int64).alias(MET),
        pl.lit(1, dtype=pl.Int64).alias(ACTIVE),
        pl.lit(0, dtype=pl.Int64).alias(CUTOFF),
    )
    times = pl.LazyFrame({"timestamp": [day(c) for c in request.cutoffs]}).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us")),
        *(pl.lit(int(name == CUTOFF), dtype=pl.Int64).alias(name) for name in (MET, ACTIVE, CUTOFF)),
    )
    triggers = events.select("subject_id").unique().join(times, how="cross")
    both = pl.concat([events, triggers]).group_by("subject_id", "timestamp").sum()
    return both.sort("subject_id", "timestamp").collect()
