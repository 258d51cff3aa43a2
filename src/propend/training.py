"""Learn on the training cutoffs, prove on a later one, refit on all that is known."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend import record
from propend.errors import BadModelError
from propend.events import OpenedEvents
from propend.explain.factors import join_opposed
from propend.fairness import proof_groups
from propend.horizons import Curves, Described, learn_curves, pace_columns
from propend.labels import columns_apart, dropped_by_label
from propend.language import say
from propend.model import checks
from propend.model.certainty import Certainty, days_column, fit_certainty, interval_rows, margins_of
from propend.model.evaluate import BaselineInputs, baseline_probabilities, proof_document
from propend.model.groups import Outcomes
from propend.model.horizons import Horizons
from propend.model.leaks import Leak
from propend.model.level import LevelForecast
from propend.model.screening import screened
from propend.model.train import Columns, Dropped, Model, TrainingSet, choose, fit, folds_of, useful_columns
from propend.outlook import Outlook, forecast, look_back
from propend.preparation import Prepared, Stages, feature_fields
from propend.scoring import Standing, buckets_of
from propend.snapshots.build import Rows, Survey, count_support, feature_matrix, plan_input
from propend.snapshots.plan import AROUND_DAYS, CODE_OPS, YEAR_DAYS, Feature, Op, Plan, field_words, make_plan
from propend.snapshots.samples import Sample, draw, draw_alike, draw_evenly
from propend.snapshots.stitching import standing_at
from propend.store.runs import SavedModel
from propend.suspects import find_suspects
from propend.timeline import Timeline, day_date

MAX_TRAINING_ROWS = 120_000
MAX_PROOF_ROWS = 100_000
"""What is proved learns from the former; what scores, refitted, from both."""
MAX_RARE_PROOF_ROWS, RARE_PROOF_OUTCOMES = 500_000, 2_000
"""Rows of the proof where so many outcomes of the rarer kind take more."""
MAX_SEASON_DAYS = 120
"""A longer outcome window is no season: what happened in it a year ago is what happened lately."""
MAX_COMPARED_ROWS = 20_000
"""Rows of the proof that tell how sure probabilities are."""
HOLD_OUT_FOLDS = 3
HOLD_OUT_BITS = np.uint64(24)
"""The hold-out is by other bits of the keys than the folds of the cross-fit, or one of these would be empty."""
LEAST_PROOF_OUTCOMES = 5


@dataclass(frozen=True)
class Trained:
    """What training leaves: the model to keep, and what the run's documents say of it.

    Attributes:
        saved: the models and all that scoring needs.
        counts: distinct profiles over the matured cutoffs.
        leaks: features that know the outcome too well.
        dropped: features left out, with the reason.
        notices: warnings.
    """

    saved: SavedModel
    counts: checks.OutcomeCounts
    leaks: tuple[Leak, ...]
    dropped: tuple[tuple[str, str], ...]
    notices: tuple[checks.Notice, ...]


@dataclass(frozen=True)
class Learning:
    """Rows and matrices of the training cutoffs and of the proof.

    Attributes:
        train: labelled snapshots of the training cutoffs.
        proof: labelled snapshots of the proof's cutoff.
        sample: the training snapshots in the survey, and how they were drawn.
        proof_rows: those of the proof.
    """

    train: TrainingSet
    proof: TrainingSet
    sample: Sample
    proof_rows: Rows

    @property
    def even_rows(self) -> Rows:
        """Training snapshots of which each was as likely drawn as any other."""
        return self.sample.rows.where(self.sample.even)

    @property
    def even(self) -> TrainingSet:
        """These, described."""
        return self.train.where(self.sample.even, 0.0) if self.sample.times != 1.0 else self.train


def train_stage(prepared: Prepared, stages: Stages) -> Trained:
    """Learn, prove and refit.

    Raises:
        PropendError: codes 400, 401, 402, 409, 410, 413 and 414 of the reference spec's table.
    """
    instance, timeline = prepared.instance, prepared.timeline
    counts = outcome_counts(prepared)
    checks.gate_outcomes(counts, instance.options.minimum, _period(timeline))
    with stages("features"):
        plan = build_plan(prepared)
        learning = gather(prepared, plan)
    seed = instance.options.seed
    with stages("fit"):
        columns, dropped, leaks = settle_columns(prepared, plan, learning)
        columns, left = screened(learning.train, columns, seed)
        dropped += left
        choices, proof_model = choose(learning.train, columns, seed)
    everything = _together(prepared, learning, columns.used)
    with ThreadPoolExecutor(1) as beside:
        # trees leave room beside them: they grow while what they replace is put to the proof
        refitting = beside.submit(fit, everything, replace(columns, used=np.arange(len(columns.used))), choices, seed)
        with stages("level"):
            outlook = look_back(prepared, plan)
            level = _level(outlook, proof_model, timeline.training, timeline.proof)
            proof_model = proof_model.with_level(level.shift, level.error)
        with stages("prove"):
            evaluation = _prove(prepared, plan, learning, proof_model)
            checks.gate_quality(evaluation, instance.options.quality_bar)
            certainty, evaluation["intervals"] = _certainty(plan, learning.proof, proof_model)
        if instance.options.fairness:
            with stages("fairness"):
                evaluation["fairness"] = _fairness(prepared, plan, learning, proof_model)
        with stages("refit"):
            narrow = refitting.result()
            seen = _background(everything) if instance.options.contributions == "interventional" else None
            joined, standing = join_opposed(narrow, [plan.features[j] for j in columns.used], everything.X, seen)
            plan = replace(plan, features=_placed(plan.features, columns.used, joined))
            background = None
            if seen is not None:
                background = np.full((len(seen), len(plan.features)), np.nan, dtype=np.float32)
                background[:, columns.used] = seen
            model = replace(narrow, columns=columns.used)
            level = _level(outlook, model, timeline.matured, timeline.now)
            model = model.with_level(level.shift, level.error)
    curves = None
    if instance.horizons:
        with stages("horizons"):
            curves = _curves(prepared, plan, learning, columns, dropped, outlook, proof_model)
            evaluation["horizons"] = curves.figures
    saved = SavedModel(
        instance=instance,
        plan=plan,
        model=model,
        proof_model=proof_model,
        certainty=certainty,
        horizons=curves.now if curves else None,
        proof_horizons=curves.proof if curves else None,
        background=background,
        number_fields=prepared.log.request.number_fields,
        text_fields=prepared.log.request.text_fields,
        reference=checks.Reference.of(
            model.inputs(learning.proof.X),
            model.probability(learning.proof.X),
            timeline.proof,
            model.inputs(learning.even.X),
            learning.even.cutoff,
        ),
        evaluation=evaluation,
        facts=record.training_facts(prepared, choices, level, everything, columns)
        | {"kinds": known_kinds(prepared), "standing": standing},
    )
    return Trained(
        saved=_lean(saved),
        counts=counts,
        leaks=tuple(leaks),
        dropped=_named(prepared, plan, dropped),
        notices=(
            *checks.few_outcomes_notice(counts),
            *record.proof_notices(timeline, evaluation, leaks),
            *(curves.notices if curves else ()),
        ),
    )


def _named(prepared: Prepared, plan: Plan, dropped: Sequence[Dropped]) -> tuple[tuple[str, str], ...]:
    """Columns kept out by their label, and features left out, with the reasons."""
    labelled = dropped_by_label(prepared.instance, prepared.inputs.protection.policies)
    return (*labelled, *((plan.features[d.column].name, d.reason) for d in dropped))


def _lean(saved: SavedModel) -> SavedModel:
    """The same with only those features in its plan that anything looks at: scoring describes profiles by no others."""
    curves = [h for h in (saved.horizons, saved.proof_horizons) if h]
    looked_at = [saved.model.columns, saved.proof_model.columns, *(h.columns for h in curves)]
    days = saved.certainty.days_column
    wanted = np.unique(np.concatenate([*looked_at, [days] if days >= 0 else []]).astype(np.int64))
    place = np.full(len(saved.plan.features), -1, dtype=np.int64)
    place[wanted] = np.arange(len(wanted))

    def moved(curve: Horizons | None) -> Horizons | None:
        return curve and replace(curve, columns=place[curve.columns])

    return replace(
        saved,
        plan=replace(saved.plan, features=tuple(saved.plan.features[j] for j in wanted)),
        model=replace(saved.model, columns=place[saved.model.columns]),
        proof_model=replace(saved.proof_model, columns=place[saved.proof_model.columns]),
        certainty=replace(saved.certainty, days_column=int(place[days]) if days >= 0 else -1),
        horizons=moved(saved.horizons),
        proof_horizons=moved(saved.proof_horizons),
        background=saved.background[:, wanted] if saved.background is not None else None,
    )


BACKGROUND_ROWS = 200


def _background(everything: TrainingSet) -> NDArray[np.float32]:
    """Snapshots of the newest matured cutoff, evenly taken: who profiles are compared with."""
    newest = np.flatnonzero(everything.cutoff == everything.cutoff.max())
    evenly = np.linspace(0, len(newest) - 1, min(BACKGROUND_ROWS, len(newest))).astype(np.int64)
    return np.take(everything.X, newest[evenly], axis=0)


def outcome_counts(prepared: Prepared) -> checks.OutcomeCounts:
    """Distinct profiles over the matured cutoffs (spec IN-21 counts profiles)."""
    given = prepared.survey
    columns = [given.cutoffs.index(c) for c in prepared.timeline.matured]
    labelled, met = given.labelled[:, columns], given.met[:, columns]
    return checks.OutcomeCounts(
        eligible=given.count(labelled),
        met=given.count(labelled & met),
        unmet=given.count(labelled & ~met),
    )


def _period(timeline: Timeline) -> str:
    first, last = day_date(timeline.matured[0]), day_date(timeline.proof + timeline.windows.reach_days)
    count, days = len(timeline.matured), timeline.windows.outcome_days
    return f"in {count} outcome window{'s' if count > 1 else ''} of {days} days between {first} and {last}"


def known_kinds(prepared: Prepared) -> list[str]:
    """Kinds of which there are events before the proof's cutoff."""
    proof = prepared.timeline.proof
    seen = count_support(standing_at(prepared.log, (proof,)), proof).kinds
    return [kind for kind, profiles in zip(prepared.log.kinds, seen.tolist(), strict=True) if profiles]


def build_plan(prepared: Prepared) -> Plan:
    """The feature plan, from what events before the proof's cutoff support, none older than features look back."""
    log, timeline = prepared.log, prepared.timeline
    known = standing_at(log, (timeline.proof,))
    support = count_support(known, timeline.proof, timeline.training[0] - timeline.lookback_days)
    numbers, texts = feature_fields(prepared.inputs, prepared.opened)
    apart = columns_apart(prepared.instance, prepared.inputs.protection.policies)
    value_name = _value_name(prepared.opened)
    since, windows, year = timeline.observation.first_day, timeline.feature_windows, _season_days(timeline)
    return make_plan(plan_input(log, support, windows, value_name, numbers, texts, apart, since, year))


def _season_days(timeline: Timeline) -> tuple[int, int]:
    """The outcome window from the cutoff, where most cutoffs learnt from know what it was like a year before."""
    windows, since = timeline.windows, timeline.observation.first_day
    knowing = sum(cutoff - since >= YEAR_DAYS + AROUND_DAYS for cutoff in timeline.training)
    short = windows.outcome_days <= MAX_SEASON_DAYS
    return (windows.lead_days, windows.reach_days) if short and 2 * knowing >= len(timeline.training) else (0, 0)


def _value_name(opened: OpenedEvents) -> str:
    names = {s.columns.get("value", "") for s in opened.sources} - {""}
    if len(names) != 1:
        return say("value")
    words = field_words(names.pop())
    return say("value") if words == "value" else words


def sides(prepared: Prepared) -> tuple[Sample, Rows]:
    """Labelled snapshots of the training cutoffs and of the proof; of very large data some.

    Raises:
        PropendError: codes 400, 401, 409, 410, 413: one side has too few of either outcome.
    """
    timeline, given = prepared.timeline, prepared.survey
    sample = draw(given, timeline.training, MAX_TRAINING_ROWS)
    proof_rows = draw_evenly(given, timeline.proof, MAX_PROOF_ROWS, MAX_RARE_PROOF_ROWS, RARE_PROOF_OUTCOMES)
    if timeline.proof_kind == "same-period":
        held = folds_of(given.keys[proof_rows.profile] >> HOLD_OUT_BITS, HOLD_OUT_FOLDS) == 0
        learnt = folds_of(given.keys[sample.rows.profile] >> HOLD_OUT_BITS, HOLD_OUT_FOLDS) != 0
        proof_rows, sample = proof_rows.where(held), sample.where(learnt)
    minimum = prepared.instance.options.minimum
    _gate_side(given, sample.rows, minimum, "in the periods learnt from")
    _gate_side(given, proof_rows, min(minimum, LEAST_PROOF_OUTCOMES), "in the test period")
    return sample, proof_rows


def gather(prepared: Prepared, plan: Plan) -> Learning:
    """The two sides with their features."""
    given = prepared.survey
    sample, proof_rows = sides(prepared)

    def described(rows: Rows, odds_shift: float = 0.0) -> TrainingSet:
        X = feature_matrix(prepared.log, plan, rows)
        return TrainingSet(X, rows.label, given.keys[rows.profile], rows.cutoff, odds_shift)

    return Learning(described(sample.rows, sample.odds_shift), described(proof_rows), sample, proof_rows)


def _gate_side(given: Survey, rows: Rows, minimum: int, where: str) -> None:
    """Both sides of the proof need both outcomes, whatever all cutoffs together have."""
    persons = given.persons(rows.profile)
    met, unmet = (len(np.unique(persons[rows.label == value])) for value in (1, 0))
    checks.gate_outcomes(checks.OutcomeCounts(len(np.unique(persons)), met, unmet), minimum, where)


def settle_columns(prepared: Prepared, plan: Plan, learning: Learning) -> tuple[Columns, list[Dropped], list[Leak]]:
    """The columns the model uses: useful ones without certain leaks; the others; and what knows the outcome too well.

    Raises:
        BadModelError: there are none.
    """
    train = learning.train
    useful, dropped = useful_columns(train.X, train.cutoff)
    leaks = find_suspects(prepared, plan, train.X, learning.sample.rows, useful.tolist())
    used = useful[~np.isin(useful, [j for leak in leaks if leak.certain for j in leak.columns])]
    if len(used) == 0:
        raise BadModelError(
            f"None of {len(plan.features)} features differs between profiles: there is nothing to learn from.",
            "add events, values or attributes that differ between profiles.",
            features=len(plan.features),
        )
    heavy = np.array([f.heavy for f in plan.features])[used]
    twins = {d.column: d.twin for d in dropped if d.twin >= 0}
    wanted = [twins.get(j, j) for j in simple_features(plan, _goal_channel(prepared, plan, train))]
    simple = np.flatnonzero(np.isin(used, wanted)).astype(np.int64)
    features = [plan.features[j] for j in used]
    coded = tuple((place, len(f.values)) for place, f in enumerate(features) if f.op in CODE_OPS)
    return Columns(used, heavy, simple, coded), dropped, leaks


SIMPLE_OPS = (Op.DAYS_SINCE_LAST, Op.DAYS_SINCE_FIRST, Op.OVERDUE)
SIMPLE_WINDOW_OPS = (Op.COUNT, Op.SUM)


def simple_features(plan: Plan, channel: int) -> list[int]:
    """Recency, age, rhythm, frequency and money of one channel: what the simple member sees."""
    windows = {plan.lookback_days, *(w for w in plan.windows if w in (30, 90))}
    return [
        j
        for j, f in enumerate(plan.features)
        if f.channel == channel and (f.op in SIMPLE_OPS or (f.op in SIMPLE_WINDOW_OPS and f.window_days in windows))
    ]


LEAST_PAST_SHARE = 0.05


def _goal_channel(prepared: Prepared, plan: Plan, train: TrainingSet) -> int:
    """The channel of the goal's own event; all events where hardly anyone did it before (a first time)."""
    goal = prepared.instance.goal.group.events[0]
    named = [i for i, c in enumerate(plan.channels) if c.source in ("bit", "kind") and c.name == goal]
    for channel in named:
        place = next(
            (j for j, f in enumerate(plan.features) if f.op is Op.DAYS_SINCE_LAST and f.channel == channel), -1
        )
        if place >= 0 and float(np.mean(~np.isnan(train.X[:, place]))) >= LEAST_PAST_SHARE:
            return channel
    return 0


def _level(outlook: Outlook, model: Model, trained: tuple[int, ...], cutoff: int) -> LevelForecast:
    """The level of a model at a cutoff, from what was known at that day."""
    return forecast(outlook, outlook.history(model, trained, cutoff), cutoff)


def _curves(
    prepared: Prepared,
    plan: Plan,
    learning: Learning,
    columns: Columns,
    dropped: Sequence[Dropped],
    outlook: Outlook,
    model: Model,
) -> Curves:
    """Hazards over the horizons, with the proof of the model that the evaluation speaks of."""
    channel = _goal_channel(prepared, plan, learning.train)
    pace = pace_columns(plan, channel, columns.used, {d.column: d.twin for d in dropped if d.twin >= 0})
    train, proof = (
        Described(rows, side.X)
        for rows, side in ((learning.even_rows, learning.even), (learning.proof_rows, learning.proof))
    )
    weekly = Described(outlook.sample.rows, outlook.X)
    return learn_curves(prepared, pace, train, proof, weekly, model.probability(learning.proof.X))


def _prove(prepared: Prepared, plan: Plan, learning: Learning, model: Model) -> dict[str, Any]:
    timeline, zone = prepared.timeline, prepared.instance.options.zone
    channel = _goal_channel(prepared, plan, learning.train)
    old, new = (_baseline_inputs(plan, channel, rows) for rows in (learning.even, learning.proof))
    baselines = baseline_probabilities(old, new)
    return proof_document(
        learning.proof.label,
        model.probability(learning.proof.X),
        baselines,
        groups=prepared.survey.persons(learning.proof_rows.profile),
        proof=timeline.proof_kind,
        cutoff_at=record.instant(timeline.proof, zone),
        outcome_ends_at=record.instant(timeline.proof + timeline.windows.reach_days, zone),
    )


def _certainty(plan: Plan, proof: TrainingSet, model: Model) -> tuple[Certainty, list[dict[str, Any]]]:
    """How sure the probabilities are, and how often the intervals held in the proof."""
    thin = slice(None, None, -(-len(proof) // MAX_COMPARED_ROWS))
    X, label = proof.X[thin], proof.label[thin]
    margins, sampling = margins_of(model, X)
    certainty = fit_certainty(margins, sampling, model.calibration, X, label, days_column(plan))
    return certainty, interval_rows(certainty, margins, label, model.calibration)


def _fairness(prepared: Prepared, plan: Plan, learning: Learning, model: Model) -> list[dict[str, Any]]:
    probability = model.probability(learning.proof.X)
    high = buckets_of(Standing.of(probability).scores(probability), prepared.instance.options.buckets) == 2
    # positions of values tell nothing by their order
    used = {int(j): f for j in model.columns if (f := plan.features[j]).op not in CODE_OPS}
    outcomes = Outcomes(learning.proof.label, probability, high)
    return proof_groups(prepared, learning.proof_rows, outcomes, learning.proof.X, used)


def _baseline_inputs(plan: Plan, channel: int, rows: TrainingSet) -> BaselineInputs:
    """Recency, frequency and money of one channel."""

    def column(op: Op) -> NDArray[np.float64]:
        place = next(
            (
                j
                for j, f in enumerate(plan.features)
                if f.op is op and f.channel == channel and f.window_days == plan.lookback_days
            ),
            None,
        )
        return np.full(len(rows), np.nan) if place is None else rows.X[:, place].astype(np.float64)

    return BaselineInputs(column(Op.DAYS_SINCE_LAST), column(Op.COUNT), column(Op.SUM), rows.label)


def _placed(features: Sequence[Feature], places: NDArray[np.int64], others: Sequence[Feature]) -> tuple[Feature, ...]:
    """The features with others in some places."""
    there = dict(zip(places.tolist(), others, strict=True))
    return tuple(there.get(j, f) for j, f in enumerate(features))


def _together(prepared: Prepared, learning: Learning, used: NDArray[np.int64]) -> TrainingSet:
    """Training and proof, the rarer outcome as often over the other in both; of the features those used."""
    train, proof, keys = learning.train, learning.proof, prepared.survey.keys
    alike = np.flatnonzero(draw_alike(learning.proof_rows, keys[learning.proof_rows.profile], learning.sample))
    return TrainingSet(
        np.concatenate([np.take(train.X, used, axis=1), proof.X[np.ix_(alike, used)]]),
        np.concatenate([train.label, proof.label[alike]]),
        np.concatenate([train.key, proof.key[alike]]),
        np.concatenate([train.cutoff, proof.cutoff[alike]]),
        train.odds_shift,
    )
