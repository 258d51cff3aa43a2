"""The proof's figures: known values, ties, weights, intervals, the document, the simple rules."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics as reference

from propend.model import evaluate as module
from propend.model.evaluate import (
    METRICS,
    BaselineInputs,
    Metric,
    baseline_probabilities,
    evaluate,
    paired_differences,
    proof_document,
)
from propend.model.metrics import Ranking

SIX = ["auc", "average_precision", "log_loss", "brier", "calibration_error", "top_decile_lift"]
STAMPS = {
    "proof": "out-of-time",
    "cutoff_at": "2011-06-01T00:00:00Z",
    "outcome_ends_at": "2011-07-01T00:00:00Z",
}


def sample(n: int, seed: int = 0, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from the probabilities themselves, so these are calibrated by construction."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(1.5 - 1.3 * rng.normal(size=n)))
    if ties:
        p = np.round(p, 1)
    return (rng.random(n) < p).astype(np.uint8), p


def values(label: Any, probability: Any, weight: Any = None) -> dict[str, float]:
    return {name: m(label, probability, weight) for name, m in METRICS.items()}


# --- metrics --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
def test_metrics_equal_scikit_learn_under_weights(ties: bool) -> None:
    label, p = sample(500, ties=ties)
    weight = np.random.default_rng(1).integers(0, 4, 500).astype(float)
    found = values(label, p, weight)
    expected = {
        "auc": reference.roc_auc_score(label, p, sample_weight=weight),
        "average_precision": reference.average_precision_score(label, p, sample_weight=weight),
        "log_loss": reference.log_loss(label, p, sample_weight=weight),
        "brier": reference.brier_score_loss(label, p, sample_weight=weight),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=25))
def test_auc_is_the_share_of_pairs_in_order_ties_half(rows: list[tuple[int, int, int]]) -> None:
    label, level, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    pairs = won = 0.0
    for i in np.flatnonzero(label == 1):
        for j in np.flatnonzero(label == 0):
            pairs += weight[i] * weight[j]
            won += weight[i] * weight[j] * (0.5 if level[i] == level[j] else float(level[i] > level[j]))
    expected = won / pairs if pairs else np.nan
    assert METRICS["auc"](label, level / 4, weight) == pytest.approx(expected, nan_ok=True)


@given(st.permutations(range(30)))
def test_no_metric_depends_on_the_order_of_rows(order: list[int]) -> None:
    label = np.arange(30) % 3 == 0
    p = np.array([0.1, 0.2, 0.2, 0.7, 0.7, 0.7] * 5)
    assert values(label[order], p[order]) == pytest.approx(values(label, p), abs=1e-12)


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        ("perfect", [1.0, 1.0, 0.0, 0.0, 0.0, 10.0]),
        ("constant", [0.5, 0.1, 0.325083, 0.09, 0.0, 1.0]),
        ("inverted", [0.0, 0.1, 36.043653, 1.0, 1.0, 0.0]),
    ],
)
def test_perfect_constant_and_inverted(probability: str, expected: list[float]) -> None:
    label = np.arange(100) < 10
    p = {"perfect": label * 1.0, "constant": np.full(100, 0.1), "inverted": 1.0 - label}[probability]
    assert values(label, p) == pytest.approx(dict(zip(SIX, expected, strict=True)), abs=1e-5)


def test_ties_at_the_edge_of_the_top_decile_are_shared() -> None:
    # twenty rows: the best two are one certain row and one sixth of a level of six that has three positives
    label = np.array([1] + [1, 1, 1, 0, 0, 0] + [0] * 13)
    p = np.array([0.9] + [0.5] * 6 + [0.1] * 13)
    assert METRICS["top_decile_lift"](label, p) == pytest.approx((1.5 / 2) / (4 / 20))


def test_calibration_error_by_hand_and_bins_split_no_level() -> None:
    label = np.array([0, 0, 0, 1, 1, 0, 1, 1])
    p = np.array([0.1, 0.1, 0.1, 0.1, 0.8, 0.8, 0.8, 0.8])
    weight = np.array([2.0, 1, 1, 1, 1, 1, 1, 2])
    expected = (abs(1 - 0.5) + abs(4 - 0.8 * 5)) / 10
    assert METRICS["calibration_error"](label, p, weight) == pytest.approx(expected)
    assert Ranking.of(label, p).bins.tolist() == [0, 1]


def test_calibration_bins_are_equal_counts_and_fixed_on_the_sample() -> None:
    label, p = sample(1000)
    ranking = Ranking.of(label, p)
    assert np.diff([*ranking.bins, 1000]).tolist() == [100] * 10
    shifted = METRICS["calibration_error"](label, np.clip(p + 0.3, 0, 1))
    assert METRICS["calibration_error"](label, p) < 0.05
    assert shifted == pytest.approx(np.clip(p + 0.3, 0, 1).mean() - label.mean(), abs=0.03)


# --- intervals ------------------------------------------------------------------------------------------


def test_evaluate_is_deterministic_and_its_values_are_the_metrics() -> None:
    label, p = sample(400)
    found = evaluate(label, p)
    assert found == evaluate(label, p)
    assert found["auc"] != evaluate(label, p, seed=1)["auc"]
    assert {name: m.value for name, m in found.items()} == values(label, p)
    assert all(m.low < m.value < m.high for m in found.values())


@pytest.mark.parametrize("only", [0, 1])
def test_one_class_leaves_auc_undefined(only: int) -> None:
    found = {name: m.to_dict() for name, m in evaluate(np.full(50, only), np.linspace(0.2, 0.6, 50)).items()}
    undefined = {"value": None, "low": None, "high": None}
    assert found["auc"] == undefined
    assert (found["average_precision"] == undefined) is (only == 0)
    assert (found["top_decile_lift"] == undefined) is (only == 0)
    assert found["log_loss"]["value"] == pytest.approx(values(np.full(50, only), np.linspace(0.2, 0.6, 50))["log_loss"])


def test_intervals_cover_the_true_auc_about_as_often_as_they_say() -> None:
    distance, covered = 1.0, 0
    truth = norm.cdf(distance / np.sqrt(2))
    for seed in range(120):
        rng = np.random.default_rng(seed)
        label = (np.arange(300) < 90).astype(np.uint8)
        p = norm.cdf(rng.normal(size=300) + distance * label)
        auc = evaluate(label, p, replicates=100, seed=seed)["auc"]
        covered += auc.low <= truth <= auc.high
    assert 0.88 <= covered / 120 <= 0.99


def test_profiles_are_resampled_whole() -> None:
    label, p = sample(300)
    once = evaluate(label, p)
    five = evaluate(np.repeat(label, 5), np.repeat(p, 5), groups=np.repeat(np.arange(300) + 7_000, 5))
    blind = evaluate(np.repeat(label, 5), np.repeat(p, 5))
    for name in ("auc", "average_precision", "log_loss", "brier"):
        assert vars(five[name]) == pytest.approx(vars(once[name]), abs=1e-12)
    assert blind["auc"].high - blind["auc"].low < 0.6 * (once["auc"].high - once["auc"].low)


def test_large_samples_get_fewer_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    label, p = sample(400)
    fifty, hundred = evaluate(label, p, replicates=50), evaluate(label, p, replicates=100)
    monkeypatch.setattr(module, "MAX_BOOTSTRAP_WORK", 40_000)
    assert evaluate(label, p) == hundred
    monkeypatch.setattr(module, "MAX_BOOTSTRAP_WORK", 400)
    assert evaluate(label, p) == fifty != hundred


def test_paired_differences_are_paired() -> None:
    label, p = sample(1500)
    noisy = np.clip(p + np.random.default_rng(5).normal(0, 0.15, 1500), 0.001, 0.999)
    found, own = paired_differences(label, p, noisy), evaluate(label, p)
    assert paired_differences(label, p, p) == {"auc": Metric(0, 0, 0), "log_loss": Metric(0, 0, 0)}
    a, b = values(label, p), values(label, noisy)
    assert {n: m.value for n, m in found.items()} == pytest.approx({n: a[n] - b[n] for n in found})
    assert found["auc"].low > 0 > found["log_loss"].high
    assert found["auc"].high - found["auc"].low < 0.9 * (own["auc"].high - own["auc"].low)


@pytest.mark.parametrize(
    ("label", "probability", "message"),
    [
        ([0, 1], [0.5], "equally long"),
        ([], [], "not empty"),
        ([0, 2], [0.5, 0.5], "0 or 1"),
        ([0, 1], [0.5, np.nan], "finite"),
        ([0, 1], [0.5, 1.5], "between 0 and 1"),
    ],
)
def test_wrong_arrays_are_refused(label: list[int], probability: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(label, probability)


# --- the document ---------------------------------------------------------------------------------------


def document(n: int, ties: bool = False, **changes: Any) -> dict[str, Any]:
    label, p = sample(n, seed=3, ties=ties)
    label = changes.get("label", label)
    weak = np.clip(p + np.random.default_rng(9).normal(0, 0.3, n), 0.01, 0.99)
    return proof_document(label, p, {"recency": weak, "frequency": p}, **STAMPS)


@pytest.mark.parametrize(
    "found",
    [document(1000), document(1003, ties=True), document(7), document(60, label=np.zeros(60)), document(1)],
    ids=["plain", "ties", "seven rows", "no positives", "one row"],
)
def test_document_is_plain_json_with_finite_numbers(found: dict[str, Any]) -> None:
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_document_has_the_shape_that_readers_rely_on() -> None:
    found = document(1000)
    metric = {"value", "low", "high"}
    head = ["proof", "cutoff_at", "outcome_ends_at", "n", "positives", "base_rate"]
    tail = ["expected_rate", "realised_rate", "baselines", "differences", "calibration", "deciles", "gains"]
    assert list(found) == [*head, *SIX, *tail, "top_n", "curve", "verdict"]
    assert {key: found[key] for key in STAMPS} == STAMPS
    assert all(set(found[name]) == metric for name in [*SIX, "expected_rate", "realised_rate"])
    assert {name: list(m) for name, m in found["baselines"].items()} == {
        name: [*SIX, "gains"] for name in ("recency", "frequency")
    }
    assert {n: list(d) for n, d in found["differences"].items()} == {
        "recency": ["auc", "log_loss"],
        "frequency": ["auc", "log_loss"],
    }
    assert {key: set(found[key][0]) for key in ("calibration", "deciles", "gains", "top_n", "curve")} == {
        "calibration": {"bin", "n", "expected", "realised", "low", "high"},
        "deciles": {"decile", "n", "positives", "rate", "lift", "cumulative_share"},
        "gains": {"share_targeted", "share_caught", "low", "high", "random", "perfect"},
        "curve": {"probability", "n", "recall", "false_alarms", "precision"},
        "top_n": {"n", "share", "caught", "caught_low", "caught_high", "wasted", "precision"},
    }
    assert set(found["verdict"]) == {
        *("grade", "better_than_chance", "chance", "beats", "does_not_beat", "sentence"),
    }


@pytest.mark.parametrize(("n", "ties"), [(1000, False), (1003, False), (1003, True)])
def test_gains_end_at_one_and_lift_times_share_agrees(n: int, ties: bool) -> None:
    """Vector T27 of the reference: ten equal groups, gains reach 100 %, the random line is diagonal."""
    found = document(n, ties)
    deciles, gains = found["deciles"], found["gains"]
    assert [g["share_targeted"] for g in gains] == [g["random"] for g in gains]
    assert [gains[0]["share_caught"], gains[-1]["share_caught"], len(gains)] == [0.0, 1.0, 21]
    assert max(d["n"] for d in deciles) - min(d["n"] for d in deciles) <= 1
    assert sum(d["n"] for d in deciles) == n
    assert sum(d["positives"] for d in deciles) == pytest.approx(found["positives"])
    shares = np.cumsum([d["lift"] * d["n"] / n for d in deciles])
    assert shares == pytest.approx([d["cumulative_share"] for d in deciles])
    assert shares == pytest.approx([g["share_caught"] for g in gains[2::2]])
    assert deciles[0]["lift"] == pytest.approx(found["top_decile_lift"]["value"])
    assert all(g["low"] <= g["share_caught"] <= g["high"] for g in gains)
    assert all(g["share_caught"] <= g["perfect"] + 1 / found["positives"] for g in gains)


@pytest.mark.parametrize("ties", [False, True])
def test_the_curve_is_that_of_scikit_learn(ties: bool) -> None:
    """Every point is one of its points, and the area under them is the AUC but for what lies between."""
    label, probability = sample(900, ties=ties)
    rows = proof_document(label, probability, {}, **STAMPS)["curve"]
    false_alarms, recall, threshold = reference.roc_curve(label, probability, drop_intermediate=False)
    theirs = {
        round(float(t), 6): (round(float(f), 6), round(float(r), 6))
        for f, r, t in zip(false_alarms, recall, threshold, strict=True)
    }
    assert [theirs[row["probability"]] == (row["false_alarms"], row["recall"]) for row in rows[1:]] == [True] * (
        len(rows) - 1
    )
    assert (rows[0]["n"], rows[-1]["n"], rows[-1]["recall"], rows[-1]["false_alarms"]) == (0, 900, 1.0, 1.0)
    assert [row["precision"] for row in rows[1:]] == [
        pytest.approx(label[probability >= row["probability"] - 1e-6].mean(), abs=2e-6) for row in rows[1:]
    ]
    area = np.trapezoid([r["recall"] for r in rows], [r["false_alarms"] for r in rows])
    assert area == pytest.approx(reference.roc_auc_score(label, probability), abs=0.01)


def test_top_n_counts_who_is_caught_and_wasted() -> None:
    label, p = sample(1000, seed=3)
    best = label[np.argsort(-p)]
    rows = document(1000)["top_n"]
    sizes = [10, 20, 50, 100, 200, 300, 500]
    caught = [float(best[:size].sum()) for size in sizes]
    expected = [(n, n / 1000, c, n - c, c / n) for n, c in zip(sizes, caught, strict=True)]
    assert [(r["n"], r["share"], r["caught"], r["wasted"], pytest.approx(r["precision"])) for r in rows] == expected
    assert all(0 <= r["caught_low"] <= r["caught"] <= r["caught_high"] <= r["n"] for r in rows)


def test_calibration_rows_rise_and_hold_the_wilson_interval() -> None:
    found = document(1000)["calibration"]
    assert [row["n"] for row in found] == [100] * 10
    assert [row["expected"] for row in found] == sorted(row["expected"] for row in found)
    # the published example of the interval: 10 of 100
    assert module.wilson(10, 100) == pytest.approx((0.0552291, 0.1743657), abs=1e-6)
    assert [(row["low"], row["high"]) for row in found] == [
        module.wilson(round(row["realised"] * 100), 100) for row in found
    ]


def test_mean_probability_stands_beside_what_happened() -> None:
    label, p = sample(1000, seed=3)
    found = document(1000)
    assert found["expected_rate"]["value"] == pytest.approx(p.mean())
    assert found["realised_rate"]["value"] == found["base_rate"] == label.mean()
    assert found["realised_rate"]["low"] < label.mean() < found["realised_rate"]["high"]


# --- the verdict ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auc", "grade"),
    [(0.649, "poor"), (0.65, "fair"), (0.749, "fair"), (0.75, "good"), (0.85, "excellent"), (np.nan, "poor")],
)
def test_grades(auc: float, grade: str) -> None:
    assert module.grade_of(auc) == grade


def test_verdict_names_what_is_beaten_and_what_is_not() -> None:
    label, p = sample(4000, seed=2)
    rng = np.random.default_rng(4)
    baselines = {
        "recency": rng.random(4000) * 0.2 + 0.2,  # noise
        "frequency": p**3,  # the same ranking, wrong probabilities
        "rfm_logistic": p,  # the model itself
        "oracle_rule": np.clip(p + 0.3 * (label - 0.5), 0.01, 0.99),  # knows more than the model
    }
    found = proof_document(label, p, baselines, **STAMPS)["verdict"]
    assert found == {
        "grade": "good",
        "better_than_chance": True,
        "chance": pytest.approx(0.0, abs=1e-100),
        "beats": ["recency", "frequency"],
        "does_not_beat": ["rfm_logistic", "oracle_rule"],
        "sentence": "Ranks well: a randomly chosen profile who met the goal scored above one who did not 81 "
        "times in 100 (95 % interval 79 to 82). Ranks better than recency alone; ranks no better than "
        "frequency alone but gives more accurate probabilities; not shown to be better than a simple "
        "recency-frequency-money model; ranks worse than oracle rule.",
    }


@pytest.mark.parametrize(
    ("make", "opening"),
    [
        (lambda y, p: p, "Not shown to rank better than chance: "),
        (lambda y, p: np.clip(p - 0.5 * y, 0, 1), "Ranks the wrong way round: "),
        (lambda y, p: 0.1 + 0.8 * y, "Ranks very well: a randomly chosen profile who met the goal scored "
         "above one who did not 100 times in 100."),
    ],
)  # fmt: skip
def test_verdict_is_honest_about_no_ranking_at_all(make: Any, opening: str) -> None:
    rng = np.random.default_rng(8)
    label, noise = (rng.random(400) < 0.3).astype(float), rng.random(400)
    assert proof_document(label, make(label, noise), {}, **STAMPS)["verdict"]["sentence"].startswith(opening)


def test_verdict_when_nobody_met_the_goal() -> None:
    found = document(60, label=np.zeros(60))["verdict"]
    sentence = "Cannot be judged: in the proof every profile had the same outcome."
    lost = ["recency", "frequency"]
    assert found == {
        "grade": "poor",
        "better_than_chance": False,
        "chance": None,
        "beats": [],
        "does_not_beat": lost,
        "sentence": sentence,
    }


def test_verdict_says_when_the_level_was_wrong() -> None:
    label, p = sample(2000, seed=1)
    right = proof_document(label, p, {}, **STAMPS)["verdict"]["sentence"]
    wrong = proof_document(label, p / 2, {}, **STAMPS)["verdict"]["sentence"]
    said = f"{50 * p.mean():.1f} % were expected to meet the goal, {100 * label.mean():.1f} % did."
    assert wrong == f"{right} The overall level was too low: {said}"


# --- simple rules ---------------------------------------------------------------------------------------


def inputs(n: int, seed: int, churn: bool = False) -> BaselineInputs:
    """Buyers who bought lately and often buy again; a tenth never bought, and they rarely do."""
    rng = np.random.default_rng(seed)
    recency, frequency = rng.exponential(60, n), rng.poisson(3, n) + rng.random(n)
    never = rng.random(n) < 0.1
    margin = np.where(never, -4.0, 1.5 - 0.8 * np.log1p(recency) + 0.9 * np.log1p(frequency))
    label = (rng.random(n) < 1 / (1 + np.exp(-margin))) != churn
    money = frequency * rng.lognormal(3, 0.5, n)
    return BaselineInputs(np.where(never, np.nan, recency), frequency, money, label.astype(np.uint8))


@pytest.mark.parametrize("churn", [False, True])
def test_rules_rank_as_their_quantity_in_its_better_direction(churn: bool) -> None:
    train, proof = inputs(4000, 0, churn), inputs(4000, 1, churn)
    found = baseline_probabilities(train, proof)
    known = ~np.isnan(proof.recency_days)
    y = proof.label.astype(float)
    raw = {
        "recency": reference.roc_auc_score(y[known], -proof.recency_days[known]),
        "frequency": reference.roc_auc_score(y, proof.frequency),
    }
    ranked = {
        "recency": reference.roc_auc_score(y[known], found["recency"][known]),
        "frequency": reference.roc_auc_score(y, found["frequency"]),
    }
    assert ranked == pytest.approx({name: max(auc, 1 - auc) for name, auc in raw.items()}, abs=1e-9)
    assert list(found) == ["recency", "frequency", "rfm_logistic"]


def test_rules_beat_chance_are_calibrated_and_rfm_is_the_best() -> None:
    train, proof = inputs(6000, 0), inputs(6000, 1)
    found = {name: evaluate(proof.label, p) for name, p in baseline_probabilities(train, proof).items()}
    base = float(proof.label.mean())
    entropy = -base * np.log(base) - (1 - base) * np.log1p(-base)
    assert all(m["auc"].low > 0.55 for m in found.values())
    assert all(m["log_loss"].value < 0.99 * entropy for m in found.values())
    assert all(m["calibration_error"].value < 0.03 for m in found.values())
    assert max(found, key=lambda name: found[name]["auc"].value) == "rfm_logistic"
    assert min(found, key=lambda name: found[name]["log_loss"].value) == "rfm_logistic"


def test_those_without_recency_are_a_group_of_their_own() -> None:
    train, proof = inputs(6000, 0), inputs(500, 1)
    never = np.isnan(train.recency_days)
    found = baseline_probabilities(train, proof)["recency"][np.isnan(proof.recency_days)]
    assert found == pytest.approx(np.full(len(found), train.label[never].mean()), abs=0.01)


@pytest.mark.parametrize("money", [np.nan, 0.0])
def test_rules_do_without_money(money: float) -> None:
    train, proof = (BaselineInputs(x.recency_days, x.frequency, np.full(3000, money), x.label)
                    for x in (inputs(3000, 0), inputs(3000, 1)))  # fmt: skip
    found = baseline_probabilities(train, proof)
    with_money = baseline_probabilities(inputs(3000, 0), inputs(3000, 1))
    assert found["recency"].tolist() == with_money["recency"].tolist()
    assert evaluate(proof.label, found["rfm_logistic"])["auc"].low > 0.7


def test_rules_with_nothing_to_go_by_give_the_base_rate() -> None:
    empty = np.full(100, np.nan)
    train = BaselineInputs(empty, np.ones(100), empty, (np.arange(100) < 20).astype(np.uint8))
    found = baseline_probabilities(train, train)
    assert {name: sorted(set(np.round(p, 5))) for name, p in found.items()} == {name: [0.2] for name in found}


def test_rules_from_a_single_class_stay_off_certainty() -> None:
    train, proof = inputs(200, 0), inputs(50, 1)
    nobody = BaselineInputs(train.recency_days, train.frequency, train.monetary, np.zeros(200, np.uint8))
    found = baseline_probabilities(nobody, proof)
    assert {name: set(p.tolist()) for name, p in found.items()} == {name: {1e-4} for name in found}


def test_rules_see_nothing_of_the_proofs_labels() -> None:
    train, proof = inputs(1000, 0), inputs(300, 1)
    turned = BaselineInputs(proof.recency_days, proof.frequency, proof.monetary, 1 - proof.label)
    a, b = baseline_probabilities(train, proof), baseline_probabilities(train, turned)
    assert {n: p.tolist() for n, p in a.items()} == {n: p.tolist() for n, p in b.items()}
