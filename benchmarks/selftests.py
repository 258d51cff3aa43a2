"""Statistical promises held against the simulator, whose truth is known, over many seeds.

- **Calibration**: the sum of true probabilities, and the number who bought, inside the interval that a run states for
  the number expected (``expected_positives``). Beside it, not promised: the mean probability of the proof inside the
  interval of its realised rate, which holds the chance in the outcomes and not the forecast's own error.
- **No signal**: purchases alike for all are refused (``PROPEND-402``) or said to be no better than chance.
- **Leaks**: attributes as of today, a time filled in later, an event dated back: named; honest ones: not
  (``benchmarks/leaks.py`` has more strengths, and real data).
- **Broken tracking in history**: a week without events, a kind missing for two weeks, a day counted twice: noticed in
  words, and how far the probabilities move from those of the whole events.

    python benchmarks/selftests.py             # one seed, half a minute
    FULL=1 python benchmarks/selftests.py      # 100 seeds; SEEDS=n for so many
    FULL=1 RESUME=1 python benchmarks/selftests.py    # goes on where it was stopped

Every seed leaves a file in ``OUT`` (``.bench/selftests``, or ``.bench/selftests-full``);
``PARTS=calibration,no_signal`` measures some alone. No seed is left out: seeds are 1000 and on.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import spearmanr

from propend import Run
from propend.demo.simulator import Simulation, simulate
from propend.errors import PropendError
from propend.model.evaluate import wilson

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import intervals, leaks

FULL = bool(os.environ.get("FULL"))
FIRST, PROFILES, DAYS, WITHIN_DAYS, PATHS = date(2024, 1, 1), 800, 300, 30, 100
NOW = FIRST + timedelta(days=DAYS)
SEEDS = range(1000, 1000 + int(os.environ.get("SEEDS") or (100 if FULL else 1)))
OUT = Path(os.environ.get("OUT") or (".bench/selftests-full" if FULL else ".bench/selftests"))
GAP_DAY, KIND_DAY, TWICE_DAY, MISSING_KIND = 200, 210, 220, "email_open"
CERTAIN = ("true for 100%", "filled in later", "before all outcomes")
"""Of the planted leaks, those that all are to be named."""
LEAST_INSIDE, MOST_CLAIMED, MOST_ACCUSED, LEAST_NOTICED = 0.95, 0.01, 0.01, 0.95
MOST_MEDIAN, MOST_OF_95 = 0.015, 0.06
"""Of the change of the probability by broken tracking, mean over seeds: its median, and its 95 % quantile."""
LEAST_SEEDS = 20
"""From which on the share of breaks that were noticed is judged."""

Found = dict[str, Any]


# --- calibration, and broken tracking -------------------------------------------------------------------


def calibration(seed: int) -> Found:
    """One run's expected number beside the true one, and its proof's expected rate beside the realised."""
    made = simulate(PROFILES, DAYS + WITHIN_DAYS, seed, first=FIRST)
    finished = _run(made.events)
    if isinstance(finished, str):
        return {"refused": finished}
    return _judged(made, finished)


def _judged(made: Simulation, finished: Run) -> Found:
    expected, proof = finished.insights["expected_positives"], finished.evaluation
    ids, truth = made.truth(DAYS, WITHIN_DAYS, paths=PATHS)
    bought = made.outcome(DAYS, WITHIN_DAYS)[1]
    place = {profile: i for i, profile in enumerate(ids.tolist())}
    rows = [place[i] for i in _probabilities(finished)]
    realised = proof["realised_rate"]
    return {
        "truth_inside": bool(expected["low"] <= truth[rows].sum() <= expected["high"]),
        "bought_inside": bool(expected["low"] <= bought[rows].sum() <= expected["high"]),
        "proof_inside": bool(realised["low"] <= proof["expected_rate"]["value"] <= realised["high"]),
        "bias": float((expected["value"] - truth[rows].sum()) / len(rows)),
        "half_width": float((expected["high"] - expected["low"]) / 2 / len(rows)),
        "proof_bias": float(proof["expected_rate"]["value"] - realised["value"]),
    }


def no_signal(seed: int) -> Found:
    """Whether events that tell nothing are said to tell nothing."""
    finished = _run(simulate(PROFILES, DAYS, seed, first=FIRST, signal=False).events)
    refused = finished if isinstance(finished, str) else ""
    said = isinstance(finished, Run) and "PROPEND-313" in _codes(finished)
    return {"held": refused == "PROPEND-402" or said, "refused": refused}


def broken(seed: int) -> dict[str, Found]:
    """What was said of each break, and how far probabilities moved from those without it."""
    events = simulate(PROFILES, DAYS, seed, first=FIRST).events
    whole = _run(events)
    if isinstance(whole, str):
        return {"whole": {"refused": whole}}
    before, usual = _probabilities(whole), _codes(whole)
    found: dict[str, Found] = {"whole": {"said": sorted(usual & {"PROPEND-303", "PROPEND-310"})}}
    for name, plant in BREAKS.items():
        finished = _run(plant(events))
        if isinstance(finished, str):
            found[name] = {"refused": finished}
            continue
        after = _probabilities(finished)
        found[name] = moved(before, after) | {"said": sorted(_codes(finished) - usual)}
    return found


def moved(before: dict[str, float], after: dict[str, float]) -> Found:
    """Absolute change of the probability of those in both (median, 95 %), and the rank correlation."""
    both = sorted(before.keys() & after.keys())
    p, q = (np.array([side[i] for i in both]) for side in (before, after))
    change = np.abs(p - q)
    return {
        "median": float(np.median(change)),
        "most": float(np.quantile(change, 0.95)),
        "mean": float(abs(p.mean() - q.mean())),
        "rank": float(spearmanr(p, q).statistic),
    }


def _day(events: pa.Table) -> Any:
    return (events.column("at").to_numpy() - np.datetime64(FIRST)) // np.timedelta64(1, "D")


def week_lost(events: pa.Table) -> pa.Table:
    """Without any event of seven days."""
    day = _day(events)
    return events.filter(pa.array((day < GAP_DAY) | (day >= GAP_DAY + 7)))


def kind_lost(events: pa.Table) -> pa.Table:
    """Without any event of one kind for fourteen days."""
    day, kind = _day(events), events.column("kind").to_numpy(zero_copy_only=False)
    return events.filter(pa.array((kind != MISSING_KIND) | (day < KIND_DAY) | (day >= KIND_DAY + 14)))


def day_twice(events: pa.Table) -> pa.Table:
    """With all events of one day again."""
    return pa.concat_tables([events, events.filter(pa.array(_day(events) == TWICE_DAY))])


BREAKS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "a week without events": week_lost,
    "a kind missing for two weeks": kind_lost,
    "a day counted twice": day_twice,
}
NOTICES = {
    "a week without events": "PROPEND-303",
    "a kind missing for two weeks": "PROPEND-303",
    "a day counted twice": "PROPEND-310",
}


def _run(events: pa.Table) -> Run | str:
    """A run, or the code of its refusal."""
    try:
        return intervals.run(intervals.DOCUMENT, data=events, as_of=NOW)
    except PropendError as refusal:
        return refusal.code


def _probabilities(finished: Run) -> dict[str, float]:
    table = finished.__dict__["kept"]
    ids, chances = (table.column(name).to_pylist() for name in ("profile_id", "probability"))
    return dict(zip(ids, chances, strict=True))


def _codes(finished: Run) -> set[str]:
    return {w["code"] for w in finished.record["warnings"]}


def planted(seed: int) -> list[Found]:
    """Each planted or honest thing, and whether it was named."""
    cases = leaks.leak_cases(leaks.simulated(seed, PROFILES), seed)
    return [{"kind": c.kind, "clean": c.clean, "found": c.found} for c in cases]


# --- the table ------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[int], Any]] = {
    "calibration": calibration,
    "no_signal": no_signal,
    "broken": broken,
    "planted": planted,
}


def kept(part: str, seed: int) -> Any:
    """What one seed came to: of an earlier run's file where one is to be gone on with, else measured now."""
    target = OUT / part / f"{seed}.json"
    if os.environ.get("RESUME") and target.exists():
        return json.loads(target.read_text(encoding="utf-8"))
    found = PARTS[part](seed)
    target.parent.mkdir(parents=True, exist_ok=True)
    half_written = target.with_suffix(".tmp")
    half_written.write_text(json.dumps(found), encoding="utf-8")
    half_written.replace(target)
    return found


def counted(held: list[bool]) -> str:
    """``97 of 100 (91.5 to 99.0 %)``, by Wilson."""
    low, high = wilson(sum(held), len(held))
    return f"{sum(held)} of {len(held)} ({100 * low:.1f} to {100 * high:.1f} %)"


def lines(found: dict[str, list[Any]]) -> list[str]:
    """One row per promise: what is held, and in how many seeds."""
    rows = ["| promise | held | figures |", "| --- | ---: | --- |"]
    runs = [one for one in found.get("calibration", []) if "refused" not in one]
    for key, label, bias in (
        ("truth_inside", "true number inside the interval of the number expected", "bias"),
        ("bought_inside", "number who bought inside the same interval", "bias"),
        ("proof_inside", "expected rate of the proof inside the interval of the realised", "proof_bias"),
    ):
        if runs:
            off = np.array([one[bias] for one in runs])
            rows.append(
                f"| {label} | {counted([one[key] for one in runs])} | off by {off.mean():+.4f} on average, "
                f"{np.abs(off).mean():.4f} without sign |"
            )
    if silent := found.get("no_signal"):
        refused = sum(one["refused"] == "PROPEND-402" for one in silent)
        rows.append(
            f"| no signal said to be none | {counted([one['held'] for one in silent])} | {refused} by a refusal |"
        )
    cases = [case for seed in found.get("planted", []) for case in seed]
    for kind in dict.fromkeys(case["kind"] for case in cases):
        of_kind = [case for case in cases if case["kind"] == kind]
        clean = of_kind[0]["clean"]
        held = [case["found"] != clean for case in of_kind]
        rows.append(f"| {'not accused' if clean else 'named'}: {kind} | {counted(held)} | |")
    rows += [row for name in BREAKS for row in _break_rows(name, found.get("broken", []))]
    return rows


def _break_rows(name: str, seeds: list[dict[str, Found]]) -> list[str]:
    runs = [seed[name] for seed in seeds if name in seed and "refused" not in seed[name]]
    if not runs:
        return []
    figure = {key: [one[key] for one in runs] for key in ("median", "most", "mean", "rank")}
    return [
        f"| noticed: {name} | {counted([NOTICES[name] in one['said'] for one in runs])} | change of the probability: "
        f"median {np.mean(figure['median']):.3f} (largest {max(figure['median']):.3f}), 95 % under "
        f"{np.mean(figure['most']):.3f} ({max(figure['most']):.3f}), mean {np.mean(figure['mean']):.3f} "
        f"({max(figure['mean']):.3f}); rank correlation {np.mean(figure['rank']):.3f} ({min(figure['rank']):.3f}) |"
    ]


def sentence(found: dict[str, list[Any]]) -> str:
    """All in one line; what was not measured is left out."""
    said = []
    runs = [one for one in found.get("calibration", []) if "refused" not in one]
    for key, label in (("truth_inside", "true number inside"), ("proof_inside", "proof calibrated")):
        if runs:
            said.append(f"{label} {sum(one[key] for one in runs)} of {len(runs)}")
    if silent := found.get("no_signal"):
        said.append(f"no signal told {sum(one['held'] for one in silent)} of {len(silent)}")
    if cases := [case for seed in found.get("planted", []) for case in seed]:
        certain = [c["found"] for c in cases if not c["clean"] and any(word in c["kind"] for word in CERTAIN)]
        accused = [c["found"] for c in cases if c["clean"]]
        said.append(f"certain leaks named {sum(certain)} of {len(certain)}, clean accused {sum(accused)}"
                    f" of {len(accused)}")  # fmt: skip
    if seeds := found.get("broken"):
        told = [NOTICES[n] in seed[n]["said"] for seed in seeds for n in BREAKS if "said" in seed.get(n, {})]
        said.append(f"breaks noticed {sum(told)} of {len(told)}")
    return "; ".join(said) + "."


def broken_promises(found: dict[str, list[Any]]) -> list[str]:
    """What docs/reliability.md promises and these seeds do not hold, in words."""
    runs = [one for one in found.get("calibration", []) if "refused" not in one]
    silent = [one["held"] for one in found.get("no_signal", [])]
    cases = [case for seed in found.get("planted", []) for case in seed]
    certain = [c["found"] for c in cases if not c["clean"] and any(word in c["kind"] for word in CERTAIN)]
    accused = [c["found"] for c in cases if c["clean"]]
    breaks = [(name, seed[name]) for seed in found.get("broken", []) for name in BREAKS if "said" in seed.get(name, {})]
    held = {
        "the true number inside its interval": not runs or _share(runs, "truth_inside") >= LEAST_INSIDE,
        "the number who bought inside it": not runs or _share(runs, "bought_inside") >= LEAST_INSIDE,
        "no signal said to be none": silent.count(False) <= MOST_CLAIMED * len(silent),
        "certain leaks named": all(certain),
        "honest things not accused": sum(accused) <= MOST_ACCUSED * len(accused),
    }
    for name in dict.fromkeys(name for name, _ in breaks):
        of_it = [one for other, one in breaks if other == name]
        noticed = np.mean([NOTICES[name] in one["said"] for one in of_it])
        if len(of_it) >= LEAST_SEEDS:
            held[f"{name} noticed"] = bool(noticed >= LEAST_NOTICED)
        for key, most in (("median", MOST_MEDIAN), ("most", MOST_OF_95)):
            held[f"change by {name} ({key})"] = _share(of_it, key) <= most
    return [promise for promise, kept_ in held.items() if not kept_]


def _share(seeds: list[Found], key: str) -> float:
    return float(np.mean([one[key] for one in seeds]))


def main() -> int:
    """Non-zero where a promise is broken."""
    asked = [part for part in (os.environ.get("PARTS") or ",".join(PARTS)).split(",") if part]
    found: dict[str, list[Any]] = {part: [] for part in asked}
    for seed in SEEDS:
        for part in asked:
            found[part].append(kept(part, seed))
        print(f"seed {seed}", flush=True)
    broken_ones = broken_promises(found)
    print("\n".join(["", *lines(found), "", sentence(found)]))
    for promise in broken_ones:
        print(f"not held: {promise}")
    return int(bool(broken_ones))


if __name__ == "__main__":
    sys.exit(main())
