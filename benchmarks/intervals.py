"""How often the true probability lies inside a profile's interval, on simulated events whose truth is known.

Four worlds of buyers: the simulator's own, one with stronger habits, one that nobody leaves, one of rare purchases.
Each is scored as of a day after which 30 more days are simulated, so that also the number who bought can be held
against the number expected. Shown per simulation: the share of profiles whose true probability, given their events, is
inside; the same in the buckets and in tenths by probability; the mean width. On real data nobody knows the truth:
there the realised rates of the proof's tenths are held against their intervals (``intervals`` in ``evaluation.json``).

    python benchmarks/intervals.py            # two worlds, half a minute
    FULL=1 python benchmarks/intervals.py     # all worlds, three sizes, more seeds; public data in ../shared/data

The seeds are not those by which the constants in ``model/certainty.py`` were found (decision 0014).
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

import propend
from propend.demo.simulator import Gamma, Parameters, simulate
from propend.errors import PropendError
from propend.scoring import BUCKETS

EXAMPLES = Path(__file__).parents[1] / "examples"
FIRST, DAYS, WITHIN_DAYS, PATHS = date(2024, 1, 1), 400, 30, 200
WORLDS = {
    "as it ships": Parameters(),
    "strong habits": Parameters(purchase=Gamma(0.01, 0.7), effects=(0.4, 0.2, -0.3)),
    "nobody leaves": Parameters(purchase=Gamma(0.006, 0.8), leaving=None),
    "rare purchases": Parameters(purchase=Gamma(0.0012, 1.0)),
}
SHORT = ((1500, ("as it ships", "nobody leaves"), (101,)),)
FULL = ((1500, tuple(WORLDS), (101, 102, 103, 104)), (4000, tuple(WORLDS), (111, 112)), (12_000, tuple(WORLDS), (121,)))
REAL = (
    *("online_retail_ii_purchase", "online_retail_ii_churn", "cdnow_churn", "complete_journey_churn_30"),
    *("contoso_online", "git_churn"),
)
DOCUMENT = {
    "name": "simulated",
    "data": {"events": "not read"},
    "goal": {"all_of": ["purchase"], "within": f"{WITHIN_DAYS}d"},
    "eligible": {"all_of": [{"did": "anything", "at_least": 1, "within": "90d"}]},
    "options": {"quality_bar": 0.5},
}
LEAST, MOST = 0.90, 0.99
"""Of the mean coverage."""


def run(document: dict[str, Any], **given: Any) -> propend.Run:
    """A run whose folder is gone afterwards: its documents and scores are kept in memory."""
    with tempfile.TemporaryDirectory() as folder:
        finished = propend.run(document, out=Path(folder) / "run", **given)
        finished.__dict__["kept"] = finished.scores
        return finished


def simulated(world: str, profiles: int, seed: int) -> dict[str, Any]:
    """Coverage and width of one simulation, and whether the number who bought was inside, too."""
    made = simulate(profiles, DAYS + WITHIN_DAYS, seed, first=FIRST, parameters=WORLDS[world])
    finished = run(DOCUMENT, data=made.events, as_of=FIRST + timedelta(days=DAYS))
    table, expected = finished.__dict__["kept"], finished.insights["expected_positives"]
    ids, truth = made.truth(DAYS, WITHIN_DAYS, paths=PATHS)
    bought = made.outcome(DAYS, WITHIN_DAYS)[1]
    place = {profile: i for i, profile in enumerate(ids.tolist())}
    rows = np.array([place[i] for i in table.column("profile_id").to_pylist()])
    low, p, high = (table.column(f"probability{end}").to_numpy() for end in ("_low", "", "_high"))
    inside = (truth[rows] >= low) & (truth[rows] <= high)
    bucket = np.array(table.column("bucket").to_pylist())
    return {
        "coverage": float(inside.mean()),
        "width": float((high - low).mean()),
        "buckets": [float(inside[bucket == b].mean()) if (bucket == b).any() else np.nan for b in BUCKETS],
        "tenths": [float(inside[t].mean()) for t in np.array_split(np.argsort(p), 10)],
        "total": bool(expected["low"] <= bought[rows].sum() <= expected["high"]),
        "thin": finished.insights["too_little_history"]["share"],
    }


def real(example: str) -> list[dict[str, Any]] | None:
    """The tenths of a real proof with their intervals; None without data, or where the run is refused."""
    [path] = EXAMPLES.rglob(f"{example}.yaml")
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    folder = (path.parent / document["data"].get("folder", ".")).resolve()
    if not folder.is_dir():
        return None
    document["data"]["folder"] = str(folder)
    try:
        rows: list[dict[str, Any]] = run(document).evaluation["intervals"]
    except PropendError as error:
        print(f"{example}: refused, {error.code}", flush=True)
        return None
    held = sum(row["inside"] for row in rows)
    width = np.mean([row["high"] - row["low"] for row in rows])
    print(f"{example:28s}  tenths of the proof inside: {held} of {len(rows)}; mean width {width:.3f}", flush=True)
    return rows


def _shares(values: NDArray[np.float64] | list[float]) -> str:
    return " ".join("   -" if np.isnan(v) else f"{v:4.2f}" for v in values)


def main() -> int:
    """Non-zero where the mean coverage is under 90 % or over 99 %."""
    full = os.environ.get("FULL") == "1"
    found = []
    print("world           profiles  seed   inside  width   low medium high   tenths, lowest first")
    for profiles, worlds, seeds in FULL if full else SHORT:
        for world in worlds:
            for seed in seeds:
                one = simulated(world, profiles, seed)
                found.append(one)
                print(
                    f"{world:15s} {profiles:8,d}  {seed:4d}   {100 * one['coverage']:5.1f} %  {one['width']:.3f}   "
                    f"{_shares(one['buckets'])}   {_shares(one['tenths'])}",
                    flush=True,
                )
    tenths = [rows for rows in map(real, REAL) if rows] if full else []
    coverage = np.array([one["coverage"] for one in found])
    mean = {key: _shares(np.nanmean([one[key] for one in found], axis=0)) for key in ("buckets", "tenths")}
    print(f"mean of buckets (low medium high): {mean['buckets']}; of tenths: {mean['tenths']}")
    if tenths:
        flat = [row["inside"] for rows in tenths for row in rows]
        print(f"Real data: {sum(flat)} of {len(flat)} tenths of {len(tenths)} proofs inside.")
    print(
        f"\n{100 * coverage.mean():.1f} % of true probabilities lay inside their 95 % interval, mean of {len(found)} "
        f"simulations ({100 * coverage.min():.1f} to {100 * coverage.max():.1f} %), mean width "
        f"{np.mean([one['width'] for one in found]):.3f}; the number who bought in {sum(o['total'] for o in found)} of "
        f"{len(found)}."
    )
    return int(not LEAST <= coverage.mean() <= MOST)


if __name__ == "__main__":
    sys.exit(main())
