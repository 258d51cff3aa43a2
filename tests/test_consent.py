"""Consent: who has not given it is not scored, nor learnt from unless the document says so."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import propend
from propend import pipeline
from propend.errors import ConfigurationError
from propend.instance import Instance
from propend.live import LiveModel
from propend.snapshots.consent import folded, last_rows
from propend.store import runs as store
from shops import FIRST_DAY, PROFILES, SHOP, last_day, plus, shop

IDS = [f"p{i:04d}" for i in range(PROFILES)]
START = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC)
NOW = datetime.combine(last_day(), datetime.min.time(), UTC)


def with_consent(consent: dict[str, Any], attributes: Path | None = None, **facts: Any) -> dict[str, Any]:
    found = copy.deepcopy(SHOP) | {"options": {"quality_bar": 0.5}}  # a fraction of a small shop tells little
    found["data"]["consent"] = consent
    if attributes is not None:
        found["data"]["attributes"] = {"path": str(attributes), "profile": "profile_id"} | facts
    return found


def scored(document: dict[str, Any], data: pa.Table, out: Path) -> tuple[pipeline.Run, set[str]]:
    run = propend.run(document, data=data, out=out)
    return run, set(run.scores.column("profile_id").to_pylist())


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return scored(copy.deepcopy(SHOP), shop(), tmp_path_factory.mktemp("all") / "run")[1]


def test_consent_is_as_of_now_and_who_said_nothing_has_not_given_it(tmp_path: Path, everybody: set[str]) -> None:
    """T31. Groups of profiles by what they said and when."""
    says: dict[int, list[tuple[datetime, str | None]]] = {
        0: [(START, "yes")],
        1: [(START, "no")],
        2: [(START, "yes"), (NOW - timedelta(days=1), "no")],
        3: [(START, "no"), (NOW - timedelta(days=1), "Yes ")],
        4: [(START, "no"), (NOW + timedelta(days=36500), "yes")],
        5: [(START, "yes"), (NOW + timedelta(days=36500), "no")],
        6: [(START, "yes"), (NOW + timedelta(hours=9), "no")],
        7: [(START, "yes"), (NOW - timedelta(days=3), None)],
        8: [],
    }
    rows = [(i, at, said) for n, i in enumerate(IDS) for at, said in says[n % 9]]
    ids, at, said = zip(*rows, strict=True)
    table = pa.table({"profile_id": ids, "since": pa.array(at, pa.timestamp("us", "UTC")), "marketing": said})
    pq.write_table(table, tmp_path / "consent.parquet")
    given = with_consent({"column": "marketing"}, tmp_path / "consent.parquet", effective="since")
    run, found = scored(given, shop(), tmp_path / "run")
    assert found == {i for i in everybody if int(i[1:]) % 9 in (0, 3, 5)}
    left_out = len(everybody) - len(found)
    assert run.record["counts"]["without_consent"] == left_out
    assert run.record["counts"]["population"] == len(found)
    told = [n["message"] for n in run.record["warnings"] if n["code"] == "PROPEND-318"]
    assert told == [f"{left_out} profiles are not scored: they have not given consent."]
    line = next(r for r in run.record["funnel"] if r["role"] == "consent")
    assert line["line"] == "has given consent (marketing)"
    features = store.load_model(run.folder / "model").plan.features
    assert [f.name for f in features if f.field == "marketing"] == []


@pytest.mark.parametrize(
    "column",
    [
        pa.array([i % 2 == 0 for i in range(PROFILES)]),
        pa.array([float(i % 2 == 0) for i in range(PROFILES)]),
        pa.array([["1", "yes", "TRUE", " granted "][i // 2 % 4] if i % 2 == 0 else "0" for i in range(PROFILES)]),
    ],
    ids=["truth", "numbers", "mixed texts"],
)
def test_any_usual_way_to_write_consent_is_read(column: pa.Array, tmp_path: Path, everybody: set[str]) -> None:
    """In a table without a time, of which only what it says today is asked."""
    pq.write_table(pa.table({"profile_id": IDS, "consent": column}), tmp_path / "facts.parquet")
    given = with_consent({"column": "consent"}, tmp_path / "facts.parquet")
    assert scored(given, shop(), tmp_path / "run")[1] == {i for i in everybody if int(i[1:]) % 2 == 0}


def test_consent_may_be_said_by_events(tmp_path: Path, everybody: set[str]) -> None:
    """The last event that says anything counts; others say nothing of it."""
    even, taken_back = [i for i in range(PROFILES) if i % 2 == 0], [i for i in range(PROFILES) if i % 4 == 0]
    events = plus(plus(shop(), even, [1] * len(even), "opt in"), taken_back, [200] * len(taken_back), "opt out")
    kinds = events.column("event").to_pylist()
    said = pa.array([{"opt in": "accepted", "opt out": "declined"}.get(k) for k in kinds], pa.string())
    given = with_consent({"column": "choice", "in": "events", "given": "accepted"})
    run, found = scored(given, events.append_column("choice", said), tmp_path / "run")
    assert found == {i for i in everybody if int(i[1:]) % 4 == 2}
    again = pipeline.score(run.folder, data=events.append_column("choice", said), out=tmp_path / "again")
    assert set(again.scores.column("profile_id").to_pylist()) == found


def test_one_profile_is_scored_now_only_where_it_consents(tmp_path: Path) -> None:
    events = shop()
    said = pa.array(["accepted"] * events.num_rows, pa.string())
    by_events = with_consent({"column": "choice", "in": "events", "given": "accepted"})
    run, found = scored(by_events, events.append_column("choice", said), tmp_path / "events")
    facts = pa.table({"profile_id": IDS, "c": ["yes"] * len(IDS)})
    pq.write_table(facts, tmp_path / "f.parquet")
    other, _ = scored(with_consent({"column": "c"}, tmp_path / "f.parquet", constant=True), events, tmp_path / "facts")
    one = sorted(found)[0]
    own = events.filter(pc.equal(events.column("profile_id"), one)).to_pylist()
    batch = {r["profile_id"]: r["probability"] for r in run.scores.to_pylist()}
    model, by_facts = LiveModel.load(run.folder), LiveModel.load(other.folder)
    agreed = [e | {"choice": None} for e in own[:-1]] + [own[-1] | {"choice": "Accepted "}]
    assert model.score(agreed, profile_id=one)["probability"] == batch[one]
    for told in (own, [e | {"choice": "declined"} for e in own]):
        refused = model.score(told, profile_id=one, regardless=True)
        assert refused == {"profile_id": one, "eligible": False, "reason": "has given consent (choice)"}
    assert by_facts.score(own, {"c": "Yes"}, profile_id=one)["eligible"]
    for attributes in (None, {}, {"c": "no"}, {"c": None}):
        assert by_facts.score(own, attributes, regardless=True)["reason"] == "has given consent (c)"
    model.close()
    by_facts.close()


def test_who_does_not_consent_may_be_learnt_from_where_the_document_says_so(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"profile_id": IDS, "c": [int(i % 2 == 0) for i in range(PROFILES)]}), tmp_path / "f.parquet"
    )
    snapshots = {}
    for learn in (False, True):
        given = with_consent({"column": "c", "learn": learn}, tmp_path / "f.parquet")
        run, found = scored(given, shop(), tmp_path / str(learn))
        assert {int(i[1:]) % 2 for i in found} == {0}
        snapshots[learn] = run.record["model"]["training_snapshots"]
    everyone = propend.run(copy.deepcopy(SHOP), data=shop(), out=tmp_path / "all").record["model"]["training_snapshots"]
    assert snapshots[True] == everyone
    assert 0.4 * everyone < snapshots[False] < 0.6 * everyone


def test_what_came_of_scores_with_consent_is_told_and_horizons_are_learnt(tmp_path: Path) -> None:
    """Also where consent was taken back since: who did is not among those judged eligible today."""
    since = [START] * PROFILES + [START + timedelta(days=250)] * 50
    table = {"profile_id": [*IDS, *IDS[:50]], "since": since, "c": ["yes"] * PROFILES + ["no"] * 50}
    pq.write_table(pa.table(table), tmp_path / "f.parquet")
    given = with_consent({"column": "c"}, tmp_path / "f.parquet", effective="since")
    given["options"] |= {"horizons": [7]}
    run = propend.run(given, data=shop(), out=tmp_path / "run", as_of=FIRST_DAY + timedelta(days=240))
    assert run.record["counts"]["without_consent"] == 0
    found = propend.evaluate(run.folder, data=shop()).to_dict()["runs"][0]
    taken_back = [i for i in run.scores.column("profile_id").to_pylist() if int(i[1:]) < 50]
    assert found["not_eligible_now"] == len(taken_back) > 0


def test_mistakes_are_told_with_their_place(tmp_path: Path) -> None:
    pq.write_table(pa.table({"profile_id": IDS, "c": ["no"] * PROFILES}), tmp_path / "f.parquet")
    cases = [
        (with_consent({"column": "c"}), "data.consent.column"),
        (with_consent({"column": "d"}, tmp_path / "f.parquet", constant=True), "data.consent.column"),
        (with_consent({"column": "c"}, tmp_path / "f.parquet", constant=True), "data.consent.given"),
        (with_consent({"column": "catgory", "in": "events"}), "data.consent.column"),
        (with_consent({"column": "c", "given": []}), "data.consent.given"),
    ]
    for given, place in cases:
        with pytest.raises(ConfigurationError) as caught:
            pipeline.check(given, data=shop())
        assert [m.place for m in caught.value.mistakes] == [place]


def test_truth_is_also_what_yaml_reads_as_truth(tmp_path: Path, everybody: set[str]) -> None:
    said = [["Yes", "on", "true"][i // 2 % 3] if i % 2 == 0 else "no" for i in range(PROFILES)]
    pq.write_table(pa.table({"profile_id": IDS, "c": said}), tmp_path / "f.parquet")
    for given, rest in ((True, 0), (False, 1)):
        document = with_consent({"column": "c", "given": given}, tmp_path / "f.parquet")
        found = pipeline.run(document, data=shop(), out=tmp_path / str(rest)).scores.column("profile_id").to_pylist()
        assert set(found) == {i for i in everybody if int(i[1:]) % 2 == rest}


def test_consent_is_written_back_as_it_was_read() -> None:
    found = Instance.load(with_consent({"column": "c", "in": "events", "given": [1, "ok", True]}))
    assert found.document()["data"]["consent"] == {"column": "c", "in": "events", "given": [1, "ok", True]}
    assert Instance.load(found.document()) == found
    assert Instance.load(with_consent({"column": "c"})).document()["data"]["consent"] == {"column": "c"}


def test_values_are_compared_as_people_write_them() -> None:
    assert len({folded(v) for v in (1, 1.0, "1", " 1.0")}) == 1
    assert {folded(v) for v in (True, "TRUE", " true")} == {"true"}
    assert folded("nan") == "nan"


def test_the_last_known_row_of_each_profile() -> None:
    offsets = np.array([0, 0, 2, 4, 4])
    assert last_rows(offsets, np.array([True, False, False, False])).tolist() == [-1, 0, -1, -1]
    assert last_rows(np.array([0, 0]), np.zeros(0, bool)).tolist() == [-1]
