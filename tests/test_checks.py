"""Gates that refuse and checks that warn."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import propend
from propend.errors import (
    BadModelError,
    IneligibleScoresError,
    NoObjectiveError,
    NoPopulationError,
    NotEnoughObjectiveError,
    NotEnoughPopulationError,
    PropendError,
    SingleValueError,
)
from propend.language import LANGUAGES, speaking
from propend.model.checks import (
    OutcomeCounts,
    Reference,
    drift_notices,
    few_outcomes_notice,
    gate_outcomes,
    gate_quality,
    gate_scores,
    population_stability,
    score_drift_notices,
    silent_kind_notices,
    volume_notices,
)
from propend.narrative import TITLES
from propend.snapshots.plan import Factor, Feature, Op
from propend.snapshots.volumes import Volumes


@pytest.mark.parametrize(
    ("eligible", "met", "unmet", "error"),
    [
        (0, 0, 0, NoPopulationError),
        (900, 0, 900, NoObjectiveError),
        (900, 900, 0, SingleValueError),
        (499, 200, 299, NotEnoughPopulationError),
        (2000, 499, 1600, NotEnoughObjectiveError),
        (2000, 1600, 499, NotEnoughPopulationError),
    ],
)
def test_each_shortage_has_its_own_refusal(eligible: int, met: int, unmet: int, error: type[PropendError]) -> None:
    with pytest.raises(error) as caught:
        gate_outcomes(OutcomeCounts(eligible, met, unmet), 500, "between two days")
    assert caught.value.facts["minimum"] == 500
    assert caught.value.exit_status == 3
    assert "Hint:" in str(caught.value)


def test_enough_passes() -> None:
    assert gate_outcomes(OutcomeCounts(1000, 500, 500), 500, "now") is None


def _evaluation(value: float) -> dict[str, dict[str, float]]:
    auc = {"value": value, "low": value - 0.02, "high": value + 0.02}
    return {"auc": auc, "verdict": {"better_than_chance": True}}


def test_quality_bar_is_the_reference_s() -> None:
    with pytest.raises(BadModelError, match=r"0\.649"):
        gate_quality(_evaluation(0.649), 0.65)
    assert gate_quality(_evaluation(0.65), 0.65) is None


def test_few_outcomes_are_said() -> None:
    assert [n.symbol for n in few_outcomes_notice(OutcomeCounts(900, 60, 840))] == ["FEW_OUTCOMES"]
    assert few_outcomes_notice(OutcomeCounts(9000, 600, 8400)) == []


def _feature(op: Op) -> Feature:
    return Feature(f"f{op}", "a number", op, 0, 30, Factor("f", "F"), "number")


def test_drift_is_found_where_it_is() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(4000, 2)).astype(np.float32)
    reference = Reference.of(X, rng.random(4000))
    features = [_feature(Op.COUNT), _feature(Op.SUM)]
    again = rng.normal(size=(4000, 2)).astype(np.float32)
    assert drift_notices(reference, reference.counts(again), features) == []
    X[:, 1] += 3
    notices = drift_notices(reference, reference.counts(X), features)
    assert [n.symbol for n in notices] == ["INPUT_DRIFT"]
    assert notices[0].message.startswith("1 of 2 inputs")


def test_scores_of_another_world_are_refused() -> None:
    rng = np.random.default_rng(3)
    usual = rng.beta(2, 8, 5000)
    reference = Reference.of(np.zeros((5000, 1), np.float32), usual)
    assert gate_scores(reference, rng.beta(2, 8, 5000)) < 0.05
    with pytest.raises(IneligibleScoresError):
        gate_scores(reference, np.full(5000, 0.97))


def test_a_hair_s_breadth_refuses_nobody() -> None:
    """Where all profiles have nearly the same probability, any shift changes every share and matters little."""
    rng = np.random.default_rng(4)
    reference = Reference.of(np.zeros((5000, 1), np.float32), rng.normal(0.250, 0.001, 5000))
    assert gate_scores(reference, rng.normal(0.260, 0.001, 5000)) > 4
    with pytest.raises(IneligibleScoresError, match="odds differ by a factor of 2"):
        gate_scores(reference, rng.normal(0.420, 0.001, 5000))


def test_scores_that_moved_are_said() -> None:
    assert score_drift_notices(0.5) == []
    (notice,) = score_drift_notices(2.2)
    assert (notice.code, notice.symbol) == ("PROPEND-309", "SCORE_DRIFT")
    assert "population stability index 2.20" in notice.message


def test_stability_of_equal_shares_is_zero() -> None:
    assert population_stability(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0.0


def _volumes(newest: dict[int, float], mean: float = 10.0, newest_mean: float = 10.0) -> Volumes:
    """About 200 purchases a week for a year, by Poisson; the newest weeks times a factor."""
    rng = np.random.default_rng(5)
    events = rng.poisson(200, (2, 61)).astype(np.int64)
    for week, factor in newest.items():
        events[0, week] = round(events[0, week] * factor)
    means = np.full(events.shape, mean)
    means[0, :4] = newest_mean
    return Volumes(("purchase", "visit"), events, events, events * means)


@pytest.mark.parametrize(
    ("volumes", "expected"),
    [
        (_volumes({}), None),
        (_volumes(dict.fromkeys(range(4), 0.7)), None),
        (_volumes(dict.fromkeys(range(4), 0.5)), "'purchase' in the last"),
        (_volumes(dict.fromkeys(range(4), 0.0)), "0 'purchase' in the last"),
        (_volumes({0: 0.0}), "0 'purchase' in the last week, where 2"),
        (_volumes({0: 2.2}), "'purchase' in the last week"),
        (_volumes(dict.fromkeys(range(4), 2.0)), "'purchase' in the last"),
        (_volumes({}, newest_mean=1000.0), "'purchase' worth 1,000 on average in the last 4 weeks, where 10 is usual"),
        (_volumes({}, newest_mean=20.0), None),
    ],
)
def test_volumes_unheard_of_are_said(volumes: Volumes, expected: str | None) -> None:
    found = volume_notices(volumes)
    assert [n.code for n in found] == (["PROPEND-315"] if expected else [])
    if expected:
        assert expected in found[0].message
        assert "visit" not in found[0].message


def test_few_weeks_and_few_events_say_nothing() -> None:
    gone = _volumes(dict.fromkeys(range(4), 0.0))
    short = Volumes(gone.kinds, gone.events[:, :7], gone.valued[:, :7], gone.value[:, :7])
    rare = Volumes(gone.kinds, gone.events // 20, gone.valued // 20, gone.value)
    assert [volume_notices(v) for v in (short, rare)] == [[], []]


def test_eight_weeks_are_enough() -> None:
    gone = _volumes({0: 0.0})
    eight = Volumes(gone.kinds, gone.events[:, :8], gone.valued[:, :8], gone.value[:, :8])
    assert [n.code for n in volume_notices(eight)] == ["PROPEND-315"]


def test_what_moves_much_but_is_never_gone() -> None:
    events = np.array([[0, *np.tile([30, 400, 60, 900], 15)]], dtype=np.int64)
    found = volume_notices(Volumes(("purchase",), events, np.zeros_like(events), np.zeros(events.shape)))
    assert [n.message for n in found] == [
        "the newest events differ from a year of earlier ones: 0 'purchase' in the last week, where 230 are usual."
    ]


def test_every_notice_has_a_title_which_is_its_symbol_in_words() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(propend.__file__).parent.rglob("*.py"))
    symbols = set(re.findall(r'Notice\(\s*"PROPEND-\d+",\s*"(\w+)"', source))
    assert len(symbols) > 10
    assert {symbol.replace("_", " ").capitalize() for symbol in symbols} - TITLES == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_notices_are_said_in_every_language(language: str) -> None:
    weeks = np.full(53, 200.0)
    weeks[0] = 0
    volumes = Volumes(("buy",), weeks[None].astype(np.int64), np.zeros((1, 53), np.int64), np.zeros((1, 53)))
    with speaking(language):
        (few,) = few_outcomes_notice(OutcomeCounts(900, 60, 840))
        (lost,) = volume_notices(volumes)
    assert "60" in few.message
    assert "'buy'" in lost.message
    assert "{" not in few.message + few.hint + lost.message + lost.hint


def _two_kinds(silent: dict[int, int]) -> Volumes:
    """Eighty visits in each of 40 weeks, thirty e-mails in each but those given, the newest week being 0."""
    events = np.array([[80] * 40, [silent.get(week, 30) for week in range(40)]], dtype=np.int64)
    return Volumes(("visit", "email"), events, np.zeros_like(events), np.zeros(events.shape))


@pytest.mark.parametrize(
    ("silent", "said"),
    [
        ({}, []),
        ({12: 0, 13: 0, 14: 9}, ["no 'email' in 2 weeks, the newest 12 weeks before now, where 30 a week are usual"]),
        ({12: 0}, ["no 'email' in 1 week, 12 weeks before now, where 30 are usual"]),
        ({0: 0}, []),  # the newest is for the notice of volumes
        ({39: 0, 38: 0}, []),  # before its first
        (dict.fromkeys(range(10), 2) | {12: 0}, []),  # often few
    ],
)
def test_weeks_of_the_past_without_a_kind_are_named(silent: dict[int, int], said: list[str]) -> None:
    lack = "weeks of the past lack a kind of event of which there usually are many: "
    assert [n.message for n in silent_kind_notices(_two_kinds(silent))] == [f"{lack}{clause}." for clause in said]


def test_weeks_without_any_event_are_not_those_of_a_kind() -> None:
    volumes = _two_kinds({12: 0})
    volumes.events[0, 12] = 0
    assert silent_kind_notices(volumes) == []
