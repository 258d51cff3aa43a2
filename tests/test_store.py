"""Run folders: all or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from propend.errors import InstanceNotFoundError, OutputExistsError, WriteFailedError
from propend.store.runs import latest_run, list_runs, load_model, new_run, plain, read_json, write_json


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
