"""The contract of destinations: ours keep it, a whole one of another package does, and what it finds in broken ones."""

from __future__ import annotations

import importlib
import json
import sqlite3
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from postgres import databases
from propend import exports
from propend.contracts.destinations import DestinationContractError, check_destination
from propend.errors import ConfigurationError
from propend.exports import Options, Past, Place, Pushed, kind_of, kinds

EXAMPLE = Path(__file__).parents[1] / "examples" / "plugins" / "sqlite_scores"


def test_files_keep_the_contract(tmp_path: Path) -> None:
    def parquet() -> list[str]:
        path = tmp_path / "exports" / "buyers-all.parquet"
        return list(pq.read_table(path).column("profile_id").to_pylist()) if path.exists() else []

    def lines() -> list[str]:
        path = tmp_path / "exports" / "buyers-all.jsonl"
        return [json.loads(line)["profile_id"] for line in path.read_text().splitlines()] if path.exists() else []

    check_destination(kind_of("file"), {"format": "parquet"}, tmp_path, parquet)
    check_destination(kind_of("file"), {"format": "jsonl"}, tmp_path, lines)


def test_a_table_keeps_the_contract(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = databases(request).new()

    def standing() -> list[str]:
        with psycopg.connect(url) as connection:
            return [row[0] for row in connection.execute("SELECT profile_id FROM scores").fetchall()]

    check_destination(kind_of("postgres"), {"url": url, "table": "scores"}, tmp_path, standing)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example, where Python finds it, with what an installer writes beside it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / f"propend_sqlite_scores-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["propend.destinations"] | {"torn": "nobody_has_this:Kind"}
    lines = "".join(f"{key} = {value}\n" for key, value in points.items())
    (info / "entry_points.txt").write_text(f"[propend.destinations]\n{lines}")
    (tmp_path / "propend_sqlite_scores.py").write_text((EXAMPLE / "propend_sqlite_scores.py").read_text())
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    exports._added.cache_clear()
    yield kind_of("sqlite")
    monkeypatch.undo()
    exports._added.cache_clear()


def standing_in(path: Path) -> Callable[[], list[str]]:
    def standing() -> list[str]:
        with closing(sqlite3.connect(path)) as database:
            return [row[0] for row in database.execute("SELECT profile_id FROM scores")]

    return standing


def test_a_whole_one_in_forty_lines(installed: Any, tmp_path: Path) -> None:
    text = (EXAMPLE / "propend_sqlite_scores.py").read_text()
    assert sum(bool(line.strip()) for line in text.splitlines()) <= 40
    assert kinds()[-2:] == ["sqlite", "torn"]
    check_destination(installed, {"file": "crm.db"}, tmp_path, standing_in(tmp_path / "exports" / "crm.db"))
    with pytest.raises(ConfigurationError, match="'torn' cannot be imported"):
        kind_of("torn")


class Careless:
    """Writes row by row, forgets nobody, and knows nothing of transactions."""

    kind, options = "careless", Options

    def __init__(self, _options: Any, _place: Place) -> None:
        pass

    def push(self, delivery: Any, _past: Past) -> Pushed:
        for part in delivery.parts():
            ROWS.update(part.column("profile_id").to_pylist())
        return Pushed(len(ROWS))

    def retract(self, _source: str, _past: Past) -> Pushed:
        return Pushed()

    def forget(self, _who: Any, _past: Past) -> int:
        return 0


ROWS: set[str] = set()


def test_what_is_wrong_is_told_all_at_once(tmp_path: Path) -> None:
    ROWS.clear()
    with pytest.raises(DestinationContractError) as found:
        check_destination(Careless, {}, tmp_path, lambda: ROWS)
    assert [p.split(":")[0] for p in found.value.problems] == [
        "after a run in which some are new and some have left", "after a push that broke off",
        "forget() of one profile tells of 0 rows", "after one was forgotten", "after the retraction",
    ]  # fmt: skip
    with pytest.raises(DestinationContractError) as shapeless:
        check_destination(pa.Table, {}, tmp_path, list)
    assert len(shapeless.value.problems) == 5
