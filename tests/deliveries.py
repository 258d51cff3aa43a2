"""Deliveries for tests: scores of made-up profiles, as a run leaves them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from propend.exports import Delivery
from propend.scoring import SCORES_SCHEMA

FIRST_DAY = datetime(2024, 3, 1, tzinfo=UTC)


def scores(ids: Sequence[str], run: int = 1, moved: frozenset[str] = frozenset()) -> pa.Table:
    """Rows of scores; those of profiles in ``moved`` differ from one run to the next, the others do not."""
    scored = FIRST_DAY
    factor = {"code": "DAYS", "label": 'Days since "it", all', "value": "3", "typical": "41", "impact": 0.5,
              "importance": "high"}  # fmt: skip
    rows = [
        {
            "profile_id": i, "score": float(n % 100), "probability": 0.25 + (0.1 * run if i in moved else 0),
            "probability_low": 0.2, "probability_high": None if n % 2 else 0.4, "too_little_history": n % 2 == 0,
            "percentile": n % 100 + 1, "bucket": ("low", "medium", "high")[n % 3], "times_average": 1.5,
            "propensity_type": "conversion", "scored_at": scored, "expires_at": scored + timedelta(days=30),
            "factors": [factor, factor | {"code": "SPENT", "label": "Spent", "impact": -0.75}][: n % 3],
            "run_id": "steady", "instance": "Buyers",
        }
        for n, i in enumerate(sorted(ids))
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, SCORES_SCHEMA)


def delivery(table: pa.Table, run: int = 1, instance: str = "buyers", audience: str = "all") -> Delivery:
    """The rows as they are pushed by a run: the higher its number, the later it was made."""
    scored = FIRST_DAY + timedelta(days=run)
    rows, expires = (lambda: iter(table.to_batches(max_chunksize=7))), scored + timedelta(days=30)
    return Delivery(instance, f"run-{run}", scored, scored, expires, audience, table.schema, rows)
