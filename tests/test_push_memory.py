"""A push holds a part of the scores at a time: what it takes does not follow how many there are."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from postgres import databases
from pushed import write_many

ROWS = 300_000
MOST_BYTES = 100_000_000
"""By which the peak of a process may grow while it pushes so many; all rows together take several times as much."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("many") / "run"
    write_many(found, ROWS)
    return found


class Taken(BaseHTTPRequestHandler):
    """Takes whatever is sent, and keeps nothing but how many profiles came."""

    came = 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Taken.came += len(body.get("scores", ()))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_told: Any) -> None:
        """Nothing is told."""


@pytest.fixture
def listening() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Taken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/scores"
        server.shutdown()


def pushed(folder: Path, kind: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> int:
    """Push in a process of its own; gives by how many bytes its peak grew."""
    monkeypatch.setenv("CRM_SECRET", "geheim")
    command = [sys.executable, str(Path(__file__).with_name("pushed.py")), str(folder), kind, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rows"] == ROWS
    return int(told["after"] - told["before"])


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_files_are_written_a_part_at_a_time(folder: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grown = pushed(folder, "file", {"format": form}, monkeypatch)
    print(f"{form}: {grown / 1e6:.0f} MB")
    written = (folder / "exports" / f"buyers-all.{form}").stat().st_size
    assert grown < MOST_BYTES
    assert form == "parquet" or written > MOST_BYTES / 3  # it would have been seen


def test_batches_are_sent_a_part_at_a_time(folder: Path, listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Taken.came = 0
    grown = pushed(folder, "webhook", {"url": listening, "secret": "env:CRM_SECRET", "size": 5000}, monkeypatch)
    print(f"webhook: {grown / 1e6:.0f} MB")
    assert (grown < MOST_BYTES, Taken.came) == (True, ROWS + 1000)


def test_a_table_is_filled_a_part_at_a_time(
    folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = databases(request).new()
    grown = pushed(folder, "postgres", {"url": url, "table": "scores"}, monkeypatch)
    print(f"postgres: {grown / 1e6:.0f} MB")
    assert grown < MOST_BYTES
