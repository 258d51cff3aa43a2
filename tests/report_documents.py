"""Documents of a run for the tests of the report, made by the code that makes them in a run.

The proof comes from ``proof_document``, the insights from a fitted model of real features over simulated
habits; only ``run.json`` is written by hand here, in the shape of ``pipeline._run_document``.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend import aftermath
from propend.explain.factors import build_explainer
from propend.explain.faithfulness import faithfulness
from propend.instance import Instance
from propend.model.baselines import BaselineInputs, baseline_probabilities
from propend.model.certainty import days_column, fit_certainty, interval_rows, margins_of
from propend.model.evaluate import evaluate, paired_differences, proof_document
from propend.model.groups import Outcomes, group_figures, group_sentences, shown_groups
from propend.model.metrics import METRICS
from propend.model.train import Columns, TrainingSet, choose, useful_columns
from propend.scoring import (
    Scored,
    Scorer,
    ScoringContext,
    Standing,
    Tabulation,
    buckets_of,
    examples_of,
    explained_of,
    insights,
    pictured_of,
)
from propend.snapshots.plan import Channel, Op, Plan, PlanInput, Vocabulary, make_plan
from propend.store.runs import RunEntry, plain
from propend.timeline import Observation, Windows

Documents = dict[str, dict[str, Any]]
PROFILES = 1500

CHANNELS = (
    Channel("any", "", "", "any", "event", "events"),
    Channel("bit", "buy", "", "buy", "buy", "buys", valued=True),
    Channel("kind", "page_view", "", "page_view", "page view", "page views", rich=False),
)
SENTENCE = "Of profiles who did buy at least once in the last 365 days, who will do {} in the next 30 days?"
INSTANCE = {
    "name": "Purchase within 30 days",
    "type": "conversion",
    "data": {"events": "orders.parquet", "columns": {"profile": "customer_id", "at": "ordered_at"}},
    "events": {"buy": {"is": "purchase"}},
    "goal": {"all_of": ["buy"], "within": "30d"},
    "eligible": {"all_of": [{"did": "buy", "at_least": 1, "within": "365d"}]},
    "options": {"time_zone": "Europe/London"},
}


def matrix(plan: Plan, n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Values that go together as habits do, and the log-odds they plant."""
    rng = np.random.default_rng(seed)
    habit, silence = rng.gamma(1.2, 1.0, n), rng.gamma(1.0, 70.0, n)
    X = np.empty((n, len(plan.features)), dtype=np.float32)
    for j, feature in enumerate(plan.features):
        noise = rng.gamma(2.0, 0.5, n)
        if feature.unit == "days":
            X[:, j] = np.floor(silence * (1.0 if feature.op is Op.DAYS_SINCE_LAST else 2.0) * noise**0.3)
            X[rng.random(n) < 0.1, j] = np.nan
        elif feature.unit == "yes":
            X[:, j] = rng.random(n) < 0.4
        elif feature.unit == "share":
            X[:, j] = rng.random(n)
        else:
            scale = feature.window_days / 90.0 * (90.0 if feature.unit == "money" else 1.0)
            X[:, j] = np.floor(habit * noise * scale)
    return X, 0.7 * np.log1p(habit) - 0.02 * silence - 0.4


@cache
def _fitted(propensity_type: str) -> Documents:
    plan = make_plan(PlanInput(CHANNELS, (30, 90, 365), "amount", texts=(Vocabulary("category", ("tea", "toys")),)))
    rng = np.random.default_rng(3)
    X, margin = matrix(plan, 3 * PROFILES, 1)
    sign = 1.0 if propensity_type == "conversion" else -1.0
    label = (rng.random(len(X)) < 1 / (1 + np.exp(-sign * margin))).astype(np.uint8)
    key = rng.integers(0, 2**63, len(X)).astype(np.uint64)
    train = TrainingSet(X[PROFILES:], label[PROFILES:], key[PROFILES:], np.repeat([100, 130], PROFILES))
    used = useful_columns(train.X)[0]
    columns = Columns(used, np.array([f.heavy for f in plan.features])[used], np.arange(3))
    model = choose(train, columns, 1)[1]
    place = {f.name: j for j, f in enumerate(plan.features)}
    simple = [place[n] for n in ("days_since_last__buy", "count__buy__365d", "sum__buy__365d")]
    rules = [BaselineInputs(*(X[rows][:, j].astype(float) for j in simple), label=label[rows])
             for rows in (slice(PROFILES, None), slice(PROFILES))]  # fmt: skip
    evaluation = proof_document(
        label[:PROFILES], model.probability(X[:PROFILES]), baseline_probabilities(*rules),
        proof="out-of-time", cutoff_at="2011-07-31T23:00:00Z", outcome_ends_at="2011-08-30T23:00:00Z", replicates=50,
    )  # fmt: skip
    context = ScoringContext(
        propensity_type, datetime(2011, 8, 31, tzinfo=UTC), datetime(2011, 9, 30, tzinfo=UTC), "run", "instance"
    )
    now = matrix(plan, PROFILES, 2)[0]
    explainer = build_explainer(model, plan.features, now)
    ids = np.array([f"{12_000 + i}" for i in range(PROFILES)], dtype=object)
    margins, sampling = margins_of(model, X[:PROFILES])
    days = days_column(plan)
    certainty = fit_certainty(margins, sampling, model.calibration, X[:PROFILES], label[:PROFILES], days)
    evaluation["intervals"] = interval_rows(certainty, margins, label[:PROFILES], model.calibration)
    scorer = Scorer(explainer, certainty)
    found = insights(scored(scorer, context, now, ids), scorer, context) | {"score_stability": 0.04}
    found["faithfulness"] = faithfulness(explainer, X, 1)
    found["horizons"] = [
        {"days": days, "expected_rate": share, "buckets": {"high": 1.5 * share, "medium": share, "low": 0.5 * share}}
        for days, share in ((7, 0.12), (30, 0.4), (90, 0.6))
    ]
    figures = {"n": PROFILES, "positives": 480, "base_rate": 0.12, "expected_rate": 0.121}
    evaluation["horizons"] = [{"days": 7} | figures | {name: evaluation[name] for name in METRICS}]
    evaluation["fairness"], found["fairness"] = groups(label[:PROFILES], model.probability(X[:PROFILES]))
    return {"evaluation": evaluation, "insights": plain(found), "run": run_document(propensity_type, found, label)}


def groups(
    label: NDArray[np.uint8], probability: NDArray[np.float64]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Of the proof and of those scored: a group that is selected more, and one too small to be shown."""
    names = shown_groups(["young"] * 900 + ["old"] * 580 + ["ageless"] * (PROFILES - 1480))
    high = probability > np.where(names == "old", 0.3, 0.5)
    figures = group_figures(Outcomes(label, probability, high), names)
    proxies = [{"sentence": "number of buys in the last 30 days", "group": "old", "auc": 0.71}]
    tested = {"attribute": "age_group", "groups": figures, "sentences": group_sentences("age group", figures)}
    now = [{"group": g["group"], "n": g["n"], "expected": 0.3, "high_share": g["high_share"]} for g in figures]
    return [tested | {"proxies": proxies}], [{"attribute": "age_group", "groups": now}]


def run_document(propensity_type: str, found: dict[str, Any], label: NDArray[np.uint8]) -> dict[str, Any]:
    """``run.json`` of a run that trained."""
    days = ("2011-04-02", "2011-05-02", "2011-06-01", "2011-07-01", "2011-07-31")
    positives = int(label.sum()) // len(days)
    cutoffs: list[dict[str, Any]] = [
        {
            "cutoff_at": f"{day}T23:00:00Z",
            "role": "proof" if day == days[-1] else "training",
            "snapshots": PROFILES - 40 * i,
            "positives": positives - 30 * (i % 2),
            "base_rate": (positives - 30 * (i % 2)) / (PROFILES - 40 * i),
        }
        for i, day in enumerate(days)
    ]
    now = {"cutoff_at": "2011-08-31T23:00:00Z", "role": "scoring", "snapshots": PROFILES}
    conversion = propensity_type == "conversion"
    return {
        "run_id": "20260101T120000-abc123",
        "status": "succeeded",
        "propend_version": "0.1.0",
        "name": "Purchase within 30 days" if conversion else "No purchase within 30 days",
        "propensity_type": propensity_type,
        "sentence": SENTENCE.format("buy" if conversion else "none of buy"),
        "instance": INSTANCE | {"type": propensity_type},
        "instance_hash": "0123456789ab",
        "engine": "duckdb",
        "scored_at": "2011-08-31T23:00:00Z",
        "expires_at": "2011-09-30T23:00:00Z",
        "data": {
            "sources": [{"path": "data/orders.parquet", "format": "parquet", "rows": 33_541}],
            "columns": {"profile": "customer_id", "at": "ordered_at", "event": "kind", "value": "amount"},
            "guessed": ["event"],
            "first_event_at": "2009-12-01T07:45:00Z",
            "last_event_at": "2011-08-31T16:01:00Z",
            "observed_until": "2011-08-31T23:00:00Z",
            "profiles": 5_201,
            "kinds": [
                {"kind": "purchase", "events": 28_011, "profiles": 5_100},
                {"kind": "page_view", "events": 5_530, "profiles": 1_902},
            ],
            "events_per_month": [{"month": f"2011-{m:02d}", "events": 2_000 + 311 * (m % 5)} for m in range(1, 9)],
            "gaps": [{"from": "2011-01-01", "to": "2011-01-04", "days": 3}],
        },
        "counts": {
            "events_read": 33_541,
            "events_used": 33_512,
            "set_aside": {"no_profile": 20, "duplicate": 9, "in_the_future": 0},
            "profiles": 5_201,
            "snapshots": sum(c["snapshots"] for c in cutoffs),
            "positives": sum(c["positives"] for c in cutoffs),
            "population": found["population"],
        },
        "timeline": {
            "now": "2011-08-31T23:00:00Z",
            "proof_kind": "out-of-time",
            "outcome_days": 30,
            "lead_days": 0,
            "settle_days": 0,
            "lookback_days": 365,
            "history_days": 638,
            "history_needed_days": 395,
            "cutoffs": [*cutoffs, now | {"positives": None, "base_rate": None}],
            "dropped": [{"cutoff_at": "2011-03-03T00:00:00Z", "reason": "only 3 outcomes of the rarer kind"}],
        },
        "funnel": [
            {"line": "seen before the cutoff", "origin": "default", "role": "eligible", "profiles": 5_201,
             "snapshots": 21_080},
            {"line": "did buy at least once in the last 365 days", "origin": "instance", "role": "eligible",
             "profiles": 4_370, "snapshots": 18_311},
        ],
        "model": {
            "members": [
                {"name": "boosted trees", "weight": 0.55, "rounds": 120},
                {"name": "logistic regression", "weight": 0.45, "strength": 0.1},
            ],
            "features": 55,
            "training_snapshots": 7_000,
            "trained_at": "2026-01-01T12:00:00Z",
            "calibration": {"slope": 1.02, "intercept": -0.01, "level_shift": 0.08, "level_error": 0.11,
                            "level_drivers": {"last": 0.06, "lately": 0.02, "season": 0.0},
                            "level_backtested": 24},
            "features_dropped": [{"feature": "span__buy", "reason": "never varies"}],
        },
        "leaks": [
            {"feature": "attribute__plan", "sentence": "plan is gone", "auc": 0.997, "action": "dropped",
             "reason": "alone tells the outcome"},
        ],
        "warnings": [
            {"code": "PROPEND-303", "symbol": "TRACKING_GAP",
             "message": "3 days have no events at all where there usually are many: 2011-01-01 to 2011-01-04.",
             "hint": "if tracking failed then, past behaviour looks rarer than it was."},
        ],
        "started_at": "2026-01-01T12:00:00Z",
        "finished_at": "2026-01-01T12:00:09Z",
        "seconds": 9.2,
        "peak_memory_bytes": 412_000_000,
        "stages": [{"name": "read", "seconds": 1.2}, {"name": "fit", "seconds": 4.1}],
        "versions": {"propend": "0.1.0", "python": "3.11.2", "numpy": "2.3.0"},
    }  # fmt: skip


def documents(propensity_type: str = "conversion") -> Documents:
    """Evaluation, insights and run, free to be changed."""
    return deepcopy(_fitted(propensity_type))


# --- after the window --------------------------------------------------------------------------------------


@cache
def _aftermath(propensity_type: str) -> dict[str, Any]:
    given = documents(propensity_type)
    instance = Instance.load(INSTANCE | {"type": propensity_type})
    day = int(np.datetime64("2011-07-01").astype(int))
    seen = aftermath.Seen(None, None, Windows(30, 30), Observation(day - 400, day + 62, day + 62))  # type: ignore[arg-type]
    found = []
    for i in range(3):
        at = {
            key: f"2011-0{month}-{last}T23:00:00Z"
            for key, month, last in (("scored_at", 6 + i, 30), ("expires_at", 7 + i, 30))
        }
        entry = RunEntry(Path(f"runs/{i}"), given["run"] | at | {"run_id": f"2026010{i + 1}T120000-abc123"})
        run = aftermath.PastRun(
            entry.folder,
            entry.document,
            aftermath.said_of(entry, given["evaluation"], given["insights"]),
            instance,
            day + 31 * i,
        )
        more = {"matured": i < 2, "matures_at": at["expires_at"], "score_drift": 0.07 * i if i else None}
        found.append((aftermath.judged(run, _outcomes(i)) if i < 2 else run.said) | more)
    left = [
        {
            "run_id": "20250101T120000-abc123",
            "folder": "runs/old",
            "reason": "asks another question than the newest run",
        }
    ]
    document = aftermath.document_of(seen, instance, found, left)
    made = {"challenge": _challenge(), "propend_version": "0.1.0", "made_at": "2026-01-01T12:00:00.000Z"}
    return dict(plain(document | made))


def _outcomes(seed: int) -> aftermath.Outcomes:
    rng = np.random.default_rng(seed)
    probability = rng.beta(1.2, 4.0, PROFILES)
    outcome = (rng.random(PROFILES) < probability * (1.0 + 0.4 * seed)).astype(np.uint8)
    outcome[:40] = aftermath.ABSENT
    outcome[40:60] = aftermath.GONE
    score = (100 * probability).astype(np.float32)
    return aftermath.Outcomes(
        probability,
        score,
        np.digitize(probability, [0.1, 0.4]).astype(np.int64),
        outcome,
        outcome != aftermath.ABSENT,
        3,
    )


def _challenge() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    ours = rng.beta(1.2, 4.0, PROFILES)
    label, theirs = rng.random(PROFILES) < ours, np.clip(ours + rng.normal(0, 0.02, PROFILES), 0.001, 0.999)
    sides = {
        name: {"folder": f"models/{name}", "trained_at": "2026-01-01T12:00:00Z", "learnt_until": "2011-03-31T23:00:00Z",
               "expected_rate": float(p.mean())} | {k: m.to_dict() for k, m in evaluate(label, p).items()}
        for name, p in (("champion", ours), ("challenger", theirs))
    }  # fmt: skip
    differences = {k: m.to_dict() for k, m in paired_differences(label, theirs, ours).items()}
    return sides | {
        "cutoffs": ["2011-05-31T23:00:00Z", "2011-06-30T23:00:00Z"],
        "outcome_ends_at": "2011-07-30T23:00:00Z",
        "n": PROFILES, "profiles": PROFILES, "positives": int(label.sum()), "margin": 0.005,
        "differences": differences, "saving": {"value": -0.01, "low": -0.02, "high": 0.001}, "decision": "keep",
        "sentence": "Keep the champion: the challenger does not save the 0.50 % of log loss asked for.",
    }  # fmt: skip


def aftermath_document(propensity_type: str = "conversion") -> dict[str, Any]:
    """What came of three runs, one of which cannot be judged yet, with a challenge; free to change."""
    return deepcopy(_aftermath(propensity_type))


def scored(scorer: Scorer, context: ScoringContext, X: np.ndarray, ids: np.ndarray) -> Scored:
    """Everybody's scores, as the pipeline puts them together."""
    judged, pictured = scorer.judge(X), pictured_of(len(X))
    tabulation = Tabulation.of(scorer, Standing.of(judged.probability), context, X[pictured])
    score = tabulation.standing.scores(judged.probability)
    bucket = buckets_of(score)
    shown = examples_of(judged.probability, bucket)
    examples, _ = tabulation.tables(ids[shown], scorer.judge(X[shown]))
    explained = explained_of(scorer.judge(X[pictured]), scorer, context)
    return Scored(judged.probability, score, judged.thin, bucket, judged.curve, pictured, explained, examples)
