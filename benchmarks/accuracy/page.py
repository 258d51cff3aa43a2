"""One table in Markdown, one page of charts, one closing sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import altair as alt
import numpy as np
from benchmarks.accuracy.measure import FIGURES, HIGHER_IS_BETTER, Cell

import propend

STATIC = Path(propend.__file__).parent / "static"
SCRIPTS = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")
SHORT_NAMES = {
    "auc": "AUC", "average_precision": "AP", "log_loss": "log loss", "brier": "Brier",
    "calibration_error": "ECE", "top_decile_lift": "lift 10 %", "calibration_in_the_large": "level error",
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One study: contenders' cells, and the seconds and peak megabytes of each (means over the cutoffs)."""

    study: str
    cutoffs: Sequence[str]
    rows: int
    cells: dict[str, dict[str, Cell]]
    seconds: dict[str, float]
    megabytes: dict[str, float]
    remarks: list[str] = field(default_factory=list)


def verdict(cell: Cell, figure: str) -> str:
    """``better``, ``worse`` or ``level``: propend against this contender, beyond the interval."""
    if not math.isfinite(cell.low) or cell.low <= 0 <= cell.high:
        return "level"
    return "better" if (cell.high < 0) == (figure in HIGHER_IS_BETTER) else "worse"


def table(results: Sequence[Result]) -> str:
    """All figures; below each, contender minus propend with its interval; bold where propend loses."""
    head = ["study (cutoffs, rows)", "contender", *(SHORT_NAMES[f] for f in FIGURES), "s", "MB"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for r in results:
        for name, cells in r.cells.items():
            label = f"{r.study} ({len(r.cutoffs)}, {r.rows:,})" if name == next(iter(r.cells)) else ""
            shown = [_shown(cells[f], f) for f in FIGURES]
            lines.append("| " + " | ".join([label, name, *shown, f"{r.seconds[name]:.1f}",
                                            f"{r.megabytes[name]:.0f}"]) + " |")  # fmt: skip
    lines += ["", *(f"- {r.study}: {remark}" for r in results for remark in r.remarks)]
    return "\n".join(lines) + "\n"


def _shown(cell: Cell, figure: str) -> str:
    if not math.isfinite(cell.low):
        return f"{cell.value:.4f}"
    text = f"{cell.value:.4f} ({cell.difference:+.4f}: {cell.low:+.4f} to {cell.high:+.4f})"
    return f"**{text}**" if verdict(cell, figure) == "worse" else text


def charts(results: Sequence[Result], target: Path) -> None:
    """Differences in AUC and log loss with their intervals, one panel per study."""
    rows = [
        {"study": r.study, "contender": n, "figure": SHORT_NAMES[f], "difference": c[f].difference,
         "low": c[f].low, "high": c[f].high}
        for r in results for n, c in r.cells.items() for f in ("auc", "log_loss") if math.isfinite(c[f].low)
    ]  # fmt: skip
    panels = []
    for figure in ("AUC", "log loss"):
        base = alt.Chart(alt.Data(values=[x for x in rows if x["figure"] == figure]))
        y = alt.Y("contender:N", title=None)
        bars = base.mark_rule(strokeWidth=2).encode(
            x=alt.X("low:Q", title=f"{figure}: contender minus propend, 95 % interval"), x2="high:Q", y=y
        )
        dots = base.mark_circle(size=60).encode(x="difference:Q", y=y)
        zero = base.mark_rule(strokeDash=[3, 3], color="#8b979e").encode(x=alt.datum(0))
        panels.append((zero + bars + dots).properties(width=320).facet(row=alt.Row("study:N", title=None)))
    page = alt.hconcat(*panels).resolve_scale(x="independent")
    target.write_text(_html(page.to_json(indent=None)), encoding="utf-8")


def _html(spec: str) -> str:
    """A page that loads nothing: the Vega scripts of propend's own reports stand inside it."""
    scripts = "".join(f"<script>{(STATIC / name).read_text(encoding='utf-8')}</script>" for name in SCRIPTS)
    safe = spec.replace("</", "<\\/")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Accuracy</title>'
        f'{scripts}<div id="charts"></div><script>vegaEmbed("#charts", {safe}, {{actions: false}})</script></html>'
    )


def sentence(results: Sequence[Result]) -> str:
    """The closing line, of ratios of propend to the hand-made LightGBM and of counts against all."""
    pairs = [r for r in results if {"propend", "lightgbm"} <= r.cells.keys()]
    if not pairs:
        return "No study has figures of both propend and the hand-made LightGBM."

    def mean_ratio(figure: str) -> float:
        values = [r.cells["propend"][figure].value / r.cells["lightgbm"][figure].value for r in pairs]
        return float(np.exp(np.mean(np.log(values))))

    judged = [
        verdict(c[f], f) for r in pairs for n, c in r.cells.items() if n != "propend" for f in ("auc", "log_loss")
    ]
    seconds = float(np.exp(np.mean([np.log(r.seconds["propend"] / r.seconds["lightgbm"]) for r in pairs])))
    return (
        f"Over {len(pairs)} studies propend has {mean_ratio('auc'):.3f} times the AUC and "
        f"{mean_ratio('log_loss'):.3f} times the log loss of a hand-made LightGBM in {seconds:.2f} times its seconds; "
        f"of {len(judged)} comparisons of AUC and log loss with all contenders, {judged.count('better')} are better "
        f"beyond their interval and {judged.count('worse')} worse."
    )
