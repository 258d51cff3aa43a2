"""Run folders: all or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from propend.errors import InstanceNotFoundError, OutputExistsError, WriteFailedError
from propend.store import runs
from propend.store.runs import latest_run, list_runs, load_model, new_run, plain, read_json, write_json, write_table


def _write_run(folder: Path, started_at: str) -> None:
    with new_run(folder) as fresh:
        write_json(fresh / "run.json", {"started_at": started_at})


def test_a_run_appears_whole(tmp_path: Path) -> None:
    with new_run(tmp_path / "out") as fresh:
        (fresh / "scores").write_text("1")
        assert not (tmp_path / "out").exists()
        write_json(fresh / "run.json", {})
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["run.json", "scores"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_run(tmp_path / "out") as fresh:
        (fresh / "half").write_text("1")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_earlier_run(tmp_path: Path) -> None:
    _write_run(tmp_path / "out", "1")
    with pytest.raises(RuntimeError), new_run(tmp_path / "out"):
        raise RuntimeError
    assert read_json(tmp_path / "out" / "run.json") == {"started_at": "1"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    _write_run(tmp_path / "out", "1")
    _write_run(tmp_path / "out", "2")
    assert read_json(tmp_path / "out" / "run.json") == {"started_at": "2"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputExistsError, match=r"thesis\.txt"), new_run(tmp_path):
        pass
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputExistsError), new_run(tmp_path / "out"):
        pass
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_a_coded_error(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteFailedError, match="No space left"),
        new_run(tmp_path / "out"),
        Path("/dev/full").open("w") as full,
    ):
        full.write("x")
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_json_cannot_hold_become_null(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": float("nan"), "b": np.float32(0.5), "c": (np.int64(3), float("inf"))})
    assert read_json(tmp_path / "x.json") == {"a": None, "b": 0.5, "c": [3, None]}
    assert plain({"d": np.bool_(True)}) == {"d": True}


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    _write_run(tmp_path / "a", "2024-01-01")
    _write_run(tmp_path / ".propend" / "runs" / "shop" / "b", "2024-03-01")
    os.mkdir(tmp_path / ".c-123.tmp")  # noqa: PTH102
    assert [r.folder.name for r in list_runs(tmp_path)] == ["b", "a"]
    assert latest_run(tmp_path).folder.name == "b"


def test_no_run_is_a_coded_error(tmp_path: Path) -> None:
    with pytest.raises(InstanceNotFoundError, match="no finished run"):
        latest_run(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_damaged_model_is_a_coded_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(InstanceNotFoundError):
        load_model(tmp_path)


def test_codes_are_written_as_texts_in_small_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that had all words of a column made files large, and rules on them took seconds."""
    monkeypatch.setattr(runs, "TEXT_ROWS", 6)
    words = pa.array([f"word {i}" for i in range(1000)])
    places = pa.array([0, 3, None, 999, *range(12)], pa.int32())
    texts = [None if i is None else f"word {i}" for i in places.to_pylist()]
    table = pa.table({"id": range(16), "text": pa.DictionaryArray.from_arrays(places, words)})
    small, none, whole = (tmp_path / f"{name}.parquet" for name in ("small", "none", "whole"))
    write_table(small, table, 3)
    write_table(none, table.slice(0, 0), 3)
    write_table(whole, table)
    assert pq.read_table(small).to_pydict() == {"id": list(range(16)), "text": texts}
    kinds = [pq.read_schema(path).field("text").type for path in (small, none, whole)]
    assert kinds == [pa.string(), pa.string(), pa.dictionary(pa.int32(), pa.string())]
    groups = pq.read_metadata(small)
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [3, 3, 3, 3, 3, 1]
    assert pq.read_table(none).num_rows == 0
