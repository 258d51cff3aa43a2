"""A real server for tests: ``propend serve`` in a process of its own, on loopback, on a free port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STARTED_SECONDS = 60


@dataclass
class Server:
    """A server that listens.

    Attributes:
        url: where.
        log: the file that it logs to.
    """

    url: str
    log: Path
    process: subprocess.Popen[str]

    def stop(self) -> int:
        """Tell it to end, and wait; gives its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(home: Path, *options: str, database: str | None = None) -> Iterator[Server]:
    """A server of a workspace, ended afterwards."""
    log = home / "server.log"
    command = [sys.executable, "-m", "propend", "serve", "--workspace", str(home), "--port", "0", *options]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=out, text=True,
            env=os.environ | ({"PROPEND_DATABASE_URL": database} if database else {}),
        )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert "listens on" in line, log.read_text()
        yield Server(line.split()[-1], log, process)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()
