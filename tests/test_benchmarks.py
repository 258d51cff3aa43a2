"""What the accuracy benchmark itself claims: its limits, its tables, its own BG/NBD."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import selftests
from benchmarks.accuracy import page, published
from benchmarks.accuracy.apart import FailedError, TooSlowError, in_own_process
from benchmarks.accuracy.bgnbd import BgNbd
from benchmarks.accuracy.evidence import filled
from benchmarks.accuracy.level import Level, level_table
from benchmarks.accuracy.measure import Cell
from benchmarks.accuracy.results import Result, Speed, file_of, load_all, save

from propend.model.calibrate import sigmoid

FIGURES = {"average_precision": 0.5, "brier": 0.1, "calibration_error": 0.01, "top_decile_lift": 2.0,
           "calibration_in_the_large": 0.01}  # fmt: skip


def cells(auc: Cell, log_loss: Cell) -> dict[str, Cell]:
    return {"auc": auc, "log_loss": log_loss} | {name: Cell(value) for name, value in FIGURES.items()}


def result(name: str, **changes: object) -> Result:
    given = {
        "propend": cells(Cell(0.80), Cell(0.40)),
        "rfm_logistic": cells(Cell(0.75, -0.05, -0.08, -0.02), Cell(0.45, 0.05, 0.02, 0.08)),
        "lightgbm": cells(Cell(0.79, -0.01, -0.02, 0.01), Cell(0.39, -0.01, -0.02, -0.005)),
    }
    facts = {
        "study": name,
        "cutoffs": ["2024-01-01"],
        "rows": 200,
        "positives": 50,
        "cells": given,
        "missing": {"featuretools": "did not finish in 300 s"},
        "seconds": dict.fromkeys(given, 2.0),
        "megabytes": dict.fromkeys(given, 400.0),
        "levels": (Level("2024-01-01", 0.20, 0.28, 0.26, 0.24, 0.22, 0.01),),
        "speed": Speed(3.0, 3.5, 2.0, 1000, 50),
        "truth_error": 0.02,
    }
    return Result(**(facts | changes))  # type: ignore[arg-type]


def test_what_takes_too_long_is_stopped() -> None:
    with pytest.raises(TooSlowError, match="did not finish in 1 s"):
        in_own_process(time.sleep, 60, limit=1)


def test_a_failure_in_the_other_process_is_told() -> None:
    with pytest.raises(FailedError, match="sqrt: ValueError: "):
        in_own_process(math.sqrt, -1)


def test_results_are_read_as_they_were_saved(tmp_path: Path) -> None:
    kept = [result("A study, 30 d"), result("Another", speed=None)]
    for r in kept:
        save(file_of(tmp_path, r.study), r)
    names = [r.study for r in kept] + ["not there"]
    assert str(load_all(tmp_path, names)) == str(kept)  # as text: figures that are not a number equal nothing


def test_a_level_is_moved_to_the_last_rate_and_freed_of_its_shift() -> None:
    plain = np.full(100, 0.3)
    shifted = sigmoid(np.log(plain / (1 - plain)) + 0.5)
    found = Level.of("2024-01-01", np.repeat([1.0, 0.0], [25, 75]), shifted, 0.5, 0.2, np.full(100, 0.4))
    assert found.document() == {
        "cutoff": "2024-01-01",
        "realised": 0.25,
        "plain": pytest.approx(0.4),
        "none": pytest.approx(0.3),
        "last": pytest.approx(0.2),
        "propend": pytest.approx(shifted[0]),
        "chance": pytest.approx((shifted[0] * (1 - shifted[0]) / 100) ** 0.5),
    }


def test_the_level_table_has_means_over_cutoffs_and_over_studies() -> None:
    one = [Level("a", 0.2, 0.4, 0.3, 0.2, 0.25, 0.02)]
    two = [Level("b", 0.2, 0.24, 0.22, 0.2, 0.2, 0.01), Level("c", 0.2, 0.24, 0.22, 0.2, 0.2, 0.01)]
    means = [line.split(" | ")[1:9] for line in level_table([("x", one), ("y", two)]).splitlines()[-2:]]
    assert means == [
        ["3", "0.0106", "0.0933", "0.0467", "0.0000", "0.0167", "0.18", "0.36"],
        ["3", "0.0120", "0.1200", "0.0600", "0.0000", "0.0250", "0.21", "0.42"],
    ]


def test_the_aims_are_judged() -> None:
    none = result("Simulator without signal", cells={}, missing={"propend": "refused: PROPEND-402"}, levels=())
    protocol = published.Protocol(2357, 0.29, [published.Line("propend, learns 30 d", 0.78, 0.6)])
    assert page.aims([result("A"), none], [protocol]) == [
        ("AUC at least that of rfm_logistic on every study", True, "on all 1"),
        (
            "AUC not worse than LightGBM's on any, better on most",
            True,
            "better on 1 of 1; worse beyond the interval: none",
        ),
        (
            "log loss less than everybody's on most, worse on none",
            False,
            "least on 0 of 1; worse beyond the interval: A (lightgbm)",
        ),
        (
            "mean level error at most 2/3 of a model's without care for the level",
            True,
            "0.0200 / 0.0800 = 0.25 over 1 cutoffs; of the same model before the last correction, "
            "which knows the time, 0.33",
        ),
        (
            "calibration error under 0.03 on the simulator",
            True,
            "0.0100 against what happened, 0.0200 against the truth",
        ),
        ("no signal is reported as none", True, "refused: PROPEND-402"),
        (
            "CDNOW, published protocol: AUC above the 0.779 of Pareto/NBD",
            True,
            "0.7800 (propend, learns 30 d); correlation of counts 0.600 beside 0.630",
        ),
        ("data to scores within twice one plain LightGBM fit", True, "on 1 of 1; most 1.50 on A"),
    ]


def test_a_page_is_filled_between_its_marks() -> None:
    text = "head\n<!-- accuracy: begin -->\nold\n<!-- accuracy: end -->\ntail\n"
    assert filled(text, "new\\1\n") == (
        "head\n<!-- accuracy: begin -->\n\nnew\\1\n\n<!-- accuracy: end -->\ntail\n"
    )  # fmt: skip


@pytest.mark.skipif(not published.STUDY.has_data(), reason="CDNOW is not here")
def test_bg_nbd_is_that_of_the_literature() -> None:
    _, history, count = published.halves(published.events(published.STUDY, sample=True))
    model = BgNbd.fit(*history.T)
    expected = model.expected_count(*history.T, published.DAYS)
    found = [model.r, model.alpha, model.a, model.b, float(np.corrcoef(expected, count)[0, 1])]
    assert found == pytest.approx([0.243, 4.414, 0.793, 2.426, 0.626], rel=0.02)


def promises(**changes: Any) -> dict[str, list[Any]]:
    """What two seeds found, every promise held."""
    calibration = {"truth_inside": True, "bought_inside": True, "proof_inside": False, "bias": 0.0, "proof_bias": 0.1}
    moved = {"median": 0.01, "most": 0.05, "mean": 0.0, "rank": 0.99, "said": []}
    cases = [
        {"kind": "status, as of today, true for 100%", "clean": False, "found": True},
        {"kind": "status, as of today, true for 70%", "clean": False, "found": False},
        {"kind": "honest region", "clean": True, "found": False},
    ]
    one = {
        "calibration": calibration,
        "no_signal": {"held": True, "refused": "PROPEND-402"},
        "planted": cases,
        "broken": dict.fromkeys(selftests.BREAKS, moved),
    }
    return {part: [one[part], changes.get(part, one[part])] for part in one}


def test_statistical_promises_are_judged_on_every_seed() -> None:
    leaks = promises()["planted"][0]
    missed, accused = ([dict(case, found=found) for case in leaks] for found in (False, True))
    moved = {name: {"median": 0.021, "most": 0.05, "said": []} for name in selftests.BREAKS}
    judged = {
        "all": promises(),
        "outside": promises(calibration={"truth_inside": True, "bought_inside": False}),
        "refused": promises(calibration={"refused": "PROPEND-401"}),
        "claimed": promises(no_signal={"held": False, "refused": ""}),
        "missed": promises(planted=missed),
        "accused": promises(planted=accused),
        "moved": promises(broken=moved),
    }
    assert {name: selftests.broken_promises(found) for name, found in judged.items()} == {
        "all": [],
        "outside": ["the number who bought inside it"],
        "refused": [],
        "claimed": ["no signal said to be none"],
        "missed": ["certain leaks named"],
        "accused": ["honest things not accused"],
        "moved": [f"change by {name} (median)" for name in selftests.BREAKS],
    }


def test_statistical_promises_in_one_line() -> None:
    assert selftests.sentence(promises()) == (
        "true number inside 2 of 2; proof calibrated 0 of 2; no signal told 2 of 2; certain leaks named 2 of 2, "
        "clean accused 0 of 2; breaks noticed 0 of 6."
    )
