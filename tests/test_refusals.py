"""One test per row of the reference spec's table of run errors (section 7.2), through the whole pipeline."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import propend
from propend import errors
from propend.errors import PropendError
from shops import PROFILES, SHOP, before, instance, last_day, no_signal, plus, regulars, shifted, shop, with_options

LONG_AGO = "1999-01-01"


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return shop()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, events: pa.Table) -> Path:
    return propend.train(SHOP, data=events, out=tmp_path_factory.mktemp("trained") / "model")


def _refused(folder: Path, expected: type[PropendError], document: dict[str, Any], **how: Any) -> PropendError:
    """The refusal of a run, after a look that it left nothing."""
    with pytest.raises(PropendError) as caught:
        propend.run(document, out=folder / "out", **how)
    return _exactly(caught.value, expected, folder)


def _refused_scores(folder: Path, expected: type[PropendError], model: Path, **how: Any) -> PropendError:
    with pytest.raises(PropendError) as caught:
        propend.score(model, out=folder / "out", **how)
    return _exactly(caught.value, expected, folder)


def _exactly(refusal: PropendError, expected: type[PropendError], folder: Path) -> PropendError:
    assert type(refusal) is expected, str(refusal)
    assert refusal.hint, "every refusal says what to do next"
    assert list(folder.iterdir()) == [], "nothing may be left: no folder, no *.tmp"
    return refusal


def _facts(refusal: PropendError, *names: str) -> dict[str, Any]:
    return {name: refusal.facts[name] for name in names}


def test_400_too_few_met_the_goal(tmp_path: Path) -> None:
    refusal = _refused(tmp_path, errors.NotEnoughObjectiveError, SHOP, data=regulars(19, 40))
    assert _facts(refusal, "met", "minimum") == {"met": 19, "minimum": 20}
    assert "19 profiles met the goal in 2 outcome windows of 30 days between 2022-04-08 and 2022-06-07" in str(refusal)
    assert "widen the goal" in refusal.hint


def test_401_too_few_are_eligible(tmp_path: Path) -> None:
    refusal = _refused(tmp_path, errors.NotEnoughPopulationError, SHOP, data=regulars(9, 10))
    assert _facts(refusal, "eligible", "minimum") == {"eligible": 19, "minimum": 20}
    assert "19 profiles were eligible" in refusal.message
    assert "loosen the eligibility" in refusal.hint


def test_401_too_few_did_not_meet_the_goal(tmp_path: Path) -> None:
    refusal = _refused(tmp_path, errors.NotEnoughPopulationError, SHOP, data=regulars(40, 7))
    assert _facts(refusal, "eligible", "met", "unmet") == {"eligible": 47, "met": 40, "unmet": 7}
    assert "Only 7 eligible profiles did not meet the goal" in refusal.message


def test_402_there_is_no_signal(tmp_path: Path) -> None:
    refusal = _refused(tmp_path, errors.BadModelError, SHOP, data=no_signal())
    auc = refusal.facts["auc"]
    assert 0.35 < auc < 0.65 == refusal.facts["quality_bar"]
    assert f"its AUC is {auc:.3f}" in refusal.message
    assert "without gaps" in refusal.hint


def test_403_scores_far_from_the_test_period(tmp_path: Path, events: pa.Table, model: Path) -> None:
    crowd = pa.concat_tables(shifted(before(shop(seed=s), last_day()), 400) for s in range(20, 60))
    refusal = _refused_scores(tmp_path, errors.IneligibleScoresError, model, data=crowd)
    assert refusal.facts["psi"] > refusal.facts["limit"] == 4.0
    assert f"population stability index {refusal.facts['psi']:.2f}, at most 4.0" in refusal.message
    assert "train again" in refusal.hint


def test_405_nobody_is_eligible_now(tmp_path: Path, events: pa.Table, model: Path) -> None:
    day = last_day() + timedelta(days=90)
    refusal = _refused_scores(tmp_path, errors.NoScoringDataError, model, data=events, as_of=day)
    assert refusal.facts == {"window_days": 90, "last_event_on": str(last_day() - timedelta(days=1))}
    assert f"Nobody is eligible on {day}: no fitting events in the 90 days before it." in refusal.message
    assert "check that data is updated" in refusal.hint


def test_407_history_is_too_short(tmp_path: Path, events: pa.Table) -> None:
    document = instance(eligible={"did": "buy", "within": "90d"}, goal={"any_of": ["buy"], "within": "30d"})
    refusal = _refused(tmp_path, errors.NotEnoughHistoryError, document, data=before(events, last_day(90)))
    assert refusal.facts == {"days_available": 90, "days_required": 120, "outcome_days": 30, "eligibility_days": 90}
    assert "90 days of events are there" in refusal.message
    assert "120 are needed" in refusal.message
    assert "shorten the 30-day outcome window" in refusal.hint


def test_408_the_eligible_have_been_silent(tmp_path: Path, events: pa.Table, model: Path) -> None:
    day = last_day() + timedelta(days=61)
    refusal = _refused_scores(tmp_path, errors.NoRecentDataError, model, data=events, as_of=day)
    assert _facts(refusal, "days", "silent_days") == {"days": 60, "silent_days": 61}
    assert 0 < refusal.facts["population"] < PROFILES
    assert f"{refusal.facts['population']:,} profiles are eligible" in refusal.message
    assert f"in the 60 days before {day}" in refusal.message
    assert "check that data is updated" in refusal.hint


def test_408_begins_after_sixty_days(tmp_path: Path, events: pa.Table, model: Path) -> None:
    finished = propend.score(model, data=events, as_of=last_day() + timedelta(days=60), out=tmp_path / "out")
    assert finished.record["counts"]["population"] == finished.scores.num_rows > 0


def test_409_nobody_met_the_goal(tmp_path: Path) -> None:
    subscribed = plus(regulars(30, 30), profile=list(range(30)), day=[1] * 30, event="subscribe")
    document = instance(goal={"any_of": ["subscribe"], "within": "30d"})
    refusal = _refused(tmp_path, errors.NoObjectiveError, document, data=subscribed)
    assert _facts(refusal, "eligible", "met", "minimum") == {"eligible": 60, "met": 0, "minimum": 20}
    assert "None of 60 eligible profiles met the goal" in refusal.message
    assert "check the goal's events" in refusal.hint


def test_410_nobody_is_eligible(tmp_path: Path) -> None:
    document = instance(eligible={"did": "buy", "at_least": 900, "within": "90d"})
    refusal = _refused(tmp_path, errors.NoPopulationError, document, data=regulars(30, 30))
    assert _facts(refusal, "eligible", "minimum") == {"eligible": 0, "minimum": 20}
    assert "No profile was eligible in 2 outcome windows" in refusal.message
    assert "loosen the eligibility" in refusal.hint


def _without_ids(events: pa.Table) -> pa.Table:
    return events.set_column(0, "profile_id", pa.nulls(len(events), pa.string()))


def test_411_no_data_are_left(tmp_path: Path) -> None:
    data = _without_ids(regulars(30, 30))
    refusal = _refused(tmp_path, errors.NoInputDataError, SHOP, data=data)
    assert f"No events are left of {len(data):,} rows read: {len(data):,} no profile" in refusal.message


def test_412_no_events_but_attributes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "work").mkdir(parents=True)
    (home / "people.csv").write_text("profile_id,country\np0001,DE\np0002,FR\n")
    data = {"attributes": {"path": "people.csv", "profile": "profile_id", "constant": True}, "folder": str(home)}
    data = _without_ids(regulars(30, 30)), SHOP["data"] | data
    refusal = _refused(home / "work", errors.NoEventDataError, instance(data=data[1]), data=data[0])
    assert f"{len(data[0]):,} no profile" in refusal.message


def test_413_everybody_met_the_goal(tmp_path: Path) -> None:
    refusal = _refused(tmp_path, errors.SingleValueError, SHOP, data=regulars(60, 0))
    assert _facts(refusal, "eligible", "met", "unmet") == {"eligible": 60, "met": 60, "unmet": 0}
    assert "All of 60 eligible profiles met the goal" in refusal.message
    assert "narrow the goal" in refusal.hint


def test_414_no_factor_moves_the_scores(
    tmp_path: Path, events: pa.Table, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that passes the gate of quality always moves scores, so its members are flattened here."""
    flat = _flattened(model)
    monkeypatch.setattr("propend.store.runs.load_model", lambda folder: flat)
    refusal = _refused_scores(tmp_path, errors.NoInfluentialFactorsError, model, data=events)
    assert refusal.facts == {"features": len(flat.model.columns)}
    assert f"None of {len(flat.model.columns)} features moves the prediction" in refusal.message
    assert "lengthen the history" in refusal.hint


def _flattened(folder: Path) -> Any:
    from dataclasses import replace  # noqa: PLC0415

    from propend.store.runs import load_model  # noqa: PLC0415

    saved = load_model(folder / "model")
    still = tuple(replace(m, coefficients=np.zeros_like(m.coefficients)) for m in saved.model.linear)
    return replace(saved, model=replace(saved.model, trees=(), tree_weight=0.0, linear=still))


def test_a_refusal_keeps_an_earlier_run(tmp_path: Path, events: pa.Table, model: Path) -> None:
    propend.score(model, data=events, out=tmp_path / "out")
    kept = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.is_file()}
    with pytest.raises(errors.NoObjectiveError):
        propend.run(instance(goal={"any_of": ["call"], "within": "30d"}), data=_no_late_calls(events),
                    out=tmp_path / "out")  # fmt: skip
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.is_file()} == kept
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def _no_late_calls(events: pa.Table) -> pa.Table:
    calls = np.array(events.column("event").to_pylist(), dtype=object) == "call"
    early = np.arange(len(events)) == int(np.flatnonzero(calls)[0])
    table = events.filter(pa.array(~calls | early))
    kinds = np.array(table.column("event").to_pylist(), dtype=object)
    at = table.column("at").cast(pa.int64()).to_numpy().copy()
    at[kinds == "call"] = at.min()
    return table.set_column(1, "at", pa.array(at).cast(pa.timestamp("us", tz="UTC")))


EXITS = {
    2: (errors.ConfigurationError, errors.NoBehaviourError, errors.SourceNotFoundError, errors.OutputExistsError),
    3: (
        errors.NotEnoughObjectiveError, errors.NotEnoughPopulationError, errors.NoScoringDataError,
        errors.NotEnoughHistoryError, errors.NoRecentDataError, errors.NoObjectiveError, errors.NoPopulationError,
        errors.NoInputDataError, errors.NoEventDataError, errors.SingleValueError,
    ),
    4: (errors.BadModelError, errors.IneligibleScoresError, errors.NoInfluentialFactorsError),
    1: (errors.WriteFailedError,),
}  # fmt: skip


def test_exit_statuses() -> None:
    assert {kind: kind.exit_status for kinds in EXITS.values() for kind in kinds} == {
        kind: status for status, kinds in EXITS.items() for kind in kinds
    }


SPEC = {
    400: "NOT_ENOUGH_OBJECTIVE", 401: "NOT_ENOUGH_POPULATION", 402: "BAD_MODEL", 403: "INELIGIBLE_SCORES",
    405: "NO_SCORING_DATA", 407: "NOT_ENOUGH_HISTORICAL_EVENT_DATA", 408: "NO_RECENT_DATA_FOR_ELIGIBLE_POPULATION",
    409: "NO_OBJECTIVE", 410: "NO_POPULATION", 411: "NO_INPUT_DATA_AFTER_ETL", 412: "NO_EVENT_DATA_AFTER_ETL",
    413: "SINGLE_VALUE_IN_OBJECTIVE", 414: "NO_INFLUENTIAL_FACTORS",
}  # fmt: skip


def test_run_errors_are_those_of_the_spec() -> None:
    assert {k.number: k.symbol for k in PropendError.__subclasses__() if k.number >= 400} == SPEC


def test_a_refusal_as_data(tmp_path: Path) -> None:
    refusal = _refused(tmp_path, errors.NotEnoughObjectiveError, with_options(minimum=30), data=regulars(29, 40))
    document = refusal.to_dict()
    assert document | {"facts": None, "message": None, "hint": None} == {
        "code": "PROPEND-400", "symbol": "NOT_ENOUGH_OBJECTIVE", "stage": "train",
        "message": None, "hint": None, "facts": None,
    }  # fmt: skip
    assert document["facts"]["met"] == 29
    assert str(refusal) == f"PROPEND-400 NOT_ENOUGH_OBJECTIVE\n{refusal.message}\nHint: {refusal.hint}"
