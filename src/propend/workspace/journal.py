"""What a run does while it does it: its stages with their times, and its log. Both stay, also of a run that failed.

Files of a run that does not succeed are removed, so that these lie in a folder beside those of runs, and go with their
instance. Only what belongs to propend is written at the level of information: libraries tell of addresses.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from propend.document import without_passwords
from propend.store.catalog import RunRow, now
from propend.store.runs import WORK_FOLDER

FOLDER = "logs"
MOST_LINES = 200
MOST_BYTES = 200_000
"""Of a log's end, that is looked at: lines of a library may be of any length."""
FORM = "%(asctime)s %(levelname)s %(name)s %(message)s"
log = logging.getLogger("propend.journal")


@dataclass(frozen=True)
class Passed:
    """A stage that a run has begun.

    Attributes:
        name: as ``pipeline`` has it.
        began_at: when.
        seconds: until the next began or the run ended; so far, of the one that is under way.
    """

    name: str
    began_at: datetime
    seconds: float


@dataclass(frozen=True)
class Lines:
    """The end of a log.

    Attributes:
        texts: its lines, oldest first.
        cut: whether there are others before them.
    """

    texts: tuple[str, ...]
    cut: bool


def folder_of(home: Path, instance_id: str) -> Path:
    """Where the journals of an instance's runs lie."""
    return home / WORK_FOLDER / FOLDER / instance_id


class Journal:
    """Of one run; written by its process alone, read by anybody."""

    def __init__(self, home: Path, run: RunRow) -> None:
        """``home``: the workspace's folder."""
        folder = folder_of(home, run.instance_id)
        self._run = run
        self.log, self._stages = folder / f"{run.id}.log", folder / f"{run.id}.stages"

    # --- writing ------------------------------------------------------------------------------------------------

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Within, what propend logs goes to the log as well, in UTC."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        written = logging.FileHandler(self.log, encoding="utf-8")
        form = logging.Formatter(FORM, "%Y-%m-%dT%H:%M:%SZ")
        form.converter = time.gmtime
        written.setFormatter(form)
        root, own = logging.getLogger(), logging.getLogger("propend")
        before = own.level
        own.setLevel(logging.INFO)
        root.addHandler(written)
        try:
            yield
        finally:
            root.removeHandler(written)
            own.setLevel(before)
            written.close()

    def began(self, stage: str) -> None:
        """Write down that a stage begins; a run does not fail where that cannot be done."""
        log.info("stage: %s", stage)
        line = json.dumps({"stage": stage, "at": now().isoformat()}) + "\n"
        try:
            with self._stages.open("ab") as file:
                file.write(line.encode())
        except OSError as error:
            log.warning("stages cannot be written down: %s", error.strerror)

    # --- reading ------------------------------------------------------------------------------------------------

    def stages(self) -> list[Passed]:
        """The stages that were begun, in their order; none of a run that waits."""
        begun = [json.loads(line) for line in _whole_lines(self._stages)]
        times = [datetime.fromisoformat(one["at"]) for one in begun]
        ends = [*times, self._run.finished_at or now()][1:]
        return [
            Passed(one["stage"], began, max((end - began).total_seconds(), 0.0))
            for one, began, end in zip(begun, times, ends, strict=True)
        ]

    def lines(self, most: int = MOST_LINES) -> Lines:
        """The last lines of the log, with no password of an address in them; none where there is no log (any more)."""
        found, cut = _end(self.log)
        texts = found.decode("utf-8", errors="replace").replace("\0", "").splitlines()
        return Lines(tuple(str(without_passwords(text)) for text in texts[-most:]), cut or len(texts) > most)


def _whole_lines(path: Path) -> list[str]:
    """Of a file that may be written at this moment, by a process that may have been killed."""
    try:
        content = path.read_bytes()
    except OSError:
        return []
    return content[: content.rfind(b"\n") + 1].decode().splitlines()


def _end(path: Path) -> tuple[bytes, bool]:
    """The last bytes of a file, from the beginning of a line on, and whether there are others before."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - MOST_BYTES, 0))
            found = file.read()
    except OSError:
        return b"", False
    return (found, False) if size <= MOST_BYTES else (found[found.find(b"\n") + 1 :], True)
