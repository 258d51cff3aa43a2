"""What a terminal shows of checks, runs and profiles: plain text from plain documents.

Here are the pieces that all of it is put together of: tables, days, shares, notices.

    checking     what an instance means on its data, and a proposal of one
    running      what a run found, and what came of earlier ones
    profiles     one profile, differences, movement
    listing      what a folder or a workspace has
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

METRIC_WORDS = (
    ("auc", "AUC (0.5 is chance, 1 is perfect)", 3),
    ("average_precision", "average precision (more is better)", 3),
    ("log_loss", "log loss (less is better)", 4),
    ("calibration_error", "calibration error (less is better)", 4),
    ("top_decile_lift", "top tenth, times the average rate", 2),
)
WIDE = 0.1
"""An interval that reaches so far is shown without decimals."""


def columns_text(rows: Sequence[Sequence[str]], indent: int = 2) -> str:
    """Rows as aligned columns: the first left, the others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append((" " * indent + "   ".join(cells)).rstrip())
    return "\n".join(lines)


def left_text(rows: Sequence[Sequence[str]], indent: int = 2) -> str:
    """Rows as aligned columns, all left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    cells = ["   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join((" " * indent + line).rstrip() for line in cells)


def local_day(instant: str | datetime, zone: str) -> str:
    """The date that an instant has on the instance's clock: a cutoff is a midnight there."""
    moment = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d}"


def zone_of(record: dict[str, Any]) -> str:
    """The time zone of a run's instance."""
    return str(record["instance"].get("options", {}).get("time_zone", "UTC"))


def percent_text(share: float | None, digits: int = 1) -> str:
    """A share as a percentage; a dash for none."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def metric_text(metric: dict[str, Any], digits: int) -> str:
    """A metric with its interval; a dash for none."""
    if metric["value"] is None:
        return "-"
    return f"{metric['value']:.{digits}f} ({metric['low']:.{digits}f} to {metric['high']:.{digits}f})"


def span_text(found: dict[str, Any]) -> str:
    """The interval of a probability: ``(28 % to 42 %)``."""
    low, high = found["probability_low"], found["probability_high"]
    digits = 0 if high >= WIDE else 1
    return f"({percent_text(low, digits)} to {percent_text(high, digits)})"


def notices_text(notices: Sequence[dict[str, str]]) -> list[str]:
    """Warnings, one paragraph each."""
    lines = []
    for n in notices:
        lines.append(f"  ! {n['code']} {n['symbol']}: {n['message']}")
        lines += [f"    Hint: {n['hint']}"] if n["hint"] else []
    return lines
