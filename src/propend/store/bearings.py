"""What a single profile is read by and compared with after a run: ``live.json`` beside the scores."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from propend.errors import InstanceNotFoundError, NotForLiveError
from propend.predicates import FieldType
from propend.store.runs import read_json, write_json

FORMAT = 1
FILE = "live.json"


@dataclass(frozen=True)
class SourceColumns:
    """How one source of events was read.

    Attributes:
        columns: column of each role that has one.
        kind: the kind of every event, where no column says it.
        xdm: whether it was read as XDM.
    """

    columns: dict[str, str]
    kind: str | None = None
    xdm: bool = False


@dataclass(frozen=True)
class Bearings:
    """What is kept of a scored population for profiles that are scored alone.

    Attributes:
        cutoff_day: day number of the scoring cutoff.
        mean: of all probabilities.
        steps: the least probability of each percentile from the second on, infinite where nobody is so high.
        typical: for each feature that may speak, what is typical of it, in the language of the run.
        sources: how the events were read.
        fields: the columns that conditions and features may use, with what they hold.
    """

    cutoff_day: int
    mean: float
    steps: tuple[float, ...]
    typical: tuple[str, ...]
    sources: tuple[SourceColumns, ...]
    fields: dict[str, FieldType]

    def write(self, folder: Path) -> None:
        """Into a run's folder; an infinite step becomes null."""
        write_json(folder / FILE, {"format": FORMAT} | asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Bearings:
        """From a run's folder; numbers come back to the last bit.

        Raises:
            NotForLiveError: the run was made by a propend that kept none.
            InstanceNotFoundError: the file is damaged.
        """
        if (folder / "run.json").exists() and not (folder / FILE).exists():
            raise NotForLiveError(
                f"The run in {folder.name!r} keeps nothing that a single profile could be compared with.",
                "run the instance again: every run keeps it now.",
            )
        document = read_json(folder / FILE)
        try:
            return cls(
                cutoff_day=int(document["cutoff_day"]),
                mean=float(document["mean"]),
                steps=tuple(math.inf if step is None else float(step) for step in document["steps"]),
                typical=tuple(document["typical"]),
                sources=tuple(SourceColumns(s["columns"], s["kind"], s.get("xdm", False)) for s in document["sources"]),
                fields=document["fields"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InstanceNotFoundError(
                f"{FILE} in {folder.name!r} cannot be read: {error}.",
                "run the instance again.",
                path=str(folder / FILE),
            ) from None
