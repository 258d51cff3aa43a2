"""Four pictures of what was measured, each titled by what it shows, as Vega-Lite; drawn to SVG without a browser.

Colours are those of Okabe and Ito (2008), which stay apart under the common colour blindnesses, and each has its word.
A card of its own background makes them readable on light and on dark pages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
from benchmarks.speed.page import GIB, default_jobs, growth, times
from benchmarks.speed.results import Beside, Job, Results

INK, MUTED, GRID = "#22303a", "#5b6870", "#e5e3dc"
BLUE, ORANGE, SKY, RED, GREY = "#0072b2", "#e69f00", "#56b4e9", "#d55e00", "#9aa5ab"
STAGES = {"read": BLUE, "describe": ORANGE, "learn and prove": SKY, "score": RED, "report, files": GREY}
TASKS = {"features": BLUE, "labels": ORANGE}
WIDTH, STEP = 560, 34
CONFIG = {
    "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
    "background": "#ffffff",
    "padding": 16,
    "view": {"stroke": None},
    "title": {
        "anchor": "start", "color": INK, "fontSize": 16, "fontWeight": 600, "subtitleColor": MUTED,
        "subtitleFontSize": 12, "subtitlePadding": 6, "offset": 14, "frame": "group",
    },
    "axis": {
        "labelColor": MUTED, "titleColor": MUTED, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 400,
        "gridColor": GRID, "domain": False, "ticks": False, "labelPadding": 6, "titlePadding": 10,
    },
    "legend": {
        "orient": "top", "direction": "horizontal", "title": None, "labelColor": INK, "labelFontSize": 12,
        "symbolType": "square", "symbolSize": 110, "columnPadding": 16, "offset": 10, "labelLimit": 260,
    },
    "text": {"fontSize": 12, "color": INK},
}  # fmt: skip

FEW = alt.Axis(tickCount=6, labelFlush=False)
Drawn = tuple[str, Any]
"""What it shows in one sentence, and the Altair chart."""


def pictures(results: Results) -> dict[str, Drawn]:
    """Name to sentence and chart, of those that there are figures for."""
    jobs, beside = default_jobs(results), compared(results)
    found: dict[str, Drawn] = {}
    if len(jobs) > 1:
        found = {"speed_stages": stages(jobs), "speed_growth": against_events(jobs), "speed_memory": memory(results)}
    if beside:
        found["speed_tools"] = tools(beside)
    return found


def save(results: Results, folder: Path) -> dict[str, str]:
    """Write the pictures as SVG; gives name to sentence."""
    folder.mkdir(parents=True, exist_ok=True)
    found = pictures(results)
    for name, (_, chart) in found.items():
        chart.save(folder / f"{name}.svg")
    return {name: sentence for name, (sentence, _) in found.items()}


def compared(results: Results) -> list[Beside]:
    """Every tool at the size that most of them were asked at, those that ran, quickest first."""
    sizes = [b.events for b in results.beside.values() if not b.not_run]
    if not sizes:
        return []
    most = max(sorted(set(sizes)), key=sizes.count)
    return sorted((b for b in results.beside.values() if b.events == most and not b.not_run), key=lambda b: b.ratio)


# --- one by one -----------------------------------------------------------------------------------------


def stages(jobs: list[Job]) -> Drawn:
    """Seconds by stage, stacked, one bar per size."""
    small, large = jobs[0], jobs[-1]
    more, longer = large.events / small.events, large.whole / small.whole
    title = f"{more:,.0f} times the events take {times(longer)} times the time"
    rows = [
        {"size": f"{job.size} events", "stage": stage, "seconds": seconds, "order": i}
        for job in jobs
        for i, (stage, seconds) in enumerate(job.stages.items())
    ]
    sizes = [f"{job.size} events" for job in jobs]
    y = alt.Y("size:N", sort=sizes, title=None)
    bars = alt.Chart(alt.Data(values=rows)).mark_bar(height=22).encode(
        y=y, x=alt.X("sum(seconds):Q", title="seconds, from the files to scores, factors and report", axis=FEW),
        color=alt.Color("stage:N", scale=alt.Scale(domain=list(STAGES), range=list(STAGES.values()))),
        order=alt.Order("order:Q"),
    )  # fmt: skip
    totals = [{"size": f"{j.size} events", "seconds": j.whole, "text": f"{j.whole:,.0f} s"} for j in jobs]
    return title, _finished(bars + _labels(totals, y, "seconds"), title, _budgets(jobs), STEP * len(jobs))


def against_events(jobs: list[Job]) -> Drawn:
    """Whole seconds and DuckDB's group-by against events, both axes logarithmic."""
    power, small, large = growth(jobs)
    title = f"From {small.size} to {large.size} events, time grows with the power {power:.2f} of events"
    propend, group, even = "propend, the whole job", "DuckDB, one scan and group-by", "the power 1, for comparison"
    kinds = {propend: BLUE, group: ORANGE, even: GREY}
    rows = [{"events": j.events, "s": j.whole, "what": propend, "text": f"{j.whole:,.0f} s"} for j in jobs]
    rows += [{"events": j.events, "s": j.group, "what": group, "text": f"{times(j.group)} s"} for j in jobs]
    rows += [{"events": j.events, "s": large.whole * j.events / large.events, "what": even, "text": ""} for j in jobs]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("events:Q", scale=alt.Scale(type="log"), title="events",
                axis=alt.Axis(values=[j.events for j in jobs], labelExpr="format(datum.value / 1e6, ',') + 'M'")),
        y=alt.Y("s:Q", scale=alt.Scale(type="log"), title="seconds",
                axis=alt.Axis(format="~r", values=[10.0**k for k in range(-2, 5)], grid=True)),
        color=alt.Color("what:N", scale=alt.Scale(domain=list(kinds), range=list(kinds.values()))),
    )  # fmt: skip
    measured = f"datum.what != '{even}'"
    lines = base.transform_filter(measured).mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=60, filled=True))
    dashed = base.transform_filter(f"!({measured})").mark_line(strokeWidth=1.5, strokeDash=[5, 4])
    texts = base.mark_text(dy=-12, color=INK).encode(text="text:N", color=alt.value(INK))
    return title, _finished(dashed + lines + texts, title, "Both axes logarithmic", 280)


def memory(results: Results) -> Drawn:
    """Peak memory per size and budget."""
    jobs = sorted(results.jobs.values(), key=lambda j: (j.events, j.memory != "-"))
    large = jobs[-1]
    title = f"{large.size} events fit into {large.peak / GIB:.1f} GiB"
    rows = [
        {"what": f"{j.size} events" + (f", {j.memory} allowed" if j.memory != "-" else ""), "gib": j.peak / GIB,
         "text": f"{j.peak / GIB:.1f} GiB"} for j in jobs
    ]  # fmt: skip
    y = alt.Y("what:N", sort=[r["what"] for r in rows], title=None, axis=alt.Axis(labelLimit=220))
    bars = alt.Chart(alt.Data(values=rows)).mark_bar(height=22, color=BLUE).encode(
        y=y, x=alt.X("gib:Q", title="most memory that the process held, GiB", axis=FEW)
    )  # fmt: skip
    subtitle = "Without a budget it takes what is quick; with one, partitions go to disk"
    return title, _finished(bars + _labels(rows, y, "gib"), title, subtitle, STEP * len(rows))


def tools(beside: list[Beside]) -> Drawn:
    """How many times as long each tool takes, logarithmic."""
    least, most = beside[0], beside[-1]
    title = f"Other tools take {times(least.ratio)} to {times(most.ratio)} times as long as propend"
    rows = [
        {"tool": f"{b.tool}, {b.task}", "task": b.task, "ratio": b.ratio, "one": 1,
         "text": f"{times(b.ratio)} ×   ({b.seconds:,.1f} s)"} for b in beside
    ]  # fmt: skip
    y = alt.Y("tool:N", sort=[r["tool"] for r in rows], title=None, axis=alt.Axis(labelLimit=220))
    scale = alt.Scale(type="log", domain=[1, most.ratio * 4], nice=False)
    ticks = [10**k for k in range(6) if 10**k <= most.ratio * 4]
    bars = alt.Chart(alt.Data(values=rows)).mark_bar(height=22).encode(
        y=y, x=alt.X("one:Q", scale=scale, title="times as long as propend, logarithmic",
                     axis=alt.Axis(values=ticks, format=",", labelFlush=False)),
        x2="ratio:Q", color=alt.Color("task:N", scale=alt.Scale(domain=list(TASKS), range=list(TASKS.values()))),
    )  # fmt: skip
    subtitle = [
        f"{least.size} events; features: seconds per number made; labels: seconds of all cutoffs",
        "Reading is not counted, but where tools do it in one with the rest (DuckDB, Polars, featuretools)",
    ]
    return title, _finished(bars + _labels(rows, y, "ratio"), title, subtitle, STEP * len(rows))


# --- parts ----------------------------------------------------------------------------------------------


def _labels(rows: list[dict[str, Any]], y: Any, field: str) -> Any:
    """Figures behind the ends of bars."""
    return alt.Chart(alt.Data(values=rows)).mark_text(align="left", dx=6).encode(y=y, x=f"{field}:Q", text="text:N")


def _budgets(jobs: list[Job]) -> str:
    """Of which sizes memory was limited."""
    limited = [f"{j.size} with {j.memory} of memory" for j in jobs if j.memory != "-"]
    return "Stages of the whole job" + (f"; {', '.join(limited)}" if limited else "")


def _finished(chart: Any, title: str, subtitle: str | list[str], height: int) -> Any:
    titled = chart.properties(title=alt.Title(title, subtitle=subtitle), width=WIDTH, height=height)
    return titled.configure(**CONFIG)
