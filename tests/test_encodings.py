"""Texts with very many values: what each says, that nobody is described by their own outcome, and how it is told."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import propend
from logs import Event, MemoryLog, log_of, moment, request_for
from propend.demo.simulator import simulate
from propend.events import DAY_US
from propend.model.encodings import Encoding, encode_out_of_fold, fit_encoding
from propend.model.metrics import auc
from propend.snapshots import build
from propend.snapshots.build import Rows, count_support, feature_matrix, plan_input
from propend.snapshots.plan import CODE_OPS, Op, make_plan
from propend.store.runs import load_model

NAN = float("nan")


def codes_of(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


# --- what a value says ----------------------------------------------------------------------------------------


def test_values_that_differ_are_told_apart_and_few_profiles_are_shrunk() -> None:
    codes = np.repeat(codes_of(0, 1, 2), (400, 400, 2))
    label = np.concatenate([np.arange(400) % 10 < 8, np.arange(400) % 10 < 2, [1, 1]]).astype(np.uint8)
    found = fit_encoding(0, codes, label, np.arange(802, dtype=np.uint64), 3).odds
    assert found[0] == pytest.approx(np.log(4), abs=0.05)
    assert found[1] == pytest.approx(-np.log(4), abs=0.05)
    assert 0.1 < found[2] < found[0]
    assert found[3] == 0.0


def test_values_that_do_not_differ_say_next_to_nothing() -> None:
    rng = np.random.default_rng(2)
    codes, label = rng.integers(0, 50, 5_000).astype(np.float32), (rng.random(5_000) < 0.3).astype(np.uint8)
    assert np.abs(fit_encoding(0, codes, label, np.arange(5_000, dtype=np.uint64), 50).odds).max() < 0.25


def test_all_snapshots_of_a_profile_count_as_one() -> None:
    codes, label = codes_of(0, 0, 0, 0, 1, 1), np.array([1, 0, 1, 0, 1, 0], dtype=np.uint8)
    key = np.array([1, 2, 3, 4, 5, 6], dtype=np.uint64)
    once = fit_encoding(0, codes, label, key, 2)
    five = fit_encoding(0, np.repeat(codes, 5), np.repeat(label, 5), np.repeat(key, 5), 2)
    np.testing.assert_allclose(once.odds, five.odds)


def test_other_values_say_nothing_and_no_value_is_missing() -> None:
    found = Encoding(0, np.array([0.5, -0.5, 0.0]))(codes_of(1, 2, NAN, 0))
    np.testing.assert_array_equal(found, codes_of(-0.5, 0.0, NAN, 0.5))


@pytest.mark.parametrize("label", [0, 1])
def test_of_one_outcome_alone_nothing_is_told(label: int) -> None:
    everybody = np.full(6, label, dtype=np.uint8)
    assert not fit_encoding(0, codes_of(0, 0, 1, 1, 2, NAN), everybody, np.arange(6, dtype=np.uint64), 2).odds.any()


# --- nobody by their own outcome ------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
def test_what_a_profile_did_never_describes_it(data: st.DataObject) -> None:
    n = data.draw(st.integers(8, 40))
    some = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, NAN]), min_size=n, max_size=n)
    X = np.array([data.draw(some)], dtype=np.float32).T
    key = np.array(data.draw(st.lists(st.integers(0, 12), min_size=n, max_size=n)), dtype=np.uint64)
    label = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)), dtype=np.uint8)
    fold = (key % np.uint64(3)).astype(np.int64)
    chosen = key == data.draw(st.sampled_from(key.tolist()))
    other = np.where(chosen, 1 - label, label).astype(np.uint8)
    before, after = (encode_out_of_fold(X, [(0, 3)], y, key, fold)[0] for y in (label, other))
    np.testing.assert_array_equal(before[chosen], after[chosen])


def test_a_random_value_does_not_seem_to_tell_anything() -> None:
    rng = np.random.default_rng(4)
    X = rng.integers(0, 400, (4_000, 1)).astype(np.float32)
    label, key = (rng.random(4_000) < 0.4).astype(np.uint8), np.arange(4_000, dtype=np.uint64)
    encoded, (whole,) = encode_out_of_fold(X, [(0, 400)], label, key, (np.arange(4_000) % 3).astype(np.int64))
    assert abs(auc(label, encoded[:, 0].astype(np.float64)) - 0.5) < 0.03
    assert auc(label, whole(X[:, 0]).astype(np.float64)) > 0.6  # which is what it would seem in fold
    assert X.max() > 300  # left as it was


# --- codes ----------------------------------------------------------------------------------------------------


def test_codes_are_the_plans_whatever_the_log_calls_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "MIN_TOLD_PROFILES", 1)
    monkeypatch.setattr(build, "FEW_VALUES", 0)
    shop = request_for(("buy",), (), ("colour",))

    def log(*colours: str | None) -> MemoryLog:
        at = moment("2024-01-05 10:00")
        events = [Event(f"p{i}", at + i, "order", None, frozenset({"buy"}), (), (c,)) for i, c in enumerate(colours)]
        return log_of(events, shop)

    cutoff = moment("2024-02-01") // DAY_US
    first = log("blue", "green", "red")
    plan = make_plan(plan_input(first, count_support(first, cutoff), (60,), "amount", (), ("colour",)))
    j = next(i for i, f in enumerate(plan.features) if f.op is Op.TEXT_LAST)
    assert plan.features[j].values == ("blue", "green", "red")
    later = log("amber", "red", "blue", None)
    rows = Rows(np.arange(4), np.full(4, cutoff), np.zeros(4, np.uint8))
    found = dict(zip(later.profiles, feature_matrix(later, plan, rows)[:, j].tolist(), strict=True))
    assert (found["p0"], found["p1"], found["p2"]) == (3, 2, 0)
    assert np.isnan(found["p3"])


# --- a whole run ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> propend.Run:
    """In half of forty cities nine of ten purchases are not recorded."""
    folder = tmp_path_factory.mktemp("cities")
    made = simulate(1_500, 330, 11)
    rng = np.random.default_rng(3)
    city = dict(zip(made.profile_ids, rng.integers(0, 40, len(made.profile_ids)).tolist(), strict=True))
    owner = made.events["profile_id"].to_pylist()
    quiet = np.array([city[p] % 2 == 1 for p in owner]) & (np.array(made.events["kind"].to_pylist()) == "purchase")
    pq.write_table(made.events.filter(pa.array(~quiet | (rng.random(len(owner)) < 0.1))), folder / "events.parquet")
    people = pa.table({"profile_id": list(city), "city": [f"city {c:02d}" for c in city.values()]})
    pa.csv.write_csv(people, folder / "people.csv")
    document = {
        "name": "cities",
        "data": {
            "folder": str(folder), "events": "events.parquet", "attributes": [{"path": "people.csv", "constant": True}],
        },
        "goal": {"did": "purchase", "within": "30d"},
    }  # fmt: skip
    return propend.run(document, out=folder / "run")


def test_a_text_with_many_values_is_a_factor_that_shows_the_value(finished: propend.Run) -> None:
    factor = next(f for f in finished.insights["factors"] if f["label"] == "City")
    assert factor["value_label"] == "city"
    told = {d["label"]: d["mean_impact"] for d in factor["dependence"] if d["label"].startswith("city ")}
    assert len(told) >= 4
    assert all((impact < 0) == (int(name[-2:]) % 2 == 1) for name, impact in told.items())


def test_a_saved_model_keeps_what_values_say(finished: propend.Run) -> None:
    saved = load_model(finished.folder / "model")
    (encoding,) = saved.model.encodings
    feature = saved.plan.features[saved.model.columns[encoding.place]]
    assert feature.op in CODE_OPS
    assert len(feature.values) == len(encoding.odds) - 1 == 40
    odd = np.array([int(v[-2:]) % 2 == 1 for v in feature.values])
    assert encoding.odds[:-1][odd].mean() < encoding.odds[:-1][~odd].mean() - 0.5
    again = propend.score(finished.folder / "model", out=finished.folder.parent / "again")
    np.testing.assert_allclose(
        again.scores["probability"].to_numpy(), finished.scores["probability"].to_numpy(), atol=1e-7
    )
