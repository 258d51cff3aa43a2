"""Incremental sources: a run reads new rows and the late ones, and gives what a full reading gives, to the last bit."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import propend
import shops
from growing import KINDS, Growing, InPostgres, InSqlite, growing
from oracle_events import simple_rows
from postgres import databases
from propend import cli
from propend.engines import connect
from propend.engines.mirror_files import Mirror
from propend.errors import ConfigurationError, MirrorFailedError, PropendError
from propend.events import EventRequest, MirrorFacts
from propend.instance import Data, Instance
from propend.pipeline import Run
from propend.protection import USUAL, Forgotten, Mirrors, digest_of
from propend.workspace import Workspace
from propend.workspace.execution import execute
from propend.workspace.journal import Journal
from propend.workspace.standing import standing_of
from servers import serving
from workspaces import document, opened

LATE = 3
COLUMNS = shops.SHOP["data"]["columns"]
CUT = shops.last_day() - timedelta(days=10)


@pytest.fixture(params=KINDS)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Growing:
    server = databases(request) if request.param == "postgresql" else None
    return growing(request.param, tmp_path, server)


@pytest.fixture
def small(tmp_path: Path) -> InSqlite:
    """A table of SQLite with some days of a small shop."""
    found = InSqlite(tmp_path / "small.sqlite")
    found.add(days(0, 20))
    return found


def days(first: int, until: int, seed: int = 7) -> pa.Table:
    """Days of a shop with fifty profiles."""
    events = shops.shop(profiles=50, days=40, seed=seed)
    return between(events, shops.FIRST_DAY + timedelta(days=first), shops.FIRST_DAY + timedelta(days=until))


def between(events: pa.Table, first: date, until: date) -> pa.Table:
    day = pc.cast(events.column("at"), pa.date32())
    return events.filter(pc.and_(pc.greater_equal(day, pa.scalar(first)), pc.less(day, pa.scalar(until))))


def section(given: Growing, **changes: Any) -> dict[str, Any]:
    """The data of an instance, with the source as it is read incrementally; with other keys of it."""
    source = given.source | {"incremental": {"late": f"{LATE} days"}} | changes
    return {"columns": COLUMNS, "events": [{key: value for key, value in source.items() if value is not None}]}


def read(data: dict[str, Any], mirrors: Mirrors | None) -> tuple[list[Any], MirrorFacts | None]:
    """Every event that is read, and how its rows came."""
    with connect(mirrors=mirrors) as session:
        log = session.load(Data(**data), Path(), EventRequest(()))
        rows, (facts,) = simple_rows(log), log.facts.sources
    return rows, facts.mirror


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("*/*"))


# --- what is read ---------------------------------------------------------------------------------------------


def test_a_run_on_new_rows_gives_the_scores_of_a_full_reading(table: Growing, tmp_path: Path) -> None:
    """New rows, late rows, rows that come twice, a row without a time; and only the late days are read again."""
    events = shops.shop()
    late = between(events, CUT - timedelta(days=LATE - 1), CUT).slice(0, 8)
    first = between(events, shops.FIRST_DAY, CUT)
    first = first.filter(pc.invert(pc.is_in(first.column("at"), late.column("at"))))
    new = between(events, CUT, shops.last_day())
    timeless = new.slice(0, 2).set_column(1, "at", pa.nulls(2, events.schema.field("at").type))
    document = shops.SHOP | {"data": section(table)}
    near = replace(USUAL, mirrors=Mirrors(tmp_path / "mirrors"))
    table.add(pa.concat_tables([first, timeless]))
    propend.run(document, out=tmp_path / "first", as_of=CUT, protection=near)
    table.add(pa.concat_tables([late, new, new.slice(0, 5)]))
    again = propend.run(document, out=tmp_path / "again", as_of=shops.last_day(), protection=near)
    whole = propend.run(document, out=tmp_path / "whole", as_of=shops.last_day())

    assert again.scores.drop(["run_id"]).equals(whole.scores.drop(["run_id"]))
    (told,), (alone,) = (run.record["data"]["sources"] for run in (again, whole))
    window = between(pa.concat_tables([first, late]), CUT - timedelta(days=LATE + 1), CUT).num_rows
    assert told["mirror"]["read"] <= window + new.num_rows + 5 + 2 < told["rows"] / 10
    assert (told["mirror"]["read"] + told["mirror"]["kept"], told["mirror"]["why"]) == (told["rows"], "newer")
    assert alone["mirror"] == {"read": told["rows"], "kept": 0, "why": "nowhere"}
    assert again.record["counts"]["set_aside"] == whole.record["counts"]["set_aside"]


def test_days_that_come_one_by_one(table: Growing, tmp_path: Path) -> None:
    mirrors = Mirrors(tmp_path / "mirrors")
    came = []
    for day in range(20, 26):
        table.add(days(0 if day == 20 else day - 1, day))
        rows, facts = read(section(table), mirrors)
        assert facts is not None
        came.append((rows == read(section(table), None)[0], facts.why, facts.kept > 0, facts.read < 40))
    assert came == [(True, "first", False, False)] + [(True, "newer", True, True)] * 5
    assert len(list((tmp_path / "mirrors").glob("*/piece-*"))) == 2, "small pieces are put together"


def test_rows_that_come_later_than_late_are_found_by_the_next_full_reading(small: InSqlite, tmp_path: Path) -> None:
    mirrors = Mirrors(tmp_path / "mirrors")
    before = len(read(section(small), mirrors)[0])
    old = days(2, 4)
    small.add(old)
    small.run("DELETE FROM orders WHERE at < '2022-01-04'")
    assert len(read(section(small), mirrors)[0]) == before
    full = replace(mirrors, full_since=datetime.now(UTC))
    rows, facts = read(section(small), full)
    assert (rows, facts) == (read(section(small), None)[0], MirrorFacts(len(rows), 0, "asked"))
    assert read(section(small), full)[1].why == "newer", "once is enough"  # type: ignore[union-attr]


WHYS = {
    "age": lambda data, table: None,
    "columns": lambda data, table: table.run("ALTER TABLE orders ADD COLUMN more DEFAULT 1"),
    "late": lambda data, table: data["events"][0].update(incremental={"late": 5}),
    "roles": lambda data, table: data.update(columns={k: v for k, v in COLUMNS.items() if k != "value"}),
    "query": lambda data, table: data["events"][0].update(table=None, query="select * from orders"),
}


@pytest.mark.parametrize("name", WHYS)
def test_what_makes_a_reading_full(name: str, small: InSqlite, tmp_path: Path) -> None:
    mirrors, data = Mirrors(tmp_path / "mirrors"), section(small)
    read(data, mirrors)
    assert read(data, mirrors)[1].why == "newer"  # type: ignore[union-attr]
    if name == "age":
        (path,) = (tmp_path / "mirrors").glob("*/manifest.json")
        text = json.loads(path.read_text())
        text["full_at"] = (datetime.now(UTC) - timedelta(days=31)).isoformat()
        path.write_text(json.dumps(text))
    WHYS[name](data, small)
    rows, facts = read(data, mirrors)
    assert facts == MirrorFacts(len(rows), 0, name if name in ("age", "columns") else "first")
    assert read(data, mirrors)[1].why == "newer"  # type: ignore[union-attr]


def test_types_that_later_values_change(small: InSqlite, tmp_path: Path) -> None:
    """SQLite tells no types: a column that was empty and one of whole numbers hold texts later."""
    small.run("CREATE TABLE odd AS SELECT profile_id, at, event, 1 AS amount, NULL AS note FROM orders")
    data = section(small, table="odd")
    mirrors = Mirrors(tmp_path / "mirrors")
    read(data, mirrors)
    whys = []
    for value, note in ((2, "NULL"), (3, "'x'"), (4, "'y'"), (2.5, "NULL")):
        day = f"2022-01-2{len(whys) + 3} 10:00:00"
        small.run(f"INSERT INTO odd VALUES ('p0001', '{day}', 'visit', {value}, {note})")
        rows, facts = read(data, mirrors)
        assert facts is not None
        whys.append((facts.why, rows == read(data, None)[0]))
    assert whys == [("newer", True), ("newer", True), ("newer", True), ("columns", True)]


CLOCKS = {
    "instants": ("timestamptz", "2024-03-01 12:00:00.5+02"),
    "local": ("timestamp", "2024-03-01 12:00:00.5"),
    "dates": ("date", "2024-03-01"),
    "texts": ("text", "2024-03-01T12:00:00"),
    "zones": ("varchar(40)", "2024-03-01T23:00:00-05:00"),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_clocks_of_postgresql(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    kind, newest = CLOCKS[name]
    table = InPostgres(databases(request).new(), kind)
    table.run(f"CREATE TABLE orders (profile_id text, at {kind}, event text, amount float8)")
    old = [newest.replace("2024-03-01", day) for day in ("2024-01-01", "2024-02-20", "2024-02-27", "2999-01-01")]
    values = [*old, newest] + (["infinity", "-infinity"] if not newest.count("T") else ["n/a", ""])
    for value in values:
        table.run(f"INSERT INTO orders VALUES ('ann', '{value}', 'buy', 1)")
    table.run("INSERT INTO orders VALUES ('ann', NULL, 'buy', 1)")
    data = section(table) | {"columns": {"profile": "profile_id", "at": "at", "event": "event", "value": "amount"}}
    mirrors = Mirrors(tmp_path / "mirrors")
    assert read(data, mirrors)[0] == read(data, None)[0]
    table.run(f"INSERT INTO orders VALUES ('bob', '{newest.replace('03-01', '02-28')}', 'buy', 2)")
    table.run(f"INSERT INTO orders VALUES ('bob', '{newest.replace('03-01', '03-02')}', 'buy', 3)")
    rows, facts = read(data, mirrors)
    assert (rows, facts.kept) == (read(data, None)[0], {"zones": 3}.get(name, 2 if "T" not in newest else 3))  # type: ignore[union-attr]


# --- refusals -------------------------------------------------------------------------------------------------


def test_numbers_and_odd_texts_are_no_clock(small: InSqlite, tmp_path: Path) -> None:
    told = []
    for expression in ("CAST(strftime('%s', at) AS INTEGER)", "substr(at, 9, 2) || '/01/2022'"):
        query = f"select profile_id, {expression} as at, event from orders"
        with pytest.raises(ConfigurationError) as caught:
            read(section(small, table=None, query=query) | {"columns": {"profile": "profile_id", "at": "at"}},
                 Mirrors(tmp_path / "mirrors"))  # fmt: skip
        told.append(str(caught.value.mistakes[0]).partition(":")[2].strip())
    assert [t.partition(", ")[0].partition(" such")[0] for t in told] == [
        "'at' holds numbers of type int64", "'at' holds times",
    ]  # fmt: skip
    assert not list((tmp_path / "mirrors").glob("*/*"))


DOCUMENTS = {
    "a file": ({"events": [{"path": "x.csv", "incremental": {"late": "3d"}}]}, "incremental is of a database"),
    "no columns": (
        {"events": [{"database": "x.db", "table": "t", "incremental": {"late": "3d"}}], "columns": {"at": "at"}},
        "name both, as columns: {profile: ..., at: ...}",
    ),
    "no days": ({"events": [{"database": "x.db", "table": "t", "incremental": {"late": 0}}]}, "late"),
    "joined": (
        {
            "events": [{"database": "x.db", "table": "t", "incremental": {"late": 1}}],
            "columns": {"profile": "p", "at": "at"},
            "identities": {"events": {"from": "a", "to": "b"}},
        },
        "ids that events join are looked for in all events each time",
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_that_are_refused(name: str) -> None:
    data, problem = DOCUMENTS[name]
    with pytest.raises(ConfigurationError, match="data") as caught:
        Instance.load(shops.SHOP | {"data": data})
    assert problem in str(caught.value)


def test_a_column_that_is_not_there(small: InSqlite, tmp_path: Path) -> None:
    with pytest.raises(PropendError) as caught:
        read(section(small) | {"columns": COLUMNS | {"at": "att"}}, Mirrors(tmp_path / "mirrors"))
    assert (caught.value.symbol, caught.value.hint) == ("COLUMN_NOT_FOUND", "did you mean 'at'?")


def test_a_folder_that_cannot_be_written(small: InSqlite, tmp_path: Path) -> None:
    (tmp_path / "mirrors").write_text("a file")
    with pytest.raises(MirrorFailedError) as caught:
        read(section(small), Mirrors(tmp_path / "mirrors"))
    assert "cannot be kept" in caught.value.message


# --- what is kept ---------------------------------------------------------------------------------------------


def _cut_short(folder: Path) -> None:
    path = max(folder.glob("*/piece-*"), key=lambda p: p.stat().st_size)
    path.write_bytes(path.read_bytes()[:-9])


def _one_bit(folder: Path) -> None:
    path = max(folder.glob("*/piece-*"), key=lambda p: p.stat().st_size)
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes(raw)


DAMAGES = {
    "cut short": _cut_short,
    "one bit": _one_bit,
    "gone": lambda folder: [p.unlink() for p in folder.glob("*/piece-*")],
    "manifest": lambda folder: [p.write_text("{}") for p in folder.glob("*/manifest.json")],
    "no JSON": lambda folder: [p.write_bytes(b"\x00{") for p in folder.glob("*/manifest.json")],
    "another form": lambda folder: [p.write_text('{"form": 99}') for p in folder.glob("*/manifest.json")],
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_mirror_is_mended_by_reading_all(name: str, small: InSqlite, tmp_path: Path) -> None:
    mirrors = Mirrors(tmp_path / "mirrors")
    whole = read(section(small), mirrors)[0]
    DAMAGES[name](mirrors.folder)
    rows, facts = read(section(small), mirrors)
    assert (rows, facts) == (whole, MirrorFacts(len(whole), 0, "first" if name == "another form" else "damaged"))
    assert read(section(small), mirrors)[1].why == "newer"  # type: ignore[union-attr]
    assert len(files(mirrors.folder)) == 3


def test_what_nobody_named_is_removed(small: InSqlite, tmp_path: Path) -> None:
    mirrors = Mirrors(tmp_path / "mirrors")
    read(section(small), mirrors)
    (folder,) = (p for p in mirrors.folder.iterdir() if p.is_dir())
    (folder / "piece-left.parquet").write_bytes(b"half")
    (folder / "manifest.json.new").write_text("{")
    read(section(small), mirrors)
    assert len(files(mirrors.folder)) == 3


def test_the_earlier_mirror_stays_where_the_database_is_away(small: InSqlite, tmp_path: Path) -> None:
    mirrors = Mirrors(tmp_path / "mirrors")
    read(section(small), mirrors)
    shutil.move(small.path, tmp_path / "away")
    with pytest.raises(PropendError):
        read(section(small), replace(mirrors, full_since=datetime.now(UTC)))
    shutil.move(tmp_path / "away", small.path)
    assert read(section(small), mirrors)[1].why == "newer"  # type: ignore[union-attr]


def test_two_that_read_at_once(small: InSqlite, tmp_path: Path) -> None:
    mirrors, found = Mirrors(tmp_path / "mirrors"), list[Any]()
    small.add(days(20, 22))
    workers = [threading.Thread(target=lambda: found.append(read(section(small), mirrors))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    whole = read(section(small), None)[0]
    assert [rows == whole for rows, _ in found] == [True] * 4
    assert sorted(facts.why for _, facts in found) == ["first", "newer", "newer", "newer"]
    assert len(files(mirrors.folder)) == 3


DYING = """
import json, os, signal, sys
from pathlib import Path
from propend.engines import connect, mirrors
from propend.engines.mirror_files import Mirror
from propend.events import EventRequest
from propend.instance import Data
from propend.protection import Mirrors

place, step, data, folder = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]
room, name = (mirrors, "fetch") if place == "fetch" else (Mirror, place)
work, passed = getattr(room, name), []

def dying(*given, **named):
    passed.append(name)
    found = work(*given, **named) if step > 0 else None
    if len(passed) == abs(step):
        os.kill(os.getpid(), signal.SIGKILL)
    return found if step > 0 else work(*given, **named)

setattr(room, name, dying)
with connect(mirrors=Mirrors(Path(folder))) as session:
    session.load(Data(**data), Path(), EventRequest(()))
"""
"""A reading that kills itself before (-) or after (+) a step is done for that time."""
KILLS = {"rows are read": ("fetch", 1), "a piece is there": ("piece", 1), "before the swap": ("swap", -1),
         "before what was is removed": ("tidy", -2)}  # fmt: skip


@pytest.mark.parametrize("point", KILLS)
def test_killed_while_a_mirror_changes(point: str, small: InSqlite, tmp_path: Path) -> None:
    mirrors, data = Mirrors(tmp_path / "mirrors"), section(small)
    for goes_on_from, new in (("first", days(20, 22)), ("newer", days(22, 24))):
        given = [sys.executable, "-c", DYING, KILLS[point][0], str(KILLS[point][1]), json.dumps(data)]
        died = subprocess.run([*given, str(mirrors.folder)], capture_output=True, timeout=300, check=False)
        assert died.returncode == -signal.SIGKILL, died.stderr.decode()
        small.add(new)
        rows, facts = read(data, mirrors)
        whole = read(data, None)[0]
        swapped = point == "before what was is removed"
        assert (rows == whole, facts.why) == (True, "newer" if swapped else goes_on_from)  # type: ignore[union-attr]
        assert len(files(mirrors.folder)) == 3, "nothing is left of it"


def test_forgotten_people_are_not_kept(small: InSqlite, tmp_path: Path) -> None:
    """Neither those who were forgotten before, nor those who are while rows are read."""
    who: list[str] = []
    key = b"k" * 32

    def forgotten() -> Forgotten | None:
        return Forgotten(key, frozenset(digest_of(i.encode(), key) for i in who)) if who else None

    mirrors = Mirrors(tmp_path / "mirrors", forgotten=forgotten)
    kept = []
    for name in ("", "p0001", "p0002"):
        who += [name] if name else []
        small.add(days(20 + len(who), 21 + len(who)))
        rows, _ = read(section(small), mirrors)
        kept.append(len({row[0] for row in rows} & {"p0001", "p0002"}))
    assert kept == [2, 1, 0]


# --- workspaces and the command line --------------------------------------------------------------------------


def home_with(table: Growing, home: Path, **options: Any) -> Path:
    """A workspace whose instance reads a table incrementally."""
    found = document("Buyers", **options)
    found["data"] = section(table)
    workspace = opened(home, "[retraining]\nafter_days = 9999\n")
    workspace.instances.create(found)
    workspace.close()
    return home


def ran(workspace: Workspace, **options: Any) -> tuple[str, int, Run]:
    """Why rows were read, how many were kept, and the run."""
    run_id = workspace.runs.start("buyers", options=options).id
    assert execute(workspace, run_id), "it is its turn"
    run = workspace.runs.get(run_id)
    assert run.state == "succeeded", run.error
    found = Run.load(workspace.runs.folder(run))
    told = found.record["data"]["sources"][0]["mirror"]
    return told["why"], told["kept"], found


def test_a_workspace_reads_what_is_new_forgets_and_removes(tmp_path: Path) -> None:
    """One life of an instance: two runs, one of them told to read all, somebody who is forgotten, and the end."""
    events, table = shops.shop(), InSqlite(tmp_path / "shop.sqlite")
    table.add(between(events, shops.FIRST_DAY, CUT))
    workspace = Workspace.open(home_with(table, tmp_path / "home"))
    try:
        mirrors = workspace.home / ".propend" / "mirrors" / "buyers"
        whys = [ran(workspace)[:2]]
        table.add(between(events, CUT, shops.last_day()))
        assert standing_of(workspace, workspace.instances.get("buyers")).is_incremental, (
            "the page offers to read everything again"
        )
        why, kept, newer = ran(workspace)
        whys += [(why, kept > 10_000)]
        log = str(Journal(workspace.home, workspace.runs.served("buyers")).lines())
        full = ran(workspace, full=True)
        assert [*whys, full[:2]] == [("first", 0), ("newer", True), ("asked", 0)]
        assert full[2].scores.drop(["run_id"]).equals(newer.scores.drop(["run_id"]))
        assert "rows read from the database (newer)" in log

        someone = newer.scores.column("profile_id")[0].as_py()
        removal = workspace.privacy.forget(someone)
        theirs = pc.sum(pc.equal(events.column("profile_id"), someone)).as_py()
        assert (removal.mirrored, ids_kept(mirrors) & {someone}) == (theirs, set())
        why, kept, later = ran(workspace)
        assert (why, someone in later.scores.column("profile_id").to_pylist()) == ("newer", False)
        assert ran(workspace, full=True)[2].scores.drop(["run_id"]).equals(later.scores.drop(["run_id"]))
        assert ids_kept(mirrors) & {someone} == set(), "the database still has the person, and a full reading did not"

        changed = workspace.instances.version("buyers").document
        del changed["data"]["events"][0]["incremental"]
        workspace.instances.edit("buyers", changed)
        assert not standing_of(workspace, workspace.instances.get("buyers")).is_incremental
        assert execute(workspace, workspace.runs.start("buyers").id)
        assert not list(mirrors.glob("*/*")), "what no source needs any more is removed"
        workspace.delete("buyers")
        assert not mirrors.exists()
    finally:
        workspace.close()


def ids_kept(folder: Path) -> set[str]:
    """Ids in all pieces of an instance's mirrors."""
    tables = [pq.read_table(path, columns=["profile_id"]) for path in folder.glob("*/piece-*")]
    assert tables
    return set(pa.concat_tables(tables).column("profile_id").to_pylist())


def test_somebody_is_forgotten_while_a_run_reads(small: InSqlite, tmp_path: Path) -> None:
    """The mirror is cleared without waiting for the database, and what is read then has nothing of the person."""
    workspace = Workspace.open(home_with(small, tmp_path / "home"))
    try:
        place = workspace.mirrors.of("buyers")
        read(section(small), place)
        small.add(days(20, 22))
        (folder,) = (p for p in place.folder.iterdir() if p.is_dir())
        with Mirror(folder).reading():
            assert workspace.privacy.forget("p0001").mirrored > 0
        read(section(small), place)
        assert "p0001" not in ids_kept(place.folder)
    finally:
        workspace.close()


def test_a_damaged_mirror_does_not_keep_anybody_from_being_forgotten(small: InSqlite, tmp_path: Path) -> None:
    workspace = Workspace.open(home_with(small, tmp_path / "home"))
    try:
        place = workspace.mirrors.of("buyers")
        read(section(small), place)
        _cut_short(place.folder)
        assert workspace.privacy.forget("p0001").mirrored == 0
        assert files(place.folder) == []
    finally:
        workspace.close()


def test_the_command_line_keeps_a_mirror_where_it_is_told(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    table = InSqlite(tmp_path / "shop.sqlite")
    table.add(shops.shop())
    (tmp_path / "first.json").write_text(json.dumps(shops.SHOP | {"data": section(table)}))
    told = []
    for more in ([], ["--mirror", "kept"], ["--mirror", "kept"], ["--mirror", "kept", "--full"]):
        monkeypatch.chdir(tmp_path)
        call = ["propend", "run", "first.json", "--as-of", str(shops.last_day()), "--out", "run", *more]
        monkeypatch.setattr(sys, "argv", call)
        with pytest.raises(SystemExit) as left:
            cli.main()
        shown = capsys.readouterr()
        assert not left.value.code, shown.err
        (line,) = (text for text in shown.out.splitlines() if "rows read from the database" in text)
        told.append(line.partition("database, ")[2])
    assert told[0] == "all: name a folder to keep them in: --mirror DIR"
    assert told[1] == "all: there were none from an earlier run"
    assert told[2].endswith("kept from before")
    assert told[3] == "all: that was asked for"


def test_everything_is_read_again_where_that_is_asked_for(small: InSqlite, tmp_path: Path) -> None:
    """Over REST by the client, and by the page's form."""
    home = home_with(small, tmp_path / "home")
    with serving(home, "--no-auth") as server, propend.connect(server.url) as client:
        client.create(document("Others") | {"data": section(small, incremental=None)})
        asked = [client.run("buyers", wait=False, full=True)]
        with httpx.Client(base_url=server.url, timeout=120.0) as http:
            csrf = http.get("/instances/others").text.split('name="csrf_token" value="')[1].split('"')[0]
            answer = http.post("/instances/others/runs", data={"csrf_token": csrf, "full": "true"})
        asked.append(client.get_run(answer.headers["location"].rpartition("/")[2]))
        for run in asked:
            client.cancel(run["id"])
    assert [run["options"] for run in asked] == [{"full": True}] * 2
