"""What was said of an instance when it was proposed: what was seen in the data, and the day to stand at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from propend.errors import RequestInvalidError
from propend.proposal import Note
from propend.store.runs import WORK_FOLDER
from propend.workspace.instances import PROPOSALS


@dataclass(frozen=True)
class Said:
    """Notes of a proposal, in the order of the document, and the day to stand at where data end before today."""

    notes: tuple[Note, ...] = ()
    as_of: date | None = None


class Proposals:
    """Kept in the workspace, a small file for each instance; it goes with the instance."""

    def __init__(self, home: Path) -> None:
        """``home``: of the workspace."""
        self._folder = home / WORK_FOLDER / PROPOSALS

    def keep(self, instance_id: str, notes: Sequence[Note], as_of: date | None) -> None:
        """Remember what was said."""
        plain: dict[str, Any] = {"notes": [asdict(n) for n in notes], "as_of": as_of and as_of.isoformat()}
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / f"{instance_id}.json").write_text(json.dumps(plain), encoding="utf-8")

    def stand_at(self, instance_id: str, day: str) -> None:
        """Remember another day to stand at; an empty text: the day that the data end.

        Raises:
            RequestInvalidError: it is no date.
        """
        try:
            as_of = date.fromisoformat(day) if day else None
        except ValueError:
            raise RequestInvalidError(f"{day[:40]!r} is not a date.", "write it as 2026-03-01.") from None
        said = self.of(instance_id)
        if as_of != said.as_of:
            self.keep(instance_id, said.notes, as_of)

    def of(self, instance_id: str) -> Said:
        """What was said; nothing of an instance that was not proposed."""
        path = self._folder / f"{instance_id}.json"
        if not path.is_file():
            return Said()
        plain = json.loads(path.read_text(encoding="utf-8"))
        as_of = date.fromisoformat(plain["as_of"]) if plain["as_of"] else None
        return Said(tuple(Note(**n) for n in plain["notes"]), as_of)
