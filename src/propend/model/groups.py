"""A model's figures in each group of profiles, and how they differ from those of the largest group.

Groups are disjoint, so each is resampled by itself, and the errors of two add up. A difference is *said* only if it
lies further from 0 than any of as many would by chance in one attribute of twenty (Bonferroni).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from propend.language import noted, numeral, say
from propend.model.evaluate import Z_95, Metric, figure, wilson
from propend.model.leaks import auc_error
from propend.model.metrics import METRICS, Ranking, Tally, ratio
from propend.phrasing import words_of

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]
Labels = NDArray[np.uint8]

LEAST_GROUP = 30
MOST_GROUPS = 12
MOST_VALUES = 10
"""A number with more distinct values is cut into bands of a quarter of the profiles each."""
UNKNOWN, OTHER = noted("(not known)"), noted("(too few to show)")
REPLICATES = 200
SEED = 20_120_401
TOP_SHARE = 0.2
LEAST_OUTCOMES = 10
"""Of each kind, for ranking to be measured in a group."""
SURE = 0.05

FIGURES = ("expected", "realised", "gap", "auc", "log_loss", "calibration_error", "high_share", "top_share")
COMPARED = ("realised", "gap", "auc", "high_share", "top_share")


# --- who is in which group ------------------------------------------------------------------------------


def bands(values: Float) -> list[str | None]:
    """A number as a group: itself where there are few values, else its quarter of the known ones."""
    known = values[np.isfinite(values)]
    distinct = np.unique(known)
    if len(distinct) <= MOST_VALUES:
        return [numeral(f"{v:g}") if math.isfinite(v) else None for v in values.tolist()]
    edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
    starts = [numeral(f"{edge:g}") for edge in (float(known.min()), *edges.tolist())]
    names = [say("{low} to under {high}", low=a, high=b) for a, b in itertools.pairwise(starts)]
    names.append(say("{low} or more", low=starts[-1]))
    place = np.searchsorted(edges, values, side="right")
    return [names[i] if math.isfinite(v) else None for i, v in zip(place.tolist(), values.tolist(), strict=True)]


def shown_groups(values: Sequence[str | None]) -> NDArray[np.object_]:
    """The group of each profile: its value; ``UNKNOWN``; ``OTHER`` where fewer than 30 share it, or it is the 13th."""
    counts: dict[str, int] = {}
    for value in values:
        if value is not None:
            counts[value] = counts.get(value, 0) + 1
    ranked = sorted(counts, key=lambda v: (-counts[v], v))
    kept = {v for v in ranked[:MOST_GROUPS] if counts[v] >= LEAST_GROUP}
    unknown, other = unnamed()
    return np.array([unknown if v is None else v if v in kept else other for v in values], dtype=object)


def unnamed() -> tuple[str, str]:
    """What ``UNKNOWN`` and ``OTHER`` are called in the language of the context."""
    return say(UNKNOWN), say(OTHER)


# --- figures --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcomes:
    """Rows of the proof.

    Attributes:
        label: uint8[N].
        probability: float64[N].
        high: bool[N], whether in the high bucket.
    """

    label: Labels
    probability: Float
    high: Bools

    @property
    def top(self) -> Bools:
        """bool[N]: whether among the fifth with the highest probabilities."""
        chosen = np.zeros(len(self.label), dtype=bool)
        chosen[np.argsort(-self.probability, kind="stable")[: round(TOP_SHARE * len(self.label))]] = True
        return chosen


def group_figures(given: Outcomes, groups: NDArray[np.object_]) -> list[dict[str, Any]]:
    """One row per group, the largest first, those of ``UNKNOWN`` and ``OTHER`` last.

    Each has its name, ``n``, ``positives``, ``FIGURES`` as value with 95 % interval, and ``differences`` of
    ``COMPARED`` from the largest group, with ``sure`` where chance is no explanation; and the ``ratio`` of its share
    in the high bucket to the largest group's.
    """
    names, sizes = np.unique(groups.astype(str), return_counts=True)
    last = unnamed()
    order = sorted(zip(names.tolist(), sizes.tolist(), strict=True), key=lambda p: (p[0] in last, -p[1], p[0]))
    top = given.top
    drawn = {name: _sampled(given, top, groups == name, i) for i, (name, _) in enumerate(order)}
    first, other = order[0][0] if order else "", last[1]
    comparisons = max(sum(name not in (first, other) for name, _ in order), 1)
    rows = []
    for name, n in order:
        inside, sample = groups == name, drawn[name].replicates
        positives = int(given.label[inside].sum())
        figures = {f: figure(sample[:, k], recentre=f == "calibration_error") for k, f in enumerate(FIGURES)}
        figures |= {f: _rate(given_flags[inside]) for f, given_flags in (
            ("realised", given.label), ("high_share", given.high), ("top_share", top))}  # fmt: skip
        row: dict[str, Any] = {"group": name, "n": n, "positives": positives}
        row |= {f: m.to_dict() for f, m in figures.items()}
        if name not in (first, other):
            row["differences"] = _differences(drawn[name], drawn[first], comparisons)
            row["ratio"] = _finite(ratio(figures["high_share"].value, float(given.high[groups == first].mean())))
        rows.append(row)
    return rows


def _rate(flags: NDArray[Any]) -> Metric:
    low, high = wilson(float(flags.sum()), len(flags))
    return Metric(float(flags.mean()), low, high)


@dataclass(frozen=True)
class _Sampled:
    """A group's figures with what they may vary by.

    Attributes:
        replicates: float64[1 + R, F]: the figures, then those of resamples of the group.
        error: of each of ``COMPARED``, its standard error. A resample of a group without outcomes never has any: of
            rates it is that of Agresti and Caffo (2000), of the gap at least what right probabilities make.
    """

    replicates: Float
    error: dict[str, float]


def _sampled(given: Outcomes, top: Bools, inside: Bools, place: int) -> _Sampled:
    label, probability = given.label[inside], given.probability[inside]
    ranking, rng, n = Ranking.of(label, probability), np.random.default_rng([SEED, place]), len(label)
    flags = np.stack([given.high[inside], top[inside]]).astype(np.float64)
    ranked = min(int(label.sum()), n - int(label.sum())) >= LEAST_OUTCOMES
    rows = []
    for i in range(REPLICATES + 1):
        weight = np.ones(n) if i == 0 else np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        rows.append(_figures_of(ranking.tally(weight), flags @ weight / n, ranked))
    replicates = np.array(rows)
    spread = dict(zip(FIGURES, replicates[1:].std(axis=0).tolist(), strict=True))
    counts = {"realised": label.sum(), "high_share": flags[0].sum(), "top_share": flags[1].sum()}
    error = {name: _rate_error(float(count), n) for name, count in counts.items()}
    if_right = math.sqrt(float((probability * (1 - probability)).sum())) / n
    auc = float(replicates[0, FIGURES.index("auc")])
    error |= {
        "auc": max(spread["auc"], auc_error(min(max(auc, 0.5), 0.9), label)) if ranked else math.nan,
        "gap": max(spread["gap"], if_right),
    }
    return _Sampled(replicates, error)


def _rate_error(count: float, n: int) -> float:
    rate = (count + 1) / (n + 2)
    return math.sqrt(rate * (1 - rate) / (n + 2))


def _figures_of(tally: Tally, shares: Float, ranked: bool) -> list[float]:
    expected, realised = tally.expected_rate, tally.realised_rate
    auc = METRICS["auc"].of(tally) if ranked else math.nan
    others = [METRICS[name].of(tally) for name in ("log_loss", "calibration_error")]
    return [expected, realised, realised - expected, auc, *others, *shares.tolist()]


def _differences(one: _Sampled, other: _Sampled, comparisons: int) -> dict[str, dict[str, Any]]:
    limit = float(norm.isf(SURE / 2 / comparisons / len(COMPARED)))
    found = {}
    for name in COMPARED:
        k = FIGURES.index(name)
        gap = float(one.replicates[0, k] - other.replicates[0, k])
        error = math.hypot(one.error[name], other.error[name])
        shown = Metric(gap, gap - Z_95 * error, gap + Z_95 * error)
        found[name] = {**shown.to_dict(), "sure": math.isfinite(gap) and error > 0 and abs(gap) > limit * error}
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


# --- in words -------------------------------------------------------------------------------------------


FIT = noted(
    "The probabilities fit {group} and {other} unequally: {expected} % expected and {realised} % {did}, against "
    "{other_expected} % expected and {other_realised} %."
)
OFTEN = {
    ("high_share", True): noted("{group} is more often in the high bucket than {other}: {a} % against {b} %."),
    ("high_share", False): noted("{group} is less often in the high bucket than {other}: {a} % against {b} %."),
    ("top_share", True): noted("{group} is more often in the top fifth than {other}: {a} % against {b} %."),
    ("top_share", False): noted("{group} is less often in the top fifth than {other}: {a} % against {b} %."),
}
RANKED = {
    True: noted("It ranks {group} better than {other}: right {a} times in 100 against {b}."),
    False: noted("It ranks {group} worse than {other}: right {a} times in 100 against {b}."),
}
"""By whether the group has more, or ranks better, than the largest."""


def group_sentences(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is sure, in words; that nothing is, if so."""
    if not rows:
        return []
    first = rows[0]
    said = []
    for row in rows[1:]:
        for key, differs in row.get("differences", {}).items():
            if differs["sure"]:
                said.append(_sentence(key, row, first))
    if said:
        return said
    if len(rows) == 1:
        return [say("There is one group of {name} only: nothing to compare.", name=name)]
    return [
        say(
            "No difference between groups of {name} is larger than chance explains; small groups leave much room for "
            "one.",
            name=name,
        )
    ]


def _sentence(key: str, row: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    a, b = row[key]["value"], first[key]["value"]
    group, other, did = repr(row["group"]), repr(first["group"]), words_of().did
    if key == "realised":
        return say(
            "In {group} {a} % {did}, in {other} {b} %.",
            group=group,
            other=other,
            did=did,
            a=_hundredths(a),
            b=_hundredths(b),
        )
    if key == "gap":
        return say(
            FIT,
            group=group,
            other=other,
            did=did,
            expected=_hundredths(row["expected"]["value"]),
            realised=_hundredths(row["realised"]["value"]),
            other_expected=_hundredths(first["expected"]["value"]),
            other_realised=_hundredths(first["realised"]["value"]),
        )
    if key == "auc":
        return say(RANKED[a > b], group=group, other=other, a=numeral(f"{100 * a:.0f}"), b=numeral(f"{100 * b:.0f}"))
    return say(OFTEN[key, a > b], group=group, other=other, a=_hundredths(a), b=_hundredths(b))


def _hundredths(share: float) -> str:
    return numeral(f"{100 * share:.1f}")
