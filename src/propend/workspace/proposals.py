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
from propend.workspace.drafting import name_of_goal
from propend.workspace.instances import PROPOSALS
from propend.writing import whole_file


@dataclass(frozen=True)
class Said:
    """What was said of an instance.

    Attributes:
        notes: of a proposal, in the order of the document.
        as_of: the day to stand at, where data end before today.
        name: the name that was proposed; an instance that still has it is named for its goal, whatever that becomes.
    """

    notes: tuple[Note, ...] = ()
    as_of: date | None = None
    name: str = ""


class Proposals:
    """Kept in the workspace, a small file for each instance; it goes with the instance."""

    def __init__(self, home: Path) -> None:
        """``home``: of the workspace."""
        self._folder = home / WORK_FOLDER / PROPOSALS

    def keep(self, instance_id: str, notes: Sequence[Note], as_of: date | None, name: str = "") -> None:
        """Remember what was said."""
        plain: dict[str, Any] = {
            "notes": [asdict(n) for n in notes],
            "as_of": as_of and as_of.isoformat(),
            "name": name,
        }
        with whole_file(self._folder / f"{instance_id}.json") as file:
            file.write(json.dumps(plain).encode())

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
            self.keep(instance_id, said.notes, as_of, said.name)

    def named(self, instance_id: str, before: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
        """A changed document; where it still has the name that was proposed, with the name that fits its goal now.

        Args:
            before: the document before the change; a name that this very change has set stays.
        """
        said, name = self.of(instance_id), document.get("name")
        if not name or name != said.name or name != before.get("name"):
            return document
        fitting = name_of_goal(document, name)
        if fitting != name:
            self.keep(instance_id, said.notes, said.as_of, fitting)
        return document | {"name": fitting}

    def of(self, instance_id: str) -> Said:
        """What was said; nothing of an instance that was not proposed."""
        path = self._folder / f"{instance_id}.json"
        if not path.is_file():
            return Said()
        plain = json.loads(path.read_text(encoding="utf-8"))
        as_of = date.fromisoformat(plain["as_of"]) if plain["as_of"] else None
        return Said(tuple(Note(**n) for n in plain["notes"]), as_of, plain.get("name", ""))
