"""The model at earlier cutoffs: outcomes counted as the survey counts them, nothing later looked at."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from propend.outlook import look_back
from propend.preparation import Stages, prepare, read_inputs
from propend.snapshots.build import survey
from propend.snapshots.levels import sample_levels
from propend.timeline import day_date
from propend.training import build_plan, train_stage
from shops import instance, shop


def test_outcomes_are_those_of_the_survey() -> None:
    with prepare(read_inputs(instance(), shop()), Stages()) as prepared:
        cutoffs = tuple(range(prepared.timeline.proof - 140, prepared.timeline.proof + 1, 7))
        whole = survey(prepared.log, prepared.program, cutoffs)
        found = sample_levels(prepared.log, [prepared.program], cutoffs, 1.0)
        half = sample_levels(prepared.log, [prepared.program], cutoffs, 0.5)
        fewer = sample_levels(prepared.log, [prepared.program], cutoffs, 0.5, 0.7)
        counted = whole.keys < np.uint64(int(0.7 * 2.0**64))
    np.testing.assert_array_equal(found.labelled[0], whole.labelled.sum(axis=0))
    np.testing.assert_array_equal(found.met[0], (whole.labelled & whole.met).sum(axis=0))
    profile, column = np.nonzero(whole.population)
    np.testing.assert_array_equal(found.rows.profile, profile)
    np.testing.assert_array_equal(found.rows.cutoff, np.array(cutoffs)[column])
    np.testing.assert_array_equal(half.met, found.met)
    np.testing.assert_array_equal(fewer.labelled[0], whole.labelled[counted].sum(axis=0))
    np.testing.assert_array_equal(fewer.met[0], (whole.labelled & whole.met)[counted].sum(axis=0))
    np.testing.assert_array_equal(fewer.rows.profile, half.rows.profile)
    assert set(half.rows.profile) < set(found.rows.profile)
    assert 0.4 < len(half.rows) / len(found.rows) < 0.6


def test_a_goal_whose_windows_are_its_own_has_no_shorter_one() -> None:
    goal = {"any_of": [{"did": "buy", "first_time": True, "from": "0d", "within": "30d"}], "within": "30d"}
    with prepare(read_inputs(instance(goal=goal), shop()), Stages()) as prepared:
        own = look_back(prepared, build_plan(prepared)).gaps_days
    with prepare(read_inputs(instance(), shop()), Stages()) as prepared:
        plain = look_back(prepared, build_plan(prepared)).gaps_days
    assert (own, plain) == ((30,), (30, 15))


def test_what_happens_from_the_proof_on_leaves_its_level_alone() -> None:
    events = shop()
    with prepare(read_inputs(instance(), events), Stages()) as prepared:
        first, timeline = train_stage(prepared, Stages()), prepared.timeline
    start, last = (np.datetime64(day_date(d), "us") for d in (timeline.proof, timeline.observation.until_day - 1))
    at = events["at"].cast("timestamp[us]").to_numpy()
    gone = (at >= start) & (at < last) & (np.arange(len(at)) % 3 > 0)
    with prepare(read_inputs(instance(), events.filter(pa.array(~gone))), Stages()) as prepared:
        second = train_stage(prepared, Stages())
        assert prepared.timeline == timeline
    assert first.saved.proof_model.calibration == second.saved.proof_model.calibration
    assert first.saved.model.calibration != second.saved.model.calibration
