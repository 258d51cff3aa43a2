"""From probabilities to scores: score, percentile, bucket, factors, in the one output shape.

The score compares a profile's odds with those of the average scored profile (decision 0004): 50 is the
average, 75 is three times its odds, 25 a third. It is not a probability (spec OUT-01).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from propend.explain.factors import (
    IMPORTANCES,
    Contributions,
    Explained,
    Explainer,
    NamedFactors,
    bucket_factors,
    global_factors,
    name_factors,
)
from propend.explain.wording import Showing, distinct_texts, typical_text
from propend.instance import Instance
from propend.model.calibrate import logit, sigmoid
from propend.model.certainty import Certainty, total_interval
from propend.model.horizons import NEVER, Horizons
from propend.timeline import midnight_utc

Float = NDArray[np.float64]
Ints = NDArray[np.int64]
Matrix = NDArray[np.float32]

BUCKETS = ("low", "medium", "high")
FACTOR_TYPE = pa.struct(
    [
        ("code", pa.string()),
        ("label", pa.string()),
        ("value", pa.string()),
        ("typical", pa.string()),
        ("impact", pa.float32()),
        ("importance", pa.string()),
    ]
)
SCORES_SCHEMA = pa.schema(
    [
        ("profile_id", pa.string()),
        ("score", pa.float32()),
        ("probability", pa.float64()),
        ("probability_low", pa.float64()),
        ("probability_high", pa.float64()),
        ("too_little_history", pa.bool_()),
        ("percentile", pa.int16()),
        ("bucket", pa.string()),
        ("times_average", pa.float32()),
        ("propensity_type", pa.string()),
        ("scored_at", pa.timestamp("us", tz="UTC")),
        ("expires_at", pa.timestamp("us", tz="UTC")),
        ("factors", pa.list_(FACTOR_TYPE)),
        ("run_id", pa.string()),
        ("instance", pa.string()),
    ]
)
HORIZON_TYPE = pa.struct([("days", pa.int16()), ("probability", pa.float64())])
HORIZONS_SCHEMA = pa.schema([("horizons", pa.list_(HORIZON_TYPE)), ("expected_days", pa.int16())])
"""Further columns, where the instance asks for horizons."""
HISTOGRAM_BIN = 5
EXAMPLES_PER_BUCKET = 2
EXAMPLE_COLUMNS = (
    *("profile_id", "score", "probability", "probability_low", "probability_high", "too_little_history"),
    *("percentile", "bucket", "times_average", "factors"),
)
PICTURE_ROWS = 50_000


@dataclass(frozen=True)
class Standing:
    """What one profile is compared with: all that are scored.

    Attributes:
        mean: of their probabilities; 1 of nobody's.
        steps: float64[99], ascending: the least probability of each percentile from the second on, infinite where
            nobody is so high.
    """

    mean: float
    steps: Float

    @classmethod
    def of(cls, probability: Float) -> Standing:
        """Of everybody's probabilities, float64[N] in canonical order of profiles."""
        if len(probability) == 0:
            return cls(1.0, np.full(99, np.inf))
        ordered, counts = np.unique(probability, return_counts=True)
        # equal probabilities share their middle rank
        middle = (np.cumsum(counts) - counts / 2.0) / len(probability)
        rank = np.clip(np.ceil(100.0 * middle), 1, 100)
        first = np.searchsorted(rank, np.arange(2, 101))
        return cls(float(probability.mean()), np.append(ordered, np.inf)[first])

    def scores(self, probability: Float) -> NDArray[np.float32]:
        """float32[N] in 0..100: the odds relative to those of the mean probability, on a logistic scale."""
        return (100.0 * sigmoid(logit(probability) - logit(self.mean))).astype(np.float32)

    def percentiles(self, probability: Float) -> NDArray[np.int16]:
        """int16[N] in 1..100: rank among the scored."""
        return (1 + np.searchsorted(self.steps, probability, side="right")).astype(np.int16)


def buckets_of(score: NDArray[np.float32], edges: tuple[float, float] = (25.0, 75.0)) -> NDArray[np.int8]:
    """int8[N]: 0 low [0, first edge), 1 medium [first, second), 2 high [second, 100]; no gaps."""
    return np.searchsorted(np.asarray(edges, dtype=np.float64), score, side="right").astype(np.int8)


@dataclass(frozen=True)
class ScoringContext:
    """What every row of a run's scores shares.

    Attributes:
        lead_days: from the cutoff to the start of the outcome window.
    """

    propensity_type: str
    scored_at: datetime
    expires_at: datetime
    run_id: str
    instance: str
    bucket_edges: tuple[float, float] = (25.0, 75.0)
    factors: int = 5
    lead_days: int = 0

    @classmethod
    def of(cls, instance: Instance, cutoff_day: int, reach_days: int, run_id: str) -> ScoringContext:
        """What is said of an instance's scores of a cutoff, a day number; they expire with the outcome window."""
        zone, options = instance.options.zone, instance.options
        return cls(
            propensity_type=instance.type,
            scored_at=midnight_utc(cutoff_day, zone),
            expires_at=midnight_utc(cutoff_day + reach_days, zone),
            run_id=run_id,
            instance=instance.name,
            bucket_edges=options.buckets,
            factors=options.factors,
            lead_days=instance.goal.lead_days,
        )


@dataclass(frozen=True)
class Judged:
    """Profiles, each by itself.

    Attributes:
        X: float32[N, F], all features of the plan.
        contributions: what factors do to each.
        probability, low, high: float64[N], calibrated, with its interval.
        thin: bool[N], too little history to say.
        curve: float64[N, H], probability at each horizon.
    """

    X: Matrix
    contributions: Contributions
    probability: Float
    low: Float
    high: Float
    thin: NDArray[np.bool_]
    curve: Float

    def at(self, places: Ints) -> Judged:
        """Some of them."""
        return Judged(
            np.take(self.X, places, axis=0),
            Contributions(self.contributions.impact[places], self.contributions.speaker[places]),
            self.probability[places],
            self.low[places],
            self.high[places],
            self.thin[places],
            self.curve[places],
        )


@dataclass(frozen=True)
class Scorer:
    """What tells of described profiles how likely each is to meet the goal, and why.

    Attributes:
        explainer: of the fitted model.
        certainty: what tells how sure each probability is.
        horizons: the curve over horizons, where one is asked for.
    """

    explainer: Explainer
    certainty: Certainty
    horizons: Horizons | None = None

    def judge(self, X: Matrix) -> Judged:
        """Rows of float32[N, F], all features of the plan."""
        # the contributions are the log-odds: the members need not be asked a second time
        contributions, margins = self.explainer.explain(X)
        probability = sigmoid(margins.whole)
        low, high = self.certainty.interval(margins, self.explainer.model.calibration)
        curve = self.horizons.curve(X, probability) if self.horizons else np.zeros((len(X), 0))
        return Judged(X, contributions, probability, low, high, self.certainty.thin(X), curve)


@dataclass(frozen=True)
class Tabulation:
    """How judged profiles become rows of scores and of contributions, in the language of a run.

    Attributes:
        typical: for each feature that may speak, what is typical of it.
    """

    scorer: Scorer
    standing: Standing
    context: ScoringContext
    typical: tuple[str, ...]

    @classmethod
    def of(cls, scorer: Scorer, standing: Standing, context: ScoringContext, usual: Matrix) -> Tabulation:
        """With what is typical of float32[N, F], rows evenly taken of all."""
        typical = tuple(typical_text(showing, showing.values(usual)) for showing in scorer.explainer.speaking)
        return cls(scorer, standing, context, typical)

    def tables(self, profile_ids: NDArray[np.object_], judged: Judged) -> tuple[pa.Table, pa.Table]:
        """Scores (``SCORES_SCHEMA``) and contributions (``IMPACT``, ``VALUE``, ``SAYS``), both sorted by profile.

        Args:
            profile_ids: str[N], in the order of what was judged.
        """
        ids, order = _ascending(profile_ids)
        others = _contribution_table(ids, judged.X, order, self.scorer.explainer, judged.contributions)
        return self._scores(ids, order, judged), others

    def scores(self, profile_ids: NDArray[np.object_], judged: Judged) -> pa.Table:
        """The first of ``tables`` alone."""
        return self._scores(*_ascending(profile_ids), judged)

    def _scores(self, ids: pa.Array, order: Ints, judged: Judged) -> pa.Table:
        context, standing, explainer = self.context, self.standing, self.scorer.explainer
        n, probability = len(ids), judged.probability
        score = standing.scores(probability)
        bucket = buckets_of(score, context.bucket_edges)
        named = name_factors(judged.contributions, context.factors, order)
        table = pa.table(
            [
                ids,
                pa.array(score[order]),
                pa.array(probability[order]),
                pa.array(judged.low[order]),
                pa.array(judged.high[order]),
                pa.array(judged.thin[order]),
                pa.array(standing.percentiles(probability)[order]),
                pa.array(BUCKETS, pa.string()).take(pa.array(bucket[order])),
                pa.array((probability / standing.mean).astype(np.float32)[order]),
                pa.repeat(pa.scalar(context.propensity_type, pa.string()), n),
                pa.repeat(pa.scalar(context.scored_at, pa.timestamp("us", tz="UTC")), n),
                pa.repeat(pa.scalar(context.expires_at, pa.timestamp("us", tz="UTC")), n),
                _factor_lists(explainer, named, judged.X, order, self.typical),
                pa.repeat(pa.scalar(context.run_id, pa.string()), n),
                pa.repeat(pa.scalar(context.instance, pa.string()), n),
            ],
            schema=SCORES_SCHEMA,
        )
        if self.scorer.horizons:
            table = _with_horizons(table, self.scorer.horizons, judged.curve[order], context.lead_days)
        return table


def _ascending(profile_ids: NDArray[np.object_]) -> tuple[pa.Array, Ints]:
    """Ids in ascending order, and int64[N], where each was."""
    ids = pa.array(profile_ids, pa.string())
    order = pc.sort_indices(ids).to_numpy().astype(np.int64)
    return ids.take(pa.array(order)), order


IMPACT, VALUE, SAYS = "impact__", "value__", "says__"
"""Before the code of a factor, the names of its three columns among the contributions."""


def _contribution_table(
    profile_ids: pa.Array, X: Matrix, order: Ints, explainer: Explainer, found: Contributions
) -> pa.Table:
    """By profile, per factor its impact, the value shown for it of many profiles, a number or, of a text field, its
    text, and the words of the feature that speaks for it of this one.

    Args:
        profile_ids: ascending.
        order: int64[N], the row of each in X and in what was found.
    """

    def of_factor(g: int) -> dict[str, pa.Array]:
        showing, code = explainer.showing[g], explainer.factors[g].code
        # columns lie apart in a matrix: taken out first, they are put in order within a nearer memory
        values = showing.values(X).copy()[order]
        return {
            IMPACT + code: pa.array(found.impact[:, g].copy()[order]),
            VALUE + code: _texts(showing, values) if showing.choices else pa.array(values, mask=np.isnan(values)),
            SAYS + code: _said(explainer, X, found.speaker[:, g].copy(), order),
        }

    speak = copy_context()  # threads speak the language of the context, too
    with ThreadPoolExecutor(2) as pool:
        each = pool.map(lambda g: speak.copy().run(of_factor, g), range(len(explainer.factors)))
        columns = {name: column for found_columns in each for name, column in found_columns.items()}
    return pa.table({"profile_id": profile_ids, **columns})


def _texts(showing: Showing, values: Matrix) -> pa.DictionaryArray:
    texts, place = distinct_texts(showing, values)
    return pa.DictionaryArray.from_arrays(pa.array(place), pa.array(texts, pa.string()))


def _said(explainer: Explainer, X: Matrix, speaker: NDArray[np.int16], order: Ints) -> pa.DictionaryArray:
    """The value of each row's feature as it reads beside the label of its factor, in another order of rows."""
    place, words = np.zeros(len(X), dtype=np.int32), dict[str, int]()
    for feature in np.flatnonzero(np.bincount(speaker)):
        rows = np.flatnonzero(speaker == feature)
        place[rows] = _places_of(explainer.speaking[feature], X, rows, words)
    return pa.DictionaryArray.from_arrays(pa.array(place[order]), pa.array(list(words), pa.string()))


def _places_of(showing: Showing, X: Matrix, rows: Ints, words: dict[str, int]) -> NDArray[np.int32]:
    """What some rows show, as places among the words, which take in what is new."""
    texts, which = distinct_texts(showing, showing.values(X, rows))
    places: NDArray[np.int32] = np.array([words.setdefault(t, len(words)) for t in texts], dtype=np.int32)[which]
    return places


def _with_horizons(table: pa.Table, horizons: Horizons, curve: Float, lead_days: int) -> pa.Table:
    n, width = curve.shape
    days = pa.array(np.tile(np.array(horizons.days, dtype=np.int16), n))
    pairs = pa.StructArray.from_arrays([days, pa.array(curve.ravel())], fields=list(HORIZON_TYPE))
    offsets = pa.array(np.arange(0, n * width + 1, width, dtype=np.int32))
    expected = horizons.expected_days(curve)
    # days count from the cutoff, as those of all other columns do
    columns = (
        pa.ListArray.from_arrays(offsets, pairs),
        pa.array((expected + lead_days).astype(np.int16), mask=expected == NEVER),
    )
    for field, column in zip(HORIZONS_SCHEMA, columns, strict=True):
        table = table.append_column(field, column)
    return table


def _factor_lists(
    explainer: Explainer, named: NamedFactors, X: Matrix, order: Ints, typical: Sequence[str]
) -> pa.ListArray:
    """The named factors with the value of the feature that speaks for each, and what is typical of it.

    Args:
        named: of the rows in the order wanted.
        order: int64[N], the row of each in X.
    """
    rows = np.repeat(order, np.diff(named.offsets))
    value, words = np.zeros(len(named.factor), dtype=np.int32), dict[str, int]()
    for place in np.flatnonzero(np.bincount(named.speaker)):
        showing, here = explainer.speaking[place], np.flatnonzero(named.speaker == place)
        value[here] = _places_of(showing, X, rows[here], words)

    def said(texts: Sequence[str], which: NDArray[np.integer[Any]]) -> pa.Array:
        return pa.array(texts, pa.string()).take(pa.array(which))

    struct = pa.StructArray.from_arrays(
        [
            said([f.code for f in explainer.factors], named.factor),
            said([f.label for f in explainer.factors], named.factor),
            said(list(words), value),
            said(typical, named.speaker),
            pa.array(named.impact),
            said(IMPORTANCES, named.importance),
        ],
        fields=list(FACTOR_TYPE),
    )
    return pa.ListArray.from_arrays(pa.array(named.offsets.astype(np.int32)), struct)


# --- what a run's scores look like together ----------------------------------------------------------------


@dataclass(frozen=True)
class Scored:
    """Everybody's scores, and what is shown of them.

    Attributes:
        probability, score, thin: of each profile, in canonical order.
        bucket: int8[N].
        curve: float64[N, H], probability at each horizon.
        pictured: int64[M], positions of rows evenly taken, enough for pictures.
        explained: contributions and shown values of these.
        examples: profiles in the middle of each bucket, as rows of the output.
    """

    probability: Float
    score: NDArray[np.float32]
    thin: NDArray[np.bool_]
    bucket: NDArray[np.int8]
    curve: Float
    pictured: Ints
    explained: Explained
    examples: pa.Table


def pictured_of(n: int) -> Ints:
    """int64[M]: positions of rows evenly taken, enough for pictures."""
    return np.arange(0, n, max(1, n // PICTURE_ROWS))


def examples_of(probability: Float, bucket: NDArray[np.int8]) -> Ints:
    """Positions of profiles in the middle of each bucket, the highest first."""
    order, found = np.argsort(probability, kind="stable"), list[int]()
    for code in reversed(range(len(BUCKETS))):
        members = order[bucket[order] == code]
        count = min(EXAMPLES_PER_BUCKET, len(members))
        found += [int(members[(2 * k + 1) * len(members) // (2 * EXAMPLES_PER_BUCKET)]) for k in range(count)]
    return np.array(found, dtype=np.int64)


def explained_of(judged: Judged, scorer: Scorer, context: ScoringContext) -> Explained:
    """Contributions and shown values of judged rows."""
    named = name_factors(judged.contributions, context.factors)
    return Explained(judged.contributions.impact, scorer.explainer.shown(judged.X), named)


def insights(scored: Scored, scorer: Scorer, context: ScoringContext) -> dict[str, Any]:
    """The document behind the pictures: histogram, buckets with their factors, global factors, examples."""
    explainer, level_error = scorer.explainer, scorer.explainer.model.calibration.level_error
    n, explained, bucket = len(scored.probability), scored.explained, scored.bucket[scored.pictured]
    low, high = context.bucket_edges
    spans = {"low": (0.0, low), "medium": (low, high), "high": (high, 100.0)}
    buckets = []
    for code, name in reversed(list(enumerate(BUCKETS))):
        members = scored.bucket == code
        expected = float(scored.probability[members].mean()) if members.any() else 0.0
        buckets.append(
            {
                "bucket": name,
                "score_from": spans[name][0],
                "score_to": spans[name][1],
                "n": int(members.sum()),
                "share": float(members.mean()) if n else 0.0,
                "expected_rate": expected,
                "expected_positives": float(scored.probability[members].sum()),
                "factors": bucket_factors(explainer, explained, bucket == code),
            }
        )
    return {
        "population": n,
        "mean_probability": float(scored.probability.mean()) if n else 0.0,
        "expected_positives": total_interval(scored.probability, level_error),
        "too_little_history": {"n": int(scored.thin.sum()), "share": float(scored.thin.mean()) if n else 0.0},
        "score_histogram": histogram(scored.score, context.bucket_edges),
        "buckets": buckets,
        "base": explainer.base,
        "factors": global_factors(explainer, explained),
        "examples": _in_order(scored.examples),
    } | ({"horizons": _expected_by(scored, scorer.horizons.days)} if scorer.horizons else {})


def _in_order(examples: pa.Table) -> list[dict[str, Any]]:
    """The highest bucket first, the lowest probability of each first."""
    rows = [{key: row[key] for key in EXAMPLE_COLUMNS} for row in examples.to_pylist()]
    return sorted(rows, key=lambda r: (-BUCKETS.index(r["bucket"]), r["probability"], r["profile_id"]))


def _expected_by(scored: Scored, horizons: Sequence[int]) -> list[dict[str, Any]]:
    """Of all and of each bucket, the share that is expected to meet the goal within each horizon."""
    inside = {name: scored.bucket == code for code, name in reversed(list(enumerate(BUCKETS)))}
    return [
        {
            "days": days,
            "expected_rate": float(curve.mean()) if len(curve) else 0.0,
            "buckets": {name: float(curve[rows].mean()) for name, rows in inside.items() if rows.any()},
        }
        for days, curve in zip(horizons, scored.curve.T, strict=True)
    ]


def histogram(score: NDArray[np.float32], edges: tuple[float, float]) -> list[dict[str, Any]]:
    """How many scores lie in each range of equal length, cut at the edges of the buckets, too."""
    cuts = np.unique(np.concatenate([np.arange(0, 101, HISTOGRAM_BIN, dtype=np.float64), edges]))
    place = np.clip(np.searchsorted(cuts, score, side="right") - 1, 0, len(cuts) - 2)
    counts = np.bincount(place, minlength=len(cuts) - 1)
    names = buckets_of(cuts[:-1].astype(np.float32), edges)
    return [
        {
            "score_from": float(cuts[i]),
            "score_to": float(cuts[i + 1]),
            "bucket": BUCKETS[names[i]],
            "n": int(counts[i]),
        }
        for i in range(len(counts))
    ]
