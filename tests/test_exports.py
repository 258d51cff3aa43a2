"""Kinds of destinations one by one: files on a disk, and tables in a real PostgreSQL."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deliveries import delivery, scores
from postgres import databases
from propend.errors import (
    ConfigurationError,
    DestinationNotFoundError,
    DestinationRefusedError,
    OlderRunError,
    PushFailedError,
)
from propend.exports import Delivery, Past, Place, Pushed, can_rehearse, destination, kind_of, kinds, options_of
from propend.store.erasure import exactly

PEOPLE = [f"p{n:03}" for n in range(40)]


def place(home: Path) -> Place:
    return Place(home, (home / "exports",))


# --- kinds and options ----------------------------------------------------------------------------------------


def test_kinds_are_known_by_name_and_options_are_checked_all_at_once() -> None:
    assert kinds() == ["file", "postgres", "table", "xdm-profile", "xdm-event", "webhook"]
    with pytest.raises(DestinationNotFoundError, match="no kind of destination 'fax'"):
        kind_of("fax")
    with pytest.raises(ConfigurationError) as refused:
        options_of("file", {"format": "xls", "nmae": "x", "name": "{day}"})
    assert [m.place for m in refused.value.mistakes] == ["name", "format", "nmae"]
    for url in ("postgresql://u:secret@db/crm", "mysql://db/crm", "env:not-a-name"):
        with pytest.raises(ConfigurationError) as refused:
            options_of("postgres", {"url": url, "table": "scores", "password": "secret"})
        assert [m.place for m in refused.value.mistakes] == ["url", "password"]
        assert "secret'" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="table"):
        options_of("postgres", {"url": "postgresql://db/crm", "table": "scores; drop table x"})


# --- files ----------------------------------------------------------------------------------------------------


def pushed(home: Path, table: pa.Table, **options: Any) -> tuple[Pushed, Path]:
    done = destination("file", options, place(home)).push(delivery(table), Past())
    return done, Path(done.facts["files"][0])


def read(path: Path) -> list[dict[str, Any]]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if ".csv" in path.name:
        return list(csv.DictReader(io.StringIO(raw.decode(), newline="")))
    return [json.loads(line) for line in raw.splitlines()]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_file_has_every_row_and_is_the_same_again(tmp_path: Path, form: str, packed: bool) -> None:
    table = scores(PEOPLE)
    done, path = pushed(tmp_path, table, format=form, gzip=packed)
    first = path.read_bytes()
    assert (done.rows, path.parent, [p.name for p in path.parent.iterdir()]) == (40, tmp_path / "exports", [path.name])
    assert path.name == f"buyers-all.{form}" + (".gz" if packed and form != "parquet" else "")
    if form == "parquet":
        assert pq.read_table(path).equals(table)
    else:
        found = read(path)
        assert [r["profile_id"] for r in found] == PEOPLE
        assert [float(r["probability"]) for r in found] == table.column("probability").to_pylist()
    if form == "csv":
        assert [(r["raised_by"], r["lowered_by"]) for r in found[:3]] == [
            ("", ""), ('Days since "it", all', ""), ('Days since "it", all', "Spent"),
        ]  # fmt: skip
    if form == "jsonl":
        whole = table.to_pylist()[2]
        sparse = {k: v for k, v in whole.items() if v is not None}
        instants = {k: whole[k].isoformat() for k in ("scored_at", "expires_at")}
        assert found[2] == sparse | instants
    assert pushed(tmp_path, table, format=form, gzip=packed)[1].read_bytes() == first


def test_no_cell_of_a_sheet_is_a_formula(tmp_path: Path) -> None:
    ids = sorted(["=1+1", "+1", "-1", "@x", "\tt", "\rr", "plain", 'a"b,c', "line\nbreak", "'quoted"])
    _, path = pushed(tmp_path, scores(ids))
    found = [row["profile_id"] for row in read(path)]
    assert found == [f"'{i}" if i[0] in "=+-@\t\r" else i for i in ids]
    for gone in ids:
        assert destination("file", {}, place(tmp_path)).forget(exactly(gone), _past(path)) == 1
    assert read(path) == []


def test_names_say_what_they_are_asked_to(tmp_path: Path) -> None:
    done, path = pushed(tmp_path, scores(PEOPLE), name="{scored_at}/{instance}-{audience}-{run_id}")
    assert path == tmp_path / "exports" / "2024-03-02" / "buyers-all-run-1.csv"
    assert destination("file", {}, place(tmp_path)).retract("buyers/all", Past((done.facts,))).facts == {
        "files_removed": 1
    }
    assert not path.exists()


@pytest.mark.parametrize("options", [
    {"folder": ".."}, {"folder": "/etc"}, {"folder": "exports/../../x"}, {"name": "../up"}, {"name": "/etc/x"},
    {"folder": "link"},
])  # fmt: skip
def test_files_go_only_where_they_may(tmp_path: Path, options: dict[str, str]) -> None:
    home = tmp_path / "home"
    (home / "exports").mkdir(parents=True)
    (home / "link").symlink_to(tmp_path)
    with pytest.raises(DestinationRefusedError, match="No file may be written"):
        pushed(home, scores(PEOPLE), **options)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["exports", "home", "link"]


def _past(*files: Path) -> Past:
    return Past(({"files": [str(f) for f in files]},))


@pytest.mark.parametrize("options", [
    {}, {"gzip": True}, {"format": "jsonl"}, {"format": "jsonl", "gzip": True}, {"format": "parquet"},
])  # fmt: skip
def test_a_person_is_taken_out_of_files(tmp_path: Path, options: dict[str, Any]) -> None:
    _, path = pushed(tmp_path, scores(PEOPLE), **options)
    kept = destination("file", options, place(tmp_path))
    assert (kept.forget(exactly("p007"), _past(path)), kept.forget(exactly("p007"), _past(path))) == (1, 0)
    found = pq.read_table(path).to_pylist() if path.suffix == ".parquet" else read(path)
    assert [r["profile_id"] for r in found] == [p for p in PEOPLE if p != "p007"]


def test_a_push_that_fails_leaves_the_file_before(tmp_path: Path) -> None:
    _, path = pushed(tmp_path, scores(PEOPLE))
    before = path.read_bytes()

    def breaking() -> Iterator[pa.RecordBatch]:
        yield scores(PEOPLE[:5]).to_batches()[0]
        raise OSError(28, "No space left on device")

    plain = delivery(scores(PEOPLE))
    broken = Delivery(**{**vars(plain), "parts": breaking})
    with pytest.raises(PushFailedError, match="No space left on device"):
        destination("file", {}, place(tmp_path)).push(broken, Past())
    assert (path.read_bytes(), list(path.parent.iterdir())) == (before, [path])


@pytest.mark.parametrize(
    "options",
    [{"format": "csv"}, {"format": "csv", "gzip": True}, {"format": "jsonl"}, {"format": "parquet"}],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_a_rehearsal_writes_a_few_rows_and_leaves_nothing(tmp_path: Path, options: dict[str, Any]) -> None:
    into, whole = destination("file", options | {"folder": "exports/deep/er"}, place(tmp_path)), scores(PEOPLE)
    first = into.rehearse(delivery(whole))
    assert first.says[0] == "5 rows were written in exports/deep/er and removed again."
    assert first.says[1].startswith("There is no buyers-all.")
    assert [one in first.shown for one in (PEOPLE[0], PEOPLE[4], PEOPLE[5])] == [True, True, False]
    assert list(tmp_path.iterdir()) == []  # not even the folders
    into.push(delivery(whole), Past())
    (path,) = (tmp_path / "exports" / "deep" / "er").iterdir()
    before = path.read_bytes()
    assert "a push replaces it" in into.rehearse(delivery(scores(PEOPLE[7:]), 2)).says[1]
    assert (path.read_bytes(), list(path.parent.iterdir())) == (before, [path])
    nobody = into.rehearse(delivery(scores([])))
    assert nobody.says[0].startswith("A file without rows was written in exports/deep/er")


def test_a_rehearsal_of_xdm_shows_rows_of_its_form(tmp_path: Path) -> None:
    for kind in ("xdm-profile", "xdm-event"):
        found = destination(kind, {"tenant": "acme"}, place(tmp_path)).rehearse(delivery(scores(PEOPLE)))
        first = json.loads(found.shown.splitlines()[0])
        assert first["identityMap"]["CRMID"][0]["id"] == PEOPLE[0]
    assert list(tmp_path.iterdir()) == []


def test_a_rehearsal_fails_as_a_push_would(tmp_path: Path) -> None:
    (tmp_path / "exports").write_text("a file, where the folder should be")
    with pytest.raises(PushFailedError, match="cannot be written"):
        destination("file", {}, place(tmp_path)).rehearse(delivery(scores(PEOPLE)))
    assert all(map(can_rehearse, kinds()))


# --- PostgreSQL -------------------------------------------------------------------------------------------------


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    return databases(request).new()


@pytest.fixture
def ask(url: str) -> Iterator[Callable[..., list[Any]]]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield lambda text, *values: _asked(connection, text, values)


def _asked(connection: psycopg.Connection[Any], text: str, values: tuple[Any, ...]) -> list[Any]:
    found = connection.execute(text, values)  # type: ignore[call-overload]
    return list(found.fetchall()) if found.description else []


def table_of(url: str, **options: Any) -> Any:
    return destination("postgres", {"url": url, "table": "crm.scores"} | options, Place(Path()))


def standing(ask: Callable[..., list[Any]]) -> dict[str, float]:
    return dict(ask("SELECT profile_id, probability FROM crm.scores"))


def probabilities(table: pa.Table) -> dict[str, float]:
    return dict(zip(table.column("profile_id").to_pylist(), table.column("probability").to_pylist(), strict=True))


def test_a_table_is_made_filled_merged_and_taken_back(url: str, ask: Callable[..., list[Any]]) -> None:
    ask("CREATE SCHEMA crm")
    first, moved = scores(PEOPLE, 1), frozenset(PEOPLE[:3])
    assert table_of(url).push(delivery(first, 1), Past()) == Pushed(40, 40, 0, 0)
    assert standing(ask) == probabilities(first)
    kinds_found = ask(
        "SELECT column_name, data_type, col_description('crm.scores'::regclass, ordinal_position) IS NOT NULL "
        "FROM information_schema.columns WHERE table_name = 'scores' ORDER BY ordinal_position"
    )
    assert [k[:2] for k in kinds_found] == [
        ("profile_id", "text"), ("score", "real"), ("probability", "double precision"),
        ("probability_low", "double precision"), ("probability_high", "double precision"),
        ("too_little_history", "boolean"), ("percentile", "smallint"), ("bucket", "text"), ("times_average", "real"),
        ("propensity_type", "text"), ("scored_at", "timestamp with time zone"),
        ("expires_at", "timestamp with time zone"), ("factors", "jsonb"), ("run_id", "text"), ("instance", "text"),
    ]  # fmt: skip
    row = ask("SELECT * FROM crm.scores WHERE profile_id = 'p002'")[0]
    expected = first.to_pylist()[2]
    assert [f["code"] for f in row[12]] == ["DAYS", "SPENT"]
    assert row[:12] == tuple(expected.values())[:12]
    assert row[13:] == ("steady", "Buyers")
    second = scores([*PEOPLE[:30], "z-new"], 2, moved)
    assert table_of(url).push(delivery(second, 2), Past()) == Pushed(31, 1, 3, 10)
    assert standing(ask) == probabilities(second)
    before = ask("SELECT xmin::text, ctid::text, * FROM crm.scores ORDER BY profile_id")
    assert table_of(url).push(delivery(second, 2), Past()) == Pushed(31, 0, 0, 0)  # the same run again
    assert ask("SELECT xmin::text, ctid::text, * FROM crm.scores ORDER BY profile_id") == before
    with pytest.raises(OlderRunError, match="run-2, which is newer than run-1"):
        table_of(url).push(delivery(first, 1), Past())
    with pytest.raises(DestinationRefusedError, match="filled by 'buyers/all'"):
        table_of(url).push(delivery(first, 9, instance="leavers"), Past())
    assert standing(ask) == probabilities(second)
    assert table_of(url).forget(exactly("z-new"), Past()) == 1
    assert table_of(url).retract("leavers/all", Past()) == Pushed(retracted=0)
    assert table_of(url).retract("buyers/all", Past()) == Pushed(retracted=30)
    assert (standing(ask), ask("SELECT * FROM crm.propend_pushes")) == ({}, [])
    assert table_of(url).push(delivery(first, 1), Past()).added == 40  # and it can be filled anew


def test_a_rehearsal_changes_nothing_in_a_database(url: str, ask: Callable[..., list[Any]]) -> None:
    ask("CREATE SCHEMA crm")
    there = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'crm'"
    found = table_of(url).rehearse(delivery(scores(PEOPLE)))
    assert found.says[0].endswith("took 5 rows for crm.scores, and put everything back: nothing was changed.")
    assert (found.says[1], ask(there)) == ("The table is not there yet: the first push makes it.", [])
    table_of(url).push(delivery(scores(PEOPLE), 1), Past())
    ask("ALTER TABLE crm.scores DROP COLUMN bucket")
    whole = "SELECT xmin::text, ctid::text, * FROM crm.scores ORDER BY profile_id"
    before, notes = ask(whole), ask("SELECT * FROM crm.propend_pushes")
    second = delivery(scores(["a-new", *PEOPLE[1:]], 2, frozenset(PEOPLE[:3])), 2)
    assert table_of(url).rehearse(second).says[1] == "The table is there, without bucket: the first push adds them."
    ask("ALTER TABLE crm.scores ADD COLUMN bucket text")
    ask("UPDATE crm.scores SET bucket = (ARRAY['low', 'medium', 'high'])[1 + substr(profile_id, 2)::int %% 3]")
    before = ask(whole)
    says = table_of(url).rehearse(second).says[1]
    assert says.startswith("The table is there: of these rows 1 would be new, and ")
    assert (ask(whole), ask("SELECT * FROM crm.propend_pushes")) == (before, notes)
    with pytest.raises(DestinationRefusedError, match="filled by 'buyers/all'"):
        table_of(url).rehearse(delivery(scores(PEOPLE), 9, instance="leavers"))
    with pytest.raises(OlderRunError):
        table_of(url).rehearse(delivery(scores(PEOPLE), 0))
    assert "a push without rows" in table_of(url).rehearse(delivery(scores([]), 2)).says[0]


def test_a_rehearsal_says_what_a_push_would_be_refused_for(
    url: str, ask: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask("CREATE SCHEMA crm")
    table_of(url).push(delivery(scores(PEOPLE), 1), Past())
    ask("CREATE ROLE reader LOGIN PASSWORD 'geheim'")
    ask("GRANT USAGE ON SCHEMA crm TO reader")
    ask("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA crm TO reader")
    reader = re.sub(r"//[^/]*@", "//reader@", url)
    monkeypatch.setenv("READER", "geheim")
    try:
        with pytest.raises(PushFailedError, match="permission denied for table scores"):  # it may delete no rows
            table_of(reader, password="env:READER").rehearse(delivery(scores(PEOPLE), 2))
    finally:
        ask("DROP OWNED BY reader")
        ask("DROP ROLE reader")
    monkeypatch.setattr("propend.exports.postgres.REHEARSAL_SECONDS", 1)
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE crm.scores IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(PushFailedError, match="lock timeout"):
            table_of(url).rehearse(delivery(scores(PEOPLE), 2))


def test_who_left_is_marked_where_that_is_asked_for(url: str, ask: Callable[..., list[Any]]) -> None:
    ask("CREATE SCHEMA crm")
    marking = table_of(url, leavers="mark")
    marking.push(delivery(scores(PEOPLE), 1), Past())
    assert marking.push(delivery(scores(PEOPLE[:30]), 2), Past()) == Pushed(30, 0, 0, 10)
    gone = "SELECT count(*) FROM crm.scores WHERE retracted_at IS NOT NULL"
    assert ask(gone) == [(10,)]
    assert marking.push(delivery(scores(PEOPLE[:30]), 2), Past()) == Pushed(30, 0, 0, 0)
    assert marking.push(delivery(scores(PEOPLE[:35]), 3), Past()).updated == 5  # they came back
    assert ask(gone) == [(5,)]
    assert marking.retract("buyers/all", Past()) == Pushed(retracted=35)
    assert ask("SELECT count(*) FROM crm.scores WHERE retracted_at IS NULL") == [(0,)]


def test_columns_and_rows_of_others_stay(url: str, ask: Callable[..., list[Any]]) -> None:
    ask("CREATE SCHEMA crm")
    ask("CREATE TABLE crm.scores (profile_id text PRIMARY KEY, owner text NOT NULL DEFAULT 'nobody')")
    ask("INSERT INTO crm.scores VALUES ('p001', 'Ana'), ('stranger', 'Bo')")
    assert table_of(url).push(delivery(scores(PEOPLE), 1), Past()) == Pushed(40, 39, 1, 0)
    assert table_of(url).push(delivery(scores(PEOPLE[:2]), 2), Past()) == Pushed(2, 0, 0, 38)
    owners = "SELECT profile_id, owner FROM crm.scores ORDER BY 1"
    assert ask(owners) == [("p000", "nobody"), ("p001", "Ana"), ("stranger", "Bo")]
    table_of(url).retract("buyers/all", Past())
    assert ask(owners) == [("stranger", "Bo")]
    ask("CREATE TABLE crm.bare (profile_id text)")
    with pytest.raises(DestinationRefusedError, match="is not unique, or missing"):
        table_of(url, table="crm.bare").push(delivery(scores(PEOPLE), 1), Past())


def test_two_pushes_at_once_do_not_mix(url: str, ask: Callable[..., list[Any]]) -> None:
    ask("CREATE SCHEMA crm")
    older, newer = scores(PEOPLE, 1, frozenset(PEOPLE)), scores(PEOPLE[5:], 2, frozenset(PEOPLE))
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(table_of(url).push, delivery(t, n), Past()) for n, t in [(1, older), (2, newer)] * 4]
        errors = {type(f.exception()) for f in asked}
    assert errors <= {type(None), OlderRunError}
    assert standing(ask) == probabilities(newer)


def test_a_server_that_is_away_or_refuses_is_told_without_secrets(
    url: str, ask: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_PASSWORD", "s3cret")
    away = table_of("postgresql://propend@127.0.0.1:1/crm", password="env:CRM_PASSWORD")
    for failing in (away, table_of(url)):  # the second has no schema crm
        with pytest.raises(PushFailedError) as refused:
            failing.push(delivery(scores(PEOPLE)), Past())
        assert "s3cret" not in str(refused.value.to_dict())
    with pytest.raises(DestinationRefusedError, match="NOWHERE is not set"):
        table_of("env:NOWHERE").push(delivery(scores(PEOPLE)), Past())


PUSHING = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from deliveries import delivery, scores
from propend.exports import Delivery, Past, Place, destination
plain = delivery(scores([f"p{{n:03}}" for n in range(25)], 2, frozenset(["p001"])), 2)
def slow():
    for n, batch in enumerate(plain.parts()):
        yield batch
        if n == 1:
            print("half", flush=True)
            time.sleep(60)
halting = Delivery(**{{**vars(plain), "parts": slow}})
place = Place(Path())
destination("postgres", {{"url": {url!r}, "table": "crm.scores"}}, place).push(halting, Past())
"""
"""A process that halts in the middle of a push."""


@pytest.mark.parametrize("end", ["SIGKILL", "pg_terminate_backend"])
def test_a_push_that_breaks_off_leaves_the_state_before(url: str, ask: Callable[..., list[Any]], end: str) -> None:
    ask("CREATE SCHEMA crm")
    first, second = scores(PEOPLE, 1), scores(PEOPLE[:25], 2, frozenset(["p001"]))
    table_of(url).push(delivery(first, 1), Past())
    code = PUSHING.format(tests=str(Path(__file__).parent), url=url)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"half\n"
        mine = "FROM pg_stat_activity WHERE application_name = 'propend' AND datname = current_database()"
        assert ask(f"SELECT count(*) {mine}") == [(1,)]
        if end == "SIGKILL":
            os.kill(process.pid, signal.SIGKILL)
        else:
            ask(f"SELECT pg_terminate_backend(pid) {mine}")
            process.kill()
        process.wait()
    limit = time.monotonic() + 30
    while ask(f"SELECT count(*) {mine}") != [(0,)]:
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert standing(ask) == probabilities(first)
    assert ask("SELECT run_id FROM crm.propend_pushes") == [("run-1",)]
    assert table_of(url).push(delivery(second, 2), Past()) == Pushed(25, 0, 1, 15)
    assert standing(ask) == probabilities(second)


def test_a_session_that_is_ended_is_a_push_that_failed(url: str, ask: Callable[..., list[Any]]) -> None:
    ask("CREATE SCHEMA crm")
    table_of(url).push(delivery(scores(PEOPLE), 1), Past())
    plain, halted, go_on = delivery(scores(PEOPLE[:9]), 2), threading.Event(), threading.Event()

    def slow() -> Iterator[pa.RecordBatch]:
        for batch in plain.parts():
            yield batch
            halted.set()
            go_on.wait(30)

    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(table_of(url).push, Delivery(**{**vars(plain), "parts": slow}), Past())
        assert halted.wait(30)
        ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'propend' AND datname = current_database()"
        )
        go_on.set()
        assert isinstance(pushing.exception(), PushFailedError)
    assert standing(ask) == probabilities(scores(PEOPLE))
