"""Runs the gallery: ``make gallery``, or ``python -m benchmarks.gallery``.

Every study whose data are at hand is run; the others are skipped, and it is said why. Reports are left in
``.bench/gallery``, figures in ``examples/STUDY/figures.json``, and the tables of the studies' pages and of
docs/gallery.md are made of these.

Environment: ``DATA``, the folder with the data sets (``../shared/data``); ``ONLY=word``, studies with it in their name;
``REMAKE=1``, pages from the figures there are, without a run; ``PICTURE=1``, the picture of a report anew, by Chromium.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from benchmarks.gallery import page
from benchmarks.gallery.page import INDEX, METRICS, RULES, Found
from benchmarks.gallery.studies import ROOT, STUDIES, Study
from sklearn.metrics import roc_auc_score

import propend
from propend.demo.simulator import Simulation

OUT = ROOT / ".bench" / "gallery"
PICTURE, PICTURED = ROOT / "docs" / "pictures" / "gallery-report.png", "retail_churn"
FACTORS = 5
SHOWN_DIGITS = 4
"""Kept of each figure: more than a page shows, fewer than differ between machines."""


def lacking(study: Study, data: Path) -> str:
    """Why a study cannot be run here; empty where it can."""
    folder = data / study.folder
    return "" if study.simulated or folder.is_dir() else f"its data are not in {folder}"


def measured(study: Study, data: Path, out: Path) -> Found:
    """Run one study and keep what its page shows.

    Args:
        study: one whose data are at hand.
        data: the folder of all data sets.
        out: where the run is left; nothing is there afterwards where it is refused.

    Raises:
        PropendError: a mistake in the document, or data that cannot be read.
    """
    simulation = study.simulated.make() if study.simulated else None
    given: dict[str, Any] = {"data": simulation.events if simulation else (data / study.folder).resolve()}
    if study.as_of:
        given["as_of"] = study.as_of
    try:
        run = propend.run(study.document, out=out, **given)
    except propend.PropendError as refusal:
        if refusal.exit_status not in (3, 4):  # of the data or the model; others are mistakes of ours
            raise
        shutil.rmtree(out, ignore_errors=True)  # an older run's report would contradict the page
        seen = propend.check(study.document, **given).document
        return {"read": read_of(seen["counts"], seen["data"]), "refusal": refusal.to_dict()}
    found = kept(run)
    if simulation is not None:
        found["figures"]["truth"] = {"auc": best_possible(study, simulation, run.evaluation)}
    return found


def kept(run: propend.Run) -> Found:
    """The figures of a run that a page shows, rounded."""
    evaluation, insights = run.evaluation, run.insights
    contenders = {"propend": evaluation} | {name: evaluation["baselines"][name] for name in RULES}
    tenth = next(t for t in evaluation["top_n"] if abs(t["share"] - 0.1) < 1e-9)
    return {
        "read": read_of(run.record["counts"], run.record["data"]),
        "refusal": None,
        "proof": {
            "kind": evaluation["proof"],
            "cutoff": evaluation["cutoff_at"][:10],
            "ends": evaluation["outcome_ends_at"][:10],
            "n": evaluation["n"],
            "positives": evaluation["positives"],
            "base_rate": _rounded(evaluation["base_rate"]),
        },
        "figures": {
            name: {m: [_rounded(figures[m][end]) for end in ("value", "low", "high")] for m in METRICS}
            for name, figures in contenders.items()
        },
        "differences": {
            name: {m: [_rounded(given[m][end]) for end in ("value", "low", "high")] for m in ("auc", "log_loss")}
            for name, given in evaluation["differences"].items()
        },
        "expected_rate": _rounded(evaluation["expected_rate"]["value"]),
        "top_tenth": {k: round(tenth[k]) for k in ("n", "caught", "caught_low", "caught_high")},
        "verdict": evaluation["verdict"]["sentence"],
        "scored": {
            "population": insights["population"],
            "buckets": {b["bucket"]: b["n"] for b in insights["buckets"]},
        },
        "factors": [
            {"label": f["label"], "share": _rounded(f["share"]), "direction": f["direction"]}
            for f in insights["factors"][:FACTORS]
        ],
        "notices": [{k: w[k] for k in ("code", "symbol", "message")} for w in run.record["warnings"]],
    }


def read_of(counts: dict[str, Any], data: dict[str, Any]) -> Found:
    """How much was read, and of which days."""
    return {
        "events": counts["events_used"],
        "profiles": data["profiles"],
        "first": data["first_event_at"][:10],
        "last": data["last_event_at"][:10],
    }


def best_possible(study: Study, simulation: Simulation, evaluation: dict[str, Any]) -> list[float | None]:
    """AUC of the true probability on the tested profiles: with these events nobody ranks better but by luck.

    Raises:
        ValueError: the profiles are not those that propend tested.
    """
    instance = study.instance
    cutoff = np.datetime64(evaluation["cutoff_at"][:10], "us")
    day = int((cutoff - np.datetime64(simulation.first, "us")) // np.timedelta64(1, "D"))
    ids, chance = simulation.truth(day, instance.goal.within_days)
    bought = simulation.outcome(day, instance.goal.within_days)[1]
    events = simulation.events
    [bought_lately] = instance.eligible.group.atoms() if instance.eligible else []
    since = cutoff - np.timedelta64(bought_lately.within_days, "D")
    lately = pc.and_(pc.greater_equal(events["at"], since), pc.less(events["at"], cutoff))
    chosen = pc.and_(pc.equal(events["kind"], "purchase"), lately)
    tested = np.isin(ids, pc.unique(events.filter(chosen)["profile_id"]).to_pylist())
    if int(tested.sum()) != evaluation["n"]:
        raise ValueError(f"{tested.sum()} profiles are eligible by the simulator, {evaluation['n']} were tested")
    return [_rounded(roc_auc_score(bought[tested], chance[tested])), None, None]


def _rounded(value: float) -> float:
    return round(float(value), SHOWN_DIGITS)


# --- pages and the picture ------------------------------------------------------------------------------------


def write_pages() -> None:
    """All pages anew, of the figures there are."""
    for study in STUDIES:
        study.page.write_text(page.written(study), encoding="utf-8")
    INDEX.write_text(page.index(STUDIES), encoding="utf-8")


def draw(report: Path, target: Path) -> None:
    """The first screen of a report, as a browser shows it.

    Raises:
        FileNotFoundError: there is no Chromium, or no report.
    """
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None or not report.is_file():
        raise FileNotFoundError("no Chromium: `make browser`" if report.is_file() else f"no report: {report}")
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,640",
             "--virtual-time-budget=8000", f"--user-data-dir={profile}", f"--screenshot={target}", report.as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip


def run(studies: Sequence[Study], data: Path) -> int:
    """Run the studies whose data are at hand, one after the other, and keep their figures; how many failed."""
    failed = 0
    for study in studies:
        missing = lacking(study, data)
        if missing:
            print(f"{study.name}: skipped, {missing}", flush=True)
            continue
        started = time.perf_counter()
        try:
            found = measured(study, data, OUT / study.name)
        except propend.PropendError as error:
            print(f"{study.name}: failed, {error}", flush=True)
            failed += 1
            continue
        study.figures.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        seconds = time.perf_counter() - started
        said = found["refusal"]["code"] + " refused" if found["refusal"] else page.outcome(found)
        print(f"{study.name}: {said}, {seconds:.0f} s", flush=True)
    return failed


def main() -> int:
    """Non-zero where a study could not be run though its data are there."""
    data = Path(os.environ.get("DATA") or ROOT.parent / "shared" / "data")
    only, remake = os.environ.get("ONLY", ""), os.environ.get("REMAKE")
    failed = run([] if remake else [s for s in STUDIES if only in s.name], data)
    write_pages()
    if os.environ.get("PICTURE"):
        draw(OUT / PICTURED / "report.html", PICTURE)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
