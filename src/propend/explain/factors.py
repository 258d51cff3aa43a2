"""From contributions to influential factors: what raises and what lowers a probability, in words.

Contributions are exact Shapley values of the calibrated log-odds (trees path-dependent, linear members
exactly), summed over the features that say one thing. They describe associations the model uses, not
causes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend.errors import NoInfluentialFactorsError
from propend.explain.shap import PlannedTrees, Trees, factor_contributions, linear_factor_contributions, sum_up
from propend.explain.wording import Ranges, Showing, ranges_of, typical_text
from propend.model.certainty import Margins, leading_share
from propend.model.members import Logistic
from propend.model.train import Model
from propend.snapshots.plan import CODE_OPS, Factor, Feature

Matrix = NDArray[np.float32]
Float = NDArray[np.float64]
Ints = NDArray[np.int64]

HIGH_SHARE, MEDIUM_SHARE, NAMED_SHARE = 0.20, 0.08, 0.05
"""Cuts of importance, as shares of a profile's total absolute impact; below the last it is not named: a factor that
says nothing gets so much for about one profile in twenty (decision 0018)."""

SAME_BEHAVIOUR, OPPOSED, LEAST_SHARE, LEAST_KNOWN = 0.7, -0.3, 0.02, 50
"""Correlations from which on two factors say opposite things of one behaviour; share of all impact that each must
have, and rows that it takes to tell."""

SAMPLE_ROWS = 4_000
CHUNK_ROWS = 32_768
"""Rows explained at a time: what the members need beside the result does not grow with the population."""
NEGLIGIBLE = 1e-6
"""Mean absolute impact, in log-odds, under which a feature moves nothing that anybody could see."""


@dataclass(frozen=True)
class Parts:
    """The members of a model, each as far as it counts towards the calibrated log-odds.

    Attributes:
        trees: all ensembles as one weighted sum; None without trees.
        linear: the linear members.
        linear_weights: what the margin of each is multiplied by.
        offset: what is added to the members' margins.
        background: float32[B, C], rows whose values stand for what is unknown: then contributions are interventional;
            None: the trees' are path-dependent, and a line's count from the means of training.
        planned: the trees with their tables, every feature apart, where few rows are explained at a time.
    """

    trees: Trees | None
    linear: tuple[Logistic, ...]
    linear_weights: tuple[float, ...]
    offset: float
    background: Matrix | None
    planned: PlannedTrees | None = None

    @classmethod
    def of(cls, model: Model, background: Matrix | None = None) -> Parts:
        """Take a model apart; the background has all features of the plan."""
        slope, share, trees = model.calibration.slope, model.tree_weight, None
        if model.trees:
            weight = slope * share / len(model.trees)
            trees = Trees.concat([Trees.from_booster(b) for b in model.trees], [weight] * len(model.trees))
        known = None if background is None else model.inputs(background)
        linear = model.linear
        if known is not None:
            linear = tuple(replace(m, center=m.columns_of(known).mean(axis=0, dtype=np.float64)) for m in linear)
        return cls(trees, linear, tuple(slope * w for w in model.linear_weights), model.calibration.offset, known)

    def kept_ready(self, n_features: int) -> Parts:
        """The same, so that the trees' tables are not made anew for every call."""
        if self.trees is None:
            return self
        return replace(self, planned=PlannedTrees.of(self.trees, np.arange(n_features), n_features, self.background))

    def bases(self, n_features: int) -> tuple[float, ...]:
        """What each member adds to the log-odds of a profile about whom nothing is known, the leading one first."""
        found, nobody = [], np.zeros((0, n_features), dtype=np.float32)
        if self.trees is not None:
            one = np.zeros(n_features, dtype=np.int64)
            found.append(factor_contributions(self.trees, nobody, one, 1, self.background)[1])
        for member, weight in zip(self.linear, self.linear_weights, strict=True):
            found.append(weight * (float(member.coefficients @ member.center) + member.intercept))
        return tuple(found)

    def contributions(self, used: Matrix, group: Ints, n_groups: int) -> tuple[Matrix, Float]:
        """float32[N, G]: contributions summed within groups; float64[N]: what the leading member adds to them.

        Args:
            used: float32[N, C], the features the model uses.
            group: int64[C], the group of each; every feature's own where the trees are kept ready.
            n_groups: G.
        """
        out, leading = np.zeros((len(used), n_groups), dtype=np.float32), None
        if self.trees is not None:
            if self.planned is not None:
                out += self.planned.contributions(used)
            else:
                out += factor_contributions(self.trees, used, group, n_groups, self.background)[0]
            leading = out.sum(axis=1, dtype=np.float64)
        for member, weight in zip(self.linear, self.linear_weights, strict=True):
            out += linear_factor_contributions(
                member.coefficients * weight, member.center, member.columns_of(used),
                group[member.feature_of_column], n_groups,
            )  # fmt: skip
            leading = out.sum(axis=1, dtype=np.float64) if leading is None else leading
        return out, np.zeros(len(used)) if leading is None else leading


@dataclass(frozen=True)
class Contributions:
    """What factors do to the log-odds of rows.

    Attributes:
        impact: float32[N, G], signed log-odds; the explainer's ``base`` plus a row's sum is its calibrated log-odds.
        speaker: int16[N, G], of the features a factor consists of the one that carries most of its impact, by its place
            among those the model uses.
    """

    impact: Matrix
    speaker: NDArray[np.int16]


@dataclass(frozen=True)
class Explainer:
    """The fitted model, taken apart so that contributions come out summed into factors.

    Attributes:
        columns: int64[C], features of the plan the model uses.
        factors: G factors, in the order of the contribution columns.
        group: int64[C], factor of each feature.
        showing: what is shown as the value of each factor of many rows together.
        speaking: what is shown where a feature speaks for its factor.
        parts: the members.
        bases: what each member adds to the log-odds of a profile about whom nothing is known.
        model: what was taken apart.
    """

    columns: Ints
    factors: tuple[Factor, ...]
    group: Ints
    showing: tuple[Showing, ...]
    speaking: tuple[Showing, ...]
    parts: Parts
    bases: tuple[float, ...]
    model: Model

    @property
    def base(self) -> float:
        """Log-odds of a profile about whom nothing is known."""
        return self.parts.offset + sum(self.bases)

    def kept_ready(self) -> Explainer:
        """The same, faster where few rows are explained at a time; it takes the memory of the trees' tables."""
        return replace(self, parts=self.parts.kept_ready(len(self.columns)))

    def contributions(self, X: Matrix) -> Contributions:
        """What each factor does to each row.

        Args:
            X: float32[N, F], all features of the plan.
        """
        return self.explain(X)[0]

    def explain(self, X: Matrix) -> tuple[Contributions, Margins]:
        """The contributions, and the calibrated log-odds they sum to, with those of the members beside.

        Args:
            X: float32[N, F], all features of the plan.
        """
        shape, every = (len(X), len(self.factors)), np.arange(len(self.columns))
        impact, speaker = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.int16)
        leading = np.empty(len(X), dtype=np.float64)
        for first in range(0, len(X), CHUNK_ROWS):
            rows = slice(first, first + CHUNK_ROWS)
            each, leading[rows] = self.parts.contributions(self.model.inputs(X[rows]), every, len(every))
            sum_up(each, self.group, impact[rows], speaker[rows])
        whole = self.base + impact.sum(axis=1, dtype=np.float64)
        margins = Margins.of(whole, self.bases[0] + leading, leading_share(self.model), self.parts.offset)
        return Contributions(impact, speaker), margins

    def shown(self, X: Matrix) -> Matrix:
        """float32[N, G]: the value shown for each factor, as ``showing`` says.

        Args:
            X: float32[N, F], all features of the plan.
        """
        out = np.empty((len(X), len(self.factors)), dtype=np.float32)
        for g, showing in enumerate(self.showing):
            out[:, g] = showing.values(X)
        return out


def build_explainer(
    model: Model,
    features: Sequence[Feature],
    sample: Matrix | None,
    background: Matrix | None = None,
    standing: Mapping[str, str] | None = None,
) -> Explainer:
    """Take a model apart and choose, per factor, what to show of it.

    Args:
        model: fitted and calibrated.
        features: all features of the plan.
        sample: float32[N, F] rows to judge by which feature of a factor carries most; None where nothing is shown of
            many rows together, as when a model is used again that has been judged before.
        background: float32[B, F], rows to explain against; None: along the trees' paths.
        standing: name of the feature shown of many rows, by the code of its factor; by default what carries most.

    Raises:
        NoInfluentialFactorsError: the model gives every profile the same log-odds.
    """
    columns = model.columns
    used = [features[j] for j in columns]
    factors = tuple(dict.fromkeys(f.factor for f in used))
    group = np.array([factors.index(f.factor) for f in used], dtype=np.int64)
    parts = Parts.of(model, background)
    carried = np.zeros(len(used)) if sample is None else _carried(parts, model.inputs(sample[:SAMPLE_ROWS]))
    if sample is not None and carried.max(initial=0.0) < NEGLIGIBLE:
        raise NoInfluentialFactorsError(
            f"None of {len(used)} features moves the prediction: every profile gets the same probability.",
            "name further events, add data sources, or lengthen the history.",
            features=len(used),
        )
    speaking = tuple(
        _showing(features, columns[group == group[place]], int(columns[place])) for place in range(len(used))
    )
    places = {f.name: place for place, f in enumerate(used)}
    most = [int(np.argmax(np.where(group == g, carried, -1.0))) for g in range(len(factors))]
    settled = [(standing or {}).get(factor.code, "") for factor in factors]
    showing = tuple(speaking[places.get(name, place)] for name, place in zip(settled, most, strict=True))
    return Explainer(columns, factors, group, showing, speaking, parts, parts.bases(len(used)), model)


def _carried(parts: Parts, used: Matrix) -> Float:
    """float64[C]: mean absolute contribution of each feature the model uses, over float32[N, C]."""
    each, _ = parts.contributions(used, np.arange(used.shape[1]), used.shape[1])
    return np.abs(each).mean(axis=0, dtype=np.float64) if len(each) else np.zeros(used.shape[1])


def join_opposed(
    model: Model, features: Sequence[Feature], sample: Matrix, background: Matrix | None = None
) -> tuple[tuple[Feature, ...], dict[str, str]]:
    """The features, with factors joined that would say opposite things about the same behaviour; who stands for each.

    Two factors of one stream of events are one if the features that speak for them move together or against each other
    in the sample (rank correlation of at least ``SAME_BEHAVIOUR`` in size) while their impacts pull against each other
    (correlation of ``OPPOSED`` or less). The weaker takes the name of the stronger.

    Args:
        model: fitted and calibrated.
        features: all features of the plan.
        sample: float32[N, F] rows.
        background: as in ``build_explainer``.

    Returns:
        The features, and by the code of each factor the name of the one that carries most.
    """
    some = sample[:: max(1, len(sample) // SAMPLE_ROWS)][:SAMPLE_ROWS]
    explainer = build_explainer(model, features, some, background)
    each, _ = explainer.parts.contributions(
        model.inputs(some), np.arange(len(explainer.columns)), len(explainer.columns)
    )
    carried = np.abs(each).mean(axis=0, dtype=np.float64)
    group, factors = explainer.group.copy(), explainer.factors
    while True:
        impact = np.column_stack([each[:, group == g].sum(axis=1) for g in range(len(factors))])
        speaker = [int(np.argmax(np.where(group == g, carried, -1.0))) for g in range(len(factors))]
        pair = _most_opposed(impact, [explainer.speaking[place] for place in speaker], some)
        if pair is None:
            break
        kept, lost = pair
        group[group == lost] = kept
    name = {factors[old]: factors[new] for old, new in zip(explainer.group.tolist(), group.tolist(), strict=True)}
    used = [features[j] for j in explainer.columns]
    standing = {factors[g].code: used[speaker[g]].name for g in sorted(set(group.tolist()))}
    return tuple(replace(f, factor=name.get(f.factor, f.factor)) for f in features), standing


def _most_opposed(impact: Matrix, showing: Sequence[Showing], X: Matrix) -> tuple[int, int] | None:
    """Positions of the two factors to be joined next, the stronger first."""
    strength = np.abs(impact).mean(axis=0, dtype=np.float64)
    strong = np.flatnonzero(strength >= LEAST_SHARE * strength.sum())
    found = []
    for a, b in itertools.combinations(strong[np.argsort(-strength[strong], kind="stable")], 2):
        pair = showing[a], showing[b]
        against = _correlation(impact[:, a], impact[:, b])
        if (
            against > OPPOSED
            or pair[0].choices
            or pair[1].choices
            or pair[0].feature.channel != pair[1].feature.channel
        ):
            continue
        one, other = (s.values(X) for s in pair)
        known = ~np.isnan(one) & ~np.isnan(other)
        if known.sum() >= LEAST_KNOWN and abs(_correlation(_ranks(one[known]), _ranks(other[known]))) >= SAME_BEHAVIOUR:
            found.append((against, int(a), int(b)))
    return min(found)[1:] if found else None


def _correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """0 where one of them does not vary."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _showing(features: Sequence[Feature], columns: Ints, column: int) -> Showing:
    """One feature of a factor; of a text field, all its values together.

    Args:
        columns: of the factor, positions in the plan.
        column: of the feature.
    """
    feature = features[column]
    if feature.op in CODE_OPS:
        return Showing(feature, (column,), feature.values)
    if feature.unit != "yes":
        return Showing(feature, (column,))
    alike = [int(j) for j in columns if (features[j].op, features[j].field) == (feature.op, feature.field)]
    return Showing(feature, tuple(alike), tuple(features[j].value for j in alike))


@dataclass(frozen=True)
class NamedFactors:
    """The factors named for each profile, strongest raising first, then strongest lowering first.

    Attributes:
        offsets: int64[N + 1].
        factor: int64[M], positions in ``Explainer.factors``.
        speaker: int64[M], positions in ``Explainer.speaking``: the feature shown.
        impact: float32[M], signed log-odds.
        importance: int8[M]: 0 low, 1 medium, 2 high.
    """

    offsets: NDArray[np.int64]
    factor: NDArray[np.int64]
    speaker: NDArray[np.int64]
    impact: NDArray[np.float32]
    importance: NDArray[np.int8]


IMPORTANCES = ("low", "medium", "high")


def name_factors(contributions: Contributions, most: int, order: Ints | None = None) -> NamedFactors:
    """The strongest factors of each row, at most ``most`` in each direction.

    Importance is the share of the row's total absolute impact: high from 20 %, medium from 8 %.

    Args:
        order: int64[N], rows in the order wanted; as they come where None.
    """
    n, k = len(contributions.impact), min(most, contributions.impact.shape[1])
    placed = np.arange(n) if order is None else order

    def of_chunk(first: int) -> tuple[NDArray[Any], ...]:
        rows = placed[first : first + CHUNK_ROWS]
        chunk = contributions.impact[rows]
        total = np.abs(chunk).sum(axis=1, keepdims=True)
        strongest = np.argsort(-chunk, axis=1, kind="stable")
        picked = np.hstack([strongest[:, :k], strongest[:, ::-1][:, :k]])
        impact = np.take_along_axis(chunk, picked, axis=1)
        share = np.abs(impact) / np.where(total > 0, total, 1.0)
        wanted = np.hstack([impact[:, :k] > 0, impact[:, k:] < 0]) & (share >= NAMED_SHARE)
        speaker = np.take_along_axis(contributions.speaker[rows], picked, axis=1)
        named = wanted.sum(axis=1), picked[wanted], speaker[wanted].astype(np.int64), impact[wanted]
        return *named, importance_of(share[wanted])

    if n <= CHUNK_ROWS:  # starting threads takes longer than a few rows do
        found = [of_chunk(0)]
    else:
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(of_chunk, range(0, n, CHUNK_ROWS)))
    counts, *columns = (np.concatenate(column) for column in zip(*found, strict=True))
    return NamedFactors(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), *columns)


def importance_of(share: NDArray[np.floating[Any]]) -> NDArray[np.int8]:
    """0 low, 1 medium, 2 high by share of total absolute impact."""
    return (np.asarray(share >= MEDIUM_SHARE, np.int8) + np.asarray(share >= HIGH_SHARE, np.int8)).astype(np.int8)


# --- pictures of many profiles --------------------------------------------------------------------------

MAX_FACTORS_PER_BUCKET = 10
LEAST_IMPACT = 0.005
"""Log-odds below which a factor multiplies the odds by 1.00 as they are shown, and makes no bucket what it is."""


@dataclass(frozen=True)
class Explained:
    """Rows with their contributions and shown values, as the pictures need them.

    Attributes:
        impact: float32[N, G].
        shown: float32[N, G].
        named: factors named per row.
    """

    impact: Matrix
    shown: Matrix
    named: NamedFactors

    @property
    def named_table(self) -> NDArray[np.bool_]:
        """bool[N, G]: whether a factor is among a row's named ones."""
        table = np.zeros(self.impact.shape, dtype=bool)
        rows = np.repeat(np.arange(len(table)), np.diff(self.named.offsets))
        table[rows, self.named.factor] = True
        return table


def global_factors(explainer: Explainer, given: Explained) -> list[dict[str, Any]]:
    """Every factor by share of total absolute impact, strongest first, with its dependence.

    ``share`` sums to 1 over the factors. ``direction`` is ``more raises``, ``more lowers`` or ``mixed``.
    ``dependence`` has the mean impact per range of the shown value.
    """
    strength = np.abs(given.impact).mean(axis=0, dtype=np.float64)
    total = float(strength.sum()) or 1.0
    out = []
    for g in np.argsort(-strength, kind="stable"):
        showing = explainer.showing[g]
        values, impact = given.shown[:, g], given.impact[:, g]
        out.append(
            {
                "code": explainer.factors[g].code,
                "label": explainer.factors[g].label,
                "share": float(strength[g]) / total,
                "mean_abs_impact": float(strength[g]),
                "direction": _direction(showing, values, impact),
                "feature": showing.feature.name,
                "value_label": showing.label,
                "typical": typical_text(showing, values),
                "dependence": _dependence(ranges_of(showing, values), impact),
            }
        )
    return out


def _direction(showing: Showing, values: NDArray[np.float32], impact: NDArray[np.float32]) -> str:
    """By the rank correlation of value and impact; choices have no more and no less."""
    known = ~np.isnan(values)
    if showing.choices or known.sum() < 10:
        return "mixed"
    correlation = _correlation(_ranks(values[known]), _ranks(impact[known]))
    return "more raises" if correlation > 0.4 else "more lowers" if correlation < -0.4 else "mixed"


def _ranks(values: NDArray[np.float32]) -> Float:
    """float64[N] ranks; equal values share their middle rank, or their order in the table would count."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2.0
    return np.asarray(middle[place.reshape(-1)], dtype=np.float64)


def _dependence(ranges: Ranges, impact: NDArray[np.float32]) -> list[dict[str, Any]]:
    counts = np.bincount(ranges.place, minlength=len(ranges.labels))
    sums = np.bincount(ranges.place, weights=impact, minlength=len(ranges.labels))
    return [
        {"label": ranges.labels[b], "mean_impact": float(sums[b] / counts[b]), "n": int(counts[b])}
        for b in np.flatnonzero(counts)
    ]


def bucket_factors(explainer: Explainer, given: Explained, inside: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """The factors, ten at most, that make a bucket what it is, by absolute mean impact inside it.

    ``coverage`` is the share of the bucket's profiles for whom the factor is named. ``distribution`` has, per range of
    the shown value, the share of the profiles inside the bucket and of those outside it; each sums to 1.

    Args:
        inside: bool[N], rows of the bucket.
    """
    if not inside.any():
        return []
    mean = given.impact[inside].mean(axis=0, dtype=np.float64)
    share = np.abs(mean) / (np.abs(mean).sum() or 1.0)
    level, named = importance_of(share), given.named_table
    out = []
    for g in np.argsort(-share, kind="stable")[:MAX_FACTORS_PER_BUCKET]:
        if abs(mean[g]) < LEAST_IMPACT:
            break  # weaker ones follow
        showing, values = explainer.showing[g], given.shown[:, g]
        out.append(
            {
                "code": explainer.factors[g].code,
                "label": explainer.factors[g].label,
                "mean_impact": float(mean[g]),
                "importance": IMPORTANCES[level[g]],
                "coverage": float(named[inside, g].mean()),
                "value_kind": showing.kind,
                "value_label": showing.label,
                "typical_inside": typical_text(showing, values[inside]),
                "typical_outside": typical_text(showing, values[~inside]),
                "distribution": _distribution(ranges_of(showing, values), inside),
            }
        )
    return out


def _distribution(ranges: Ranges, inside: NDArray[np.bool_]) -> list[dict[str, Any]]:
    n = len(ranges.labels)
    within, without = (np.bincount(ranges.place[rows], minlength=n) for rows in (inside, ~inside))
    return [
        {
            "label": ranges.labels[b],
            "inside": float(within[b] / max(within.sum(), 1)),
            "outside": float(without[b] / max(without.sum(), 1)),
        }
        for b in np.flatnonzero(within + without)
    ]
