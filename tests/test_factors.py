"""Factors: exact for a fitted model, named by the rules, in words, faithful to the model."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import xgboost as xgb
from numpy.typing import NDArray

import propend
from propend.errors import NoInfluentialFactorsError
from propend.explain import factors
from propend.explain.factors import (
    Contributions,
    Explained,
    Explainer,
    bucket_factors,
    build_explainer,
    global_factors,
    join_opposed,
    name_factors,
)
from propend.explain.wording import PHRASES, Showing, factor_text, factor_texts, ranges_of, typical_text, value_text
from propend.model.members import Logistic, Scaling
from propend.model.train import Columns, Model, TrainingSet, choose, fit
from propend.snapshots.plan import Channel, Factor, Feature, Op, PlanInput, Vocabulary, make_plan
from shops import SHOP, shop, with_options

Matrix = NDArray[np.float32]

ASKED = PlanInput(
    channels=(
        Channel("any", "", "", "any", "event", "events"),
        Channel("kind", "purchase", "", "buy", "buy", "buys", valued=True),
    ),
    windows=(30, 90),
    value_name="amount",
    numbers=("lines",),
    texts=(Vocabulary("category", ("shoes", "bags", "hats")),),
    attribute_numbers=("age",),
    attribute_texts=(Vocabulary("region", ("north", "south", "east")),),
)
FEATURES = make_plan(ASKED).features
PLACE = {f.name: j for j, f in enumerate(FEATURES)}


def snapshots(rows: int, seed: int) -> TrainingSet:
    """Busy and quiet profiles: the busier in the last 30 days, the likelier; the north and the young a little more."""
    rng = np.random.default_rng(seed)
    busy, X = rng.normal(size=rows), np.empty((rows, len(FEATURES)), dtype=np.float32)
    draw = {
        "count": lambda f: rng.poisson(np.exp(0.8 * busy) * f.window_days / 30),
        "days": lambda f: np.where(busy < -1.2, np.nan, rng.exponential(20 * np.exp(-0.5 * busy))),
        "money": lambda f: np.where(busy < -1.2, np.nan, rng.lognormal(3 + 0.5 * busy)),
        "share": lambda f: rng.beta(1, 2, rows),
        "ratio": lambda f: rng.gamma(2, 0.6, rows),
        "number": lambda f: rng.integers(18, 80, rows),
    }
    chosen: dict[str, NDArray[np.int64]] = {}
    for j, f in enumerate(FEATURES):
        if f.unit == "yes":
            which = chosen.setdefault(f.field, rng.integers(-1, 4, rows))
            value = {"shoes": 0, "bags": 1, "hats": 2, "north": 0, "south": 1, "east": 2}[f.value]
            X[:, j] = np.where(which < 0, np.nan, which == value)
        else:
            X[:, j] = draw[f.unit](f)
    margin = 0.9 * np.log1p(X[:, PLACE["count__buy__30d"]]) - 1.5
    margin += 0.8 * (X[:, PLACE["attribute__region__north"]] == 1) + 0.7 * (X[:, PLACE["attribute__age"]] < 30)
    label = (rng.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.uint8)
    key = rng.integers(0, 2**63, rows).astype(np.uint64)
    return TrainingSet(X, label, key, np.full(rows, 100))


@pytest.fixture(scope="module")
def model() -> Model:
    """All members, a slope other than 1 and a level that was moved."""
    train = snapshots(2500, 1)
    simple = np.array([PLACE["count__buy__30d"], PLACE["attribute__age"]])
    columns = Columns(np.arange(len(FEATURES)), np.array([f.heavy for f in FEATURES]), simple)
    choices = replace(choose(train, columns, 1)[0], weights=(0.5, 0.3, 0.2))
    return fit(train, columns, choices, 1).with_level(0.4, 0.1)


@pytest.fixture(scope="module", name="X")
def new_rows() -> Matrix:
    return snapshots(1500, 2).X


@pytest.fixture(scope="module")
def explainer(model: Model, X: Matrix) -> Explainer:
    return build_explainer(model, FEATURES, X)


@pytest.fixture(scope="module")
def given(explainer: Explainer, X: Matrix) -> Explained:
    contributions = explainer.contributions(X)
    return Explained(contributions.impact, explainer.shown(X), name_factors(contributions, 5))


def code(explainer: Explainer, name: str) -> int:
    return [f.code for f in explainer.factors].index(name)


# --- exact ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", ["all", "trees", "linear"])
def test_base_and_contributions_are_the_calibrated_log_odds(model: Model, X: Matrix, members: str) -> None:
    assert (len(model.trees), len(model.linear), model.calibration.slope == 1.0) == (5, 2, False)
    if members == "trees":
        model = replace(model, linear=(), linear_weights=(), tree_weight=1.0)
    elif members == "linear":
        model = replace(model, trees=(), tree_weight=0.0)
    explainer = build_explainer(model, FEATURES, X)
    summed = explainer.base + explainer.contributions(X).impact.sum(axis=1, dtype=np.float64)
    np.testing.assert_allclose(summed, model.margin(X), atol=1e-5)


@pytest.mark.parametrize("members", ["all", "trees", "linear"])
def test_against_a_background_they_count_from_its_mean(model: Model, X: Matrix, members: str) -> None:
    if members == "trees":
        model = replace(model, linear=(), linear_weights=(), tree_weight=1.0)
    elif members == "linear":
        model = replace(model, trees=(), tree_weight=0.0)
    background = X[:80]
    explainer = build_explainer(model, FEATURES, X, background)
    summed = explainer.base + explainer.contributions(X).impact.sum(axis=1, dtype=np.float64)
    np.testing.assert_allclose(summed, model.margin(X), atol=1e-5)
    assert explainer.base == pytest.approx(model.margin(background).mean(), abs=1e-5)
    np.testing.assert_allclose(explainer.contributions(background).impact.mean(axis=0), 0.0, atol=1e-5)
    assert abs(build_explainer(model, FEATURES, X).base - explainer.base) > 1e-4


def test_a_factor_gets_what_its_features_get_together(model: Model, X: Matrix) -> None:
    few = replace(model, columns=model.columns[::-1].copy())
    lone = tuple(replace(f, factor=Factor(f.name, f.name)) for f in FEATURES)
    alone, together = build_explainer(few, lone, X), build_explainer(few, FEATURES, X)
    single, summed = alone.contributions(X).impact, together.contributions(X).impact
    expected = np.column_stack([single[:, together.group == g].sum(axis=1) for g in range(len(together.factors))])
    np.testing.assert_allclose(summed, expected, atol=1e-5)
    assert len(together.factors) < len(alone.factors) == len(FEATURES)


def test_rows_are_explained_alike_whatever_their_company(explainer: Explainer, X: Matrix) -> None:
    with patch.object(factors, "CHUNK_ROWS", 400):
        in_chunks = explainer.contributions(X)
    at_once = explainer.contributions(X)
    assert in_chunks.impact.tobytes() == at_once.impact.tobytes()
    assert in_chunks.speaker.tobytes() == at_once.speaker.tobytes()
    nobody = explainer.contributions(X[:0])
    assert nobody.impact.shape == nobody.speaker.shape == explainer.shown(X[:0]).shape == (0, len(explainer.factors))


def test_a_model_that_nothing_moves_is_refused(model: Model, X: Matrix) -> None:
    data = xgb.DMatrix(X, label=np.arange(len(X)) % 2)
    stump = xgb.train({"objective": "binary:logistic", "gamma": 1e9, "base_score": 0.5}, data, 2)
    flat = tuple(replace(m, coefficients=np.zeros_like(m.coefficients)) for m in model.linear)
    with pytest.raises(NoInfluentialFactorsError, match=rf"None of {len(FEATURES)} features moves") as refused:
        build_explainer(replace(model, trees=(stump,), linear=flat), FEATURES, X)
    assert (refused.value.code, refused.value.exit_status, refused.value.facts) == (
        "PROPEND-414",
        4,
        {"features": len(FEATURES)},
    )


# --- what stands for a factor ---------------------------------------------------------------------------


def test_the_feature_that_carries_most_stands_for_its_factor(explainer: Explainer, X: Matrix) -> None:
    buys, age = (explainer.showing[code(explainer, name)] for name in ("buy__lately", "attribute__age"))
    assert (buys.feature.name, buys.columns, buys.kind) == ("count__buy__30d", (PLACE["count__buy__30d"],), "numeric")
    assert (age.label, age.choices) == ("age", ())
    shown = explainer.shown(X)
    np.testing.assert_array_equal(shown[:, code(explainer, "buy__lately")], X[:, PLACE["count__buy__30d"]])


def test_what_carries_most_of_a_row_speaks_for_its_factor(model: Model, explainer: Explainer, X: Matrix) -> None:
    lone = tuple(replace(f, factor=Factor(f.name, f.name)) for f in FEATURES)
    single, found = build_explainer(model, lone, X).contributions(X).impact, explainer.contributions(X)
    for g in range(len(explainer.factors)):
        members = np.flatnonzero(explainer.group == g)
        assert np.isin(found.speaker[:, g], members).all()
        aligned = single[:, members] * np.sign(found.impact[:, [g]])
        carried = np.take_along_axis(single * np.sign(found.impact[:, [g]]), found.speaker[:, [g]].astype(int), axis=1)
        np.testing.assert_allclose(carried[:, 0], aligned.max(axis=1), atol=1e-5)
    assert (np.ptp(found.speaker, axis=0) > 0).any()
    assert [s.feature.name for s in explainer.speaking] == [f.name for f in FEATURES]


def test_what_stands_for_a_factor_can_be_settled(model: Model, explainer: Explainer, X: Matrix) -> None:
    settled = build_explainer(model, FEATURES, X, standing={"buy__lately": "count__buy__90d"})
    g = code(explainer, "buy__lately")
    assert settled.showing[g].feature.name == "count__buy__90d" != explainer.showing[g].feature.name
    assert settled.showing[:g] + settled.showing[g + 1 :] == explainer.showing[:g] + explainer.showing[g + 1 :]


def test_members_that_disagree_carry_little(model: Model) -> None:
    """Each member moves a lot by the first feature, against the other; together they move by the second."""
    one, Z = Factor("one", "One"), np.random.default_rng(3).normal(size=(3000, 2)).astype(np.float32)
    first, second = (replace(FEATURES[PLACE[name]], factor=one) for name in ("attribute__age", "weekend__share"))
    data = xgb.DMatrix(Z, label=2.0 * Z[:, 0])
    booster = xgb.train({"objective": "reg:squarederror", "base_score": 0.0, "max_depth": 3}, data, 30)
    plain = Scaling.fit(Z, np.zeros(2, bool))
    against = Logistic(np.arange(2), plain, np.array([-2.0, 0.8]), 0.0, np.zeros(2))
    torn = replace(
        model, columns=np.arange(2), trees=(booster,), tree_weight=0.5, linear=(against,), linear_weights=(0.5,)
    )
    assert build_explainer(torn, [first, second], Z).showing[0].feature is second


def test_a_text_field_shows_its_value_and_not_yes_or_no(explainer: Explainer, X: Matrix) -> None:
    g = code(explainer, "attribute__region")
    showing, values = explainer.showing[g], explainer.shown(X)[:, g]
    assert (showing.choices, showing.kind, showing.label) == (("north", "south", "east"), "category", "region")
    names = np.array(["north", "south", "east"], dtype=object)
    hot = X[:, [PLACE[f"attribute__region__{name}"] for name in names]]
    expected = np.where(
        np.isnan(hot[:, 0]), "not known", np.where(hot.any(axis=1), names[(hot == 1).argmax(axis=1)], "another")
    )
    assert factor_texts(showing, values).tolist() == expected.tolist()
    assert set(expected) == {"north", "south", "east", "another", "not known"}
    latest = explainer.showing[code(explainer, "category__last")]
    assert (latest.label, latest.choices) == ("latest category", ("shoes", "bags", "hats"))


# --- opposite things about one behaviour -------------------------------------------------------------------


def linear_model(model: Model, coefficients: list[float], rows: Matrix) -> Model:
    """One line over the first columns."""
    n = len(coefficients)
    plain = Scaling.fit(rows, np.zeros(n, bool))
    line = Logistic(np.arange(n), plain, np.array(coefficients), 0.0, np.zeros(n))
    return replace(
        model, columns=np.arange(n), trees=(), tree_weight=0.0, linear=(line,), linear_weights=(1.0,), encodings=()
    )


def silences(alike: float) -> tuple[list[Feature], Matrix]:
    """Three features of three factors, the first two of one stream that move together."""
    rng = np.random.default_rng(7)
    first = rng.normal(size=2000)
    second = alike * first + np.sqrt(1 - alike**2) * rng.normal(size=2000)
    names = (("buy__since_last", "Time since last buy"), ("buy__rhythm", "Buy rhythm"), ("time__habits", "Habits"))
    plain = replace(FEATURES[PLACE["attribute__age"]], channel=1)
    made = [replace(plain, name=code, factor=Factor(code, label)) for code, label in names]
    made[2] = replace(made[2], channel=0)
    return made, np.column_stack([first, second, rng.normal(size=2000)]).astype(np.float32)


@pytest.mark.parametrize(
    ("alike", "coefficients", "expected"),
    [
        (0.9, [1.0, -0.7, 0.5], ["buy__since_last", "buy__since_last", "time__habits"]),
        (0.9, [0.7, -1.0, 0.5], ["buy__rhythm", "buy__rhythm", "time__habits"]),
        (-0.9, [1.0, 0.7, 0.5], ["buy__since_last", "buy__since_last", "time__habits"]),
        (0.9, [1.0, 0.7, 0.5], ["buy__since_last", "buy__rhythm", "time__habits"]),
        (0.5, [1.0, -0.7, 0.5], ["buy__since_last", "buy__rhythm", "time__habits"]),
        (0.9, [1.0, -0.01, 0.5], ["buy__since_last", "buy__rhythm", "time__habits"]),
    ],
    ids=["opposed", "the stronger names both", "mirrored", "agreed", "hardly alike", "too weak to be named"],
)
def test_opposite_things_about_one_behaviour_are_one_factor(
    model: Model, alike: float, coefficients: list[float], expected: list[str]
) -> None:
    features, rows = silences(alike)
    found, standing = join_opposed(linear_model(model, coefficients, rows), features, rows)
    assert list(standing) == sorted(set(expected), key=expected.index)
    assert [f.factor.code for f in found] == expected
    assert [replace(f, factor=g.factor) for f, g in zip(found, features, strict=True)] == features


def test_factors_of_different_events_are_not_joined(model: Model) -> None:
    features, rows = silences(0.9)
    apart = [features[0], replace(features[1], channel=0), features[2]]
    assert join_opposed(linear_model(model, [1.0, -0.7, 0.5], rows), apart, rows)[0] == tuple(apart)


# --- named ----------------------------------------------------------------------------------------------


def given_impact(impact: Matrix) -> Contributions:
    """As many features as factors; each factor's speaker is the feature ten places on."""
    speaker = np.tile(np.arange(impact.shape[1], dtype=np.int16) + 10, (len(impact), 1))
    return Contributions(impact, speaker)


def named(contributions: list[list[float]], most: int) -> list[list[tuple[int, float, str]]]:
    found = name_factors(given_impact(np.array(contributions, dtype=np.float32)), most)
    rows = [slice(a, b) for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]
    return [
        [
            (int(f), round(float(i), 3), factors.IMPORTANCES[level])
            for f, i, level in zip(found.factor[row], found.impact[row], found.importance[row], strict=True)
        ]
        for row in rows
    ]


def test_the_strongest_are_named_in_both_directions_with_their_importance() -> None:
    rows = [
        [0.09, -0.25, 0.40, 0.06, 0.0, -0.045, -0.155],  # sums to 1 in size: shares are the numbers
        [0.0] * 7,
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -2.0],
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    ]
    assert named(rows, 5) == [
        [(2, 0.4, "high"), (0, 0.09, "medium"), (3, 0.06, "low"), (1, -0.25, "high"), (6, -0.155, "medium")],
        [],
        [(6, -2.0, "high")],
        [(g, 1.0, "medium") for g in range(5)],
    ]


def test_no_more_are_named_than_asked_for() -> None:
    assert named([[0.5, 0.3, -0.1, -0.4]], 1) == [[(0, 0.5, "high"), (3, -0.4, "high")]]
    assert named([[0.5, 0.3, -0.1, -0.4]], 9) == [
        [(0, 0.5, "high"), (1, 0.3, "high"), (3, -0.4, "high"), (2, -0.1, "low")]
    ]


def test_many_rows_are_named_as_few_are() -> None:
    few = np.random.default_rng(4).normal(size=(7, 9)).astype(np.float32)
    once, often = (name_factors(given_impact(x), 3) for x in (few, np.tile(few, (15_000, 1))))
    np.testing.assert_array_equal(often.factor, np.tile(once.factor, 15_000))
    np.testing.assert_array_equal(np.diff(often.offsets), np.tile(np.diff(once.offsets), 15_000))
    np.testing.assert_array_equal(often.importance, np.tile(once.importance, 15_000))
    np.testing.assert_array_equal(often.speaker, often.factor + 10)
    assert len(name_factors(given_impact(few[:0]), 3).factor) == 0


# --- in words -------------------------------------------------------------------------------------------


OWN_FACTOR = {Op.DAYS_SINCE_LAST: "buy__since_last", Op.DAYS_SINCE_FIRST: "buy__tenure"}


def feature(op: Op, unit: str, window_days: int = 30, argument: int = 0, field: str = "") -> Feature:
    factor = Factor(OWN_FACTOR.get(op, "code"), "Label")
    return Feature("name", "sentence", op, 0, window_days, factor, unit, argument, field)


def of_another(what: Feature) -> Feature:
    return replace(what, factor=Factor("buy__lately", "Recent buys"))


NAN = float("nan")


@pytest.mark.parametrize(
    ("what", "value", "beside_sentence", "beside_label"),
    [
        (feature(Op.COUNT, "count"), 4, "4", "4 in 30 days"),
        (feature(Op.COUNT, "count"), 12_345, "12,345", "12,345 in 30 days"),
        (feature(Op.COUNT, "count", window_days=1), 0, "0", "0 in 1 day"),
        (feature(Op.ACTIVE_DAYS, "count", 90), 1, "1", "on 1 of 90 days"),
        (feature(Op.SESSIONS, "count"), 1, "1", "1 session in 30 days"),
        (feature(Op.SESSIONS, "count"), 3, "3", "3 sessions in 30 days"),
        (feature(Op.DISTINCT, "count"), 2, "2", "2 different in 30 days"),
        (feature(Op.SUM, "money", 365), 1239.6, "1,240", "1,240 in 365 days"),
        (feature(Op.SUM, "money", 365), -0.0, "0", "0 in 365 days"),
        (feature(Op.MAX, "money"), 80.5, "80.5", "largest 80.5"),
        (feature(Op.VALUE_MEAN, "money"), 9.999, "10", "10 on average"),
        (feature(Op.VALUE_LAST, "money"), 0.01234, "0.0123", "latest 0.0123"),
        (feature(Op.DAYS_SINCE_LAST, "days", 365), 12.4, "12 days", "12 days"),
        (feature(Op.DAYS_SINCE_LAST, "days", 365), 1.0, "1 day", "1 day"),
        (feature(Op.DAYS_SINCE_LAST, "days", 365), 0.98, "1 day", "1 day"),
        (feature(Op.DAYS_SINCE_LAST, "days", 365), 1.96, "2 days", "2 days"),
        (feature(Op.DAYS_SINCE_LAST, "days", 365), 0.72, "0.7 days", "0.7 days"),
        (feature(Op.DAYS_SINCE_LAST, "days", 365), NAN, "none in 365 days", "none in 365 days"),
        (of_another(feature(Op.DAYS_SINCE_LAST, "days", 365)), 12.4, "12 days", "latest 12 days ago"),
        (of_another(feature(Op.DAYS_SINCE_FIRST, "days", 365)), 80.0, "80 days", "first 80 days ago"),
        (feature(Op.REPEAT_SPAN, "days", 365), 90, "90 days", "90 days from first to last"),
        (feature(Op.GAP_MEAN, "days"), 19, "19 days", "usually 19 days apart"),
        (feature(Op.GAP_DEVIATION, "days"), NAN, "too few to tell", "too few to tell"),
        (feature(Op.OVERDUE, "ratio"), 1.04, "1.0 times", "1.0 times the usual gap"),
        (feature(Op.OVERDUE, "ratio"), 356.2, "356 times", "356 times the usual gap"),
        (feature(Op.TREND, "share", 7, 30), 0.349, "35 %", "35 % of those in 30 days came in the last 7 days"),
        (feature(Op.TREND, "share", 7, 30), NAN, "none in 30 days", "none in 30 days"),
        (feature(Op.COUNT_BETWEEN, "count", 364, 334), 3, "3", "3 between 364 and 334 days ago"),
        (feature(Op.COUNT_BETWEEN, "count", 364, 334), NAN, "not known", "not known"),
        (feature(Op.SHARE, "share", 90), 0.05, "5 %", "5 % of all in 90 days"),
        (feature(Op.WEEKEND, "share"), 1.0, "100 %", "100 % at weekends"),
        (feature(Op.PART_OF_DAY, "share", argument=3), 0.5, "50 %", "50 % in the evening"),
        (feature(Op.ATTRIBUTE_NUMBER, "number"), 41, "41", "41"),
        (feature(Op.ATTRIBUTE_NUMBER, "number"), NAN, "not known", "not known"),
    ],
)
def test_values_in_words(what: Feature, value: float, beside_sentence: str, beside_label: str) -> None:
    column = np.array([value, 2.0, value], dtype=np.float32)
    texts = factor_texts(Showing(what, (0,)), column)
    assert (value_text(what, value), factor_text(what, value)) == (beside_sentence, beside_label)
    assert texts.tolist() == [beside_label, factor_text(what, 2.0), beside_label]


def test_every_feature_of_a_plan_has_words() -> None:
    every = make_plan(replace(ASKED, windows=(30, 90, 400), outcome_days=(0, 30))).features
    texts = {f.name: (factor_text(f, 0.5), factor_text(f, NAN)) for f in every if f.unit != "yes"}
    assert [name for name, pair in texts.items() if not all(pair) or "{" in "".join(pair)] == []
    assert {f.op for f in every} >= set(PHRASES)


REGION = Showing(feature(Op.ATTRIBUTE_TEXT_IS, "yes", field="region"), (0, 1), ("north", "south"))


@pytest.mark.parametrize(
    ("showing", "values", "expected"),
    [
        (Showing(feature(Op.COUNT, "count"), (0,)), [0, 1, 2, 9], "3 in 30 days"),
        (Showing(feature(Op.COUNT, "count"), (0,)), [0, 0, 0, 9], "2.2 in 30 days"),
        (Showing(feature(Op.COUNT, "count"), (0,)), [0, 0, 0, 90], "22 in 30 days"),
        (Showing(feature(Op.COUNT, "count"), (0,)), [], "nobody"),
        (Showing(feature(Op.DAYS_SINCE_LAST, "days", 90), (0,)), [5, 7, 9, NAN], "7 days"),
        (Showing(feature(Op.DAYS_SINCE_LAST, "days", 90), (0,)), [5, NAN, NAN], "none in 90 days"),
        (REGION, [0, 1, 1, 2, NAN], "south for 40 %"),
        (REGION, [0, 2, 2, 2], "another for 75 %"),
        (REGION, [0, NAN, NAN], "not known for 67 %"),
    ],
)
def test_what_is_typical(showing: Showing, values: list[float], expected: str) -> None:
    assert typical_text(showing, np.array(values, dtype=np.float32)) == expected


def parts_of(showing: Showing, values: list[float]) -> dict[str, int]:
    ranges = ranges_of(showing, np.array(values, dtype=np.float32))
    counts = np.bincount(ranges.place, minlength=len(ranges.labels))
    assert len(set(ranges.labels)) == len(ranges.labels) == len(counts)
    return dict(zip(ranges.labels, counts.tolist(), strict=True))


@pytest.mark.parametrize(
    ("showing", "values", "expected"),
    [
        (
            Showing(feature(Op.COUNT, "count"), (0,)),
            [0] * 10 + list(range(1, 13)) + [NAN],
            {"0": 10, "1 to 2": 2, "3 to 4": 2, "5 to 6": 2, "7 to 8": 2, "9 to 10": 2, "11 to 12": 2,
             "none in 30 days": 1},
        ),
        (
            Showing(feature(Op.SHARE, "share"), (0,)),
            [0.331, 0.333, 0.5, 0.5],
            {"33 %": 2, "50 %": 2, "none in 30 days": 0},
        ),
        (Showing(feature(Op.MAX, "money"), (0,)), [NAN, NAN], {"none in 30 days": 2}),
        (REGION, [0, 0, 1, 2, NAN, NAN], {"north": 2, "south": 1, "another": 1, "not known": 2}),
        (
            Showing(feature(Op.TEXT_LAST_IS, "yes"), tuple(range(9)), tuple("abcdefghi")),
            [0, 1, 2, 3, 3, 4, 5, 5, 6, 6, 7, 7, 8, 8],
            {"a": 1, "b": 1, "d": 2, "f": 2, "g": 2, "h": 2, "i": 2, "another": 2, "none in 30 days": 0},
        ),
    ],
    ids=["many zeros", "alike in words", "nothing known", "choices", "many choices"],
)  # fmt: skip
def test_ranges(showing: Showing, values: list[float], expected: dict[str, int]) -> None:
    assert parts_of(showing, values) == expected


def test_ranges_do_not_overlap_and_hold_about_equally_many() -> None:
    values = np.random.default_rng(5).lognormal(3, 1, 7000).astype(np.float32)
    parts = parts_of(Showing(feature(Op.SUM, "money"), (0,)), values.tolist())
    bounds = [float(x.replace(",", "")) for label in list(parts)[:-1] for x in label.split(" to ")]
    assert bounds == sorted(set(bounds))
    assert all(900 < n < 1100 for n in list(parts.values())[:-1])


# --- many profiles --------------------------------------------------------------------------------------


def test_all_factors_by_their_share(explainer: Explainer, given: Explained) -> None:
    found = global_factors(explainer, given)
    assert [f["share"] for f in found] == sorted((f["share"] for f in found), reverse=True)
    assert sum(f["share"] for f in found) == pytest.approx(1.0)
    assert {f["code"] for f in found} == {f.code for f in explainer.factors}
    for f in found:
        impact = given.impact[:, code(explainer, f["code"])]
        counted = [(part["n"], part["n"] * part["mean_impact"]) for part in f["dependence"]]
        assert np.sum(counted, axis=0).tolist() == pytest.approx([len(impact), float(impact.sum())], abs=1e-2)


def test_directions(explainer: Explainer, given: Explained) -> None:
    found = {f["code"]: f["direction"] for f in global_factors(explainer, given)}
    assert (found["buy__lately"], found["attribute__age"], found["attribute__region"]) == (
        "more raises",
        "more lowers",
        "mixed",
    )


def test_direction_does_not_depend_on_the_order_of_rows() -> None:
    """Most have the same value; only the others tell."""
    values = np.repeat(np.array([0, 1, 2], np.float32), [600, 300, 100])
    impact = (values + np.random.default_rng(6).normal(0, 0.4, 1000)).astype(np.float32)
    showing = Showing(feature(Op.COUNT, "count"), (0,))
    orders = [np.argsort(-impact), np.argsort(impact), np.random.default_rng(7).permutation(1000)]
    assert [factors._direction(showing, values[o], impact[o]) for o in orders] == ["more raises"] * 3
    ranks = factors._ranks(np.array([5, 1, 5, 2], np.float32))
    assert ranks.tolist() == [3.5, 1.0, 3.5, 2.0]


def test_a_bucket_and_what_makes_it(explainer: Explainer, given: Explained) -> None:
    margin = given.impact.sum(axis=1)
    inside = margin > np.quantile(margin, 0.8)
    found = bucket_factors(explainer, given, inside)
    sizes = [abs(f["mean_impact"]) for f in found]
    assert (len(found), found[0]["code"], found[0]["importance"]) == (10, "buy__lately", "high")
    assert sizes == sorted(sizes, reverse=True)
    for f in found:
        sums = [sum(part[side] for part in f["distribution"]) for side in ("inside", "outside")]
        assert sums == pytest.approx([1.0, 1.0])
        g = code(explainer, f["code"])
        spans = itertools.pairwise(given.named.offsets)
        named_for = np.array([g in given.named.factor[first:last] for first, last in spans])
        assert f["coverage"] == pytest.approx(named_for[inside].mean())
        assert f["mean_impact"] == pytest.approx(float(given.impact[inside, g].mean()), abs=1e-6)
    regions = next(f for f in found if f["code"] == "attribute__region")
    assert (regions["value_kind"], regions["typical_inside"][:9]) == ("category", "north for")
    assert {part["label"] for part in regions["distribution"]} == {"north", "south", "east", "another", "not known"}


def test_buckets_without_anybody_inside_or_outside(explainer: Explainer, given: Explained) -> None:
    everyone = np.ones(len(given.shown), dtype=bool)
    assert bucket_factors(explainer, given, ~everyone) == []
    all_of_them = bucket_factors(explainer, given, everyone)
    assert {f["typical_outside"] for f in all_of_them} == {"nobody"}
    assert {part["outside"] for f in all_of_them for part in f["distribution"]} == {0.0}


# --- faithful -------------------------------------------------------------------------------------------


def test_taking_away_the_strongest_factor_moves_the_log_odds_most(
    model: Model, explainer: Explainer, given: Explained, X: Matrix
) -> None:
    """Deletion: a factor's features are set to the population's medians (missing where most are missing)."""
    few = np.isnan(X).mean(axis=0) > 0.5
    typical = np.where(few, np.nan, np.nanmedian(X, axis=0)).astype(np.float32)
    rows, rng = np.arange(len(X)), np.random.default_rng(8)
    strongest = np.abs(given.impact).argmax(axis=1)
    random = (strongest + rng.integers(1, len(explainer.factors), len(X))) % len(explainer.factors)
    before = model.margin(X)

    def moved(factor: NDArray[np.int64]) -> float:
        without = np.where(explainer.group[None, :] == factor[rows, None], typical, X)
        return float(np.abs(model.margin(without.astype(np.float32)) - before).mean())

    assert moved(strongest) > 3 * moved(random) > 0


# --- in a run -------------------------------------------------------------------------------------------


def test_a_run_explains_against_its_background_and_keeps_it(tmp_path: Path) -> None:
    events, asked = shop(), with_options(contributions="interventional")
    along, against = (
        propend.run(document, data=events, out=tmp_path / name) for name, document in (("a", SHOP), ("b", asked))
    )
    assert along.scores.column("profile_id") == against.scores.column("profile_id")
    one, other = (run.scores.column("probability").to_numpy() for run in (along, against))
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert along.scores.column("factors") != against.scores.column("factors")
    again = propend.score(against.folder, data=events, out=tmp_path / "c")
    assert again.scores.drop(["run_id"]) == against.scores.drop(["run_id"])
