"""One profile scored alone: in every column, and to the last bit, what the run says of the same events."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from propend.errors import EventsAfterCutoffError, EventsInvalidError, NotForLiveError
from propend.live import MAX_EVENTS, LiveModel
from propend.pipeline import Run, run, score
from shops import SHOP, instance, last_day, shop

Plain = dict[str, Any]
ODD = 40
"""Profiles with events of every awkward form."""
RICH: Plain = instance(
    name="Rich",
    data=SHOP["data"]
    | {"columns": SHOP["data"]["columns"] | {"id": "event_id"}, "fields": ["category", "price", "note"]},
    events={
        "buy": {"is": "purchase"},
        "big": {"is": "purchase", "where": {"price": {"gte": 20}}},
        "bags": {"where": {"category": {"in": ["bags", "hats"]}}},
        "noted": {"where": {"note": {"matches": "^[a-m]"}}},
        "late": {"where": {"promised": {"gt": "2022-06-01"}}},
        "gift": {"where": {"gift": True}},
        "ping": {"is": "ping"},
    },
    exclude=["ping"],
    eligible={"all_of": [{"did": "anything", "within": "120d"}, {"sum": "buy.amount", "gte": 0, "within": "200d"}]},
    options={"time_zone": "Europe/Berlin", "horizons": [7, 30, 60]},
)
"""Sums, conditions on numbers, texts, times and truth values, ids given twice, an event left out, horizons, a zone."""
SILENT: Plain = instance(
    name="Silent",
    type="churn",
    goal={"none_of": ["buy"], "within": "40d", "from": "5d"},
    eligible={"any_of": [{"then": ["visit", "buy"], "within": "150d"}, {"count_distinct": "buy.category", "gte": 2}]},
    exits=["call"],
)
"""A goal that something does not happen, with a lead time, sequences, distinct values and exits."""


def rich_table() -> pa.Table:
    """A shop with further columns, and with profiles whose events tie, repeat, miss values and look odd."""
    rows = shop(400, 300, 11).to_pylist()
    chance = random.Random(5)
    texts = [None, "", "ä", "zebra", "apple", "x" * 300, "🙂" * 210, "12.50", "007", "a'b"]
    start = datetime(2022, 3, 26, 22, tzinfo=UTC)
    for i in range(ODD):
        moment = start + timedelta(hours=i)
        for _ in range(chance.randrange(1, 30)):
            moment += timedelta(seconds=chance.choice([0, 0, 3_600, 86_400, 777_777]))
            rows.append(
                {"profile_id": f"odd {i}", "at": moment, "event": chance.choice(["purchase", "visit", "ping", None])}
            )
    for n, row in enumerate(rows):
        row["event_id"] = chance.choice([None, f"e{n}", f"e{n}", f"{row['profile_id']}-{chance.randrange(30)}"])
        row["amount"] = chance.choice([row.get("amount"), None, 0.0, -0.0, -5.25, 1e12])
        row["price"] = chance.choice([None, 20.0, 19.99, chance.random() * 40, 3.0])
        row["category"] = chance.choice([row.get("category"), None, "bags"])
        row["note"] = chance.choice(texts)
        row["gift"] = chance.choice([None, True, False])
        row["promised"] = chance.choice([None, datetime(2022, 5, 1), datetime(2022, 7, 1, 12)])
    return pa.Table.from_pylist(
        [row for row in rows if row["at"] < datetime(2022, 10, 29, 21, tzinfo=UTC)],
        schema=pa.schema(
            [
                ("profile_id", pa.string()), ("at", pa.timestamp("us", tz="UTC")), ("event", pa.string()),
                ("amount", pa.float64()), ("category", pa.string()), ("event_id", pa.string()), ("price", pa.float64()),
                ("note", pa.string()), ("gift", pa.bool_()), ("promised", pa.timestamp("us")),
            ]
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A finished run with the events and attributes of each profile."""

    run: Run
    model: LiveModel
    events: dict[str, list[Plain]]
    attributes: dict[str, Plain | None]


def by_profile(rows: list[Plain], column: str = "profile_id") -> dict[str, list[Plain]]:
    found: dict[str, list[Plain]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found


def with_attributes(folder: Path) -> tuple[Plain, dict[str, Plain | None]]:
    """A document with facts that change, some after the cutoff, and facts that never do; and those that count."""
    chance, rows, known = random.Random(3), [], {}
    plans = ["gold", "silver", "", "x" * 250]
    for i in range(500):
        name, facts = f"p{i:04d}", {}
        for day in sorted(chance.sample(range(320), chance.randrange(4))):
            at = datetime(2022, 1, 3) + timedelta(days=day)
            row = {"points": chance.choice([None, float(day), 0.1 * i]), "plan": chance.choice(plans)}
            rows.append({"profile_id": name, "since": at} | row)
            facts = row if day < 300 else facts
        if facts:
            known[name] = facts
    timed = pa.Table.from_pylist(rows)
    with (folder / "facts.csv").open("wb") as file:
        pacsv.write_csv(timed, file)
    document = instance(
        name="Facts",
        data=SHOP["data"] | {"folder": str(folder), "attributes": [{"path": "facts.csv", "effective": "since"}]},
    )
    return document, {**known}


@pytest.fixture(scope="module", params=["plain", "rich", "silent", "facts"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    folder, attributes = tmp_path_factory.mktemp(request.param), {}
    table = rich_table() if request.param == "rich" else shop()
    document = {"plain": SHOP, "rich": RICH, "silent": SILENT}.get(request.param)
    if document is None:
        document, attributes = with_attributes(folder)
    found = run(document, data=table, out=folder / "run")
    model = LiveModel.load(found.folder)
    yield Case(found, model, by_profile(table.to_pylist()), attributes)
    model.close()


def scored(answer: Plain) -> Plain:
    return {key: value for key, value in answer.items() if key not in ("eligible", "reason")}


# --- equal to the run ---------------------------------------------------------------------------------------


def test_every_profile_is_what_the_run_says(case: Case) -> None:
    """In every column, whatever the order of its events; those that were not scored are not eligible."""
    rows, chance = {r["profile_id"]: r for r in case.run.scores.to_pylist()}, random.Random(1)
    assert len(rows) > 80
    for profile_id, events in case.events.items():
        given = chance.sample(events, len(events))
        answer = case.model.score(given, case.attributes.get(profile_id), profile_id=profile_id)
        if profile_id in rows:
            assert (answer["eligible"], answer["reason"]) == (True, None)
            assert scored(answer) == rows[profile_id]
        else:
            assert set(answer) == {"profile_id", "eligible", "reason"}
            assert (answer["eligible"], bool(answer["reason"])) == (False, True)


def test_some_of_every_kind_are_compared(case: Case) -> None:
    rows = case.run.scores.to_pylist()
    assert len({r["bucket"] for r in rows}) > 1
    assert sum(len(r["factors"]) for r in rows) > len(rows)
    assert len(rows) < len(case.events)


def test_events_may_come_as_json(case: Case) -> None:
    rows = {r["profile_id"]: r for r in case.run.scores.to_pylist()}
    for profile_id in list(rows)[:60]:
        plain = json.loads(json.dumps(case.events[profile_id], default=lambda moment: moment.isoformat()))
        assert (
            scored(case.model.score(plain, case.attributes.get(profile_id), profile_id=profile_id)) == rows[profile_id]
        )


def test_events_may_come_by_roles(case: Case) -> None:
    rows = {r["profile_id"]: r for r in case.run.scores.to_pylist()}
    names = {"profile_id": "profile", "amount": "value", "event_id": "id"}
    for profile_id in list(rows)[:60]:
        events = [{names.get(k, k): v for k, v in event.items()} for event in case.events[profile_id]]
        assert (
            scored(case.model.score(events, case.attributes.get(profile_id), profile_id=profile_id)) == rows[profile_id]
        )


def test_several_threads_get_what_one_gets(case: Case) -> None:
    rows = {r["profile_id"]: r for r in case.run.scores.to_pylist()}

    def one(profile_id: str) -> bool:
        return (
            scored(case.model.score(case.events[profile_id], case.attributes.get(profile_id), profile_id=profile_id))
            == rows[profile_id]
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, list(rows)[:100]))


# --- sources of several forms -------------------------------------------------------------------------------


def test_sources_with_columns_of_their_own(tmp_path: Path) -> None:
    """CSV files whose kinds are said by the document; numbers as they are written."""
    table = shop(400, 300, 13)
    rows = table.to_pylist()
    orders = [
        {"customer": r["profile_id"], "bought": f"{r['at']:%Y-%m-%d %H:%M:%S}", "total": f"{r['amount']:.2f}"}
        for r in rows if r["event"] == "purchase"
    ]  # fmt: skip
    visits = [
        {"who": r["profile_id"], "seen": int(r["at"].timestamp()), "category": r["category"]}
        for r in rows if r["event"] == "visit"
    ]  # fmt: skip
    for name, found in (("orders", orders), ("visits", visits)):
        with (tmp_path / f"{name}.csv").open("wb") as file:
            pacsv.write_csv(pa.Table.from_pylist(found), file)
    columns = {"profile": "customer", "at": "bought", "value": "total"}
    document = SHOP | {
        "data": {
            "folder": str(tmp_path),
            "events": [
                {"path": "orders.csv", "kind": "purchase", "columns": columns},
                {"path": "visits.csv", "kind": "visit", "columns": {"profile": "who", "at": "seen"}},
            ],
        }
    }
    found = run(document, out=tmp_path / "run")
    model, expected = LiveModel.load(found.folder), {r["profile_id"]: r for r in found.scores.to_pylist()}
    events = by_profile(orders, "customer")
    for profile_id, more in by_profile(visits, "who").items():
        events.setdefault(profile_id, []).extend(more)
    for profile_id in list(expected)[:200]:
        assert scored(model.score(events[profile_id], profile_id=profile_id)) == expected[profile_id]
    model.close()


def test_a_model_is_compared_with_the_newest_scores(tmp_path: Path) -> None:
    """Scores of a later run, and of the same model."""
    table = shop()
    first = run(SHOP, data=table, as_of="2022-10-01", out=tmp_path / "first")
    later = score(first.folder, data=table, out=tmp_path / "later")
    rows, events = {r["profile_id"]: r for r in later.scores.to_pylist()}, by_profile(table.to_pylist())
    model = LiveModel.load(first.folder / "model", later.folder)
    for profile_id in list(rows)[:100]:
        assert scored(model.score(events[profile_id], profile_id=profile_id)) == rows[profile_id]
    model.close()


# --- cutoffs, eligibility, refusals --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveModel]:
    found = run(SHOP, data=shop(), out=tmp_path_factory.mktemp("plain") / "run")
    model = LiveModel.load(found.folder)
    yield model
    model.close()


def test_the_cutoff_is_the_midnight_after_the_newest_event(plain: LiveModel) -> None:
    def at(moment: str, now: datetime | None = None) -> datetime:
        found: datetime = plain.score([{"at": moment, "event": "visit"}], now=now, regardless=True)["scored_at"]
        return found

    usual = datetime.combine(last_day(), datetime.min.time(), UTC)
    assert at("2022-10-20T10:00:00") == usual  # never before the run's own
    assert at("2022-11-05T10:00:00") == datetime(2022, 11, 6, tzinfo=UTC)
    assert at("2022-11-05T23:59:59.999999Z") == datetime(2022, 11, 6, tzinfo=UTC)
    assert at("2022-11-05", datetime(2022, 11, 7, tzinfo=UTC)) == datetime(2022, 11, 7, tzinfo=UTC)
    assert at("2022-11-05", datetime(2022, 11, 7, 0, 0, 1, tzinfo=UTC)) == datetime(2022, 11, 8, tzinfo=UTC)


def test_todays_events_count(plain: LiveModel) -> None:
    before = [{"at": "2022-10-20T10:00:00", "event": "visit"}]
    bought = [*before, *({"at": f"2022-10-29T1{i}:00:00", "event": "purchase", "amount": 20} for i in range(6))]
    assert plain.score(bought)["probability"] > plain.score(before)["probability"]


def test_who_is_not_eligible_gets_a_number_only_if_it_is_asked_for(plain: LiveModel) -> None:
    old = [{"at": "2022-02-01T10:00:00", "event": "visit"}]
    answer = plain.score(old, profile_id="7")
    assert answer == {"profile_id": "7", "eligible": False, "reason": answer["reason"]}
    assert "90 days" in answer["reason"]
    offered = plain.score(old, profile_id="7", regardless=True)
    assert (offered["eligible"], offered["reason"]) == (False, answer["reason"])
    assert 0 < offered["probability"] < 1
    assert plain.score([])["eligible"] is False
    assert 0 < plain.score([], regardless=True)["probability"] < 1


def test_events_of_the_cutoff_or_later_are_refused(plain: LiveModel) -> None:
    now = datetime(2022, 11, 7, tzinfo=UTC)
    plain.score([{"at": "2022-11-06T23:59:59", "event": "visit"}], now=now)
    with pytest.raises(EventsAfterCutoffError, match="1 of 2 events are of 2022-11-07, the cutoff, or later"):
        plain.score([{"at": "2022-11-07", "event": "visit"}, {"at": "2022-11-01", "event": "visit"}], now=now)
    ahead = datetime.now(UTC) + timedelta(days=3)
    with pytest.raises(EventsAfterCutoffError, match="ahead of the clock"):
        plain.score([{"at": ahead, "event": "visit"}])


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"event": "visit"}, "Event 1 has no time"),
        ({"at": None, "event": "visit"}, "Event 1 has no time"),
        ({"at": "yesterday", "event": "visit"}, "Event 1 has a time that cannot be read"),
        ({"at": "03/04/2022", "event": "visit"}, "cannot be read"),
        ({"at": 5, "event": "visit"}, "cannot be read"),
        ({"at": True, "event": "visit"}, "cannot be read"),
        ({"at": float("nan"), "event": "visit"}, "cannot be read"),
        ({"at": "1969-12-31", "event": "visit"}, "cannot be read"),
        ({"at": "2022-10-01"}, "Event 1 has no kind"),
        ({"at": "2022-10-01", "event": ["visit"]}, "of type list"),
        ({"at": "2022-10-01", "event": "visit", "category": {"a": 1}}, "of type dict"),
        ({"at": "2022-10-01", "event": "visit", "category": "\ud800"}, "surrogate"),
        ("visit", "Event 1 is not a mapping"),
        ({"at": 10**30, "event": "visit"}, "cannot be read"),
        ({"at": "9999-12-31", "event": "visit"}, "cannot be read"),
        ({"at": "2022-10-01", "event": "visit", "value": 10**400}, "larger than numbers can be"),
    ],
)
def test_what_cannot_be_read_is_refused(plain: LiveModel, event: Any, said: str) -> None:
    with pytest.raises(EventsInvalidError, match=said):
        plain.score([event])


def test_texts_may_hold_anything_else(plain: LiveModel) -> None:
    event = {"at": "2022-10-20", "event": "vis\x00it", "category": "\x00'\"; DROP TABLE x", "value": "n/a", "more": {}}
    assert plain.score([event], profile_id="'\x00")["eligible"]
    with pytest.raises(EventsInvalidError, match="surrogate"):
        plain.score([event], profile_id="\ud800")
    with pytest.raises(EventsInvalidError, match="`now` is 9999"):
        plain.score([event], now=datetime(9999, 12, 31))


def test_too_many_events_are_refused(plain: LiveModel) -> None:
    event = {"at": "2022-10-20", "event": "visit"}
    assert plain.score([event] * MAX_EVENTS)["eligible"]
    with pytest.raises(EventsInvalidError, match="10,001 events were given; at most 10,000"):
        plain.score([event] * (MAX_EVENTS + 1))


def test_times_of_every_readable_form_are_one(plain: LiveModel) -> None:
    moment = datetime(2022, 10, 20, 15, 30, tzinfo=UTC)
    seconds = int(moment.timestamp())
    forms = [
        moment, moment.replace(tzinfo=None), moment.isoformat(), "2022-10-20T17:30:00+02:00", "2022-10-20 15:30",
        "2022/10/20 15:30:00", seconds, seconds * 1_000, seconds * 1_000_000, seconds * 1_000_000_000, float(seconds),
        str(seconds),
    ]  # fmt: skip
    answers = [plain.score([{"at": form, "event": "visit"}]) for form in forms]
    assert all(answer == answers[0] for answer in answers)
    day = plain.score([{"at": "2022-10-20", "event": "visit"}])
    assert plain.score([{"at": 20221020, "event": "visit"}]) == day


def test_a_run_of_an_earlier_propend_is_told(tmp_path: Path) -> None:
    found = run(SHOP, data=shop(), out=tmp_path / "run")
    (found.folder / "live.json").unlink()
    with pytest.raises(NotForLiveError, match="run the instance again"):
        LiveModel.load(found.folder)


def test_what_is_kept_comes_back_to_the_last_bit(plain: LiveModel) -> None:
    kept = plain._bearings
    assert len(kept.steps) == 99
    assert np.all(np.diff([s for s in kept.steps if np.isfinite(s)]) >= 0)
