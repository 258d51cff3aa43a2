"""Event logs as shops have them: string ids, few frequent kinds and many rare, a few customers who do most.

Files come in the order of time, one per fortnight, as an export of a tracker leaves them. Activity is heavy-tailed
(log-normal rates), customers come and go, buyers differ in how often a visit becomes a purchase and in what they pay;
so there is something to predict, and nothing is tuned to any engine.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

DAYS, FILE_DAYS = 728, 14
FIRST_DAY = int(datetime(2023, 1, 2, tzinfo=UTC).timestamp()) * 1_000_000
DAY_US = 86_400_000_000
KINDS = (
    "page_view", "search", "product_view", "add_to_cart", "purchase", "email_open", "login", "wishlist",
    "email_click", "support", "review", "return",
)  # fmt: skip
ZIPF = 1.1
CATEGORIES, SKUS = 20, 2_000
ROW_GROUP = 1 << 17


@dataclass(frozen=True)
class Size:
    """How large a log is; ``events`` is met within a few in a thousand."""

    events: int
    profiles: int

    @property
    def name(self) -> str:
        """``5M``, ``800k``."""
        return f"{self.events // 1_000_000}M" if self.events >= 1_000_000 else f"{self.events // 1_000}k"


@dataclass(frozen=True)
class _People:
    ids: NDArray[np.object_]
    rate: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    buying: NDArray[np.float64]
    spending: NDArray[np.float64]
    taste: NDArray[np.int64]


def make_log(size: Size, folder: Path, seed: int = 1) -> Path:
    """The folder of Parquet files of a log; made once, the same for the same size and seed."""
    target = folder / f"events_{size.name}_{size.profiles}_{seed}"
    if target.is_dir():
        return target
    unfinished = target.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    people = _people(rng, size.profiles)
    weight = _per_file(people)
    shares = weight.sum(axis=1) / weight.sum()
    for number, share in enumerate(shares):
        table = _file(rng, people, weight[number], number, round(size.events * share))
        pq.write_table(table, unfinished / f"part-{number:03d}.parquet", row_group_size=ROW_GROUP)
    unfinished.rename(target)
    return target


def _people(rng: np.random.Generator, n: int) -> _People:
    arrival = np.where(rng.random(n) < 0.5, -200.0, rng.uniform(0, DAYS, n))
    codes = rng.permutation(n * 7)[:n]
    return _People(
        ids=np.array([f"cust-{code:09x}" for code in codes], dtype=object),
        rate=rng.lognormal(0.0, 1.2, n),
        first=arrival,
        last=arrival + 200 + rng.exponential(500.0, n),
        buying=rng.beta(2.0, 5.0, n),
        spending=rng.lognormal(3.2, 0.6, n),
        taste=rng.integers(0, CATEGORIES, n),
    )


def _per_file(people: _People) -> NDArray[np.float32]:
    """float32[files, profiles]: expected share of activity of everybody in each fortnight."""
    starts = np.arange(0, DAYS, FILE_DAYS)
    out = np.empty((len(starts), len(people.rate)), dtype=np.float32)
    for number, start in enumerate(starts):
        alive = np.minimum(people.last, start + FILE_DAYS) - np.maximum(people.first, start)
        out[number] = np.clip(alive, 0, None) * people.rate * (1 + 0.3 * math.sin(2 * math.pi * start / 364))
    return out


def _file(rng: np.random.Generator, people: _People, weight: NDArray[np.float32], number: int, events: int) -> pa.Table:
    ends = np.cumsum(weight, dtype=np.float64)
    who = np.searchsorted(ends, np.sort(rng.random(events)) * ends[-1], side="right")
    who = np.minimum(who, len(ends) - 1)
    who = who[rng.permutation(events)]
    at = np.sort(rng.integers(0, FILE_DAYS * DAY_US // 1_000, events)) * 1_000
    kind = _ranks(rng, len(KINDS), events).astype(np.int8)
    purchase = KINDS.index("purchase")
    views = np.flatnonzero(kind == KINDS.index("product_view"))
    kind[views[rng.random(len(views)) < people.buying[who[views]]]] = purchase
    own = rng.random(events) < 0.6
    category = np.where(own, people.taste[who], rng.integers(0, CATEGORIES, events)).astype(np.int8)
    value = np.where(kind == purchase, people.spending[who] * rng.lognormal(0.0, 0.4, events), np.nan)
    return pa.table(
        {
            "customer": pa.DictionaryArray.from_arrays(pa.array(who.astype(np.int32)), pa.array(people.ids)).cast(
                pa.string()
            ),
            "at": pa.array(FIRST_DAY + number * FILE_DAYS * DAY_US + at, pa.timestamp("us")),
            "event": pa.DictionaryArray.from_arrays(pa.array(kind), pa.array(KINDS)).cast(pa.string()),
            "category": pa.DictionaryArray.from_arrays(
                pa.array(category), pa.array([f"category {i:02d}" for i in range(CATEGORIES)])
            ).cast(pa.string()),
            "sku": pa.DictionaryArray.from_arrays(
                pa.array(_ranks(rng, SKUS, events).astype(np.int32)),
                pa.array([f"SKU{i:05d}" for i in range(SKUS)]),
            ).cast(pa.string()),
            "value": pa.array(np.round(value, 2), mask=np.isnan(value)),
        }
    )


def _ranks(rng: np.random.Generator, n: int, size: int) -> NDArray[np.int64]:
    """Ranks from 0, each as frequent as Zipf's law says."""
    ends = np.cumsum(1.0 / np.arange(1, n + 1) ** ZIPF)
    return np.minimum(np.searchsorted(ends, rng.random(size) * ends[-1], side="right"), n - 1)
