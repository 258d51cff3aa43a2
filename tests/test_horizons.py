"""When, not only whether: labels by definition, curves that are monotone and right, and where there can be none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import oracle
import propend
from goals import any_goal
from logs import FIRST_DAY, Event, any_events, any_log
from propend.errors import ConfigurationError
from propend.goal import ANYTHING, Did, Goal
from propend.instance import UNSTEADY, Instance
from propend.model.horizons import NEVER, HazardColumns, Horizons, fit_horizons
from propend.preparation import Stages, prepare, read_inputs
from propend.scoring import HORIZONS_SCHEMA, SCORES_SCHEMA
from propend.snapshots import horizons
from propend.snapshots.build import Rows
from propend.snapshots.horizons import UNKNOWN, outcomes_at
from propend.snapshots.program import Line, compile_program
from propend.store.runs import load_model
from propend.training import train_stage
from shops import DAYS, instance, plus, shop, with_options

ASKED = (7, 14, 60, 90)
DOCUMENT = with_options(horizons=["7d", 14, "60d", "90 days"])
Float = NDArray[np.float64]


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return shop()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, events: pa.Table) -> propend.Run:
    return propend.run(DOCUMENT, data=events, out=tmp_path_factory.mktemp("horizons") / "run")


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory, events: pa.Table) -> propend.Run:
    """The same shop, asked the other way round."""
    document = DOCUMENT | {"type": "churn", "goal": {"none_of": ["buy"], "within": "30d"}}
    return propend.run(document, data=events, out=tmp_path_factory.mktemp("silent") / "run")


def curves(run: propend.Run) -> Float:
    """float64[N, H]."""
    return np.array([[h["probability"] for h in row] for row in run.scores.column("horizons").to_pylist()])


# --- labels -------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(any_events, any_goal, st.integers(1, 20), st.integers(0, 3))
def test_outcomes_are_those_of_the_definition_and_never_turn_back(
    events: list[Event], goal: Goal, longer: int, skipped: int
) -> None:
    goals = [goal, goal.within(goal.within_days + longer)]
    log, cutoffs = any_log(events, partitions=2), FIRST_DAY + np.array([5, 10, 20])
    n = len(log.profiles)
    lines = [Line("seen", "default", Did(did=ANYTHING)), Line("goal", "instance", goal.group, "goal")]
    rows = Rows(np.repeat(np.arange(n), 3), np.tile(cutoffs, n), np.zeros(3 * n, np.uint8))
    rows = rows.where(np.arange(3 * n) % 7 // 2 != skipped)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(horizons, "CUTOFFS_AT_ONCE", 2)
        found = outcomes_at(log, [compile_program(lines, g, log.request) for g in goals], rows)

    def outcome(g: Goal, profile: str, cutoff: int) -> int:
        seen = oracle.holds(Did(did=ANYTHING), log.of(profile), cutoff, oracle.looking_back, log)
        return int(oracle.holds(g.group, log.of(profile), cutoff, g.window_of, log)) if seen else UNKNOWN

    asked = [(log.profiles[p], int(c)) for p, c in zip(rows.profile, rows.cutoff, strict=True)]
    assert found.tolist() == [[outcome(g, *row) for row in asked] for g in goals]
    moved = set((found[1].astype(int) - found[0]).tolist())
    assert moved <= {"rising": {0, 1}, "falling": {0, -1}, "unsteady": {-1, 0, 1}}[goal.course]


@pytest.mark.parametrize(
    ("group", "course"),
    [
        ({"any_of": ["buy", {"did": "visit", "at_least": 3}]}, "rising"),
        ({"all_of": ["buy", {"then": ["visit", "buy"]}]}, "rising"),
        ({"all_of": [{"max": "buy.amount", "gte": 50}, {"count_distinct": "buy.category", "gt": 1}]}, "rising"),
        ({"none_of": ["buy", "visit"]}, "falling"),
        ({"not_all_of": ["buy", "visit"]}, "falling"),
        ({"all_of": [{"did": "buy", "at_most": 2}, {"none_of": ["visit"]}]}, "falling"),
        ({"none_of": [{"did": "buy", "at_most": 0}]}, "rising"),
        ({"all_of": ["buy", {"did": "visit", "at_most": 0}]}, "unsteady"),
        ({"any_of": [{"did": "buy", "at_least": 1, "at_most": 2}]}, "unsteady"),
        ({"any_of": [{"sum": "buy.amount", "gte": 100}]}, "unsteady"),
        ({"any_of": [{"avg": "buy.amount", "gte": 100}]}, "unsteady"),
        ({"any_of": ["buy", {"did": "visit", "within": "7d"}]}, "unsteady"),
    ],
)
def test_course_of_a_goal(group: dict[str, Any], course: str) -> None:
    assert Goal.model_validate(group | {"within": "30d"}).course == course


# --- curves -------------------------------------------------------------------------------------------------


def hazards_of(rates: Float, days: tuple[int, ...], own: int, seed: int, falling: bool = False) -> Horizons:
    """Fitted on profiles for whom it happens at a constant rate a day that the one feature tells."""
    random = np.random.default_rng(seed)
    time = random.exponential(1.0 / rates)
    happened = np.array([time < d for d in days]).astype(np.uint8)
    columns = HazardColumns(np.array([0]), np.array([False]))
    return fit_horizons(days, own, falling, columns, np.log(rates)[:, None].astype(np.float32), happened)


def test_a_known_curve_is_recovered() -> None:
    days, own = (7, 14, 30, 60, 90), 2
    rates = np.exp(np.random.default_rng(1).normal(-4.0, 0.7, 40_000))
    found = hazards_of(rates, days, own, 2)
    X, truth = np.log(rates)[:, None].astype(np.float32), -np.expm1(-np.outer(rates, days))
    curve = found.curve(X, truth[:, own])
    assert np.abs(curve - truth).mean(axis=0).max() < 0.01
    assert np.abs(curve.mean(axis=0) - truth.mean(axis=0)).max() < 0.006
    known = np.log(2) / rates
    expected = found.expected_days(curve)
    inside = known < 60
    assert np.abs(expected[inside] - known[inside]).mean() < 3
    assert (expected[known > 150] == NEVER).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20), st.integers(0, 3), st.booleans(), st.integers(0, 100))
def test_curves_are_monotone_and_pass_through_the_probability(
    probability: list[float], own: int, falling: bool, seed: int
) -> None:
    days, p = (3, 7, 30, 90), np.array(probability)
    random = np.random.default_rng(seed)
    found = hazards_of(np.exp(random.normal(-4.0, 1.0, 400)), days, own, seed, falling)
    curve = found.curve(random.normal(-4.0, 3.0, (len(p), 1)).astype(np.float32), p)
    steps = np.diff(curve, axis=1) * (-1 if falling else 1)
    assert (curve[:, own].tolist(), bool((steps >= 0).all()), bool(((curve >= 0) & (curve <= 1)).all())) == (
        p.tolist(),
        True,
        True,
    )
    expected = found.expected_days(curve)
    gone = 1 - curve if falling else curve
    assert ((expected == NEVER) == (gone[:, -1] < 0.5 - 1e-9)).all()
    assert (expected[expected != NEVER] >= 1).all()


def test_an_interval_with_few_events_has_one_hazard_for_all() -> None:
    happened = np.array([[0] * 95 + [1] * 5, [0] * 60 + [1] * 40], dtype=np.uint8)
    X = np.random.default_rng(3).normal(size=(100, 1)).astype(np.float32)
    found = fit_horizons((7, 30), 1, False, HazardColumns(np.array([0]), np.array([False])), X, happened)
    assert [len(h.coefficients) for h in found.hazards] == [0, 2]
    assert found.hazards[0].margin(X).tolist() == [float(np.log(5.5 / 95.5))] * 100


# --- runs ---------------------------------------------------------------------------------------------------


def test_scores_have_a_curve_through_their_probability(finished: propend.Run, silent: propend.Run) -> None:
    assert [f.name for f in finished.scores.schema] == [*SCORES_SCHEMA.names, *HORIZONS_SCHEMA.names]
    days = [[h["days"] for h in row] for row in finished.scores.column("horizons").to_pylist()]
    assert {tuple(d) for d in days} == {(7, 14, 30, 60, 90)}
    for run, way in ((finished, 1), (silent, -1)):
        curve = curves(run)
        assert curve[:, 2].tolist() == run.scores.column("probability").to_pylist()
        assert (np.diff(curve, axis=1) * way >= 0).all()
    crossed = [c is not None for c in finished.scores.column("expected_days").to_pylist()]
    assert crossed == (curves(finished)[:, -1] >= 0.5).tolist()


def test_a_silence_is_what_is_left_of_its_breaking(finished: propend.Run, silent: propend.Run) -> None:
    """Whether the goal is to buy or not to: the same profiles, much the same curves (fits differ slightly)."""
    shared = set(finished.scores.column("profile_id").to_pylist()) & set(silent.scores.column("profile_id").to_pylist())
    ours, theirs = (
        curves(r)[[i in shared for i in r.scores.column("profile_id").to_pylist()]] for r in (finished, silent)
    )
    assert np.abs(ours + theirs - 1).mean(axis=0).max() < 0.06


def test_the_proof_measures_every_horizon_it_observes(finished: propend.Run) -> None:
    rows = finished.evaluation["horizons"]
    own = finished.evaluation
    assert [(r["days"], r["n"] > 0) for r in rows] == [(7, True), (14, True), (30, True), (60, False), (90, False)]
    assert {k: rows[2][k] for k in ("n", "positives", "base_rate", "auc", "log_loss")} == {
        k: own[k] for k in ("n", "positives", "base_rate", "auc", "log_loss")
    }
    assert rows[0]["base_rate"] < rows[1]["base_rate"] < rows[2]["base_rate"]
    assert all(abs(r["expected_rate"] - r["base_rate"]) < 0.05 for r in rows[:3])


def test_insights_screen_and_report_show_it(finished: propend.Run) -> None:
    expected = finished.insights["horizons"]
    assert np.allclose([row["expected_rate"] for row in expected], curves(finished).mean(axis=0))
    assert {tuple(row["buckets"]) for row in expected} == {("high", "medium", "low")}
    assert "Every horizon in the test" in finished.report().to_html()


def test_without_horizons_nothing_is_added(events: pa.Table, tmp_path: Path) -> None:
    run = propend.run(instance(), data=events, out=tmp_path / "run")
    assert (run.scores.schema.names, "horizons" in run.evaluation, "horizons" in run.insights) == (
        SCORES_SCHEMA.names,
        False,
        False,
    )
    assert "Every horizon" not in run.report().to_html()


def test_a_saved_model_gives_the_same_curve(finished: propend.Run, events: pa.Table, tmp_path: Path) -> None:
    again = propend.score(finished.folder, data=events, out=tmp_path / "again")
    assert again.scores.select(HORIZONS_SCHEMA.names).equals(finished.scores.select(HORIZONS_SCHEMA.names))
    saved = load_model(finished.folder / "model")
    assert (saved.horizons is not None, saved.proof_horizons is not None) == (True, True)


def test_nothing_from_the_proof_on_changes_its_curve(events: pa.Table) -> None:
    """But the figures: those are what happened then."""
    buyers = list(range(15))
    changed = plus(events, buyers, [DAYS - 20] * len(buyers), "purchase")

    def learnt(table: pa.Table) -> Horizons:
        with prepare(read_inputs(DOCUMENT, table), Stages()) as prepared:
            found = train_stage(prepared, Stages()).saved.proof_horizons
        assert found is not None
        return found

    one, other = learnt(events), learnt(changed)
    random = np.random.default_rng(5)
    X = random.lognormal(1.0, 1.0, (50, int(one.columns.max()) + 1)).astype(np.float32)
    p = random.uniform(0.01, 0.99, 50)
    assert np.array_equal(one.curve(X, p), other.curve(X, p))


def test_lead_time_counts_days_from_the_cutoff(events: pa.Table, tmp_path: Path) -> None:
    goal = {"any_of": ["buy"], "from": "7d", "within": "30d"}
    run = propend.run(DOCUMENT | {"goal": goal}, data=events, out=tmp_path / "run")
    found = [d for d in run.scores.column("expected_days").to_pylist() if d is not None]
    assert min(found) > 7


# --- where there can be none --------------------------------------------------------------------------------


def test_a_horizon_longer_than_history_is_left_out(events: pa.Table, tmp_path: Path) -> None:
    run = propend.run(with_options(horizons=[7, 290]), data=events, out=tmp_path / "run")
    [notice] = [w for w in run.record["warnings"] if w["code"] == "PROPEND-320"]
    assert notice["message"] == (
        "there is no probability within 290 days: of windows of that length none was observed to its end, "
        "20 of either outcome are needed."
    )
    assert [h["days"] for h in run.scores.column("horizons").to_pylist()[0]] == [7, 30]


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ([30, 7], "ascending days such as [7, 14, 30] are needed, not [30, 7]"),
        ([7, 7], "ascending days such as [7, 14, 30] are needed, not [7, 7]"),
        (False, "days such as [7, 14, 30], or true, are needed, not False"),
        (7, "days such as [7, 14, 30], or true, are needed, not 7"),
    ],
)
def test_horizons_are_ascending_days(asked: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Instance.load(with_options(horizons=asked))
    assert [(m.place, m.problem) for m in caught.value.mistakes] == [("options.horizons", problem)]


def test_a_goal_that_may_be_met_and_unmet_again_has_no_curve() -> None:
    goal = {"any_of": [{"did": "buy", "at_least": 1, "at_most": 2}], "within": "30d"}
    with pytest.raises(ConfigurationError) as caught:
        Instance.load(DOCUMENT | {"goal": goal})
    assert [m.problem for m in caught.value.mistakes] == [UNSTEADY]


def test_the_goals_own_window_is_always_a_horizon() -> None:
    assert Instance.load(DOCUMENT).horizons == (7, 14, 30, 60, 90)
    assert Instance.load(instance()).horizons == ()
    assert Instance.load(with_options(horizons=True)).horizons == (7, 14, 30, 60, 90)
    assert Instance.load(DOCUMENT).document()["options"] == {"horizons": ["7d", "14d", "60d", "90d"]}
