"""Gates that refuse, and checks that warn: enough outcomes, good enough, leaking, drifting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend.errors import (
    BadModelError,
    IneligibleScoresError,
    NoObjectiveError,
    NoPopulationError,
    NotEnoughObjectiveError,
    NotEnoughPopulationError,
    SingleValueError,
)
from propend.model.calibrate import logit
from propend.snapshots.plan import Feature, Op

Matrix = NDArray[np.float32]
Labels = NDArray[np.uint8]

COMFORTABLE_OUTCOMES = 500
AMBER_OUTCOMES = 100
LEAK_SUSPECT_AUC = 0.95
LEAK_CERTAIN_AUC = 0.99
DRIFT_WARN_PSI = 0.25
SCORE_DRIFT_WARN_PSI = 0.5
SCORE_DRIFT_REFUSE_PSI = 4.0
SCORE_DRIFT_REFUSE_SHIFT = 0.5
"""In log-odds: a factor of 1.6 in the odds."""
PSI_BINS = 10
SAMPLE_ROWS = 20_000


@dataclass(frozen=True)
class Notice:
    """A warning: it does not stop the run, and it is always said.

    Attributes:
        code, symbol: stable.
        message: the facts with their numbers.
        hint: what to do.
    """

    code: str
    symbol: str
    message: str
    hint: str = ""

    def to_dict(self) -> dict[str, str]:
        """The warning as plain data."""
        return asdict(self)


# --- enough to learn from --------------------------------------------------------------------------------


@dataclass(frozen=True)
class OutcomeCounts:
    """Distinct profiles over the matured cutoffs: eligible, met the goal, did not."""

    eligible: int
    met: int
    unmet: int


def gate_outcomes(counts: OutcomeCounts, minimum: int, window: str) -> None:
    """Refuse when there is too little to learn from (spec 7.2; zero and too few have different codes).

    Args:
        counts: profiles, not events (spec IN-21).
        minimum: profiles needed of each kind.
        window: the period looked at, in words.

    Raises:
        NoPopulationError, NotEnoughPopulationError: nobody, or too few, eligible.
        NoObjectiveError, NotEnoughObjectiveError: nobody, or too few, met the goal.
        SingleValueError: everybody did.
    """
    facts: dict[str, Any] = {"minimum": minimum, "window": window, **asdict(counts)}
    if counts.eligible == 0:
        raise NoPopulationError(
            f"No profile was eligible {window}; at least {minimum} are needed.",
            "loosen the eligibility or lengthen its look-back; `propend check` shows which line removes whom.",
            **facts,
        )
    if counts.met == 0:
        raise NoObjectiveError(
            f"None of {counts.eligible:,} eligible profiles met the goal {window}; at least {minimum} are needed.",
            "check the goal's events and conditions; a goal that never happened before cannot be predicted.",
            **facts,
        )
    if counts.unmet == 0:
        raise SingleValueError(
            f"All of {counts.eligible:,} eligible profiles met the goal {window}: there is nothing to tell apart.",
            "narrow the goal, shorten its window, or use data that also holds profiles who did not.",
            **facts,
        )
    if counts.eligible < minimum:
        raise NotEnoughPopulationError(
            f"{counts.eligible:,} profiles were eligible {window}; at least {minimum} are needed.",
            "loosen the eligibility, lengthen its look-back, or add data.",
            **facts,
        )
    if counts.met < minimum:
        raise NotEnoughObjectiveError(
            f"{counts.met:,} profiles met the goal {window}; at least {minimum} are needed.",
            "widen the goal, lengthen the outcome window, or add data.",
            **facts,
        )
    if counts.unmet < minimum:
        raise NotEnoughPopulationError(
            f"Only {counts.unmet:,} eligible profiles did not meet the goal {window}; at least {minimum} are needed.",
            "narrow the goal, shorten its window, or widen the eligibility.",
            **facts,
        )


def few_outcomes_notice(counts: OutcomeCounts) -> list[Notice]:
    """A notice while outcomes of the rarer kind are fewer than is comfortable."""
    rarer = min(counts.met, counts.unmet)
    if rarer >= COMFORTABLE_OUTCOMES:
        return []
    kind = "met the goal" if counts.met <= counts.unmet else "did not meet the goal"
    weight = "so the intervals are wide and a simple model leads" if rarer < AMBER_OUTCOMES else "intervals are wide"
    message = f"{rarer:,} profiles {kind} in the periods learnt from: enough to learn, {weight}."
    return [Notice("PROPEND-300", "FEW_OUTCOMES", message, f"{COMFORTABLE_OUTCOMES} or more are comfortable.")]


# --- good enough ---------------------------------------------------------------------------------------


def gate_quality(evaluation: dict[str, Any], bar: float) -> None:
    """Refuse a model whose out-of-time AUC is under the bar (spec MO-08: 0.649 fails, 0.65 passes).

    Raises:
        BadModelError: with the AUC, its interval and the bar.
    """
    auc = evaluation["auc"]
    value, low, high = auc["value"], auc["low"], auc["high"]
    if value is not None and value >= bar:
        return
    shown = "not measurable" if value is None else f"{value:.3f} (95 % interval {low:.3f} to {high:.3f})"
    signal = "no signal was found" if low is None or low <= 0.5 else "the signal is weak"
    raise BadModelError(
        f"On the later period the model was tested on, its AUC is {shown}; at least {bar} is asked for: {signal}.",
        "check that data is up to date and without gaps, add events that people did before meeting the goal, "
        "restrict the eligible population, or try a 7-day window; `options.quality_bar` lowers the bar.",
        auc=value, low=low, high=high, quality_bar=bar,
    )  # fmt: skip


# --- leaks ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Leak:
    """A feature that knows the outcome suspiciously well.

    Attributes:
        column: position in the plan.
        auc: of this feature alone, direction ignored.
        certain: whether it was dropped.
        reason: in words.
    """

    column: int
    feature: str
    sentence: str
    auc: float
    certain: bool
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The suspect as plain data, with what was done about it."""
        return {
            "feature": self.feature,
            "sentence": self.sentence,
            "auc": self.auc,
            "action": "dropped" if self.certain else "suspect",
            "reason": self.reason,
        }


def find_leaks(X: Matrix, label: Labels, columns: Sequence[int], features: Sequence[Feature]) -> list[Leak]:
    """Features whose power alone is too good to be true.

    A feature made of events before the cutoff may honestly be that good and is only named; an attribute
    table's column may have been written after the fact, and at 0.99 is dropped.
    """
    rows = slice(None, None, max(1, len(label) // SAMPLE_ROWS))
    found = []
    for j in columns:
        power = abs(single_auc(X[rows, j], label[rows]) - 0.5) + 0.5
        if power < LEAK_SUSPECT_AUC:
            continue
        attribute = features[j].op in (Op.ATTRIBUTE_NUMBER, Op.ATTRIBUTE_TEXT_IS)
        certain = attribute and power >= LEAK_CERTAIN_AUC
        reason = (
            "this attribute alone tells the outcome: it was most likely written after it"
            if certain
            else "this alone all but tells the outcome; check that it is known before it"
        )
        found.append(Leak(int(j), features[j].name, features[j].sentence, power, certain, reason))
    return found


def single_auc(values: NDArray[np.float32], label: Labels) -> float:
    """AUC of one feature, missing values below all others; 0.5 for a single class."""
    positives = int(label.sum())
    negatives = len(label) - positives
    if positives == 0 or negatives == 0:
        return 0.5
    filled = np.where(np.isnan(values), -np.inf, values)
    ordered = np.sort(filled)
    rank = (np.searchsorted(ordered, filled, "left") + np.searchsorted(ordered, filled, "right") + 1) / 2.0
    area = float(rank[label == 1].sum()) - positives * (positives + 1) / 2.0
    return area / (positives * negatives)


# --- drift ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """Distributions at the proof's cutoff, to compare later ones with.

    Attributes:
        edges: float64[C, B - 1] inner quantiles of each used feature.
        shares: float64[C, B + 1], the last for missing values.
        score_edges, score_shares: the same for the calibrated probability that the model to be used gives them.
    """

    edges: NDArray[np.float64]
    shares: NDArray[np.float64]
    score_edges: NDArray[np.float64]
    score_shares: NDArray[np.float64]

    @classmethod
    def of(cls, X: Matrix, probability: NDArray[np.float64]) -> Reference:
        """The distributions of used features, float32[N, C], and of their probabilities, float64[N]."""
        inner = np.linspace(0, 1, PSI_BINS + 1)[1:-1]
        edges = np.zeros((X.shape[1], len(inner)))
        for j in range(X.shape[1]):
            known = X[:, j][~np.isnan(X[:, j])]
            edges[j] = np.quantile(known, inner) if len(known) else 0.0
        shares = np.array([_shares(X[:, j], edges[j]) for j in range(X.shape[1])])
        score_edges = np.quantile(probability, inner)
        return cls(edges, shares, score_edges, _shares(probability, score_edges))


def _shares(values: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    missing = np.isnan(values)
    place = np.searchsorted(edges, values[~missing], side="right")
    counts = np.bincount(place, minlength=len(edges) + 1).astype(np.float64)
    return np.append(counts, missing.sum()) / max(len(values), 1)


def population_stability(expected: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    """Population stability index of two sets of shares; under 0.1 is stable, over 0.25 has moved."""
    e, a = np.maximum(expected, 1e-4), np.maximum(actual, 1e-4)
    return float(np.sum((a - e) * np.log(a / e)))


def drift_notices(reference: Reference, X: Matrix, features: Sequence[Feature]) -> list[Notice]:
    """Features whose distribution at scoring differs from the proof's, the most moved first."""
    moved = []
    for j, feature in enumerate(features):
        psi = population_stability(reference.shares[j], _shares(X[:, j], reference.edges[j]))
        if psi > DRIFT_WARN_PSI:
            moved.append((psi, feature.sentence))
    if not moved:
        return []
    moved.sort(reverse=True)
    named = "; ".join(f"{sentence} (PSI {psi:.2f})" for psi, sentence in moved[:3])
    message = f"{len(moved)} of {len(features)} inputs are distributed otherwise than in the test period: {named}."
    hint = "season or growth explains much of this; if not, look for missing or late data."
    return [Notice("PROPEND-307", "INPUT_DRIFT", message, hint)]


def score_drift_notices(psi: float) -> list[Notice]:
    """A notice where scores are distributed clearly otherwise than in the test period."""
    if psi <= SCORE_DRIFT_WARN_PSI:
        return []
    message = f"scores are distributed otherwise than in the test period (population stability index {psi:.2f})."
    hint = "figures of the test speak of another population; a season, growth or an ageing one explains much."
    return [Notice("PROPEND-309", "SCORE_DRIFT", message, hint)]


def gate_scores(reference: Reference, probability: NDArray[np.float64]) -> float:
    """Refuse scores whose distribution is far from the proof's (spec MO-12, 403); else give the PSI.

    Far means both: another shape, by the population stability index, and by an amount that matters, by the mean
    distance of the deciles in log-odds. Where all profiles are alike, a hair's breadth moves the index alone.

    Raises:
        IneligibleScoresError: index above ``SCORE_DRIFT_REFUSE_PSI`` and distance above ``SCORE_DRIFT_REFUSE_SHIFT``.
    """
    psi = population_stability(reference.score_shares, _shares(probability, reference.score_edges))
    if psi <= SCORE_DRIFT_REFUSE_PSI:
        return psi
    deciles = np.quantile(probability, np.linspace(0, 1, PSI_BINS + 1)[1:-1])
    shift = float(np.abs(logit(deciles) - logit(reference.score_edges)).mean())
    if shift > SCORE_DRIFT_REFUSE_SHIFT:
        raise IneligibleScoresError(
            f"The scores of {len(probability):,} profiles are distributed far from those of the test period: "
            f"population stability index {psi:.2f}, at most {SCORE_DRIFT_REFUSE_PSI} is let through; "
            f"odds differ by a factor of {math.exp(shift):.1f} on average.",
            "train again on recent data (`propend run`), and look for missing or late data.",
            psi=psi, limit=SCORE_DRIFT_REFUSE_PSI, shift=shift, shift_limit=SCORE_DRIFT_REFUSE_SHIFT,
        )  # fmt: skip
    return psi
