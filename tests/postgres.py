"""A real PostgreSQL server from Debian's package, on loopback, for the tests that ask for one.

It is started once, in a folder that is removed at the end, and never as root: PostgreSQL refuses that. Where the
package cannot be had the tests are skipped, and say so.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psycopg
import pytest


@dataclass
class Databases:
    """A running server, and databases of their own in it."""

    url: str
    made: int = field(default=0)

    def new(self) -> str:
        """The address of a new, empty database."""
        self.made += 1
        name = f"propend_{self.made}"
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"{self.url}/{name}"


def databases(request: pytest.FixtureRequest) -> Databases:
    """The server, started at the first call; the test is skipped where there is none to start."""
    found = _started()
    if found is None:
        pytest.skip("PostgreSQL cannot be had here (apt-get install postgresql)")
    return found


def programs() -> Path | None:
    """The folder of the newest server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parent.parent.name))
    if found:
        return found[-1].parent
    other = shutil.which("initdb")
    return Path(other).parent if other else None


@cache
def _started() -> Databases | None:
    found = programs()
    if found is None:
        return None
    home = Path(tempfile.mkdtemp(prefix="propend-postgres-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    as_other = {}
    if os.geteuid() == 0:
        try:
            other = pwd.getpwnam("postgres")
        except KeyError:
            return None
        home.chmod(0o755)
        os.chown(home, other.pw_uid, other.pw_gid)
        as_other = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = home / "data"
    initdb = [found / "initdb", "-D", data, "-U", "propend", "--auth=trust", "--no-sync", "--encoding=UTF8"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=home, **as_other)  # type: ignore[call-overload]
    control = [found / "pg_ctl", "-D", data, "-w", "-t", "60"]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    start = [*control, "-o", options, "-l", home / "log", "start"]
    subprocess.run(start, check=True, capture_output=True, cwd=home, **as_other)  # type: ignore[call-overload]
    stop = [*control, "-m", "immediate", "stop"]
    atexit.register(subprocess.run, stop, capture_output=True, cwd="/", **as_other)
    return Databases(f"postgresql://propend@127.0.0.1:{port}")
