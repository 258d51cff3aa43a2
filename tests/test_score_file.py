"""Scores that are read while they change: an answer that has begun ends whole, and damage hides what it concerns."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from propend.errors import InstanceNotFoundError
from propend.segments import Rule
from propend.store.erasure import erase
from propend.store.runs import GROUP_ROWS, write_table
from propend.workspace import Workspace, score_file
from propend.workspace.execution import execute
from propend.workspace.score_file import ScoreFile
from servers import serving
from test_segments import people, written
from workspaces import document, made

ROWS = people(300, 11)
MANY = 60_000
"""Profiles of a stream that no buffer of a connection holds."""


def ids(rows: Iterator[pa.RecordBatch]) -> list[str]:
    return [i for part in rows for i in part.column("profile_id").to_pylist()]


def forgotten(folder: Path) -> None:
    """Half of all people are, one file after the other."""
    theirs = {row["profile_id"] for row in ROWS[::2]}
    erase(folder, lambda ids: np.array([i in theirs for i in ids.to_pylist()]))


def removed(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a few rows, so that most of a table is still to be read when the first part is there."""
    for name in ("BATCH_ROWS", "SIDE_BATCH_ROWS", "FACTOR_ROWS"):
        monkeypatch.setattr(score_file, name, 5)
    monkeypatch.setattr(score_file, "GROUPS_AT_ONCE", 1)


@pytest.mark.parametrize("meanwhile", [forgotten, removed])
@pytest.mark.parametrize("parts", [0, 3])
@pytest.mark.parametrize(
    ("where", "columns"),
    [
        (None, None),
        (None, ["profile_id"]),
        ("probability >= 0.1", ["profile_id", "score"]),
        ("factor in ('a', 'b', 'c', 'd', 'e')", ["profile_id"]),
        ("value.n >= 0.1 or score >= 0", None),
        ("attribute.n >= 0.1 or value.n >= 0.1", ["profile_id"]),
    ],
)
def test_an_answer_that_has_begun_ends_whole(
    tmp_path: Path, where: str | None, columns: list[str] | None, parts: int, meanwhile: Callable[[Path], None]
) -> None:
    rule = Rule.read(where) if where else Rule()
    scores = written(tmp_path / "run", ROWS, parts=parts)
    whole = ids(scores.batches(rule, columns))
    assert len(whole) > 150
    begun, asked = scores.batches(rule, columns), scores.batches(rule, columns)
    first = ids(iter([next(begun)]))
    meanwhile(tmp_path / "run")
    assert first + ids(begun) == whole
    assert ids(asked) == whole  # of which nothing had been read yet


@pytest.mark.parametrize("parts", [0, 3])
def test_who_was_forgotten_is_in_no_later_answer(tmp_path: Path, parts: int) -> None:
    """Also of scores that were opened before: by rules of every kind, counted and by pages."""
    scores = written(tmp_path / "run", ROWS, parts=parts)
    left = {row["profile_id"] for row in ROWS[1::2]}
    rules = [
        Rule(),
        *map(Rule.read, ("score >= 0", "value.n exists or score >= 0", "attribute.n exists or score >= 0")),
    ]
    for rule in rules:
        assert len(ids(scores.batches(rule))) == len(ROWS)
    forgotten(tmp_path / "run")
    for rule in rules:
        assert set(ids(scores.batches(rule))) == left
        assert scores.count(rule) == len(left)
        assert [r["profile_id"] for r in scores.page(rule, "profile", None, 20)] == sorted(left)[:20]


def test_what_is_gone_is_said_before_the_first_row(tmp_path: Path) -> None:
    scores, asks_values = written(tmp_path / "run", ROWS), Rule.read("value.n > 3")
    scores.gate(asks_values)
    (tmp_path / "run" / "contributions.parquet").unlink()
    with pytest.raises(InstanceNotFoundError, match="not there or cannot be read"):
        scores.batches(asks_values)
    removed(tmp_path / "run")
    with pytest.raises(InstanceNotFoundError, match="not there or cannot be read"):
        scores.batches(Rule())


def test_a_damaged_record_hides_what_it_tells_and_no_more(tmp_path: Path) -> None:
    """``run.json`` says whether there were attributes to keep, where none are kept; no other rule asks it."""
    written(tmp_path / "run", ROWS)
    (tmp_path / "run" / "attributes.parquet").unlink()
    (tmp_path / "run" / "run.json").write_text('{"model": ')
    scores = ScoreFile.open(tmp_path / "run")
    for where in ("score >= 0", "factor in ('a', 'b', 'c', 'd', 'e') or score >= 0", "value.n exists or score >= 0"):
        rule = Rule.read(where)
        scores.gate(rule)
        assert (scores.count(rule), len(ids(scores.batches(rule)))) == (len(ROWS), len(ROWS))
    with pytest.raises(InstanceNotFoundError, match=r"run\.json in 'run' cannot be read"):
        scores.gate(Rule.read("attribute.n exists"))


# --- over REST ------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of an instance with so many profiles that their scores are not sent in one go."""
    found = made(tmp_path / "shop")
    with closing(Workspace.open(found)) as workspace:
        workspace.instances.create(document())
        assert execute(workspace, workspace.runs.start("buyers").id)
        path = workspace.runs.folder(workspace.runs.served("buyers")) / "scores.parquet"
    table = pq.read_table(path)
    times = MANY // table.num_rows + 1
    many = pa.concat_tables([table] * times).slice(0, MANY).combine_chunks()
    place = many.schema.get_field_index("profile_id")
    write_table(path, many.set_column(place, "profile_id", pa.array([f"q{i:07d}" for i in range(MANY)])), GROUP_ROWS)
    return found


@pytest.mark.parametrize("form", ["csv", "arrow"])
def test_a_stream_ends_whole_while_somebody_is_forgotten(home: Path, form: str) -> None:
    """Begun before, it has everybody who was there; the next one has everybody but who was forgotten."""
    asked = "/api/v1/instances/buyers/scores"
    with serving(home, "--no-auth") as server, httpx.Client(base_url=server.url, timeout=120) as http:

        def streamed(forget: str | None = None) -> list[str]:
            sent = b""
            with http.stream("GET", asked, params={"format": form}) as answer:
                assert answer.status_code == 200
                for number, part in enumerate(answer.iter_raw()):
                    sent += part
                    if number == 0 and forget is not None:
                        assert httpx.delete(f"{server.url}/api/v1/profiles/{forget}", timeout=120).status_code == 200
            found: list[str] = read(sent, form).column("profile_id").to_pylist()
            return found

        everybody = [f"q{i:07d}" for i in range(MANY)]
        assert streamed(forget="q0059999") == everybody
        assert streamed() == everybody[:-1]


def read(sent: bytes, form: str) -> pa.Table:
    """A table as it was sent."""
    if form == "arrow":
        return pa.ipc.open_stream(sent).read_all()
    return pacsv.read_csv(pa.BufferReader(sent)) if form == "csv" else pq.read_table(pa.BufferReader(sent))
