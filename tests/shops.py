"""Small shops with known habits: deterministic event tables for tests of the whole pipeline.

A profile visits and buys at its own rates, so that the past tells the future; a run on one of these
shops takes a second or two. All times are whole seconds in UTC.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from propend.demo import orders_path

FIRST_DAY = date(2022, 1, 3)
DAYS = 300
PROFILES = 500
SECONDS = 86_400
CATEGORIES = np.array(["shoes", "bags", "hats"], dtype=object)

SHOP: dict[str, Any] = {
    "name": "Buyers of the month",
    "type": "conversion",
    "data": {"columns": {"profile": "profile_id", "at": "at", "event": "event", "value": "amount"}},
    "events": {"buy": {"is": "purchase"}},
    "goal": {"any_of": ["buy"], "within": "30d"},
    "eligible": {"all_of": [{"did": "anything", "within": "90d"}]},
}
"""Who will buy within 30 days, of those seen in the last 90?"""


def instance(**changes: Any) -> dict[str, Any]:
    """The shop's document with some sections replaced."""
    return SHOP | changes


def with_options(**options: Any) -> dict[str, Any]:
    """The shop's document with some options."""
    return instance(options=options)


def last_day(days: int = DAYS) -> date:
    """The day after the last one of a shop that is open so many days."""
    return FIRST_DAY + timedelta(days=days)


def shop(profiles: int = PROFILES, days: int = DAYS, seed: int = 7, spread: float = 1.0) -> pa.Table:
    """Purchases, visits and a few service calls of profiles whose rates differ.

    Args:
        profiles: how many.
        days: how many days the shop is open.
        seed: of the random numbers.
        spread: how much rates differ between profiles (standard deviation of their logarithm); 0 leaves
            nothing to learn.
    """
    random = np.random.default_rng(seed)
    liking = random.normal(0.0, spread, profiles)
    buys = _times(random, 0.012 * np.exp(liking), days)
    visits = _times(random, 0.05 * np.exp(0.7 * liking + 0.3 * spread * random.normal(size=profiles)), days)
    calls = _times(random, np.full(profiles, 0.004), days)
    return table(
        np.concatenate([buys[0], visits[0], calls[0]]),
        np.concatenate([buys[1], visits[1], calls[1]]),
        np.repeat(["purchase", "visit", "call"], [len(buys[0]), len(visits[0]), len(calls[0])]),
        seed,
    )


def _times(
    random: np.random.Generator, rates: NDArray[np.float64], days: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Profile numbers and seconds since the shop opened of a Poisson process per profile."""
    counts = random.poisson(rates * days)
    return np.repeat(np.arange(len(rates)), counts), random.integers(0, days * SECONDS, int(counts.sum()))


def table(
    profile: NDArray[np.int64], seconds: NDArray[np.int64], event: NDArray[Any] | list[str], seed: int = 7
) -> pa.Table:
    """Events as a table: ids, times in UTC, kinds, amounts of purchases and a category."""
    random = np.random.default_rng(seed + 1)
    n = len(profile)
    kinds = np.asarray(event, dtype=object)
    start = int(datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC).timestamp())
    amounts = np.round(random.lognormal(3.0, 0.6, n), 2)
    return pa.table(
        {
            "profile_id": pa.array([f"p{i:04d}" for i in profile], pa.string()),
            "at": pa.array((np.asarray(seconds, dtype=np.int64) + start) * 1_000_000, pa.timestamp("us", tz="UTC")),
            "event": pa.array(kinds, pa.string()),
            "amount": pa.array(amounts, mask=kinds != "purchase"),
            "category": pa.array(CATEGORIES[random.integers(0, 3, n)], pa.string()),
        }
    )


def no_signal(profiles: int = PROFILES, days: int = DAYS) -> pa.Table:
    """Every profile has the same rates: no past tells any future."""
    return shop(profiles, days, seed=11, spread=0.0)


def regulars(buyers: int, others: int, days: int = 155) -> pa.Table:
    """Everyone visits every week; the first ``buyers`` profiles also buy every week, the others never."""
    weeks = np.arange(days // 7 + 1) * 7 * SECONDS
    profile = np.repeat(np.arange(buyers + others), len(weeks))
    seconds = np.tile(weeks, buyers + others) + profile * 60 % SECONDS
    buying = profile < buyers
    inside = seconds < days * SECONDS
    return table(
        np.concatenate([profile[inside], profile[inside & buying]]),
        np.concatenate([seconds[inside], np.minimum(seconds[inside & buying] + 3600, days * SECONDS - 1)]),
        np.repeat(["visit", "purchase"], [int(inside.sum()), int((inside & buying).sum())]),
    )


def plus(events: pa.Table, profile: list[int], day: list[int], event: str) -> pa.Table:
    """The events, and one more of some kind for each pair of profile and day (at noon)."""
    seconds = np.asarray(day, dtype=np.int64) * SECONDS + SECONDS // 2
    return pa.concat_tables([events, table(np.asarray(profile), seconds, [event] * len(profile))])


def shifted(events: pa.Table, days: int) -> pa.Table:
    """The same events, later by some days."""
    at = events.column("at").cast(pa.int64())
    moved = pa.array(at.to_numpy() + days * SECONDS * 1_000_000).cast(pa.timestamp("us", tz="UTC"))
    return events.set_column(events.schema.get_field_index("at"), "at", moved)


def before(events: pa.Table, day: date) -> pa.Table:
    """The events strictly before a day."""
    cut = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return events.filter(pc.less(events.column("at"), pa.scalar(cut, pa.timestamp("us", tz="UTC"))))


def shuffled(events: pa.Table, seed: int = 3) -> pa.Table:
    """The same rows in another order."""
    return events.take(pa.array(np.random.default_rng(seed).permutation(len(events))))


def some_orders() -> pa.Table:
    """Orders of some of the demo's customers, and of 17841, of whom the pages speak."""
    orders = pq.read_table(orders_path())
    ids = orders.column("customer_id")
    some = pc.or_(pc.equal(pc.bit_wise_and(pc.cast(ids, "int64"), 3), 0), pc.equal(pc.cast(ids, "string"), "17841"))
    return orders.filter(some)
