"""Compiled kernels: kept where something can be written, told of while they are made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from propend import kernel_cache
from propend.compiling import told_of_compiling

ASK = """
import sys, warnings
from pathlib import Path
import propend
from propend import kernel_cache
from propend.snapshots.lines import _meets
assert _meets(0, 1.0, 2.0, 0.0)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    kernel_cache.warn_if_lost()
    kernel_cache.warn_if_lost()
folder = Path(_meets.stats.cache_path)
print(Path(propend.__file__).parent, folder, sum(_meets.stats.cache_hits.values()), len(said), folder.is_dir())
"""


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A copy of the package beside which nothing can be written, not even by root: files stand where folders would."""
    copy = tmp_path / "site" / "propend"
    shutil.copytree(kernel_cache.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [copy, *(f for f in copy.rglob("*") if f.is_dir())]:
        (folder / "__pycache__").write_bytes(b"")
    return copy


def ask(package: Path, caches: Path) -> list[str]:
    """Which package was loaded, where its kernels are kept, how many were there, warnings, whether it is a folder."""
    mine = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    places = {"PYTHONPATH": str(package.parent), "XDG_CACHE_HOME": str(caches), "LOCALAPPDATA": str(caches)}
    command = [sys.executable, "-W", "error", "-c", ASK]
    done = subprocess.run(
        command, env=mine | places | {"HOME": str(caches)}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_kernels_of_a_package_that_cannot_be_written_are_kept_among_the_users_caches(
    read_only: Path, tmp_path: Path
) -> None:
    caches = tmp_path / "caches"
    first, second = ask(read_only, caches), ask(read_only, caches)
    assert Path(first[1]).is_relative_to(caches)
    assert first == [str(read_only), first[1], "0", "0", "True"]
    assert second == [str(read_only), first[1], "1", "0", "True"]


def test_where_nothing_can_be_written_every_process_compiles_and_says_so_once(read_only: Path, tmp_path: Path) -> None:
    caches = tmp_path / "caches"
    caches.write_bytes(b"")
    loaded, folder, hits, said, stood = ask(read_only, caches)
    assert (loaded, hits, said, stood) == (str(read_only), "0", "1", "True")
    assert not Path(folder).exists()


def test_who_waits_is_told_of_each_part_that_is_compiled_and_of_none_that_is_there() -> None:
    @numba.njit
    def twice(x):  # type: ignore[no-untyped-def]
        return x + x

    told: list[object] = []
    with told_of_compiling(told.append, lambda: told.append("over")):
        twice(1)
        twice(2)
        twice(1.0)
    twice("a")
    assert told == [1, "over", 2, "over"]
