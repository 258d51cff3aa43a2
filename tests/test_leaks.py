"""Leaks are named, the certain ones dropped, and what only looks alike is left in peace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import propend
from propend.demo.simulator import LEAK_KIND, Simulation, simulate
from propend.model.leaks import Leak, find_decided, find_powerful, leak_notices, single_auc, worst_first
from propend.snapshots.plan import Factor, Feature, Op

PROFILES, DAYS = 1_200, 300
QUESTION: dict[str, Any] = {
    "name": "Leaks",
    "goal": {"did": "purchase", "within": "30d"},
    "options": {"quality_bar": 0.5},
}
COLUMNS = {"profile": "profile_id", "at": "at", "event": "kind", "value": "value"}


@pytest.fixture(scope="module")
def clean() -> Simulation:
    return simulate(PROFILES, DAYS, 5)


@pytest.fixture(scope="module")
def leaking() -> Simulation:
    return simulate(PROFILES, DAYS, 5, planted_leak=True)


def _document(folder: Path, events: pa.Table, facts: pa.Table | None = None, **more: Any) -> dict[str, Any]:
    pq.write_table(events, folder / "events.parquet")
    data: dict[str, Any] = {"events": str(folder / "events.parquet"), "columns": COLUMNS}
    if facts is not None:
        pq.write_table(facts, folder / "facts.parquet")
        data["attributes"] = {"path": str(folder / "facts.parquet"), "profile": "profile_id", **more}
    return QUESTION | {"data": data}


def _named(document: dict[str, Any]) -> dict[str, str]:
    """What ``check`` names, and what is done about it."""
    return {x["sentence"]: x["action"] for x in propend.check(document).to_dict()["leaks"]}


# --- power alone ----------------------------------------------------------------------------------------


def _feature(op: Op, field: str = "") -> Feature:
    return Feature(f"f{op}", "a number", op, 0, 30, Factor("f", "F"), "number", field=field)


def test_a_certain_leak_is_dropped_only_where_it_may_have_been_written_later() -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 5000).astype(np.uint8)
    tell, noise = label + 0.001 * rng.normal(size=5000), rng.normal(size=5000)
    X = np.column_stack([tell, tell, noise, -tell]).astype(np.float32)
    features = [_feature(op) for op in (Op.ATTRIBUTE_NUMBER, Op.COUNT, Op.COUNT, Op.ATTRIBUTE_NUMBER)]
    found = find_powerful(X, label, range(4), features)
    assert [(x.columns, x.certain) for x in found] == [((0,), True), ((1,), False), ((3,), True)]


def test_single_auc_knows_ties_and_missing() -> None:
    assert single_auc(np.array([1, 1, 1, 1], np.float32), np.array([0, 1, 0, 1], np.uint8)) == 0.5
    assert single_auc(np.array([np.nan, 1, np.nan, 2], np.float32), np.array([0, 1, 0, 1], np.uint8)) == 1.0


def test_a_feature_is_named_once_and_the_certain_first() -> None:
    weak = Leak("power", (3,), "f", "a number", 0.97, False, "")
    certain = Leak("today", (3, 4), "f", "a number", None, True, "")
    other = Leak("decided", (), "goal", "the goal", None, False, "")
    assert worst_first([other, weak, certain]) == [certain, other]


def test_the_notice_counts_suspects_and_not_what_is_only_noted() -> None:
    noted = Leak("rewritten", (1,), "g", "balance", 0.6, False, "")
    dropped = Leak("today", (3,), "f", "orders", None, True, "")
    assert leak_notices([noted]) == []
    (notice,) = leak_notices([dropped, noted])
    assert notice.message == "1 thing knows the outcome suspiciously well, 1 was dropped: orders (today)."


def test_a_goal_that_all_meet_is_suspect() -> None:
    assert find_decided(np.array([1, 0] * 50, np.uint8)) == []
    assert [x.kind for x in find_decided(np.array([1] * 199 + [0], np.uint8))] == ["decided"]


# --- planted --------------------------------------------------------------------------------------------


def test_what_the_simulator_plants_is_found(leaking: Simulation, tmp_path: Path) -> None:
    document = _document(tmp_path, leaking.events, leaking.attributes, constant=True)
    assert _named(document) == {"orders_to_date": "dropped", LEAK_KIND.replace("_", " "): "suspect"}


def test_the_run_says_the_same_as_check_and_leaves_the_certain_out(leaking: Simulation, tmp_path: Path) -> None:
    document = _document(tmp_path, leaking.events, leaking.attributes, constant=True)
    checked = propend.check(document).to_dict()
    run = propend.run(document, out=tmp_path / "run")
    assert run.record["leaks"] == checked["leaks"]
    notices = [[w for w in given["warnings"] if w["code"] == "PROPEND-306"] for given in (checked, run.record)]
    assert notices[0] == notices[1]
    assert "2 things know the outcome suspiciously well, 1 was dropped: orders_to_date" in notices[0][0]["message"]
    factors = {f["code"] for f in run.insights["factors"]}
    assert "attribute__orders_to_date" not in factors


def test_nothing_is_named_in_clean_data(clean: Simulation, tmp_path: Path) -> None:
    assert _named(_document(tmp_path, clean.events, clean.attributes, constant=True)) == {}


def _orders(given: Simulation) -> np.ndarray[Any, Any]:
    return given.counts[3].sum(axis=0, dtype=np.int64)


def _silence(given: Simulation) -> np.ndarray[Any, Any]:
    """Days since the last purchase, as of today."""
    bought = given.counts[3][::-1] > 0
    return np.where(bought.any(axis=0), bought.argmax(axis=0), given.days)


FACTS: dict[str, tuple[Callable[[Simulation], Any], dict[str, str]]] = {
    "orders": (_orders, {"fact": "dropped"}),
    "silence": (_silence, {"fact": "dropped"}),
    "status": (lambda s: np.where(_silence(s) < 60, "active", "lapsed"), {"fact": "dropped"}),
    "latent rate": (lambda s: s.rates[3], {}),
    "day of joining": (lambda s: s.joined, {}),
    "wealth": (lambda s: np.where(s.rates[3] > np.quantile(s.rates[3], 0.8), "rich", "poor"), {}),
}


@pytest.mark.parametrize("name", FACTS)
def test_facts_as_of_today_are_dropped_and_traits_are_not(name: str, clean: Simulation, tmp_path: Path) -> None:
    make, expected = FACTS[name]
    facts = pa.table({"profile_id": clean.profile_ids, "fact": make(clean)})
    found = _named(_document(tmp_path, clean.events, facts, constant=True))
    assert {k.split(" is ")[0]: v for k, v in found.items()} == expected


def test_a_balance_with_true_effective_times_is_only_noted(clean: Simulation, tmp_path: Path) -> None:
    """A row whenever it changes: as of the cutoff it knows nothing of what comes."""
    bought = clean.events.filter(pc.equal(clean.events.column("kind"), "purchase"))
    ids = bought.column("profile_id").to_numpy(zero_copy_only=False)
    order = np.argsort(ids, kind="stable")
    ids, at = ids[order], bought.column("at").to_numpy()[order]
    place = np.arange(len(ids)) - np.searchsorted(ids, ids)
    facts = pa.table({"profile_id": ids, "since": at, "points": place + 1})
    assert set(_named(_document(tmp_path, clean.events, facts, effective="since")).values()) <= {"noted"}


@pytest.mark.parametrize(("column", "ahead", "named"), [("delivered_at", False, True), ("due_at", True, False)])
def test_times_filled_in_later_are_named_and_plans_are_not(
    column: str, ahead: bool, named: bool, clean: Simulation, tmp_path: Path
) -> None:
    at = clean.events.column("at").to_numpy()
    later = at + np.timedelta64(4, "D")
    kept = np.ones(len(at), dtype=bool) if ahead else later <= at.max()
    events = clean.events.append_column(column, pa.array(later, pa.timestamp("us"), mask=~kept))
    assert (f"column {column}" in _named(_document(tmp_path, events))) == named


# --- drift ----------------------------------------------------------------------------------------------

KIND, VALUE = "kind", "value"


def _after(events: pa.Table, day: date) -> Any:
    return pc.greater_equal(events.column("at"), pa.scalar(day, pa.date32()).cast(pa.timestamp("us")))


def _gone(events: pa.Table, day: date) -> pa.Table:
    visits = pc.equal(events.column(KIND), "visit")
    return events.filter(pc.invert(pc.and_(visits, _after(events, day))))


def _renamed(events: pa.Table, day: date) -> pa.Table:
    visits = pc.and_(pc.equal(events.column(KIND), "visit"), _after(events, day))
    kinds = pc.if_else(visits, "page_visit", events.column(KIND))
    return events.set_column(events.schema.get_field_index(KIND), KIND, kinds)


def _in_cents(events: pa.Table, day: date) -> pa.Table:
    values = events.column(VALUE)
    values = pc.if_else(_after(events, day), pc.multiply(values, 100.0), values)
    return events.set_column(events.schema.get_field_index(VALUE), VALUE, values)


def test_broken_data_are_said_at_scoring_and_sound_ones_are_not(clean: Simulation, tmp_path: Path) -> None:
    now = clean.first + timedelta(days=clean.days)
    learnt = now - timedelta(days=30)
    model = propend.train(_document(tmp_path, clean.events), as_of=learnt, out=tmp_path / "model")
    said = {}
    for name, broken in (("sound", None), ("gone", _gone), ("renamed", _renamed), ("in cents", _in_cents)):
        events = broken(clean.events, learnt) if broken else clean.events
        found = propend.score(model, data=events, as_of=now, out=tmp_path / name).record["warnings"]
        said[name] = sorted({w["code"] for w in found} & {"PROPEND-307", "PROPEND-314"})
    moved = ["PROPEND-307"]
    assert said == {"sound": [], "gone": moved, "renamed": [*moved, "PROPEND-314"], "in cents": moved}
