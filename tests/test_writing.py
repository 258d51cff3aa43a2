"""Files and folders that are there whole or not at all, and what is left by those who were killed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from propend import writing
from propend.writing import ENDING, begun_file, begun_folder, swap, sweep, whole_file

KILLED = """
import os, sys
from pathlib import Path
from propend.writing import begun_folder, whole_file
place = Path(sys.argv[1])
with begun_folder(place / "run") as fresh:
    (fresh / "scores").write_text("half")
    with whole_file(place / "scores.csv") as file:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), 9)
"""


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_a_killed_process_left_goes_with_the_next_that_is_written_there(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("before")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    left = names(tmp_path)
    assert (done.returncode, len(left), (tmp_path / "scores.csv").read_text()) == (-9, 3, "before")
    assert [n.startswith((".run-", ".scores.csv-")) and n.endswith(ENDING) for n in left[:2]] == [True, True]
    with whole_file(tmp_path / "scores.csv") as file:
        file.write(b"after")
    assert (names(tmp_path), (tmp_path / "scores.csv").read_text()) == (["scores.csv"], "after")


def test_what_somebody_is_at_work_on_stays(tmp_path: Path) -> None:
    handle, held = begun_file(tmp_path / "a")
    with begun_folder(tmp_path / "b") as folder:
        (folder / "inside").touch()
        sweep(tmp_path)
        assert names(tmp_path) == sorted([held.name, folder.name])
    os.close(handle)
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    place = tmp_path / "a"
    place.write_text("before")
    with pytest.raises(ZeroDivisionError), whole_file(place) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert (names(tmp_path), place.read_text()) == (["a"], "before")


def swapped(tmp_path: Path) -> list[str]:
    """What two folders hold after one has taken the place of the other."""
    fresh, place = tmp_path / f".x{ENDING}", tmp_path / "place"
    for folder, text in ((fresh, "new"), (place, "old")):
        folder.mkdir()
        (folder / "run.json").write_text(text)
    swap(fresh, place)
    return [(f / "run.json").read_text() for f in (place, fresh)]


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    assert swapped(tmp_path) == ["new", "old"]


def test_so_it_does_where_names_cannot_be_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_exchanged", lambda _one, _other: False)  # as some file systems cannot
    assert swapped(tmp_path) == ["new", "old"]


def test_without_locks_it_goes_by_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_handle: int, _how: int) -> None:
        raise OSError(errno.ENOTSUP, "no locks here")

    monkeypatch.setattr(writing.fcntl, "flock", refused)
    for name, seconds in (("old", writing.OLD_SECONDS + 60), ("new", 60)):
        path = tmp_path / f".{name}{ENDING}"
        path.touch()
        told = path.stat().st_mtime - seconds
        os.utime(path, (told, told))
    (tmp_path / ".another.tmp").touch()
    sweep(tmp_path)
    assert names(tmp_path) == [".another.tmp", f".new{ENDING}"]
