"""One profile's row, or many, found in scores of every form: a file, old groups, parts of a cluster, files replaced."""

from __future__ import annotations

import random
import shutil
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from propend.errors import InstanceNotFoundError, ScoresGoneError
from propend.scoring import SCORES_SCHEMA
from propend.store.lookup import Groups, ScoreIndex, _key
from propend.store.runs import GROUP_ROWS, read_scores, write_table

NAMES = ("", " ", "a", "Z", "ä", "\U0001f642", "0", "007", "a\nb", "'", "x" * 5_000, "x" * 5_001, "y" * 9_000)
"""Ids are any text; the longest have no bounds kept in Parquet."""


def scores(ids: list[str], seed: int = 1) -> pa.Table:
    """Rows of a run for some profiles, sorted by id; every column filled, factors of different lengths."""
    chance = random.Random(seed)
    now = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [
        {
            "profile_id": profile_id, "score": chance.random(), "probability": chance.random(), "probability_low": 0.1,
            "probability_high": 0.9, "too_little_history": True, "percentile": chance.randrange(1, 100),
            "bucket": chance.choice(["low", "medium", "high"]), "times_average": 1.0, "propensity_type": "conversion",
            "scored_at": now, "expires_at": now, "run_id": "r", "instance": "i",
            "factors": [
                {"code": f"c{k}", "label": f"l{k}", "value": f"{chance.randrange(50)} days", "typical": None,
                 "impact": chance.random(), "importance": "low"}
                for k in range(chance.randrange(4))
            ],
        }
        for profile_id in sorted(ids, key=str.encode)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=SCORES_SCHEMA)


def written(folder: Path, table: pa.Table, group_rows: int | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    write_table(folder / "scores.parquet", table, group_rows)
    return folder


def in_parts(folder: Path, table: pa.Table, bits: int, group_rows: int | None = None) -> Path:
    """As a cluster writes them: parts by the first bits of the keys, each sorted by id, named by its first place."""
    made = folder / "scores.parquet"
    made.mkdir(parents=True)
    ids = table.column("profile_id").to_pylist()
    part = np.array([_key(i) >> (64 - bits) for i in ids])
    place = 0
    for number in sorted(set(part.tolist())):
        rows = np.flatnonzero(part == number)
        write_table(made / f"part-{place:012d}.parquet", table.take(pa.array(rows)), group_rows)
        place += len(rows)
    return folder


IDS = [*NAMES, *(f"p{i:05d}" for i in range(700))]
FORMS: dict[str, Callable[[Path, pa.Table], Path]] = {
    "small groups": lambda folder, table: written(folder, table, 16),
    "one large group, as of earlier versions": written,
    "four parts": lambda folder, table: in_parts(folder, table, 2, 16),
    "many parts, some with one profile": lambda folder, table: in_parts(folder, table, 8),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_profile_is_found_and_no_other(tmp_path: Path, form: str) -> None:
    table = scores(IDS)
    index = ScoreIndex.open(FORMS[form](tmp_path / "run", table))
    expected = {row["profile_id"]: row for row in table.to_pylist()}
    assert {i: index.find(i) for i in (*NAMES, *IDS[:100])} == {i: expected[i] for i in (*NAMES, *IDS[:100])}
    for absent in ("p", "p00000x", "zz", "\U0001f643", "x" * 5_002, "p99999", "\ud800"):
        assert index.find(absent) is None
    asked = [*reversed(IDS), "absent", IDS[3]]
    found = index.find_many(asked)
    assert list(found) == [*reversed(IDS)]
    assert found == expected
    assert index.find_many([]) == {}


def test_a_runs_own_scores_are_found(tmp_path: Path) -> None:
    """The groups that runs write."""
    table = scores([f"{i:06d}" for i in range(GROUP_ROWS + 10)])
    folder = written(tmp_path / "run", table, GROUP_ROWS)
    assert pq.read_metadata(folder / "scores.parquet").num_row_groups == 2
    index = ScoreIndex.open(folder)
    rows = read_scores(folder).to_pylist()
    for place in (0, GROUP_ROWS - 1, GROUP_ROWS, GROUP_ROWS + 9):
        assert index.find(f"{place:06d}") == rows[place]


@pytest.mark.parametrize("most_bytes", [None, 20_000, 10_000_000])
def test_several_threads_ask_at_once(tmp_path: Path, most_bytes: int | None) -> None:
    table = scores(IDS)
    groups = None if most_bytes is None else Groups(most_bytes)
    index = ScoreIndex.open(written(tmp_path / "run", table, 16), groups)
    expected = {r["profile_id"]: r for r in table.to_pylist()}
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda i: index.find(i) == expected[i], IDS * 2))


def test_scores_that_are_gone_are_told(tmp_path: Path) -> None:
    with pytest.raises(ScoresGoneError, match="are gone"):
        ScoreIndex.open(tmp_path)
    folder = written(tmp_path / "run", scores(IDS))
    index = ScoreIndex.open(folder)
    shutil.rmtree(folder)
    with pytest.raises(ScoresGoneError, match="are gone") as told:
        index.find("a")
    assert told.value.code == "PROPEND-163"


def test_scores_that_are_replaced_are_read_anew(tmp_path: Path) -> None:
    """As when a person is forgotten: a new file takes the place of the old one, under questions."""
    folder = written(tmp_path / "run", scores(IDS), 16)
    index = ScoreIndex.open(folder)
    assert index.find("a") is not None
    beside = tmp_path / "beside.parquet"
    write_table(beside, scores([i for i in IDS if i != "a"], seed=2), 32)
    beside.replace(folder / "scores.parquet")
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(index.find, ["a"] * 8)) == [None] * 8
    assert index.find("p00001") == {r["profile_id"]: r for r in read_scores(folder).to_pylist()}["p00001"]


def test_damaged_scores_are_told(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", scores(IDS), 16)
    index = ScoreIndex.open(folder)
    path = folder / "scores.parquet"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InstanceNotFoundError, match="cannot be read"):
        index.find("a")
    with pytest.raises(InstanceNotFoundError, match="cannot be read"):
        ScoreIndex.open(folder)


def test_little_is_kept_in_memory(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", scores([f"{i:06d}" for i in range(20_000)]), 1_000)
    tracemalloc.start()
    index = ScoreIndex.open(folder)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert index.find("000001") is not None
    assert kept < 100_000


def test_decoded_groups_are_kept_within_a_bound(tmp_path: Path) -> None:
    table = scores([f"{i:06d}" for i in range(4_000)])
    folder, expected = written(tmp_path / "run", table, 500), {r["profile_id"]: r for r in table.to_pylist()}
    whole = Groups(10_000_000)
    index = ScoreIndex.open(folder, whole)
    asked = [f"{i:06d}" for i in range(0, 4_000, 100)]
    assert all(index.find(i) == expected[i] for i in asked)
    filled = whole.used
    assert 0 < filled < 10_000_000
    assert list(index.find_many([*asked, "absent"]).values()) == [expected[i] for i in asked]
    assert index.find("absent") is None
    assert whole.used == filled, "what is kept is not kept twice"
    few = Groups(filled // 3)
    bounded = ScoreIndex.open(folder, few)
    for i in asked * 2:
        assert bounded.find(i) == expected[i]
        assert few.used <= filled // 3
    assert few.used > 0
    none = Groups(0)
    assert ScoreIndex.open(folder, none).find(asked[0]) == expected[asked[0]]
    assert none.used == 0


def test_kept_groups_are_let_go_with_the_scores_they_are_of(tmp_path: Path) -> None:
    """Who was taken out of the scores is not found, and is not in memory after the next question."""
    groups = Groups(10_000_000)
    folder, other = written(tmp_path / "run", scores(IDS), 16), written(tmp_path / "other", scores(IDS, seed=3), 16)
    index, beside = ScoreIndex.open(folder, groups), ScoreIndex.open(other, groups)
    assert index.find("a") is not None
    of_run = groups.used
    assert beside.find("a") is not None
    of_other = groups.used - of_run
    replacement = tmp_path / "beside.parquet"
    write_table(replacement, scores([i for i in IDS if i != "a"], seed=2), 16)
    replacement.replace(folder / "scores.parquet")
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(index.find, ["a"] * 8)) == [None] * 8
    groups.release(folder)
    assert groups.used == of_other
    shutil.rmtree(other)
    with pytest.raises(ScoresGoneError):
        beside.find("a")
    groups.release(other)
    assert groups.used == 0


def test_older_rows_have_the_types_of_newer_ones(tmp_path: Path) -> None:
    """What is found is what reading the table gives, to the types."""
    folder = written(tmp_path / "run", scores(["a", "b"]))
    row: dict[str, Any] | None = ScoreIndex.open(folder).find("b")
    assert row == read_scores(folder, "b").to_pylist()[0]
