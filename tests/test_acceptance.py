"""The reference spec's acceptance vectors (appendix C) on the core and on what becomes of scores, by their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import propend
from propend import errors
from propend.instance import Instance
from propend.model.checks import gate_quality
from propend.scoring import BUCKETS, buckets_of
from propend.snapshots.program import eligibility_days, lines_of
from propend.timeline import Windows
from propend.workspace import Workspace
from propend.workspace.execution import execute
from propend.workspace.segments import Segments
from servers import serving
from shops import (
    DAYS,
    FIRST_DAY,
    SECONDS,
    SHOP,
    before,
    instance,
    last_day,
    no_signal,
    plus,
    regulars,
    shifted,
    shop,
    table,
    with_options,
)
from workspaces import document, made


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return shop()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, events: pa.Table) -> propend.Run:
    return propend.run(SHOP, data=events, out=tmp_path_factory.mktemp("acceptance") / "run")


def _eligible(*lookbacks: str) -> dict[str, Any]:
    return {"all_of": [{"did": "buy", "within": days} for days in lookbacks]}


def _needed(eligible: dict[str, Any] | None, within: str) -> int:
    parsed = Instance.load(instance(eligible=eligible, goal={"any_of": ["buy"], "within": within}))
    return Windows(
        outcome_days=parsed.goal.within_days,
        reach_days=parsed.goal.reach_days,
        eligibility_days=eligibility_days(lines_of(parsed)),
    ).history_needed_days


def test_t1_to_t4_history_needed() -> None:
    assert [
        _needed(_eligible("60d"), "30d"),
        _needed(None, "7d"),
        _needed(_eligible("7d"), "7d"),
        _needed(_eligible("14d", "75d"), "30d"),
    ] == [90, 52, 37, 105]


def test_t5_one_day_short(events: pa.Table, tmp_path: Path) -> None:
    document = instance(eligible=_eligible("60d"))
    with pytest.raises(errors.NotEnoughHistoryError, match=r"89 days of events are there.*; 90 are needed"):
        propend.run(document, data=before(events, last_day(89)), out=tmp_path / "out")
    assert propend.check(document, data=before(events, last_day(90))).document["timeline"]["history_days"] == 90


def test_t6_499_met_the_goal(tmp_path: Path) -> None:
    with pytest.raises(errors.NotEnoughObjectiveError, match=r"499 profiles met the goal.*at least 500 are needed"):
        propend.run(with_options(minimum=500), data=regulars(499, 600), out=tmp_path / "out")
    enough = propend.check(with_options(minimum=500), data=regulars(500, 600)).document
    assert (enough["refusals"], enough["outcomes"]["met"]) == ([], 500)


def _alternating(profiles: int) -> pa.Table:
    """Half buy in the odd months, half in the even ones: all met the goal once, and all missed it once."""
    days = np.arange(0, 155, 7)
    profile, day = np.repeat(np.arange(profiles), len(days)), np.tile(days, profiles)
    buying = (day - 5) // 30 % 2 == profile % 2
    seconds = day * SECONDS + profile
    return table(
        np.concatenate([profile, profile[buying]]),
        np.concatenate([seconds, seconds[buying] + 1]),
        np.repeat(["visit", "purchase"], [len(profile), int(buying.sum())]),
    )


def test_t7_499_eligible(tmp_path: Path) -> None:
    document = with_options(minimum=500)
    with pytest.raises(errors.NotEnoughPopulationError, match=r"499 profiles were eligible.*at least 500 are needed"):
        propend.run(document, data=_alternating(499), out=tmp_path / "out")
    outcomes = propend.check(document, data=_alternating(500)).document["outcomes"]
    assert (outcomes["eligible"], outcomes["met"], outcomes["unmet"], outcomes["minimum"]) == (500, 500, 500, 500)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"goal": {"any_of": ["rare"], "within": "30d"}}, errors.NoObjectiveError),
        ({"eligible": {"did": "rare", "within": "90d"}}, errors.NoPopulationError),
    ],
)
def test_t8_none_is_another_error_than_few(
    changes: dict[str, Any], expected: type[propend.PropendError], tmp_path: Path
) -> None:
    once = plus(regulars(30, 30), profile=[0], day=[1], event="rare")
    with pytest.raises(expected):
        propend.run(instance(**changes), data=once, out=tmp_path / "out")


def test_t9_everybody_met_the_goal(tmp_path: Path) -> None:
    with pytest.raises(errors.SingleValueError):
        propend.run(SHOP, data=regulars(60, 0), out=tmp_path / "out")


def test_t10_no_signal_writes_no_scores(tmp_path: Path) -> None:
    with pytest.raises(errors.BadModelError):
        propend.run(SHOP, data=no_signal(), out=tmp_path / "out")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(("auc", "passes"), [(0.649, False), (0.6499999, False), (0.65, True)])
def test_mo_08_the_bar_itself_passes(auc: float, passes: bool) -> None:
    evaluation = {
        "auc": {"value": auc, "low": auc - 0.05, "high": auc + 0.05},
        "verdict": {"better_than_chance": True},
    }
    if passes:
        assert gate_quality(evaluation, 0.65) is None
    else:
        with pytest.raises(errors.BadModelError, match=r"at least 0.65 is asked for"):
            gate_quality(evaluation, 0.65)


@pytest.mark.parametrize(
    ("with_people", "expected"), [(True, errors.NoEventDataError), (False, errors.NoInputDataError)]
)
def test_t11_nothing_left_after_preparation(
    with_people: bool, expected: type[propend.PropendError], tmp_path: Path
) -> None:
    (tmp_path / "people.csv").write_text("profile_id,country\np0001,DE\n")
    data = {"folder": str(tmp_path)}
    if with_people:
        data["attributes"] = {"path": "people.csv", "profile": "profile_id", "constant": True}  # type: ignore[assignment]
    future = shifted(regulars(30, 30), 365 * 200)
    with pytest.raises(
        expected, match=f"No events are left of {len(future):,} rows read: {len(future):,} in the future"
    ):
        propend.run(instance(data=SHOP["data"] | data), data=future, out=tmp_path / "out")


def test_t12_an_empty_eligibility_window(finished: propend.Run, events: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(errors.NoScoringDataError):
        propend.score(finished.folder, data=events, as_of=last_day() + timedelta(days=91), out=tmp_path / "out")


def test_t13_scores_of_another_world(finished: propend.Run, tmp_path: Path) -> None:
    crowd = pa.concat_tables(shop(seed=s) for s in range(20, 60))
    with pytest.raises(errors.IneligibleScoresError):
        propend.score(finished.folder, data=crowd, out=tmp_path / "out")


def test_t16_the_outcome_alone_is_no_behaviour(tmp_path: Path) -> None:
    bare = shop().filter(pc.field("event") == "purchase").select(["profile_id", "at", "event"])
    data = {"columns": {"profile": "profile_id", "at": "at", "event": "event"}}
    goal = {"any_of": ["purchase"], "within": "30d"}
    with pytest.raises(errors.NoBehaviourError, match=f"Every one of {len(bare):,} events is 'purchase'"):
        propend.run({"name": "bare", "data": data, "goal": goal}, data=bare, out=tmp_path / "out")


def test_t17_what_is_older_than_the_look_back_tells_of_the_level_alone(tmp_path: Path) -> None:
    """The reference's year, asked for. Eight cutoffs, the earliest on day 530: no feature looks before day 165.

    Base rates of earlier years enter the forecast of the level, which moves all log-odds by the same amount.
    """
    long = shop(200, 800)
    day = _days(long)
    without = long.filter(pa.array((day < 1) | (day >= 165)))
    a_year = SHOP | {"options": SHOP.get("options", {}) | {"lookback": "365d"}}
    whole = propend.run(a_year, data=long, out=tmp_path / "whole")
    first = datetime.fromisoformat(whole.record["timeline"]["cutoffs"][0]["cutoff_at"])
    assert (first.date(), whole.record["timeline"]["lookback_days"]) == (FIRST_DAY + timedelta(days=530), 365)
    assert len(without) < len(long)
    rest = propend.run(a_year, data=without, out=tmp_path / "without")
    same = ["profile_id", "percentile", "factors"]
    assert whole.scores.select(same).to_pylist() == rest.scores.select(same).to_pylist()
    odds = [np.log(p / (1 - p)) for p in (r.scores["probability"].to_numpy() for r in (whole, rest))]
    assert np.ptp(odds[0] - odds[1]) < 1e-9


def _days(events: pa.Table) -> np.ndarray:
    at = events.column("at").cast(pa.int64()).to_numpy() // 1_000_000
    return (at - int(datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC).timestamp())) // SECONDS


def _figures(run: propend.Run) -> list[dict[str, Any]]:
    """Every score with its factors; all but the run's own name."""
    return run.scores.drop(["run_id"]).to_pylist()


def test_t18_an_id_counts_once(finished: propend.Run, events: pa.Table, tmp_path: Path) -> None:
    ids = events.append_column("_id", pa.array([f"e{i}" for i in range(len(events))]))
    twice = pa.concat_tables([ids, ids.slice(0, 4000)])
    run = propend.run(SHOP, data=twice, out=tmp_path / "out")
    assert run.record["counts"]["set_aside"]["duplicate"] == 4000
    assert _figures(run) == _figures(finished)


def test_t19_will_not_occur_is_the_complement(events: pa.Table) -> None:
    def counted(combinator: str) -> list[tuple[int, int]]:
        goal = {combinator: ["buy", "visit"], "within": "30d"}
        document = with_options(was_doing=False) | {"goal": goal}
        cutoffs = propend.check(document, data=events).document["timeline"]["cutoffs"][:-1]
        return [(c["snapshots"], c["positives"]) for c in cutoffs]

    will = counted("all_of")
    assert counted("not_all_of") == [(n, n - met) for n, met in will]
    assert all(0 < met < n for n, met in will)


def test_t20_factors_call_a_custom_event_by_its_name(events: pa.Table, tmp_path: Path) -> None:
    named = {"buy": {"is": "purchase"}, "Watch purchase": {"is": "purchase", "where": {"category": {"eq": "bags"}}}}
    goal = {"any_of": ["Watch purchase"], "within": "30d"}
    run = propend.run(instance(events=named, goal=goal), data=events, out=tmp_path / "out")
    labels = {f["label"] for row in run.scores.column("factors").to_pylist() for f in row}
    assert any("Watch purchase" in label for label in labels), labels


def test_t21_the_first_day_of_the_outcome_window_is_no_past(
    finished: propend.Run, events: pa.Table, tmp_path: Path
) -> None:
    """Standing at a midnight, what happens at that very instant changes no score."""
    day = last_day(280)
    noon = plus(before(events, day), profile=list(range(200)) * 3, day=[280] * 600, event="purchase")
    at_midnight = pc.if_else(pc.greater_equal(noon["at"], _midnight(day)), _midnight(day), noon["at"].combine_chunks())
    crowded = noon.set_column(1, "at", at_midnight)
    runs = [
        propend.score(finished.folder, data=data, as_of=day, out=tmp_path / name)
        for name, data in (("quiet", before(events, day)), ("crowded", crowded))
    ]
    assert runs[1].record["counts"]["set_aside"]["after_as_of"] == 600
    assert _figures(runs[0]) == _figures(runs[1])


def _midnight(day: date) -> pa.Scalar:
    return pa.scalar(datetime(day.year, day.month, day.day, tzinfo=UTC), pa.timestamp("us", tz="UTC"))


def test_t22_scores_keep_their_ranges_and_agree_in_rank(finished: propend.Run) -> None:
    rows = finished.scores
    score, probability, percentile = (rows.column(n).to_numpy() for n in ("score", "probability", "percentile"))
    assert 0 <= score.min() <= score.max() <= 100
    assert 0 < probability.min() <= probability.max() < 1
    assert (percentile.min(), percentile.max()) == (1, 100)
    order = np.argsort(probability, kind="stable")
    assert np.all(np.diff(score[order]) >= 0)
    assert np.all(np.diff(percentile[order]) >= 0)


def test_t23_each_score_is_in_exactly_one_bucket() -> None:
    scores = np.array([0, 23.9, 24, 24.5, 24.999, 25, 74.5, 74.999, 75, 100], dtype=np.float32)
    assert [BUCKETS[b] for b in buckets_of(scores)] == ["low"] * 5 + ["medium"] * 3 + ["high"] * 2


def test_t23_the_buckets_of_a_file_follow_its_scores(finished: propend.Run) -> None:
    rows = finished.scores
    expected = [BUCKETS[b] for b in buckets_of(rows.column("score").to_numpy())]
    assert rows.column("bucket").to_pylist() == expected
    assert set(expected) == set(BUCKETS)


def test_t25_at_most_ten_factors_per_bucket(finished: propend.Run) -> None:
    cards = finished.insights["buckets"]
    assert [c["bucket"] for c in cards] == ["high", "medium", "low"]
    assert all(0 < len(c["factors"]) <= 10 for c in cards)
    named = [f["importance"] for row in finished.scores.column("factors").to_pylist() for f in row]
    assert set(named) == {"low", "medium", "high"}


# --- T29: profile off: dataset written, profile store untouched, no Create segment button ------------------------


XDM = {"tenant": "acme", "format": "parquet"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two instances that have scores of the same profiles; those of ``quiet`` enrich none."""
    found = made(tmp_path_factory.mktemp("enrich") / "shop")
    with closing(Workspace.open(found)) as workspace:
        for name, options in (("Buyers", {}), ("Quiet", {"enrich": False})):
            made_of = workspace.instances.create(document(name, **options))
            workspace.destinations.create(made_of.id, "Scores", "file", {"format": "parquet"})
            workspace.destinations.create(made_of.id, "Shelf", "table", {"file": "people.parquet"}, enabled=False)
            assert execute(workspace, workspace.runs.start(made_of.id).id)
    return found


@pytest.fixture
def space(home: Path) -> Iterator[Workspace]:
    with closing(Workspace.open(home)) as found:
        yield found


def _one(space: Workspace) -> str:
    run = space.runs.folder(space.runs.served("quiet"))
    return str(pq.read_table(run / "scores.parquet").column("profile_id")[0].as_py())


def _shelf(space: Workspace, instance_id: str) -> int:
    return next(row.id for row in space.destinations.all(instance_id) if row.kind == "table")


def test_t29_the_dataset_is_written_and_the_history_of_events_too(space: Workspace) -> None:
    scored = pq.read_table(space.runs.folder(space.runs.served("quiet")) / "scores.parquet")
    assert pq.read_table(space.home / "exports" / "quiet-all.parquet").num_rows == scored.num_rows
    history = space.destinations.create("quiet", "History", "xdm-event", XDM)
    done = space.pushing.work(space.pushing.ask(history.id).id)
    assert (done.state, done.rows) == ("succeeded", scored.num_rows)
    assert space.pushing.export("quiet", str(space.home / "by-hand.csv"))["rows"] == scored.num_rows


def test_t29_places_that_hold_profiles_refuse_the_scores(space: Workspace) -> None:
    hint = "set `enrich: true` under `options`"
    for kind, options in (("table", {"file": "people.parquet"}), ("xdm-profile", XDM)):
        with pytest.raises(errors.NotEnrichedError, match="'quiet' do not enrich profiles") as refused:
            space.destinations.create("quiet", f"Of {kind}", kind, options)
        assert refused.value.code == "PROPEND-264"
        assert hint in (refused.value.hint or "")
    with pytest.raises(errors.NotEnrichedError):
        space.pushing.ask(_shelf(space, "quiet"))
    with pytest.raises(errors.NotEnrichedError):
        row = space.destinations.get(_shelf(space, "quiet"))
        space.pushing.change(row.id, name=row.name, options=row.options, segment_id=None, enabled=True)
    assert space.pushing.work(space.pushing.ask(_shelf(space, "buyers")).id).state == "succeeded"
    columns = pq.read_schema(space.home / "exports" / "people.parquet").names
    assert {c.partition("_")[0] for c in columns} == {"profile", "buyers"}


def test_t29_what_was_asked_for_before_is_refused_when_its_turn_comes(space: Workspace) -> None:
    asked = space.destinations.ask(_shelf(space, "quiet"), space.runs.served("quiet"))
    ended = space.pushing.work(asked.id)
    assert (ended.state, (ended.error or {})["symbol"]) == ("failed", "NOT_ENRICHED")


def test_t29_no_segments_are_made_of_the_scores_nor_beside_them(space: Workspace) -> None:
    with pytest.raises(errors.NotEnrichedError):
        Segments(space.catalog, space.instances).create("quiet", "High", "bucket = 'high'")
    with pytest.raises(errors.NotEnrichedError):
        Segments(space.catalog, space.instances).create("buyers", "Both", "bucket = 'high' and quiet:bucket = 'low'")
    plain = Segments(space.catalog, space.instances).create("buyers", "High", "bucket = 'high'")
    with pytest.raises(errors.NotEnrichedError):
        Segments(space.catalog, space.instances).change(plain.id, "Both", "quiet:bucket = 'low'")
    with pytest.raises(errors.NotEnrichedError):
        space.pushing.export("buyers", str(space.home / "both.csv"), where="quiet:bucket = 'low'")
    Segments(space.catalog, space.instances).remove(plain.id)


def test_t29_look_ups_and_pages_do_not_show_the_scores_and_say_so(space: Workspace) -> None:
    one, api = _one(space), "/api/v1"
    with serving(space.home, "--no-auth") as server, httpx.Client(base_url=server.url, timeout=60) as http:
        found = http.get(f"{api}/profiles/{one}").json()
        assert (set(found["scores"]), found["not_shown"]) == ({"buyers"}, ["quiet"])
        many = http.post(f"{api}/profiles/lookup", json={"ids": [one], "instances": ["quiet"]}).json()
        assert many == {"items": [], "missing": [one], "unreadable": [], "not_shown": ["quiet"], "next": None}
        nobody = http.get(f"{api}/profiles/nobody").json()["error"]
        assert nobody["facts"] == {"not_shown": ["quiet"]}
        refused = http.post(f"{api}/instances/quiet/segments", json={"name": "High", "where": "bucket = 'high'"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "PROPEND-264")
        beside = http.get(f"{api}/instances/buyers/scores", params={"where": "quiet:bucket = 'low'"})
        assert beside.json()["error"]["code"] == "PROPEND-264"
        with propend.connect(server.url) as served:
            assert (set(served.profiles([one])[one]), served.profile(one)["not_shown"]) == ({"buyers"}, ["quiet"])
        assert http.get(f"{api}/instances/quiet/scores").status_code == 200
        person, people = (http.get(f"/profiles{end}", headers={"Accept": "text/html"}).text for end in (f"/{one}", ""))
        assert 'Not shown here: <a href="/instances/quiet">Quiet</a>' in person
        assert 'Not here: <a href="/instances/quiet">Quiet</a>' in people
        assert '<option value="quiet"' not in people


def test_t29_pages_have_no_button_for_a_segment(space: Workspace) -> None:
    with serving(space.home, "--no-auth") as server, httpx.Client(base_url=server.url, timeout=60) as http:
        for tab in ("", "/audience"):
            on, off = (http.get(f"/instances/{name}{tab}").text for name in ("buyers", "quiet"))
            assert ("/segments/new?" in on, "/segments/new?" in off) == (True, False)
        assert "These scores enrich no profiles" in http.get("/instances/quiet").text
        form = http.get("/segments/new?instance=quiet").text
        assert ('<option value="buyers"' in form, '<option value="quiet"' in form) == (True, False)
        draft = {"instance": "quiet", "name": "High", "where": "bucket = 'high'"}
        saved = http.post("/segments", data=draft, headers={"Origin": server.url})
        assert (saved.status_code, "do not enrich profiles" in saved.text) == (409, True)


def test_t29_the_newest_version_decides_and_nothing_is_trained_for_it(home: Path) -> None:
    with closing(Workspace.open(home)) as space:
        version = space.instances.get("quiet").version
        space.instances.edit("quiet", document("Quiet"), expected=version)
        assert space.instances.held_back() == frozenset()
        before, after = (space.instances.version("quiet", n).hash for n in (version, version + 1))
        assert before == after
        assert Segments(space.catalog, space.instances).create("quiet", "High", "bucket = 'high'").name == "High"
        space.instances.edit("quiet", document("Quiet", enrich=False), expected=version + 1)
        assert space.instances.held_back() == {"quiet"}


def test_the_shop_is_the_one_the_vectors_speak_of(finished: propend.Run) -> None:
    """The numbers above rest on this: 300 days, a proof on day 270, training before it."""
    timeline = finished.record["timeline"]
    assert (timeline["history_days"], timeline["proof_kind"]) == (DAYS, "out-of-time")
    proof = [c["cutoff_at"][:10] for c in timeline["cutoffs"] if c["role"] == "proof"]
    assert proof == [str(FIRST_DAY + timedelta(days=270))]
