"""Which of many snapshots are learnt from, and that what is learnt is right for all."""

from __future__ import annotations

import numpy as np
import pytest

from propend.model.calibrate import mean_log_loss
from propend.model.metrics import auc
from propend.model.train import Columns, TrainingSet, choose
from propend.snapshots.build import Survey
from propend.snapshots.program import Line, Program
from propend.snapshots.samples import draw, draw_alike, draw_evenly, lots

CUTOFFS = (100, 130, 160)


def survey_of(profiles: int, rate: float, seed: int = 1) -> Survey:
    """Everybody is in the population at every cutoff; so many of the snapshots meet the goal."""
    rng = np.random.default_rng(seed)
    met = rng.random((profiles, len(CUTOFFS))) < rate
    empty = np.zeros(0, np.int64)
    lines = (Line("seen", "default", None), Line("met", "instance", None, "goal"))  # type: ignore[arg-type]
    program = Program(lines, empty, empty.astype(float), empty, empty, empty)
    masks = np.uint64(1) | (met.astype(np.uint64) << np.uint64(1))
    keys = rng.integers(0, 2**64, profiles, dtype=np.uint64)
    return Survey(program, CUTOFFS, np.arange(profiles).astype(object), keys, masks)


def test_few_enough_snapshots_are_all_learnt_from() -> None:
    found = draw(survey_of(1_000, 0.01), CUTOFFS, 3_000)
    assert (len(found.rows), found.times, found.odds_shift, found.even.all()) == (3_000, 1.0, 0.0, True)


def test_a_common_outcome_is_sampled_by_profile() -> None:
    given = survey_of(20_000, 0.3)
    found = draw(given, CUTOFFS, 6_000)
    assert (found.odds_shift, found.even.all()) == (0.0, True)
    assert len(found.rows) == pytest.approx(6_000, rel=0.1)
    assert len(found.rows) == 3 * len(np.unique(found.rows.profile))


@pytest.mark.parametrize("rate", [0.004, 0.996])
def test_of_a_rare_outcome_every_snapshot_is_kept(rate: float) -> None:
    given, rarer = survey_of(50_000, rate), int(rate < 0.5)
    found = draw(given, CUTOFFS, 15_000)
    whole = given.met if rarer else ~given.met
    assert int((found.rows.label == rarer).sum()) == int(whole.sum())
    assert len(found.rows) == pytest.approx(15_000, rel=0.05)
    corrected = np.log(found.rows.label.mean() / (1 - found.rows.label.mean())) - found.odds_shift
    assert corrected == pytest.approx(np.log(rate / (1 - rate)), abs=0.15)
    assert found.rows.label[found.even].mean() == pytest.approx(rate, abs=0.002)


def test_a_rare_outcome_is_at_most_half_of_the_sample() -> None:
    found = draw(survey_of(50_000, 0.05), CUTOFFS, 4_000)
    assert len(found.rows) == pytest.approx(4_000, rel=0.1)
    assert found.rows.label.mean() == pytest.approx(0.5, abs=0.05)
    assert found.rows.label[found.even].mean() == pytest.approx(0.05, abs=0.03)


def test_the_proof_is_drawn_evenly_and_of_more_where_the_outcome_is_rare() -> None:
    common, rare = survey_of(30_000, 0.3), survey_of(30_000, 0.01)
    assert len(draw_evenly(common, 160, 3_000, 20_000, 100)) == pytest.approx(3_000, rel=0.1)
    found = draw_evenly(rare, 160, 3_000, 20_000, 100)
    assert len(found) == pytest.approx(10_000, rel=0.1)
    assert found.label.mean() == pytest.approx(0.01, abs=0.004)
    assert len(draw_evenly(rare, 160, 3_000, 5_000, 100)) == pytest.approx(5_000, rel=0.1)


def test_rows_drawn_alike_have_the_same_shift() -> None:
    given = survey_of(60_000, 0.01)
    pattern = draw(given, CUTOFFS[:2], 10_000)
    whole = draw_evenly(given, 160, 10**9, 10**9, 1)
    kept = draw_alike(whole, given.keys[whole.profile], pattern)
    assert whole.label[kept].sum() == whole.label.sum()
    assert whole.label[kept].mean() == pytest.approx(pattern.rows.label.mean(), rel=0.15)


def test_lots_are_even_and_independent_of_keys_that_follow_each_other() -> None:
    found = lots(np.arange(100_000, dtype=np.uint64), np.repeat(20_000, 100_000))
    assert np.histogram(found, 10, (0.0, 1.0))[0] == pytest.approx(np.full(10, 10_000), rel=0.05)
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.02


# --- what is learnt of such a sample --------------------------------------------------------------------------


def described(n: int, seed: int, intercept: float) -> TrainingSet:
    """Snapshots of a rare outcome."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    margin = X[:, 0] + np.where(X[:, 1] > 0, 1.0, -1.0) * X[:, 2] + intercept
    label = (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(np.uint8)
    key = rng.integers(0, 2**63, n).astype(np.uint64)
    return TrainingSet(X, label, key, np.repeat([100, 130], n // 2))


def test_a_model_of_a_rare_outcomes_sample_has_the_populations_odds() -> None:
    whole = described(60_000, 3, -6.5)
    later = described(60_000, 4, -6.5)
    times = 20.0
    lot = np.random.default_rng(5).random(len(whole))
    kept = (whole.label == 1) | (lot < 1 / times)
    columns = Columns(np.arange(6), np.zeros(6, bool), np.array([0, 3]))
    choices, model = choose(whole.where(kept, np.log(times)), columns, 1)
    some = choose(whole.where(lot < 1 / times, 0.0), columns, 1)[1]
    assert model.base_rate == pytest.approx(whole.label.mean(), rel=0.1)
    assert model.probability(later.X).mean() == pytest.approx(later.label.mean(), rel=0.15)
    assert choices.shape == model.calibration
    assert mean_log_loss(later.label, model.margin(later.X)) < mean_log_loss(later.label, some.margin(later.X))
    assert auc(later.label, model.margin(later.X)) > auc(later.label, some.margin(later.X))
