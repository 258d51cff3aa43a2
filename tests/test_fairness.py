"""Groups by attributes that the model does not use: figures, what is said of them, and that they stay out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import propend
from propend.errors import ConfigurationError
from propend.model.groups import OTHER, UNKNOWN, Outcomes, bands, group_figures, group_sentences, shown_groups
from shops import PROFILES, SHOP, shop


def _outcomes(n: int = 3_000, seed: int = 1) -> Outcomes:
    rng = np.random.default_rng(seed)
    probability = rng.beta(1.5, 6, n)
    label = (rng.random(n) < probability).astype(np.uint8)
    return Outcomes(label, probability, probability > np.quantile(probability, 0.9))


def _groups(n: int = 3_000, seed: int = 2) -> np.ndarray[Any, Any]:
    return shown_groups(list(np.random.default_rng(seed).choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1])))


# --- who is in which group ------------------------------------------------------------------------------


def test_small_groups_are_pooled_and_the_unknown_apart() -> None:
    found = shown_groups(["a"] * 40 + ["b"] * 29 + [None] * 3)
    assert dict(zip(*np.unique(found.astype(str), return_counts=True), strict=True)) == {"a": 40, UNKNOWN: 3, OTHER: 29}


def test_at_most_twelve_groups_are_shown() -> None:
    found = shown_groups([f"v{i:02}" for i in range(20) for _ in range(50 - i)])
    assert len(set(found) - {OTHER}) == 12
    assert set(found) >= {"v00", "v11", OTHER}


def test_numbers_are_groups_where_few_and_bands_where_many() -> None:
    assert bands(np.array([1.0, 2.0, np.nan])) == ["1", "2", None]
    assert bands(np.append(np.arange(20, 100), np.nan))[::20] == [
        *("20 to under 39.75", "39.75 to under 59.5", "59.5 to under 79.25", "79.25 or more"), None,
    ]  # fmt: skip


# --- figures --------------------------------------------------------------------------------------------


def test_each_group_has_its_counts_and_rates() -> None:
    given, groups = _outcomes(), _groups()
    rows = group_figures(given, groups)
    assert [r["group"] for r in rows] == ["a", "b", "c"]
    for row in rows:
        inside = groups == row["group"]
        assert row["n"] == inside.sum()
        assert row["positives"] == given.label[inside].sum()
        assert row["expected"]["value"] == pytest.approx(given.probability[inside].mean())
        assert row["realised"]["value"] == pytest.approx(given.label[inside].mean())
        assert row["high_share"]["value"] == pytest.approx(given.high[inside].mean())
        assert row["auc"]["low"] < row["auc"]["value"] < row["auc"]["high"]
    assert sum(r["n"] * r["top_share"]["value"] for r in rows) == pytest.approx(600)
    assert rows[1]["ratio"] == pytest.approx(rows[1]["high_share"]["value"] / rows[0]["high_share"]["value"])


def test_a_group_with_few_outcomes_has_no_auc() -> None:
    given, groups = _outcomes(), _groups()
    given.label[groups == "c"] = 0
    assert group_figures(given, groups)[2]["auc"] == {"value": None, "low": None, "high": None}


def test_groups_at_random_do_not_differ() -> None:
    said = group_sentences("taste", group_figures(_outcomes(), _groups()))
    assert said == [
        "No difference between groups of taste is larger than chance explains; small groups leave much room for one."
    ]


def test_what_is_planted_is_said() -> None:
    """Of b too little is expected; c is always selected."""
    given, groups = _outcomes(), _groups()
    rng = np.random.default_rng(3)
    b, c = groups == "b", groups == "c"
    given.label[b] |= (rng.random(int(b.sum())) < 0.2).astype(np.uint8)
    given.high[c] = True
    said = " ".join(group_sentences("taste", group_figures(given, groups)))
    assert "The probabilities fit 'b' and 'a' unequally:" in said
    assert "'c' is more often in the high bucket than 'a': 100.0 % against" in said
    assert "'c' and 'a' unequally" not in said


# --- in a run -------------------------------------------------------------------------------------------


def _people(folder: Path) -> None:
    rng = np.random.default_rng(5)
    ids = [f"p{i:04d}" for i in range(PROFILES)]
    pq.write_table(
        pa.table(
            {"profile_id": ids, "gender": rng.choice(["f", "m"], PROFILES), "city": rng.choice(["x", "y"], PROFILES)}
        ),
        folder / "people.parquet",
    )


def _document(folder: Path, fairness: list[str], **changes: Any) -> dict[str, Any]:
    _people(folder)
    people = {"path": str(folder / "people.parquet"), "profile": "profile_id"}
    return SHOP | {"data": {**SHOP["data"], "attributes": people}, "options": {"fairness": fairness}} | changes


def test_a_run_measures_groups_and_does_not_use_them(tmp_path: Path) -> None:
    """An attribute without a time, and a column of the events; neither is a feature."""
    run = propend.run(_document(tmp_path, ["gender", "category"]), data=shop(), out=tmp_path / "run")
    tested, now = run.evaluation["fairness"], run.insights["fairness"]
    assert [e["attribute"] for e in tested] == [e["attribute"] for e in now] == ["gender", "category"]
    assert [sum(g["n"] for g in e["groups"]) for e in tested] == [run.evaluation["n"]] * 2
    assert [sum(g["n"] for g in e["groups"]) for e in now] == [run.insights["population"]] * 2
    assert {g["group"] for g in tested[0]["groups"]} == {"f", "m"}
    assert {g["group"] for g in tested[1]["groups"]} >= {"shoes", "bags", "hats"}
    codes = " ".join(f["code"] for f in run.insights["factors"])
    assert "gender" not in codes
    assert "category" not in codes
    (notice,) = [w for w in run.record["warnings"] if w["code"] == "PROPEND-304"]
    assert notice["message"].endswith(": city.")
    page = run.report().to_html()
    assert page.count('id="fairness"') == 1
    assert "By gender" in page


def test_scoring_later_gives_the_groups_of_those_scored(tmp_path: Path) -> None:
    events = shop()
    model = propend.train(_document(tmp_path, ["gender"]), data=events, out=tmp_path / "model")
    run = propend.score(model, data=events, out=tmp_path / "scores")
    assert [g["group"] for g in run.insights["fairness"][0]["groups"]] in (["f", "m"], ["m", "f"])


def test_without_the_option_nothing_is_said(tmp_path: Path) -> None:
    run = propend.run(SHOP, data=shop(), out=tmp_path / "run")
    assert "fairness" not in run.evaluation
    assert 'id="fairness"' not in run.report().to_html()


def test_an_unknown_attribute_comes_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        propend.check(_document(tmp_path, ["gendre"]), data=shop())
    (mistake,) = caught.value.mistakes
    assert (mistake.place, mistake.nearest) == ("options.fairness[1]", "gender")


def test_a_named_event_must_not_show_the_groups(tmp_path: Path) -> None:
    events = {"buy": {"is": "purchase"}, "hat": {"is": "purchase", "where": {"category": "hats"}}}
    with pytest.raises(ConfigurationError, match="the model would see the groups by it"):
        propend.check(_document(tmp_path, ["category"], events=events), data=shop())
