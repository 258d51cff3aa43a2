"""The proof: how well probabilities ranked and how right they were, with intervals, beside simple rules.

Profiles are resampled whole; the model and the rules it is compared with are counted under the same
weights, so that their differences are paired. Which figures: reference specification MO-07 to MO-10
and UI-20 to UI-23.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from propend.language import listed, noted, numeral, say
from propend.model.baselines import BaselineInputs, baseline_probabilities
from propend.model.members import workers
from propend.model.metrics import METRICS, Ranking, Tally, ratio, rows_at
from propend.phrasing import capital

__all__ = [
    "METRICS",
    "BaselineInputs",
    "Metric",
    "baseline_probabilities",
    "evaluate",
    "paired_differences",
    "proof_document",
]

Float = NDArray[np.float64]

SEED = 20_110_831
REPLICATES = 200
MIN_REPLICATES = 50
MAX_BOOTSTRAP_WORK = 30_000_000
"""Rows times replicates: beyond it replicates are saved, large samples need fewer."""
CURVE_POINTS = 100
GAIN_PERCENTS = tuple(range(0, 101, 5))
TOP_PERCENTS = (1, 2, 5, 10, 20, 30, 50)
PERCENTS = tuple(sorted({*GAIN_PERCENTS, *TOP_PERCENTS}))
Z_95 = 1.959963984540054

GRADES = ((0.65, "poor"), (0.75, "fair"), (0.85, "good"), (math.inf, "excellent"))
"""AUC below which each grade holds; the first edge is the reference's quality bar (MO-08)."""
GRADE_WORDS = {
    "poor": noted("Ranks poorly"),
    "fair": noted("Ranks fairly well"),
    "good": noted("Ranks well"),
    "excellent": noted("Ranks very well"),
}
BASELINE_WORDS = {
    "recency": noted("recency alone"),
    "frequency": noted("frequency alone"),
    "rfm_logistic": noted("a simple recency-frequency-money model"),
}
STANDING_WORDS = {
    "ranks": noted("ranks better than {rules}"),
    "probabilities": noted("ranks no better than {rules} but gives more accurate probabilities"),
    "level": noted("not shown to be better than {rules}"),
    "worse": noted("ranks worse than {rules}"),
}
NOTABLE_LEVEL_ERROR = 0.1
CHANCE_LIMIT = 0.001
"""How rarely chance alone may rank as well, before a ranking counts as shown to be better (decision 0012)."""


# --- bootstrap ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """A figure with its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """``{"value", "low", "high"}``; what is not defined is None."""
        return {"value": _finite(self.value), "low": _finite(self.low), "high": _finite(self.high)}


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def figure(sample: Float, recentre: bool = False) -> Metric:
    """Percentile interval of float64[1 + R]: the value on the full sample, then its replicates.

    Replicates in which the figure is not defined (a resample of one class) are left out.
    """
    value, drawn = float(sample[0]), sample[1:][np.isfinite(sample[1:])]
    if not math.isfinite(value) or len(drawn) == 0:
        return Metric(value, math.nan, math.nan)
    if recentre:
        drawn = np.maximum(drawn - drawn.mean() + value, 0.0)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Metric(value, min(float(low), value), max(float(high), value))


@dataclass(frozen=True)
class _Figures:
    """Figures of one model: row 0 on the full sample, one row per replicate after it.

    Attributes:
        metrics: float64[1 + R, M] in the order of ``METRICS``.
        rates: float64[1 + R, 2], expected and realised.
        top: float64[1 + R, P], positives in the best ``PERCENTS`` as shares of all rows.
    """

    metrics: Float
    rates: Float
    top: Float

    def column(self, name: str) -> Float:
        return np.asarray(self.metrics[:, list(METRICS).index(name)])

    def summary(self) -> dict[str, Metric]:
        return {name: figure(self.column(name), m.recentre) for name, m in METRICS.items()}


def _resample(
    rankings: Mapping[str, Ranking], groups: ArrayLike | None, replicates: int, seed: int
) -> dict[str, _Figures]:
    """All figures of all rankings, under the same multinomial weights per profile."""
    n = len(next(iter(rankings.values())))
    group = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(group.max()) + 1
    rounds = min(replicates, max(MIN_REPLICATES, MAX_BOOTSTRAP_WORK // n))
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Float]] = {name: [] for name in rankings}
    with workers() as pool:
        for i in range(rounds + 1):
            drawn = np.ones(count) if i == 0 else np.bincount(rng.integers(0, count, count), minlength=count)
            weight = drawn.astype(np.float64)[group]
            found = pool.map(lambda ranking, w: _figures_of(ranking.tally(w)), rankings.values(), repeat(weight))
            for name, figures in zip(rankings, found, strict=True):
                rows[name].append(figures)
    m = len(METRICS)
    tables = {name: np.array(found) for name, found in rows.items()}
    return {name: _Figures(t[:, :m], t[:, m : m + 2], t[:, m + 2 :]) for name, t in tables.items()}


def _figures_of(tally: Tally) -> Float:
    measured = [m.of(tally) for m in METRICS.values()]
    return np.concatenate([measured, [tally.expected_rate, tally.realised_rate], tally.top(PERCENTS)])


def _ranking(label: ArrayLike, probability: ArrayLike) -> Ranking:
    y, p = np.asarray(label, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape or len(y) == 0:
        raise ValueError(f"labels {y.shape} and probabilities {p.shape} must be equally long and not empty")
    if not np.all((y == 0) | (y == 1)):
        raise ValueError("labels must be 0 or 1")
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError("probabilities must be finite and between 0 and 1")
    return Ranking.of(y, p)


def evaluate(
    label: ArrayLike,
    probability: ArrayLike,
    groups: ArrayLike | None = None,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> dict[str, Metric]:
    """Every metric of ``METRICS`` with a 95 % percentile bootstrap interval.

    With one class only, AUC is not defined; without positives, neither are average precision and lift:
    such values are NaN, and None in ``to_dict``.

    Args:
        label: 0/1 [N].
        probability: float64[N] in [0, 1].
        groups: int[N] codes of profiles, resampled whole; None where each row is a profile of its own.
        replicates: at most so many; fewer (never under 50) where rows times replicates exceed 3e7.
        seed: same seed, same intervals.

    Raises:
        ValueError: lengths differ or are 0, labels not 0 or 1, probabilities outside [0, 1].
    """
    return _resample({"model": _ranking(label, probability)}, groups, replicates, seed)["model"].summary()


def paired_differences(
    label: ArrayLike,
    probability: ArrayLike,
    other: ArrayLike,
    groups: ArrayLike | None = None,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> dict[str, Metric]:
    """AUC and log loss of ``probability`` minus those of ``other``, under the same replicate weights.

    Args and errors as in ``evaluate``. Better means above 0 for ``auc``, below 0 for ``log_loss``.
    """
    pair = {"model": _ranking(label, probability), "other": _ranking(label, other)}
    figures = _resample(pair, groups, replicates, seed)
    return _differences(figures["model"], figures["other"])


def _differences(model: _Figures, other: _Figures) -> dict[str, Metric]:
    return {name: figure(model.column(name) - other.column(name)) for name in ("auc", "log_loss")}


# --- the document ---------------------------------------------------------------------------------------


def proof_document(
    label: ArrayLike,
    probability: ArrayLike,
    baselines: Mapping[str, Float],
    groups: ArrayLike | None = None,
    *,
    proof: str,
    cutoff_at: str,
    outcome_ends_at: str,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> dict[str, Any]:
    """``evaluation.json``: plain Python values only, every number finite or None.

    Shares of rows are whole rows throughout (``rows_at``), so deciles, gains, ``top_n`` and the lift
    metric agree exactly; where equal probabilities straddle an edge, counts of positives are fractions.

    Args:
        label, probability, groups, replicates, seed: as in ``evaluate``.
        baselines: probabilities float64[N] of simple rules for the same rows, by name.
        proof: ``out-of-time`` or ``same-period``.
        cutoff_at, outcome_ends_at: ISO-8601 instants.

    Raises:
        ValueError: as in ``evaluate``.
    """
    rankings = {"": _ranking(label, probability)}
    rankings |= {name: _ranking(label, values) for name, values in baselines.items()}
    figures = _resample(rankings, groups, replicates, seed)
    model, tally = figures.pop(""), rankings[""].tally()
    differences = {name: _differences(model, other) for name, other in figures.items()}
    metrics, expected, realised = model.summary(), figure(model.rates[:, 0]), figure(model.rates[:, 1])
    return {
        "proof": proof,
        "cutoff_at": cutoff_at,
        "outcome_ends_at": outcome_ends_at,
        "n": len(rankings[""]),
        "positives": int(tally.seen_positive[-1]),
        "base_rate": float(tally.realised_rate),
        **_plain(metrics),
        "expected_rate": expected.to_dict(),
        "realised_rate": realised.to_dict(),
        "baselines": {n: {**_plain(f.summary()), "gains": _simple_gains(f)} for n, f in figures.items()},
        "differences": {name: _plain(found) for name, found in differences.items()},
        "calibration": _calibration_rows(tally),
        "deciles": _decile_rows(tally),
        "gains": _gain_rows(model, tally),
        "top_n": _top_rows(model, tally),
        "curve": _curve_rows(tally),
        "verdict": _verdict(metrics["auc"], tally, differences, expected, realised),
    }


def _plain(metrics: Mapping[str, Metric]) -> dict[str, dict[str, float | None]]:
    return {name: m.to_dict() for name, m in metrics.items()}


def wilson(positives: float, n: float) -> tuple[float, float]:
    """95 % interval of a rate (Wilson 1927)."""
    rate, z2 = positives / n, Z_95**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _calibration_rows(tally: Tally) -> list[dict[str, Any]]:
    """Lowest probabilities first."""
    bins = tally.ranking.bins
    parts = (tally.total, tally.positive, tally.total * tally.ranking.score)
    counted = [np.add.reduceat(part, bins)[::-1].tolist() for part in parts]
    rows = []
    for i, (n, positives, expected) in enumerate(zip(*counted, strict=True), 1):
        low, high = wilson(positives, n)
        rate = {"expected": expected / n, "realised": positives / n}
        rows.append({"bin": i, "n": int(n), **rate, "low": low, "high": high})
    return rows


def _decile_rows(tally: Tally) -> list[dict[str, Any]]:
    """Best decile first; a decile without rows (fewer than ten in all) has no rate."""
    n, edges = len(tally.ranking), list(range(0, 101, 10))
    bounds, seen = rows_at(edges, n).tolist(), (tally.top(edges) * n).tolist()
    rows = []
    for i in range(10):
        size, positives = bounds[i + 1] - bounds[i], seen[i + 1] - seen[i]
        rate = ratio(positives, size)
        rows.append(
            {
                "decile": i + 1,
                "n": size,
                "positives": round(positives, 6),
                "rate": _finite(rate),
                "lift": _finite(ratio(rate, tally.realised_rate)),
                "cumulative_share": _finite(ratio(seen[i + 1], seen[-1])),
            }
        )
    return rows


def _gain_rows(model: _Figures, tally: Tally) -> list[dict[str, Any]]:
    base, rows = tally.realised_rate, []
    for percent in GAIN_PERCENTS:
        share, found = percent / 100, _caught(model, percent)
        rows.append(
            {
                "share_targeted": share,
                "share_caught": found["value"],
                "low": found["low"],
                "high": found["high"],
                "random": share,
                "perfect": min(1.0, share / base) if base > 0 else None,
            }
        )
    return rows


def _simple_gains(rule: _Figures) -> list[dict[str, Any]]:
    """What a simple rule reaches, to be held beside ``gains``."""
    return [{"share_targeted": p / 100, "share_caught": _caught(rule, p)["value"]} for p in GAIN_PERCENTS]


def _caught(figures: _Figures, percent: int) -> dict[str, float | None]:
    """Share of the positives among the best so many per cent of rows."""
    rates = np.where(figures.rates[:, 1] > 0, figures.rates[:, 1], np.nan)
    return figure(figures.top[:, PERCENTS.index(percent)] / rates).to_dict()


def _top_rows(model: _Figures, tally: Tally) -> list[dict[str, Any]]:
    n = len(tally.ranking)
    rows = []
    for percent in TOP_PERCENTS:
        size = int(rows_at(percent, n))
        caught = figure(model.top[:, PERCENTS.index(percent)] * n)
        rows.append(
            {
                "n": size,
                "share": percent / 100,
                "caught": round(caught.value, 6),
                "caught_low": round(caught.low, 6),
                "caught_high": round(caught.high, 6),
                "wasted": round(size - caught.value, 6),
                "precision": caught.value / size,
            }
        )
    return rows


def _curve_rows(tally: Tally) -> list[dict[str, Any]]:
    """Of taking everybody from a probability on, best first, beginning with nobody: the points of ROC and precision.

    Whole levels only, at most ``CURVE_POINTS`` of them, as even as they come in rows; the last is everybody.
    """
    taken, caught = tally.seen_total, tally.seen_positive
    wanted = np.linspace(0, taken[-1], CURVE_POINTS + 1)[1:]
    levels = np.unique(np.minimum(np.searchsorted(taken, wanted), len(taken) - 1))
    met, unmet = float(caught[-1]), float(taken[-1] - caught[-1])
    nobody = [0.0, 0.0] if met and unmet else [None, None]
    rows = [{"probability": None, "n": 0, "recall": nobody[0], "false_alarms": nobody[1], "precision": None}]
    for level in levels:
        n, found = float(taken[level]), float(caught[level])
        rows.append(
            {
                "probability": round(float(tally.ranking.score[level]), 6),
                "n": round(n),
                "recall": _finite(round(ratio(found, met), 6)) if unmet else None,
                "false_alarms": _finite(round(ratio(n - found, unmet), 6)) if met else None,
                "precision": round(found / n, 6),
            }
        )
    return rows


# --- the verdict ----------------------------------------------------------------------------------------


def grade_of(auc_value: float) -> str:
    """``poor``, ``fair``, ``good`` or ``excellent`` by AUC; ``poor`` where AUC is not defined."""
    return next((name for edge, name in GRADES if auc_value < edge), "poor")


def _standing(found: Mapping[str, Metric]) -> str:
    """Against one baseline: ``ranks``, ``probabilities`` (only those are better), ``level`` or ``worse``."""
    rank, loss = found["auc"], found["log_loss"]
    if rank.low > 0:
        return "ranks"
    if rank.high < 0:
        return "worse"
    return "probabilities" if math.isfinite(rank.value) and loss.high < 0 else "level"


def chance_of(tally: Tally) -> float:
    """How probable so high an AUC is if labels are shuffled: the rank-sum test with ties, one-sided.

    The interval of the AUC is not asked: one of 40 rankings by chance would lie above a half, and with few outcomes
    more. NaN with one class only.
    """
    n, met = float(tally.seen_total[-1]), float(tally.seen_positive[-1])
    unmet = n - met
    if met <= 0 or unmet <= 0:
        return math.nan
    tied = float(np.sum(tally.total**3 - tally.total))
    variance = (n + 1 - tied / (n * (n - 1))) / (12 * met * unmet)
    if variance <= 0:
        return 1.0
    half_step = 0.5 / (met * unmet)
    return float(norm.sf((METRICS["auc"].of(tally) - 0.5 - half_step) / math.sqrt(variance)))


def _verdict(
    ranking: Metric,
    tally: Tally,
    differences: Mapping[str, Mapping[str, Metric]],
    expected: Metric,
    realised: Metric,
) -> dict[str, Any]:
    """A ranking that is not shown to be better than chance beats no rule: luck may favour it over them, too."""
    chance = chance_of(tally)
    better = chance < CHANCE_LIMIT
    standing = {name: _standing(found) for name, found in differences.items()}
    won = [name for name, how in standing.items() if how in ("ranks", "probabilities") and better]
    compared = _comparison_words(standing) if better or ranking.high < 0.5 else ""
    parts = [_ranking_words(ranking, better), compared, _level_words(expected, realised)]
    if not math.isfinite(ranking.value):
        parts = parts[:1]
    return {
        "grade": grade_of(ranking.value),
        "better_than_chance": better,
        "chance": _finite(chance),
        "beats": won,
        "does_not_beat": [name for name in standing if name not in won],
        "sentence": " ".join(part for part in parts if part),
    }


def _ranking_words(ranking: Metric, better: bool) -> str:
    if not math.isfinite(ranking.value):
        return say("Cannot be judged: in the proof every profile had the same outcome.")
    opening = say(GRADE_WORDS[grade_of(ranking.value)])
    if ranking.high < 0.5:
        opening = say("Ranks the wrong way round")
    elif not better:
        opening = say("Not shown to rank better than chance")
    times, low, high = (round(100 * x) for x in (ranking.value, ranking.low, ranking.high))
    often = say("more than 99") if times == 100 and ranking.value < 1 else str(times)
    if low >= high:
        return say(
            "{opening}: a randomly chosen profile who met the goal scored above one who did not {often} times in 100.",
            opening=opening,
            often=often,
        )
    return say(
        "{opening}: a randomly chosen profile who met the goal scored above one who did not {often} times in 100 "
        "(95 % interval {low} to {high}).",
        opening=opening,
        often=often,
        low=low,
        high=high,
    )


def _comparison_words(standing: Mapping[str, str]) -> str:
    said = []
    for how, clause in STANDING_WORDS.items():
        names = [n for n, found in standing.items() if found == how]
        if names:
            rules = [say(BASELINE_WORDS.get(n, n.replace("_", " "))) for n in names]
            said.append(say(clause, rules=listed(rules)))
    return capital("; ".join(said)) + "." if said else ""


def _level_words(expected: Metric, realised: Metric) -> str:
    """Said only when the mean probability missed by a tenth or more and by more than chance."""
    missed = abs(expected.value - realised.value) >= NOTABLE_LEVEL_ERROR * realised.value
    if not missed or realised.low <= expected.value <= realised.high:
        return ""
    said, was = (numeral(f"{100 * x:.{1 if x >= 0.01 else 2}f}") + " %" for x in (expected.value, realised.value))
    if expected.value > realised.value:
        return say(
            "The overall level was too high: {said} were expected to meet the goal, {was} did.", said=said, was=was
        )
    return say("The overall level was too low: {said} were expected to meet the goal, {was} did.", said=said, was=was)
