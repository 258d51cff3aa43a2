"""Persons on several devices, of a simulated shop whose truth is known: what joining their ids is worth.

Each person of the simulator uses a few devices, loses some cookies on the way, and logs in now and then; orders are
mostly made logged in. The same events are scored in four ways: by the true person, whom nobody knows; each device
apart; joined as was known at each cutoff (``data.identities``); and joined beforehand by all links known at the end, as
it is done by hand. All are judged on the same persons and outcomes. A person with several scores counts by the highest,
or by their mean.

    python benchmarks/stitching.py            # one seed, a minute
    FULL=1 python benchmarks/stitching.py     # five seeds of 10,000 persons
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

import propend
from propend.demo.simulator import simulate
from propend.model.metrics import METRICS

FIRST = date(2024, 1, 1)
DAYS, WITHIN_DAYS = 390, 30
LOGGED_IN = {"purchase": 0.9, "email_open": 0.3, "support_ticket": 0.5, "visit": 0.1}
DEVICES = (0.35, 0.35, 0.2, 0.1)
"""How many persons use one to four devices at a time."""
DEVICE_DAYS = 150
"""After so many days, on average, a cookie is deleted and the device has another."""
SHOWN = ("auc", "log_loss", "calibration_error")
BEST, WORST = "true ids", "each device apart"
ALLOWED = 0.0


@dataclass(frozen=True)
class Shop:
    """Events under ids of devices, with the person where it is logged in, and whose they are.

    Attributes:
        events: ``device``, ``at``, ``kind``, ``value``, ``login``, and ``person``, which only the true ids use.
        outcome: of each person, whether it bought within the window from the cutoff on.
    """

    events: pa.Table
    outcome: dict[str, bool]


def shop_of(persons: int, seed: int) -> Shop:
    """A simulated shop whose persons use several devices."""
    made = simulate(persons, DAYS + WITHIN_DAYS, seed, first=FIRST)
    cutoff = pa.scalar(datetime.combine(FIRST + timedelta(days=DAYS), datetime.min.time()), pa.timestamp("us"))
    events = made.events.filter(pc.less(made.events.column("at"), cutoff))
    random = np.random.default_rng([seed, 34])
    owner = events.column("profile_id").to_pylist()
    number = {name: i for i, name in enumerate(dict.fromkeys(owner))}
    who = np.array([number[name] for name in owner])
    many = random.choice(len(DEVICES), len(number), p=DEVICES) + 1
    device = (random.random(len(who)) ** 2 * many[who]).astype(np.int64)  # the first is used most
    day = (events.column("at").to_numpy() - np.datetime64(FIRST)).astype("timedelta64[D]").astype(np.int64)
    offset = random.integers(0, DEVICE_DAYS, (len(number), len(DEVICES)))
    cookie = (day + offset[who, device]) // DEVICE_DAYS
    ids = pa.array([f"c{w}-{d}-{c}" for w, d, c in zip(who.tolist(), device.tolist(), cookie.tolist(), strict=True)])
    share = np.array([LOGGED_IN.get(kind, 0.0) for kind in events.column("kind").to_pylist()])
    known = random.random(len(who)) < share
    table = pa.table(
        {
            "device": ids,
            "at": events.column("at"),
            "kind": events.column("kind"),
            "value": events.column("value"),
            "login": pa.array([name if yes else None for name, yes in zip(owner, known.tolist(), strict=True)]),
            "person": owner,
        }
    )
    names, bought = made.outcome(DAYS, WITHIN_DAYS)
    return Shop(table, dict(zip(names.tolist(), bought.tolist(), strict=True)))


def document(profile: str, **data: Any) -> dict[str, Any]:
    return {
        "name": "Orders of the month",
        "data": {
            "columns": {"profile": profile, "at": "at", "event": "kind", "value": "value"}, "fields": [], **data
        },
        "goal": {"any_of": ["purchase"], "within": f"{WITHIN_DAYS}d"},
        "eligible": {"all_of": [{"did": "anything", "within": "90d"}]},
        "options": {"quality_bar": 0.5},
    }  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """A run: its scores by id, its test's AUC, how often it had to copy an event, and seconds."""

    table: pa.Table
    promised: float
    copies: float
    seconds: float


def run(shop: Shop, asked: dict[str, Any]) -> Scored:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = propend.run(asked, data=shop.events, as_of=FIRST + timedelta(days=DAYS), out=Path(folder) / "run")
        joined = found.record["data"].get("identities", {})
        copies = joined.get("events_of_profiles", 0) / found.record["counts"]["events_used"]
        spent = time.perf_counter() - started
        return Scored(found.scores, found.evaluation["auc"]["value"], copies, spent)


def of_persons(scored: Scored, owners: dict[str, str], persons: list[str]) -> tuple[NDArray[np.float64], ...]:
    """Highest and mean probability of each person, and whether some scores are high and others low."""
    place = {name: i for i, name in enumerate(persons)}
    highest, total, count = (np.zeros(len(persons)) for _ in range(3))
    high, low = (np.zeros(len(persons), dtype=bool) for _ in range(2))
    columns = (scored.table.column(name).to_pylist() for name in ("profile_id", "probability", "bucket"))
    for name, p, bucket in zip(*columns, strict=True):
        i = place.get(owners.get(name, name))
        if i is not None:
            highest[i], total[i], count[i] = max(highest[i], p), total[i] + p, count[i] + 1
            high[i] |= bucket == "high"
            low[i] |= bucket == "low"
    return highest, total / np.maximum(count, 1), (high & low).astype(float), count


def measured(persons: int, seed: int) -> dict[str, dict[str, float]]:
    """Figures of each way, at the level of persons."""
    shop = shop_of(persons, seed)
    owners = dict(zip(*(shop.events.column(c).to_pylist() for c in ("device", "person")), strict=True))
    by_login = {"events": {"from": "device", "to": "login"}}
    with tempfile.TemporaryDirectory() as folder:
        links = shop.events.select(["device", "login"]).filter(pc.is_valid(shop.events.column("login")))
        pq.write_table(links.group_by(["device", "login"]).aggregate([]), Path(folder) / "links.parquet")
        by_all = {"path": f"{folder}/links.parquet", "columns": {"a": "device", "b": "login"}, "constant": True}
        ways = {
            BEST: run(shop, document("person")),
            "joined as was known": run(shop, document("device", identities=by_login)),
            "joined beforehand": run(shop, document("device", identities=by_all)),
            WORST: run(shop, document("device")),
        }
    everyone = ways[BEST].table.column("profile_id").to_pylist()
    label = np.array([shop.outcome[name] for name in everyone], dtype=np.uint8)
    found = {}
    for way, scored in ways.items():
        highest, mean, contradicting, count = of_persons(scored, owners, everyone)
        facts = {
            "promised": scored.promised, "contradicting": contradicting.mean(), "scores": count.mean(),
            "copies": scored.copies, "seconds": scored.seconds,
        }  # fmt: skip
        for by, p in (("highest", highest), ("mean", mean)):
            if by == "highest" or way == WORST:
                name = way if way != WORST else f"{way}, by the {by}"
                found[name] = {m: float(METRICS[m](label, p)) for m in SHOWN} | facts | {"rate": label.mean()}
    return found


def _listed(figures: list[float]) -> str:
    return ", ".join(f"{x:+.4f}" for x in figures)


def main() -> int:
    """Non-zero where persons as they were known are scored no better than devices apart."""
    full = os.environ.get("FULL") == "1"
    runs = [measured(10_000 if full else 2_500, seed) for seed in range(1, 6 if full else 2)]
    print(
        f"{len(runs)} seed{'s' if len(runs) > 1 else ''}, means: AUC, log loss and calibration error of persons; "
        "AUC that the own test promised; persons with high and low scores at once; scores per person; events held per "
        "event read; seconds"
    )
    means = {way: {k: float(np.mean([r[way][k] for r in runs])) for k in runs[0][way]} for way in runs[0]}
    print(f"{'':34s}  AUC     loss    error   promised  both    scores  events  s")
    for way, m in means.items():
        print(
            f"{way:34s}  {m['auc']:.4f}  {m['log_loss']:.4f}  {m['calibration_error']:.4f}  {m['promised']:.4f}    "
            f"{100 * m['contradicting']:4.1f} %  {m['scores']:.2f}    {m['copies']:.2f}    {m['seconds']:.0f}"
        )
    known = "joined as was known"
    gained = [r[known]["auc"] - max(r[way]["auc"] for way in r if way.startswith(WORST)) for r in runs]
    lost = [r[BEST]["auc"] - r[known]["auc"] for r in runs]
    print("AUC, seed by seed: joined as was known above devices apart, by the better of the two: " + _listed(gained))
    print("AUC, seed by seed: true ids above joined as was known: " + _listed(lost))
    apart = min(m["log_loss"] for way, m in means.items() if way.startswith(WORST))
    saved = 1.0 - means[known]["log_loss"] / apart
    print(
        f"Joined as was known, log loss is {100 * saved:.1f} % lower than of devices apart, by the better of the two."
    )
    return int(saved <= ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
