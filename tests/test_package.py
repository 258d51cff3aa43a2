"""What is packed: the wheel holds the whole package and nothing else; the sdist is enough to test it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from propend.version import __version__

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    return folder


def kept(folder: Path) -> set[str]:
    """Files of the checkout under a folder that are not made by running it, relative to the folder."""
    made = {"__pycache__", "propend-demo"}
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not made & set(path.parts) and path.suffix not in (".pyc", ".tmp")
    }


def test_the_wheel_holds_the_package_and_nothing_else(packed: Path) -> None:
    with zipfile.ZipFile(packed / f"propend-{__version__}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
        metadata = wheel.read(f"propend-{__version__}.dist-info/METADATA").decode()
    of_package = {name.removeprefix("propend/") for name in names if name.startswith("propend/")}
    assert of_package == kept(ROOT / "src" / "propend")
    rest = {name.split("/", 1)[1] for name in names if not name.startswith("propend/")}
    assert rest == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "licenses/NOTICE"}
    assert "License-Expression: Apache-2.0" in metadata
    assert "Provides-Extra: server" in metadata


def test_the_sdist_is_enough_to_build_and_to_test(packed: Path) -> None:
    top = f"propend-{__version__}/"
    with tarfile.open(packed / f"propend-{__version__}.tar.gz") as sdist:
        names = {name.removeprefix(top) for name in sdist.getnames()}
    for folder in ("src", "tests", "docs", "examples", "benchmarks"):
        assert {f"{folder}/{name}" for name in kept(ROOT / folder)} - names == set()
    alone = {name for name in names if "/" not in name}
    assert {"Makefile", "pyproject.toml", "constraints.txt", "README.md", "CITATION.cff", "LICENSE", "NOTICE"} <= alone


def test_the_notice_names_what_is_of_others() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    foreign = list((ROOT / "src" / "propend").rglob("*.min.js"))
    assert len(foreign) >= 4
    for folder in {path.parent for path in foreign}:
        assert (folder / "LICENSES.txt").is_file()
        assert f"{folder.relative_to(ROOT).as_posix()}/LICENSES.txt" in notice
    assert "src/propend/demo/CREDITS.md" in notice
