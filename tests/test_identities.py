"""Several ids of one person, from the document to the scores."""

from __future__ import annotations

import copy
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import propend
from propend import pipeline
from propend.engines.duckdb import DuckdbEngine
from propend.errors import ColumnNotFoundError, ConfigurationError, NotForLiveError
from propend.events import EventLog, EventRequest
from propend.instance import Data
from propend.live import LiveModel
from propend.protection import Forgotten, digest_of
from propend.screen.checking import check_text
from shops import FIRST_DAY, SHOP, shop

START = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC)
COLUMNS = {"a": "device", "b": "person"}


def on_devices(events: pa.Table, devices: int = 3) -> tuple[pa.Table, list[str]]:
    """The same events under ids of devices, and whose each was."""
    owners = events.column("profile_id").to_pylist()
    used = np.random.default_rng(1).integers(0, devices, len(owners)).tolist()
    place = events.schema.get_field_index("profile_id")
    ids = pa.array([f"{owner}/{device}" for owner, device in zip(owners, used, strict=True)])
    return events.set_column(place, "profile_id", ids), owners


def linking(links: Any, **more: Any) -> dict[str, Any]:
    """The shop's document with links."""
    found = copy.deepcopy(SHOP)
    found["data"] |= {"identities": links} | more
    return found


def table_of(folder: Path, rows: list[tuple[str, ...]], header: str = "device,person") -> str:
    file = folder / "links.csv"
    file.write_text("\n".join([header, *(",".join(row) for row in rows)]), encoding="utf-8")
    return str(file)


def plain(scores: pa.Table) -> dict[str, list[Any]]:
    return {name: scores.column(name).to_pylist() for name in scores.column_names if name != "run_id"}


@pytest.fixture(scope="module")
def by_person(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    """A run on data in which each person has one id."""
    return propend.run(copy.deepcopy(SHOP), data=shop(), out=tmp_path_factory.mktemp("person") / "run")


@pytest.fixture(scope="module")
def from_ever(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    """A run on data of devices, all of which were known from ever."""
    folder = tmp_path_factory.mktemp("devices")
    events, owners = on_devices(shop())
    rows = sorted(set(zip(events.column("profile_id").to_pylist(), owners, strict=True)))
    links = {"path": table_of(folder, rows), "columns": COLUMNS, "constant": True}
    return propend.run(linking(links), data=events, out=folder / "run")


def test_links_known_from_ever_are_as_good_as_ids_written_beforehand(
    by_person: pipeline.Run, from_ever: pipeline.Run
) -> None:
    assert plain(from_ever.scores) == plain(by_person.scores)
    assert from_ever.evaluation == by_person.evaluation
    found = from_ever.record["data"]["identities"]
    assert (found["persons"], found["largest"], found["without_events"]) == (500, 4, 500)
    assert found["events_of_profiles"] == from_ever.record["counts"]["events_used"]


def test_links_that_join_nothing_change_nothing(tmp_path: Path, by_person: pipeline.Run) -> None:
    rows = [("p0001", "p0001"), ("", "p0002"), ("p0003", "")]
    links = {"path": table_of(tmp_path, rows), "columns": COLUMNS, "constant": True}
    run = propend.run(linking(links), data=shop(), out=tmp_path / "run")
    assert plain(run.scores) == plain(by_person.scores)
    assert run.evaluation == by_person.evaluation
    found = [n["message"] for n in run.record["warnings"] if n["code"] == "PROPEND-337"]
    assert found == ["3 links between ids were left out, beside 0 different pairs: 3 without two different ids."]


def test_a_run_scores_each_person_once_by_the_id_known_by_then(tmp_path: Path) -> None:
    """Log-ins stand on events: from then on the device is the person's."""
    events, owners = on_devices(shop(), 2)
    logged_in = np.random.default_rng(2).random(len(owners)) < 0.2
    said = pa.array([owner if known else None for owner, known in zip(owners, logged_in, strict=True)])
    events = events.append_column("login", said)
    document = linking({"events": {"from": "profile_id", "to": "login"}})
    run = propend.run(document, data=events, out=tmp_path / "run")
    joined = set(pc.filter(events.column("profile_id"), pa.array(logged_in)).to_pylist())
    scored = run.scores.column("profile_id").to_pylist()
    assert len(scored) == len(set(scored))
    assert not joined & set(scored)
    assert {name for name in scored if "/" in name} <= set(events.column("profile_id").to_pylist()) - joined
    found = run.record["data"]["identities"]
    assert (found["read"], found["pairs"], found["largest"]) == (int(logged_in.sum()), len(joined), 3)
    assert found["events_of_profiles"] > run.record["counts"]["events_used"]
    features = [f["sentence"] for f in run.insights["features"]] if "features" in run.insights else []
    assert not [text for text in features if "login" in text]
    later = propend.score(tmp_path / "run", data=events, out=tmp_path / "later")
    assert plain(later.scores) == plain(run.scores)
    with pytest.raises(NotForLiveError):
        LiveModel.load(tmp_path / "run")
    assert "persons of at most 3 ids" in check_text(propend.check(document, data=events).document)


def test_what_became_of_persons_is_found_by_whatever_name_they_have_now(tmp_path: Path) -> None:
    """Links that arrive late rename persons; models that read the data differently are compared on the same ones."""
    events, owners = on_devices(shop(), 2)
    devices, times = events.column("profile_id").to_pylist(), events.column("at").to_pylist()
    linked: dict[tuple[str, str], datetime] = {}
    for device, owner, at in zip(devices, owners, times, strict=True):
        if device.endswith("/1"):
            linked[device, owner] = min(at, linked.get((device, owner), at))
    rows = [(*pair, at.isoformat()) for pair, at in sorted(linked.items())]
    table = table_of(tmp_path, rows[::2], "device,person,since")
    document = linking({"path": table, "columns": COLUMNS | {"at": "since"}})
    more = document | {"events": document["events"] | {"rang": {"is": "call"}}, "options": {"quality_bar": 0.5}}
    early, late = FIRST_DAY + timedelta(days=200), FIRST_DAY + timedelta(days=240)
    propend.run(document | {"options": {"quality_bar": 0.5}}, data=events, as_of=early, out=tmp_path / "old")
    propend.train(more, data=events, as_of=early, out=tmp_path / "new")
    scored = propend.score(tmp_path / "old", data=events, as_of=late, out=tmp_path / "runs" / "late").scores
    table_of(tmp_path, rows, "device,person,since")
    found = propend.evaluate(tmp_path / "runs", data=events, challenger=tmp_path / "new").document
    [told] = found["runs"]
    assert (told["known"], told["absent"], told["not_scored_then"]) == (len(scored), 0, 0)
    itself = propend.evaluate(tmp_path / "runs", data=events, challenger=tmp_path / "old").document["challenge"]
    assert (found["challenge"]["n"], found["challenge"]["positives"]) == (itself["n"], itself["positives"])


# --- reading links ------------------------------------------------------------------------------------------


def seconds(days: float) -> str:
    return (START + timedelta(days=days)).isoformat()


def log_of(data: dict[str, Any], events: pa.Table, request: EventRequest | None = None) -> EventLog:
    given = Data.model_validate(data | {"columns": {"profile": "id", "at": "at", "event": "kind"}})
    with DuckdbEngine() as session:
        return session.load(given, Path(), request or EventRequest(()), {"events": events})


VISITS = pa.table(
    {
        "id": ["a", "b", "c", "d"],
        "at": [START + timedelta(days=n) for n in (1, 2, 3, 4)],
        "kind": ["visit"] * 4,
        "login": [None, "P", "c", "P"],
    }
)


def test_what_became_of_each_link_is_counted(tmp_path: Path) -> None:
    rows = [
        ("a", "P", seconds(0)),
        ("a", "P", seconds(5)),
        ("P", "a", seconds(6)),
        ("a", "", seconds(1)),
        ("a", "a", seconds(1)),
        ("a", "Q", "never"),
        ("a", "Q", "1950-01-01"),
        ("a", "Q", "2190-01-01"),
        ("b", "Q", seconds(9)),
        ("c", "Q", seconds(10)),
        ("c", "P", seconds(11)),
        ("s", "P", seconds(12)),
        ("s", "Q", seconds(13)),
        ("s", "R", seconds(14)),
    ]
    table = {"path": table_of(tmp_path, rows, "device,person,since"), "columns": COLUMNS | {"at": "since"}}
    found = log_of({"identities": {"links": table, "most": 3, "shared": 2}}, VISITS).facts.identities
    assert found is not None
    assert asdict(found) == {
        "read": 14,
        "pairs": 7,
        "set_aside": {
            "incomplete": 2, "no_time": 1, "before_1970": 1, "in_the_future": 1, "excluded": 0, "after_as_of": 0,
            "shared_device": 1, "too_large": 2,
        },
        "ids": 6,
        "persons": 2,
        "largest": 3,
        "shared": 1,
        "without_events": 3,
    }  # fmt: skip


def test_links_of_events_are_known_from_the_event_on() -> None:
    persons = log_of({"identities": [{"events": {"from": "id", "to": "login"}}]}, VISITS).persons
    assert persons is not None
    moment = int(START.timestamp()) * 1_000_000
    day = 86_400_000_000
    assert [persons.called_at(["a", "b", "d", "P"], moment + n * day) for n in (2, 3, 5)] == [
        ["a", "b", "d", "P"],
        ["a", "P", "d", "P"],
        ["a", "P", "P", "P"],
    ]


def test_the_side_that_names_the_person_can_be_chosen(tmp_path: Path) -> None:
    table = {"path": table_of(tmp_path, [("a", "b")]), "columns": COLUMNS, "constant": True}
    named = [log_of({"identities": table | {"prefer": side}}, VISITS).persons for side in ("a", "b")]
    assert [persons and persons.called_at(["a"], 0) for persons in named] == [["a"], ["b"]]


def test_whoever_is_forgotten_by_one_id_is_forgotten_by_all(tmp_path: Path) -> None:
    key = b"k" * 32
    table = {"path": table_of(tmp_path, [("a", "P"), ("b", "P")]), "columns": COLUMNS, "constant": True}
    request = EventRequest((), forgotten=Forgotten(key, frozenset({digest_of(b"b", key)})))
    facts = log_of({"identities": table}, VISITS, request).facts
    assert (facts.set_aside["forgotten"], facts.profiles) == (2, 2)


@pytest.mark.parametrize(
    ("links", "problem"),
    [
        ({"path": "x.csv"}, "a table of links needs columns: {a: ..., b: ..., at: ...}"),
        ({"path": "x.csv", "columns": COLUMNS}, "a table of links has either a time (columns: {at: ...}), or constant"),
        ({"columns": COLUMNS}, "links have either a path, a query, or events"),
        ({"events": {"from": "a", "to": "b"}, "constant": True}, "links of events have neither columns nor constant"),
        ({"path": "x.csv", "columns": COLUMNS, "constant": True, "most": 1}, "greater than or equal to 2"),
    ],
)
def test_what_is_wrong_with_links_is_said(links: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        propend.run(linking(links), data=shop(20), out="unused")
    assert problem in caught.value.mistakes[0].problem


def test_facts_of_several_tables_are_refused() -> None:
    more = {"attributes": [{"path": "a.csv"}, {"path": "b.csv"}]}
    with pytest.raises(ConfigurationError) as caught:
        propend.run(linking({"events": {"from": "a", "to": "b"}}, **more), data=shop(20), out="unused")
    assert "one table of attributes" in caught.value.mistakes[0].problem


def test_a_column_of_links_that_is_not_there_is_named(tmp_path: Path) -> None:
    table = {"path": table_of(tmp_path, [("a", "b")]), "columns": {"a": "devise", "b": "person"}, "constant": True}
    for links, near in ((table, "device"), ({"events": {"from": "id", "to": "logn"}}, "login")):
        with pytest.raises(ColumnNotFoundError) as caught:
            log_of({"identities": links}, VISITS)
        assert caught.value.facts["nearest"] == near
