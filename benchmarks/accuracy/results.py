"""What a study gave, as a file: a run can be taken up again, and the pages be made anew."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.accuracy.level import Level
from benchmarks.accuracy.measure import Cell


@dataclass(frozen=True)
class Speed:
    """Best of two turns, in turns, after imports and with compiled kernels.

    Attributes:
        propend: seconds of ``propend.run`` from the data to the written scores.
        whole: seconds of all of it, the report included.
        plain: seconds of one LightGBM fit of 300 rounds, its data set made from the matrix included.
        rows, features: of the matrix.
    """

    propend: float
    whole: float
    plain: float
    rows: int
    features: int

    @property
    def ratio(self) -> float:
        return self.propend / self.plain


@dataclass(frozen=True)
class Result:
    """One study.

    Attributes:
        study: its name.
        cutoffs: dates that the figures are means of, newest first.
        rows, positives: tested, over these cutoffs.
        cells: contender to figure to cell.
        missing: contender to the reason why it has no figures.
        seconds, megabytes: of each contender: the mean and the peak over the cutoffs.
        levels: of as many cutoffs as history allows.
        truth_error: of the simulator: calibration error of propend against the true probabilities.
        speed: beside one plain fit.
        remarks: what a reader should know.
    """

    study: str
    cutoffs: Sequence[str]
    rows: int
    positives: int
    cells: dict[str, dict[str, Cell]]
    missing: dict[str, str]
    seconds: dict[str, float]
    megabytes: dict[str, float]
    levels: Sequence[Level] = ()
    truth_error: float = math.nan
    speed: Speed | None = None
    remarks: list[str] = field(default_factory=list)


def save(target: Path, found: Any) -> None:
    """A dataclass as JSON, by one rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_suffix(".tmp")
    half.write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")
    half.replace(target)


def file_of(out: Path, study: str) -> Path:
    """Where a study's result stands."""
    return out / "results" / (re.sub(r"[^a-z0-9]+", "_", study.lower()).strip("_") + ".json")


def load(target: Path) -> Result:
    d = json.loads(target.read_text(encoding="utf-8"))
    d["cells"] = {n: {f: Cell(**c) for f, c in cells.items()} for n, cells in d["cells"].items()}
    d["levels"] = tuple(Level(**x) for x in d["levels"])
    d["speed"] = Speed(**d["speed"]) if d["speed"] else None
    return Result(**d)


def load_all(out: Path, names: Sequence[str]) -> list[Result]:
    """Those of the named studies that there are, in this order."""
    return [load(f) for f in (file_of(out, n) for n in names) if f.exists()]
