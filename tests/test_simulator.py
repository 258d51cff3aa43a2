"""The simulator: deterministic, and its truth is true."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score

from propend.demo.simulator import (
    CHANNELS,
    DRIVERS,
    LEAK_KIND,
    PURCHASE,
    REGIONS,
    STREAMS,
    Gamma,
    Parameters,
    Simulation,
    simulate,
)

CUTOFF, OUTCOME = 200, 30


@pytest.fixture(scope="module")
def large() -> Simulation:
    return simulate(12_000, 260, 11)


@pytest.fixture(scope="module")
def no_signal() -> Simulation:
    return simulate(4_000, 260, 12, signal=False)


def z_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """How many standard deviations the realised number lies from the expected one."""
    surprise = labels.sum() - probabilities.sum()
    return float(surprise / math.sqrt((probabilities * (1 - probabilities)).sum()))


def history(simulation: Simulation, cutoff: int) -> dict[str, np.ndarray]:
    """What anyone can see before the cutoff, read from the event table alone, by joined profile."""
    at = pa.scalar(np.datetime64(simulation.first, "us") + np.timedelta64(cutoff, "D"), pa.timestamp("us"))
    before = simulation.events.filter(pc.less(simulation.events["at"], at))
    ids, _ = simulation.truth(cutoff, 1, paths=1)
    row = {profile: i for i, profile in enumerate(ids.tolist())}
    columns = {kind: np.zeros(len(ids)) for kind in (*STREAMS, "signup")}
    last = np.zeros(len(ids))
    days = (before["at"].to_numpy() - np.datetime64(simulation.first, "us")) / np.timedelta64(1, "D")
    for profile, kind, day in zip(
        before["profile_id"].to_pylist(), before["kind"].to_pylist(), days.tolist(), strict=True
    ):
        columns[kind][row[profile]] += 1
        last[row[profile]] = max(last[row[profile]], day)
    return columns | {"recency": cutoff - last}


def test_same_arguments_same_events_other_seed_other_events() -> None:
    one, again, other = (simulate(300, 90, seed) for seed in (5, 5, 6))
    assert one.events.equals(again.events)
    assert one.attributes.equals(again.attributes)
    assert np.array_equal(one.truth(50, 20)[1], again.truth(50, 20)[1])
    assert not one.events.equals(other.events)


def test_event_table_has_its_schema_and_agrees_with_the_counts(large: Simulation) -> None:
    events = large.events
    assert events.schema.names == ["profile_id", "at", "kind", "value", "channel"]
    assert [str(t) for t in events.schema.types] == ["string", "timestamp[us]", "string", "double", "string"]
    kinds = {k["values"]: k["counts"] for k in pc.value_counts(events["kind"]).to_pylist()}
    expected = {name: int(large.counts[i].sum(dtype=np.int64)) for i, name in enumerate(STREAMS)}
    assert kinds == expected | {"signup": 12_000}
    assert set(pc.unique(events["channel"]).to_pylist()) == set(CHANNELS)
    at = events["at"].to_numpy()
    assert (np.diff(at) >= np.timedelta64(0)).all()
    assert at.min() >= np.datetime64("2024-01-01")
    assert at.max() < np.datetime64("2024-01-01") + np.timedelta64(260, "D")
    valued = pc.is_valid(events["value"])
    assert valued.equals(pc.equal(events["kind"], "purchase"))
    assert pc.min(events["value"]).as_py() > 0


def test_nothing_happens_before_joining_or_after_leaving(large: Simulation) -> None:
    days = np.arange(large.days)[:, None]
    absent = (days < large.joined) | (days >= large.left)
    assert large.counts.sum(axis=0, dtype=np.int64)[absent].sum() == 0
    assert absent.mean() > 0.2


@pytest.mark.parametrize("given", ["events", "everything"])
def test_truth_is_calibrated_overall_and_in_every_tenth(large: Simulation, given: str) -> None:
    ids, probabilities = large.truth(CUTOFF, OUTCOME, given=given, paths=60)  # type: ignore[arg-type]
    same_ids, labels = large.outcome(CUTOFF, OUTCOME)
    assert np.array_equal(ids, same_ids)
    assert abs(z_score(labels, probabilities)) < 3
    tenths = np.array_split(np.argsort(probabilities), 10)
    uncertain = [t for t in tenths if (probabilities[t] * (1 - probabilities[t])).sum() > 2]
    assert len(uncertain) >= 5
    assert max(abs(z_score(labels[t], probabilities[t])) for t in uncertain) < 3.5


def test_nothing_seen_before_the_cutoff_adds_to_the_truth(large: Simulation) -> None:
    _, probabilities = large.truth(CUTOFF, OUTCOME)
    _, labels = large.outcome(CUTOFF, OUTCOME)
    residual, noise = labels - probabilities, probabilities * (1 - probabilities)
    for name, column in history(large, CUTOFF).items():
        centred = np.log1p(column) - np.log1p(column).mean()
        z = (residual * centred).sum() / math.sqrt((noise * centred**2).sum() + 1e-12)
        assert abs(z) < 3.5, name


def test_truth_ranks_better_than_any_simple_rule_and_hidden_knowledge_better_still(large: Simulation) -> None:
    _, labels = large.outcome(CUTOFF, OUTCOME)
    seen = history(large, CUTOFF)
    simple = max(roc_auc_score(labels, seen["purchase"]), roc_auc_score(labels, -seen["recency"]))
    events = roc_auc_score(labels, large.truth(CUTOFF, OUTCOME)[1])
    everything = roc_auc_score(labels, large.truth(CUTOFF, OUTCOME, given="everything")[1])
    assert simple + 0.03 < events < everything - 0.01


def test_truth_does_not_change_with_what_happens_after_the_cutoff() -> None:
    whole = simulate(200, 120, 3)
    cut = Simulation(**{**vars(whole), "counts": whole.counts.copy()})
    cut.counts[:, 60:] = 0
    assert np.array_equal(whole.truth(60, 30)[1], cut.truth(60, 30)[1])
    assert not np.array_equal(whole.truth(61, 30)[1], cut.truth(61, 30)[1])


def test_truth_agrees_with_repeating_the_future() -> None:
    alike = Parameters(
        visit=Gamma(0.5, math.inf),
        email_open=Gamma(0.2, math.inf),
        support_ticket=Gamma(0.05, math.inf),
        purchase=Gamma(0.01, math.inf),
        leaving=None,
    )
    simulation = simulate(20_000, 100, 8, parameters=alike)
    _, probabilities = simulation.truth(60, 10, paths=30)
    _, labels = simulation.outcome(60, 10)
    visits = simulation.counts[0, 30:60].sum(axis=0, dtype=np.int64)
    steady = simulation.joined < 30
    busy = steady & (visits > np.quantile(visits[steady], 0.8))
    quiet = steady & (visits < np.quantile(visits[steady], 0.2))
    assert probabilities[busy].mean() > 1.2 * probabilities[quiet].mean()
    assert [abs(z_score(labels[g], probabilities[g])) < 3 for g in (busy, quiet)] == [True, True]


def test_without_signal_all_profiles_have_one_known_probability(no_signal: Simulation) -> None:
    _, probabilities = no_signal.truth(CUTOFF, OUTCOME)
    season = no_signal.parameters.season_on(no_signal.first, CUTOFF, OUTCOME).sum()
    assert probabilities == pytest.approx(1 - math.exp(-no_signal.parameters.purchase.mean * season))
    _, labels = no_signal.outcome(CUTOFF, OUTCOME)
    assert abs(z_score(labels, probabilities)) < 3


def test_without_signal_history_ranks_no_better_than_shuffled_history(no_signal: Simulation) -> None:
    _, labels = no_signal.outcome(CUTOFF, OUTCOME)
    rng = np.random.default_rng(0)
    for name, column in history(no_signal, CUTOFF).items():
        real = roc_auc_score(labels, column)
        shuffled = [roc_auc_score(labels, rng.permutation(column)) for _ in range(200)]
        spread = float(np.std(shuffled))
        assert abs(real - 0.5) <= 3 * spread, name


def test_planted_leak_stands_before_its_cause_and_would_give_the_goal_away() -> None:
    clean, leaky = simulate(4_000, 200, 9), simulate(4_000, 200, 9, planted_leak=True)
    assert np.array_equal(clean.counts, leaky.counts)
    assert clean.attributes.schema.names == ["profile_id", "region"]
    assert set(pc.unique(clean.attributes["region"]).to_pylist()) == set(REGIONS)
    assert LEAK_KIND not in pc.unique(clean.events["kind"]).to_pylist()
    orders = leaky.attributes["orders_to_date"].to_numpy()
    assert np.array_equal(orders, leaky.counts[PURCHASE].sum(axis=0, dtype=np.int64))

    marks = leaky.events.filter(pc.equal(leaky.events["kind"], LEAK_KIND))
    start, end = (np.datetime64(leaky.first, "us") + np.timedelta64(d, "D") for d in (130, 150))
    recent = pc.and_(pc.greater_equal(marks["at"], pa.scalar(start)), pc.less(marks["at"], pa.scalar(end)))
    marked = set(marks.filter(recent)["profile_id"].to_pylist())
    ids, labels = leaky.outcome(150, 20)
    told = np.array([i in marked for i in ids])
    assert labels[told].mean() > 3 * labels[~told].mean()


def test_drivers_are_the_exponents_of_the_model(large: Simulation) -> None:
    drivers = large.drivers(CUTOFF)
    assert drivers.names == DRIVERS == (*STREAMS, "silence")
    known = large.joined < CUTOFF
    visits = np.log1p(large.counts[0, CUTOFF - 30 : CUTOFF, known].sum(axis=1, dtype=np.int64))
    expected = large.parameters.effects[0] * (visits - visits.mean())
    assert drivers.impact[:, 0] == pytest.approx(expected)
    assert drivers.impact[:, :4].mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-12)
    assert (drivers.impact[:, 4] <= 0).all()
    gone = large.left[known] < CUTOFF - 60
    assert (drivers.strongest[gone] == "silence").mean() > 0.5
    assert {"visit", "purchase", "silence"} <= set(drivers.strongest.tolist())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.truth(0, 30), "cutoff_day is 0; 1 to 40 is possible"),
        (lambda s: s.truth(41, 30), "cutoff_day is 41; 1 to 40 is possible"),
        (lambda s: s.outcome(20, 0), "outcome_days is 0; at least 1 is needed"),
        (lambda s: s.outcome(20, 21), "the window ends on day 41; 40 are simulated"),
        (lambda s: simulate(0, 40, 1), "at least 1 profile and 2 days are needed, not 0 and 40"),
    ],
)
def test_days_out_of_range_are_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(simulate(5, 40, 1, first=date(2023, 6, 1)))  # type: ignore[operator]
