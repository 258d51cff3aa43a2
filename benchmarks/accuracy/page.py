"""Tables in Markdown, one page of charts, the aims with what was reached, one closing sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import altair as alt
import numpy as np
from benchmarks.accuracy import published
from benchmarks.accuracy.level import Errors, level_table
from benchmarks.accuracy.measure import FIGURES, HIGHER_IS_BETTER, Cell
from benchmarks.accuracy.published import Protocol, protocol_table
from benchmarks.accuracy.results import Result

import propend

STATIC = Path(propend.__file__).parent / "static"
SCRIPTS = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")
SHORT_NAMES = {
    "auc": "AUC", "average_precision": "AP", "log_loss": "log loss", "brier": "Brier",
    "calibration_error": "ECE", "top_decile_lift": "lift 10 %", "calibration_in_the_large": "level error",
}  # fmt: skip


def verdict(cell: Cell, figure: str) -> str:
    """``better``, ``worse`` or ``level``: propend against this contender, beyond the interval."""
    if not math.isfinite(cell.low) or cell.low <= 0 <= cell.high:
        return "level"
    return "better" if (cell.high < 0) == (figure in HIGHER_IS_BETTER) else "worse"


def tables(results: Sequence[Result], protocols: Sequence[Protocol]) -> str:
    """All tables, each under a heading."""
    parts = [
        ("Aims", aims_table(results, protocols)),
        ("Figures", figures_table(results)),
        ("Level", level_table((r.study, r.levels) for r in results)),
        ("Speed", speed_table(results)),
        ("CDNOW, published protocol", protocol_table(protocols) if protocols else "Not run.\n"),
        ("Remarks", remarks(results)),
    ]
    return "\n".join(f"## {title}\n\n{text}" for title, text in parts)


def figures_table(results: Sequence[Result]) -> str:
    """All figures; beside each, contender minus propend with its interval; bold where propend loses."""
    head = ["study (cutoffs, rows, rate)", "contender", *(SHORT_NAMES[f] for f in FIGURES), "s", "MB"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for r in results:
        rate = f", {r.positives / r.rows:.1%}" if r.rows else ""
        name_of_study = f"{r.study} ({len(r.cutoffs)}, {r.rows:,}{rate})"
        for name, reason in r.missing.items():
            lines.append("| " + " | ".join([name_of_study, name, reason, *[""] * (len(FIGURES) + 1)]) + " |")
            name_of_study = ""
        for name, cells in r.cells.items():
            shown = [_shown(cells[f], f, mark=name != "truth") for f in FIGURES]
            lines.append("| " + " | ".join([name_of_study, name, *shown, f"{r.seconds[name]:.1f}",
                                            f"{r.megabytes[name]:.0f}"]) + " |")  # fmt: skip
            name_of_study = ""
    return "\n".join(lines) + "\n"


def speed_table(results: Sequence[Result]) -> str:
    """Propend from data to written scores beside one plain fit on the same matrix."""
    found = [(r.study, r.speed) for r in results if r.speed]
    if not found:
        return "Not measured.\n"
    lines = ["| study | rows | features | data to scores, s | with the report, s | one LightGBM fit, s | ratio |"]
    lines.append("| --- |" + " ---: |" * 6)
    for study, s in found:
        lines.append(
            f"| {study} | {s.rows:,} | {s.features} | {s.propend:.1f} | {s.whole:.1f} | {s.plain:.1f} | {s.ratio:.2f} |"
        )
    mean = float(np.exp(np.mean([np.log(s.ratio) for _, s in found])))
    return "\n".join([*lines, f"| **geometric mean** | | | | | | {mean:.2f} |"]) + "\n"


def remarks(results: Sequence[Result]) -> str:
    lines = [f"- {r.study}: {remark}" for r in results for remark in r.remarks]
    return "\n".join(lines or ["- none"]) + "\n"


# --- the aims -------------------------------------------------------------------------------------------------


def aims(results: Sequence[Result], protocols: Sequence[Protocol]) -> list[tuple[str, bool, str]]:
    """Each aim, whether it is reached, and the figures it rests on.

    A study counts where propend gave figures and there is a signal to find.
    """
    studies = [r for r in results if "propend" in r.cells and "without signal" not in r.study]
    tried = {name for r in studies for name in r.cells}
    found = [_ranks(studies, name) for name in ("rfm_logistic", "bgnbd", "bgnbd_count") if name in tried]
    found += [_beside(studies, "auc"), _against_all(studies)]
    levels = [x for r in results for x in r.levels]
    if levels:
        rate = Errors.of(levels).rate
        ours, plain, none = rate["propend"], rate["plain"], rate["none"]
        found.append(("mean level error at most 2/3 of a model's without care for the level", ours <= 2 / 3 * plain,
                      f"{ours:.4f} / {plain:.4f} = {ours / plain:.2f} over {len(levels)} cutoffs; of the same model "
                      f"before the last correction, which knows the time, {ours / none:.2f}"))  # fmt: skip
    for r in studies:
        if math.isfinite(r.truth_error):
            error = r.cells["propend"]["calibration_error"].value
            found.append(("calibration error under 0.03 on the simulator", max(error, r.truth_error) < 0.03,
                          f"{error:.4f} against what happened, {r.truth_error:.4f} against the truth"))  # fmt: skip
    for r in results:
        if "without signal" in r.study:
            found.append(("no signal is reported as none", "propend" in r.missing,
                          r.missing.get("propend", "propend gave figures")))  # fmt: skip
    for p in protocols:
        line = p.lines[0]
        if p.customers == published.SAMPLED:  # the literature has no AUC for the whole file
            found.append(("CDNOW, published protocol: AUC above the 0.779 of Pareto/NBD", line.auc > 0.779,
                          f"{line.auc:.4f} ({line.contender}); correlation of counts {line.correlation:.3f} "
                          "beside 0.630"))  # fmt: skip
    speeds = [(r.speed.ratio, r.study) for r in studies if r.speed]
    if speeds:
        under = sum(ratio <= 2 for ratio, _ in speeds)
        found.append(("data to scores within twice one plain LightGBM fit", under == len(speeds),
                      f"on {under} of {len(speeds)}; most {max(speeds)[0]:.2f} on {max(speeds)[1]}"))  # fmt: skip
    return found


def _ranks(studies: Sequence[Result], name: str) -> tuple[str, bool, str]:
    """Every AUC at least that of a simple model."""
    pairs = [(r.study, r.cells[name]["auc"].difference) for r in studies if name in r.cells]
    above = [f"{study} {d:+.4f}" for study, d in pairs if d > 0]
    return f"AUC at least that of {name} on every study", not above, "; ".join(above) or f"on all {len(pairs)}"


def _beside(studies: Sequence[Result], figure: str) -> tuple[str, bool, str]:
    """Not worse than the hand-made trees beyond the interval on any study, better on most."""
    cells = [(r.study, r.cells["lightgbm"][figure]) for r in studies if "lightgbm" in r.cells]
    worse = [study for study, c in cells if verdict(c, figure) == "worse"]
    better = sum((c.difference < 0) == (figure in HIGHER_IS_BETTER) for _, c in cells)
    said = f"better on {better} of {len(cells)}; worse beyond the interval: {', '.join(worse) or 'none'}"
    return (
        f"{SHORT_NAMES[figure]} not worse than LightGBM's on any, better on most",
        not worse and 2 * better > len(cells),
        said,
    )


def _against_all(studies: Sequence[Result]) -> tuple[str, bool, str]:
    """Log loss lower than everybody's on most studies, worse beyond the interval than anybody's on none."""
    best, worse = 0, []
    for r in studies:
        others = {n: c["log_loss"] for n, c in r.cells.items() if n not in ("propend", "truth")}
        best += all(c.difference > 0 for c in others.values())
        worse += [f"{r.study} ({n})" for n, c in others.items() if verdict(c, "log_loss") == "worse"]
    said = f"least on {best} of {len(studies)}; worse beyond the interval: {', '.join(worse) or 'none'}"
    return "log loss less than everybody's on most, worse on none", not worse and 2 * best > len(studies), said


def aims_table(results: Sequence[Result], protocols: Sequence[Protocol]) -> str:
    lines = ["| aim | reached | figures |", "| --- | --- | --- |"]
    for what, reached, said in aims(results, protocols):
        lines.append(f"| {what} | {'yes' if reached else '**no**'} | {said} |")
    return "\n".join(lines) + "\n"


# --- cells and charts ---------------------------------------------------------------------------------------


def _shown(cell: Cell, figure: str, *, mark: bool) -> str:
    if not math.isfinite(cell.low):
        return f"{cell.value:.4f}"
    text = f"{cell.value:.4f} ({cell.difference:+.4f}: {cell.low:+.4f} to {cell.high:+.4f})"
    return f"**{text}**" if mark and verdict(cell, figure) == "worse" else text


def charts(results: Sequence[Result], target: Path) -> None:
    """Differences in AUC and log loss with their intervals, one panel per study."""
    rows = [
        {"study": r.study, "contender": n, "figure": SHORT_NAMES[f], "difference": c[f].difference,
         "low": c[f].low, "high": c[f].high}
        for r in results for n, c in r.cells.items() if n != "truth"
        for f in ("auc", "log_loss") if math.isfinite(c[f].low)
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
        verdict(c[f], f)
        for r in pairs
        for n, c in r.cells.items()
        if n not in ("propend", "truth")
        for f in ("auc", "log_loss")
    ]
    seconds = float(np.exp(np.mean([np.log(r.seconds["propend"] / r.seconds["lightgbm"]) for r in pairs])))
    many = "study" if len(pairs) == 1 else "studies"
    return (
        f"Over {len(pairs)} {many} propend has {mean_ratio('auc'):.3f} times the AUC and "
        f"{mean_ratio('log_loss'):.3f} times the log loss of a hand-made LightGBM in {seconds:.2f} times its seconds; "
        f"of {len(judged)} comparisons of AUC and log loss with all contenders, {judged.count('better')} are better "
        f"beyond their interval and {judged.count('worse')} worse."
    )
