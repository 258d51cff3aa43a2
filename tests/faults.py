"""Faults of disks, networks and clocks at any operation of a process: see ``faults.c``.

    with stage() as on:
        on.play(home, scene, Fault())                      # nothing goes wrong; gives every operation there is
        on.play(home, scene, Fault("full", at=17))         # from the 17th on the disk is full

A scene is the name of a function in ``scenes``. It is played in a process of its own, which is forked from one that has
everything imported: a few hundred faults take minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

KINDS = ("none", "kill", "full", "broken", "read-only", "end", "cut", "day-on", "day-back", "memory")
"""In the order of ``faults.c``: nothing; SIGKILL; a full disk; one error of the disk; a disk that can be written no
more; SIGTERM; a connection that is cut; a clock that jumps a day on, or back; no more memory."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong: of ``KINDS``, from the ``at``-th operation on, counted from 1."""

    kind: str = "none"
    at: int = 0


@dataclass(frozen=True)
class Played:
    """How a scene ended.

    Attributes:
        status: its exit status; negative where a signal ended it.
        text: what it printed, on both streams.
        operations: what it changed, in order, such as ``rename /…/scores.parquet``.
    """

    status: int
    text: str
    operations: list[str]


class Stage:
    """A process from which scenes are forked."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        """``folder``: for what is told of each scene."""
        self._process, self._folder = process, folder

    def play(self, home: Path, scene: str, fault: Fault, port: int = 0) -> Played:
        """Play a scene on a folder; operations below it are counted, or, of a port, messages that are sent there."""
        said, told = self._folder / "said", self._folder / "told"
        asked = {"home": str(home), "scene": scene, "kind": KINDS.index(fault.kind), "at": fault.at, "port": port,
                 "said": str(said), "told": str(told)}  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        operations = [line.partition(" ")[2] for line in told.read_text(errors="replace").splitlines()]
        return Played(status, said.read_text(errors="replace"), operations)


@cache
def library() -> Path | None:
    """The faults, compiled; None where there is no compiler, or no such system."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        return None
    made = Path(tempfile.mkdtemp(prefix="propend-faults-")) / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True)
    return made


@contextmanager
def stage(**variables: str) -> Iterator[Stage]:
    """Where scenes are played; the test is skipped where faults cannot be made."""
    made = library()
    if made is None:
        pytest.skip("faults are made by a C compiler on Linux, and there is none here (apt-get install gcc)")
    folder = Path(tempfile.mkdtemp(prefix="propend-stage-"))
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("faults_stage.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env=os.environ | {"LD_PRELOAD": str(made), "PROPEND_DATABASE_URL": ""} | variables,
    )  # fmt: skip
    try:
        yield Stage(process, folder)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
        shutil.rmtree(folder)
