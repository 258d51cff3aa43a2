"""Every picture: tidy rows in, a Vega-Lite description out; and the same rows as a table.

A chart is one function under ``@chart``. It gets its rows, each with its place and with the text of every
column, and draws them; it computes no figures and knows nothing of where they come from, so
that reports, pages and notebooks can share it.

Long names stand above their bars, not beside them, so that a picture reads the same on a phone and on a
wall. Colours never speak alone: every colour has a word beside it. They stay apart under the common colour
blindnesses, simulated after Machado, Oliveira and Fernandes (2009).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from propend.language import calendar_words, noted, numeral, say
from propend.phrasing import Words, capital, shown, words_of

Rows = list[dict[str, Any]]
"""The rows of one picture, its own to add to."""
ROWS = "rows"
"""Their name in the Vega-Lite document: layers share them."""
Drawing = Any
"""An Altair chart."""

INK, MUTED, GRID, TRACK, PALE = "#22303a", "#5b6870", "#e5e3dc", "#f1efe8", "#b9c4cc"
BLUE, PLUM, GREY = "#2f5d8a", "#8a5a83", "#8b979e"
TONES = {"good": "#0b7a75", "medium": "#e5b000", "bad": "#a3341f"}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
HEIGHT = 280
ROW_STEP, BAR = 46, 12
PERCENT_LABELS = "format(datum.value * 100, '.1~f') + '\u00a0%'"
CONFIG = {
    "font": FONT,
    "background": "white",
    "padding": {"left": 1, "right": 2, "top": 5, "bottom": 2},
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED, "titleColor": MUTED, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 400,
        "gridColor": GRID, "domain": False, "ticks": False, "labelPadding": 6, "titlePadding": 10,
    },
    "legend": {
        "orient": "top", "direction": "horizontal", "title": None, "labelColor": INK, "labelFontSize": 12,
        "labelLimit": 260, "symbolType": "square", "symbolSize": 110, "offset": 8, "padding": 0, "columnPadding": 14,
    },
    "text": {"fontSize": 13, "color": INK},
}  # fmt: skip


CODES = frozenset({
    noted("high"), noted("medium"), noted("low"),
    noted("raises"), noted("lowers"),
    noted("learnt from"), noted("test"), noted("default"), noted("the question"),
    noted("as expected"), noted("more than expected"), noted("fewer than expected"), noted("not known"),
    noted("looked back on"), noted("spoken about"),
})  # fmt: skip
"""What rows have of a bucket, an importance, a direction, a role, an origin, a verdict; readers see it as a word."""


# --- what a chart is ------------------------------------------------------------------------------------


def word(code: Any) -> Any:
    """A code as a word in the language of the context; what is not a code stays."""
    return say(code) if code in CODES else code


@dataclass(frozen=True)
class Column:
    """A column of a chart's table.

    Attributes:
        field: key of the row.
        heading: may have ``{do}`` and ``{did}``, as the titles may.
        form: a name in ``phrasing.FORMS``; ``code`` for one of ``CODES``.
    """

    field: str
    heading: str
    form: str = "text"

    def value(self, row: Mapping[str, Any]) -> Any:
        """What a row has; a code as a word."""
        return word(row[self.field]) if self.form == "code" else row[self.field]

    def text(self, row: Mapping[str, Any]) -> str:
        """The value as people read it."""
        return shown(self.value(row), "text" if self.form == "code" else self.form)


@dataclass(frozen=True)
class Chart:
    """A registered picture.

    Attributes:
        name: of the function that draws it.
        title: what it shows.
        reading: one sentence on how to read it.
        columns: of its table; all its rows must have these fields.
        draw: from rows and words to an Altair chart.
    """

    name: str
    title: str
    reading: str
    columns: tuple[Column, ...]
    draw: Callable[[Rows, Words], Drawing]

    def titled(self, words: Words) -> str:
        """The title in the language of the context."""
        return say(self.title, **vars(words))

    def read(self, words: Words) -> str:
        """How to read it, in the language of the context."""
        return say(self.reading, **vars(words))

    def spec(
        self, rows: Sequence[Mapping[str, Any]], words: Words | None = None, description: str = ""
    ) -> dict[str, Any]:
        """The Vega-Lite document; checked against its schema by Altair. Wide as its container.

        Args:
            rows: one mapping per mark, with at least the fields of the columns.
            words: how meeting the goal is called.
            description: the picture in words, for those who cannot see it.
        """
        full = [{**row, "place": i, **self._texts(row)} for i, row in enumerate(rows)]
        words = words or words_of()
        said = description or self.titled(words)
        spec: dict[str, Any] = self.draw(full, words).to_dict(validate=False)
        config = CONFIG | {"locale": _locale()}
        return spec | {"description": said, "config": config, "datasets": {**spec.get("datasets", {}), ROWS: full}}

    def frame(self, rows: Sequence[Mapping[str, Any]], words: Words | None = None) -> list[dict[str, str]]:
        """The table: one mapping of headings to texts per row."""
        heads = [(c, capital(say(c.heading, **vars(words or words_of())))) for c in self.columns]
        return [{head: c.text(row) for c, head in heads} for row in rows]

    def _texts(self, row: Mapping[str, Any]) -> dict[str, Any]:
        words = {c.field: c.value(row) for c in self.columns if c.form == "code"}
        return words | {f"{c.field}_text": c.text(row) for c in self.columns}


CHARTS: dict[str, Chart] = {}
Draw = Callable[[Rows, Words], Drawing]


def chart(title: str, reading: str, columns: Sequence[tuple[str, ...]]) -> Callable[[Draw], Draw]:
    """Register a drawing function under its name.

    Args:
        title, reading, columns: as in ``Chart``; a column is (field, heading) or (field, heading, form).
    """

    def register(draw: Draw) -> Draw:
        CHARTS[draw.__name__] = Chart(draw.__name__, title, reading, tuple(Column(*c) for c in columns), draw)
        return draw

    return register


def _locale() -> dict[str, Any]:
    """How the browser writes numbers and months on axes."""
    number = {"decimal": numeral("."), "thousands": numeral(","), "grouping": [3], "currency": ["", ""]}
    formats = {"dateTime": "%x, %X", "date": "%d/%m/%Y", "time": "%H:%M:%S", "periods": ["AM", "PM"]}
    return {"number": number, "time": formats | calendar_words()}


def _base(height: int = HEIGHT) -> Drawing:
    return alt.Chart(alt.NamedData(ROWS), width="container", height=height)


WHOLE = ("$schema", "config", "width", "height")
"""What a layered picture has once. Altair's other keys are a layer's own."""


@dataclass(frozen=True)
class _Layered:
    """Charts of one size, one over the other; data of a layer's own stay with it.

    Altair's own layers copy each of them several times, which takes longer than all the rest of a page.
    """

    layers: tuple[Drawing, ...]

    def to_dict(self, validate: bool) -> dict[str, Any]:
        whole: dict[str, Any] = {"data": {"name": ROWS}, "datasets": {}, "layer": []}
        for layer in self.layers:
            spec = layer.to_dict(validate=validate)
            whole |= {key: spec.pop(key) for key in WHOLE if key in spec}
            whole["datasets"] |= spec.pop("datasets", {})
            if spec.get("data") == whole["data"]:
                del spec["data"]
            whole["layer"].append(spec)
        return whole


def _layered(*layers: Drawing) -> Drawing:
    return _Layered(layers)


def _tips(name: str) -> list[Drawing]:
    """Tooltips with the columns of a chart's table; headings are neutral, the table has the words."""
    neutral = vars(words_of())
    return [alt.Tooltip(f"{c.field}_text:N", title=capital(say(c.heading, **neutral))) for c in CHARTS[name].columns]


def _percent_axis(title: str | None, **more: Any) -> Drawing:
    return alt.Axis(title=title, labelExpr=PERCENT_LABELS, tickCount=5, **more)


def _in_tones(rows: Rows, field: str = "bucket") -> Drawing:
    """A colour per value of a field, by the tone of the rows that have it."""
    tones = {row[field]: row["tone"] for row in rows}
    scale = alt.Scale(domain=list(tones), range=[TONES[t] for t in tones.values()])
    return alt.Color(f"{field}:N", scale=scale)


def _word(rows: Rows, name: str, names: Mapping[str, str]) -> Drawing:
    """The colour of a layer that needs a legend entry of its own: a constant that its rows get."""
    field = f"word_{list(names).index(name)}"
    for row in rows:
        row[field] = name
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=list(names), range=list(names.values())), title=None)


# --- names above bars -----------------------------------------------------------------------------------


def _texts(base: Drawing, label: str, text: str, room: int) -> list[Drawing]:
    """Above each bar: its name at the left, its figure at the right."""
    name = base.mark_text(align="left", baseline="bottom", dy=-1, limit=alt.ExprRef(f"width - {room}"))
    figure = base.mark_text(align="right", baseline="bottom", dy=-1, fontWeight=600)
    return [
        name.encode(y=_place(), x=alt.XValue(0), text=alt.Text(f"{label}:N")),
        figure.encode(y=_place(), x=alt.XValue("width"), text=alt.Text(f"{text}:N")),
    ]


def _place() -> Drawing:
    return alt.Y("place:O", axis=None)


def _bars(base: Drawing, **mark: Any) -> Drawing:
    return base.mark_bar(size=BAR, yOffset=BAR / 2 + 3, opacity=1, **mark)


def _ticks(base: Drawing, **mark: Any) -> Drawing:
    return base.mark_tick(size=BAR + 8, yOffset=BAR / 2 + 3, opacity=1, **mark)


def _track(base: Drawing) -> Drawing:
    return _bars(base, color=TRACK).encode(y=_place(), x=alt.XValue(0), x2=alt.X2Value("width"))


def _bar_list(
    name: str, rows: Rows, label: str, value: str, text: str, most: float | None = None, mark: str = ""
) -> Drawing:
    """One bar per row from zero; the longest fills the width unless ``most`` says otherwise.

    Args:
        name: of the chart, for its tooltips.
        label, value, text: fields of the name, the bar's length and the figure at the right.
        mark: field of a thin mark across the bar, if any.
    """
    base = _base(ROW_STEP * max(len(rows), 1))
    top = most if most is not None else max((row[value] or 0.0 for row in rows), default=0.0) or 1.0
    scale = alt.Scale(domain=[0, top], nice=False)
    x = alt.X(f"{value}:Q", scale=scale, axis=None)
    layers = [_track(base), _bars(base, color=BLUE).encode(y=_place(), x=x, tooltip=_tips(name))]
    if mark:
        layers.append(
            _ticks(base, color=INK, thickness=2).encode(y=_place(), x=alt.X(f"{mark}:Q", scale=scale, axis=None))
        )
    return _layered(*layers, *_texts(base, label, text, 90))


def _two_way(name: str, rows: Rows, label: str, value: str, text: str) -> Drawing:
    """Bars to the right of a zero line for what raises, to the left for what lowers.

    Rows may have a ``reach``, at which the longest bar would end, so that several pictures share a scale.
    """
    base, values = _base(ROW_STEP * max(len(rows), 1)), [row[value] for row in rows]
    reach = max([abs(v) for v in values] + [row.get("reach", 0.0) for row in rows], default=0.0) or 1.0
    names = {word("lowers"): PLUM, word("raises"): BLUE}
    color = alt.Color("direction:N", scale=alt.Scale(domain=list(names), range=list(names.values())))
    x = alt.X(f"{value}:Q", scale=alt.Scale(domain=[-reach, reach], nice=False), axis=None)
    bars = _bars(base).encode(y=_place(), x=x, color=color, tooltip=_tips(name))
    zero = _ticks(base, color=INK, thickness=1.5).encode(y=_place(), x=alt.XDatum(0))
    return _layered(_track(base), bars, zero, *_texts(base, label, text, 90))


# --- columns of several tables --------------------------------------------------------------------------

PROFILES = ("n", noted("Profiles"), "count")
BUCKET = ("bucket", noted("Bucket"), "code")
EXPECTED_AND_CAME = (("expected", noted("Expected"), "percent"), ("realised", "{did}", "percent"))
INTERVAL = (("low", noted("From"), "percent"), ("high", noted("To"), "percent"))


# --- for whom -------------------------------------------------------------------------------------------


@chart(
    noted("Who is left after each line"),
    noted("Each line keeps the profiles that pass it and all lines above it; the bar shows how many are left."),
    [
        ("line", noted("Line")), ("origin", noted("from"), "code"), ("profiles", noted("Profiles left"), "count"),
        ("snapshots", noted("Profiles × cutoffs"), "count"),
    ],
)  # fmt: skip
def funnel(rows: Rows, _words: Words) -> Drawing:
    return _bar_list("funnel", rows, "line", "profiles", "profiles_text")


@chart(
    noted("Share who {did} at each cutoff"),
    noted("Each point is one past date: the share of the population then who {did} in the window after it."),
    [
        ("cutoff_on", noted("Cutoff")), ("role", noted("Used for"), "code"), ("snapshots", noted("Profiles"), "count"),
        ("positives", "{did}", "count"), ("base_rate", noted("Share"), "percent"),
    ],
)  # fmt: skip
def base_rates(rows: Rows, words: Words) -> Drawing:
    axis = alt.Axis(title=None, grid=False, format="%-d %b %Y", labelOverlap=True, tickCount=6)
    x = alt.X("cutoff_on:T", scale=alt.Scale(type="utc"), axis=axis)
    y = alt.Y("base_rate:Q", scale=alt.Scale(zero=True), axis=_percent_axis(say("share who {did}", did=words.did)))
    base = _base(200)
    names = {word("learnt from"): PALE, word("test"): BLUE}
    color = alt.Color("role:N", scale=alt.Scale(domain=list(names), range=list(names.values())))
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=x, y=y, color=color, shape=alt.Shape("role:N", scale=alt.Scale(domain=list(names))),
        tooltip=_tips("base_rates"),
    )  # fmt: skip
    return _layered(base.mark_line(color=PALE, strokeWidth=1.5).encode(x=x, y=y), points)


# --- how good -------------------------------------------------------------------------------------------


@chart(
    noted("How often the right one of two is ranked first"),
    noted("Of one profile who {did} and one who did not, how often the first had the higher score. Half is chance, "
          "all is perfect; the line is the 95 % interval."),
    [("name", noted("Ranked by")), ("value", noted("Right one first"), "percent"), *INTERVAL],
)  # fmt: skip
def ranking(rows: Rows, _words: Words) -> Drawing:
    base = _base(ROW_STEP * max(len(rows), 1))
    y = _place()
    lowest = min((row["low"] for row in rows if row["low"] is not None), default=0.5)
    scale = alt.Scale(domain=[min(0.5, math.floor(lowest * 10) / 10), 1.0], nice=False)
    color = alt.Color("ours:N", scale=alt.Scale(domain=[True, False], range=[BLUE, GREY]), legend=None)
    span = base.mark_rule(strokeWidth=3, yOffset=10, opacity=0.45).encode(
        y=y, x=alt.X("low:Q", scale=scale, axis=_percent_axis(None)), x2=alt.X2("high:Q"), color=color
    )
    points = base.mark_point(filled=True, size=110, opacity=1, yOffset=10).encode(
        y=y, x=alt.X("value:Q", scale=scale, axis=_percent_axis(None)), color=color, tooltip=_tips("ranking")
    )
    return _layered(span, points, *_texts(base, "name", "value_text", 80))


@chart(
    noted("Expected and what happened"),
    noted("Profiles in ten groups by their probability. On the diagonal as many {did} as expected; above it more, "
          "below it fewer. The lines are 95 % intervals."),
    [("bin", noted("Group")), PROFILES, *EXPECTED_AND_CAME, *INTERVAL],
)  # fmt: skip
def calibration(rows: Rows, words: Words) -> Drawing:
    top = max((max(row["expected"], row["high"]) for row in rows), default=1.0)
    scale = alt.Scale(domain=[0, min(1.0, top * 1.03)], nice=False)
    x = alt.X("expected:Q", scale=scale, axis=_percent_axis(say("expected")))
    axis = _percent_axis(words.did)
    base = _base(320)
    ends = alt.Data(values=[{"at": 0.0}, {"at": top}] if rows else [])
    diagonal = alt.Chart(ends, width="container").mark_line(color=PALE, strokeDash=[5, 4], strokeWidth=1.5)
    diagonal = diagonal.encode(x=alt.X("at:Q", scale=scale), y=alt.Y("at:Q", scale=scale))
    span = base.mark_rule(color=BLUE, strokeWidth=2, opacity=0.4).encode(
        x=x, y=alt.Y("low:Q", scale=scale, axis=axis), y2=alt.Y2("high:Q")
    )
    points = base.mark_point(filled=True, color=BLUE, size=90, opacity=1).encode(
        x=x, y=alt.Y("realised:Q", scale=scale, axis=axis), tooltip=_tips("calibration")
    )
    return _layered(diagonal, span, points)


@chart(
    noted("Expected and what happened, by group"),
    noted("The point is the share of the group that {did} in the test, the line its 95 % interval, the upright mark "
          "what was expected."),
    [("group", noted("Group")), PROFILES, *EXPECTED_AND_CAME, *INTERVAL],
)  # fmt: skip
def group_outcomes(rows: Rows, _words: Words) -> Drawing:
    for row in rows:
        row["both"] = say("{came} · {expected} expected", came=row["realised_text"], expected=row["expected_text"])
    top = max((max(row["high"] or 0.0, row["expected"]) for row in rows), default=0.0) or 1.0
    base, scale, y = _base(ROW_STEP * max(len(rows), 1)), alt.Scale(domain=[0, top], nice=True), _place()
    axis = _percent_axis(None)
    span = base.mark_rule(strokeWidth=3, yOffset=10, opacity=0.45, color=BLUE).encode(
        y=y, x=alt.X("low:Q", scale=scale, axis=axis), x2=alt.X2("high:Q")
    )
    came, expected = say("what happened"), say("what was expected")
    names = {came: BLUE, expected: INK}
    points = base.mark_point(filled=True, size=110, opacity=1, yOffset=10).encode(
        y=y, x=alt.X("realised:Q", scale=scale, axis=axis), color=_word(rows, came, names),
        tooltip=_tips("group_outcomes"),
    )  # fmt: skip
    marks = base.mark_tick(size=BAR + 8, thickness=2.5, yOffset=10, opacity=1).encode(
        y=y, x=alt.X("expected:Q", scale=scale, axis=axis), color=_word(rows, expected, names)
    )
    return _layered(span, points, marks, *_texts(base, "group", "both", 170))


@chart(
    noted("Who is in the high bucket, by group"),
    noted("The bar is the share of the group's profiles, of those scored now, that are in the high bucket; the thin "
          "mark that of all."),
    [
        ("group", noted("Group")), PROFILES, ("high_share", noted("In the high bucket"), "percent"),
        ("expected", noted("Expected to {do}"), "percent"), ("overall", noted("Of all in the high bucket"), "percent"),
    ],
)  # fmt: skip
def group_selection(rows: Rows, _words: Words) -> Drawing:
    return _bar_list("group_selection", rows, "group", "high_share", "high_share_text", mark="overall")


# --- scores and buckets ---------------------------------------------------------------------------------


@chart(
    noted("How scores are distributed"),
    noted("Each bar counts the profiles with a score in its range; 50 is average. The colour is the bucket."),
    [("score_from", noted("Score from"), "count"), ("score_to", noted("to under"), "count"), BUCKET, PROFILES],
)  # fmt: skip
def score_histogram(rows: Rows, _words: Words) -> Drawing:
    axis = alt.Axis(title=say("score"), values=[0, 25, 50, 75, 100], grid=False)
    return _base().mark_bar(stroke="white", strokeWidth=1).encode(
        x=alt.X("score_from:Q", bin="binned", scale=alt.Scale(domain=[0, 100]), axis=axis),
        x2=alt.X2("score_to:Q"),
        y=alt.Y("n:Q", axis=alt.Axis(title=say("profiles"), format=",d", tickCount=5, tickMinStep=1)),
        color=_in_tones(rows),
        tooltip=_tips("score_histogram"),
    )  # fmt: skip


@chart(
    noted("What each bucket holds"),
    noted("Above, how all profiles are divided; below, how those who are expected to {do} are."),
    [
        BUCKET, PROFILES, ("share", noted("Share of profiles"), "percent"),
        ("expected_rate", noted("Expected to {do}"), "percent"), ("expected_positives", noted("That is"), "count"),
        ("expected_share", noted("Share of all expected"), "percent"),
    ],
)  # fmt: skip
def bucket_shares(rows: Rows, words: Words) -> Drawing:
    base = _base(132)
    tips, order = _tips("bucket_shares"), alt.Order("place:Q")
    domain = [say("All profiles"), say("Expected to {do}", do=words.do)]
    y_scale = alt.Scale(domain=domain, paddingInner=0.0)
    layers = []
    for name, field in zip(domain, ("share", "expected_share"), strict=True):
        x = alt.X(f"{field}:Q", stack="zero", scale=alt.Scale(domain=[0, 1]), axis=_percent_axis(None, grid=False))
        y = alt.YDatum(name, type="nominal", scale=y_scale, axis=None)
        bars = base.mark_bar(size=22, stroke="white", yOffset=9)
        layers.append(bars.encode(x=x, y=y, color=_in_tones(rows), order=order, tooltip=tips))
        label = alt.Chart(alt.Data(values=[{"name": name}]), width="container")
        label = label.mark_text(align="left", baseline="bottom", dy=-6)
        layers.append(
            label.encode(y=alt.Y("name:N", scale=y_scale, axis=None), x=alt.XValue(0), text=alt.Text("name:N"))
        )
    return _layered(*layers)


@chart(
    noted("Expected to {do}, by time"),
    noted("The share of each bucket that is expected to {do} within so many days, all from one model; between the "
          "points the line is only drawn through."),
    [("days", noted("Within days"), "count"), BUCKET, ("expected_rate", noted("Expected to {do}"), "percent")],
)  # fmt: skip
def horizon_curve(rows: Rows, words: Words) -> Drawing:
    days, share = say("days from the start of the outcome window"), say("expected to {do}", do=words.do)
    x = alt.X("days:Q", axis=alt.Axis(title=days, grid=False, tickCount=6))
    y = alt.Y("expected_rate:Q", axis=_percent_axis(share), scale=alt.Scale(domainMin=0))
    line = _base().mark_line(strokeWidth=2.5, point={"filled": True, "size": 40})
    return line.encode(x=x, y=y, color=_in_tones(rows), tooltip=_tips("horizon_curve"))


# --- after the window ------------------------------------------------------------------------------------


@chart(
    noted("What came, by bucket"),
    noted("The bar is the share of each bucket's profiles who {did}, the thin line its 95 % interval, the dark mark "
          "what was expected; the figures say both."),
    [BUCKET, PROFILES, *EXPECTED_AND_CAME, *INTERVAL, ("level", noted("Verdict"), "code")],
)  # fmt: skip
def bucket_outcomes(rows: Rows, _words: Words) -> Drawing:
    top = max((max(row["high"], row["expected"]) for row in rows), default=0.0) or 1.0
    for row in rows:
        row["both"] = f"{row['realised_text']} · {row['expected_text']}"
    came, expected = say("came"), say("expected")
    names = {came: BLUE, expected: INK}
    base, y = _base(ROW_STEP * max(len(rows), 1)), _place()
    scale = alt.Scale(domain=[0, top], nice=False)
    bars = _bars(base).encode(
        y=y, x=alt.X("realised:Q", scale=scale, axis=None), color=_word(rows, came, names),
        tooltip=_tips("bucket_outcomes"),
    )  # fmt: skip
    spans = base.mark_rule(color=GREY, strokeWidth=2, yOffset=BAR / 2 + 3).encode(
        y=y, x=alt.X("low:Q", scale=scale, axis=None), x2=alt.X2("high:Q")
    )
    marks = _ticks(base, thickness=3).encode(
        y=y, x=alt.X("expected:Q", scale=scale, axis=None), color=_word(rows, expected, names)
    )
    return _layered(_track(base), bars, spans, marks, *_texts(base, "bucket", "both", 130))


@chart(
    noted("Expected and what came, run by run"),
    noted("Each date is one run. The solid line is the share of a bucket who {did}, with its 95 % interval; the "
          "dashed one what was expected, alone where the window is not over yet."),
    [("scored_on", noted("As of")), BUCKET, *EXPECTED_AND_CAME, *INTERVAL],
)  # fmt: skip
def outcome_trend(rows: Rows, words: Words) -> Drawing:
    axis = alt.Axis(title=None, grid=False, format="%-d %b %Y", labelOverlap=True, tickCount=5)
    x = alt.X("scored_on:T", scale=alt.Scale(type="utc", padding=24), axis=axis)
    zero, tips = alt.Scale(domainMin=0), _tips("outcome_trend")

    def y(field: str) -> Drawing:
        return alt.Y(f"{field}:Q", axis=_percent_axis(say("share who {did}", did=words.did)), scale=zero)

    base = _base().encode(x=x, color=_in_tones(rows))
    came = base.transform_filter("isValid(datum.realised)")
    expected = base.mark_line(strokeDash=[5, 4], strokeWidth=1.5, point={"filled": False, "fill": "white", "size": 40})
    layers = [expected.encode(y=y("expected"), tooltip=tips)]
    if any(row["realised"] is not None for row in rows):
        layers.append(came.mark_rule(strokeWidth=2, opacity=0.4).encode(y=y("low"), y2=alt.Y2("high:Q")))
        realised = came.mark_line(strokeWidth=2.5, point={"filled": True, "size": 60})
        layers.append(realised.encode(y=y("realised"), tooltip=tips))
    return _layered(*layers)


# --- what drives the scores -----------------------------------------------------------------------------


@chart(
    noted("What makes this bucket"),
    noted("To the right, what raises the chances of its profiles on average, to the left what lowers them. The "
          "figure is what the odds are multiplied by."),
    [
        ("label", noted("Factor")), ("direction", noted("Effect"), "code"), ("mean_impact", noted("Odds"), "odds"),
        ("importance", noted("Importance"), "code"), ("coverage", noted("Named for"), "percent"),
        ("typical_inside", noted("Typical here")), ("typical_outside", noted("Typical elsewhere")),
    ],
)  # fmt: skip
def bucket_factors(rows: Rows, _words: Words) -> Drawing:
    return _two_way("bucket_factors", rows, "label", "mean_impact", "mean_impact_text")


@chart(
    noted("Values in this bucket and outside it"),
    noted("The bar is the share of this bucket's profiles with that value, the dark mark that of all others; the "
          "figures say both."),
    [
        ("label", noted("Value")), ("inside", noted("In this bucket"), "percent"),
        ("outside", noted("Outside it"), "percent"),
    ],
)  # fmt: skip
def value_distribution(rows: Rows, _words: Words) -> Drawing:
    top = max((max(row["inside"], row["outside"]) for row in rows), default=0.0) or 1.0
    for row in rows:
        row["both"] = f"{row['inside_text']} · {row['outside_text']}"
    here, elsewhere = say("in this bucket"), say("outside it")
    names = {here: BLUE, elsewhere: INK}
    base = _base(ROW_STEP * max(len(rows), 1))
    scale, y = alt.Scale(domain=[0, top], nice=False), _place()
    bars = _bars(base).encode(
        y=y, x=alt.X("inside:Q", scale=scale, axis=None), color=_word(rows, here, names),
        tooltip=_tips("value_distribution"),
    )  # fmt: skip
    marks = _ticks(base, thickness=3).encode(
        y=y, x=alt.X("outside:Q", scale=scale, axis=None), color=_word(rows, elsewhere, names)
    )
    return _layered(_track(base), bars, marks, *_texts(base, "label", "both", 130))


@chart(
    noted("What moves scores most, overall"),
    noted("How much of all movement of the probabilities, up and down, comes from each factor."),
    [
        ("label", noted("Factor")), ("share", noted("Share of all influence"), "percent"),
        ("direction", noted("Direction")), ("typical", noted("Typical value")),
    ],
)  # fmt: skip
def factor_shares(rows: Rows, _words: Words) -> Drawing:
    return _bar_list("factor_shares", rows, "label", "share", "share_text")


@chart(
    noted("How its value moves the chances"),
    noted("To the right, values that raise the chances, to the left those that lower them; the figure is what the "
          "odds are multiplied by."),
    [
        ("label", noted("Value")), PROFILES, ("direction", noted("Effect"), "code"),
        ("mean_impact", noted("Odds"), "odds"),
    ],
)  # fmt: skip
def dependence(rows: Rows, _words: Words) -> Drawing:
    return _two_way("dependence", rows, "label", "mean_impact", "mean_impact_text")


# --- how many to take -----------------------------------------------------------------------------------


@chart(
    noted("If you take only the top"),
    noted("The full bar is everybody taken; the filled part {did}, the rest did not. The thin mark is what taking "
          "people at random gives."),
    [
        ("taken", noted("Take")), PROFILES, ("caught", "{did}", "count"), ("wasted", noted("Did not"), "count"),
        ("precision", noted("Of those taken"), "percent"), ("share_caught", noted("Of all who {did}"), "percent"),
    ],
)  # fmt: skip
def top_n(rows: Rows, _words: Words) -> Drawing:
    for row in rows:
        row["words"] = say("{caught} of {n}", caught=row["caught_text"], n=row["n_text"])
    return _bar_list("top_n", rows, "taken", "precision", "words", most=1.0, mark="base_rate")


@chart(
    noted("How many you reach by taking the highest scores first"),
    noted("The steeper the blue line rises above the straight one, the more you reach with fewer contacts. The band "
          "is the 95 % interval."),
    [
        ("share_targeted", noted("Taken"), "share"), ("share_caught", noted("Of all who {did}"), "percent"), *INTERVAL,
        ("random", noted("At random"), "share"), ("perfect", noted("Perfect order"), "percent"),
    ],
)  # fmt: skip
def gains(rows: Rows, words: Words) -> Drawing:
    model, random, perfect = say("this model"), say("at random"), say("perfect order")
    names = {model: BLUE, random: GREY, perfect: PALE}
    base, scale = _base(), alt.Scale(domain=[0, 1])
    x = alt.X("share_targeted:Q", scale=scale, axis=_percent_axis(say("share of profiles taken, highest scores first")))
    axis = _percent_axis(say("share of all who {did}", did=words.did))
    band = base.mark_area(color=BLUE, opacity=0.15).encode(
        x=x, y=alt.Y("low:Q", scale=scale, axis=axis), y2=alt.Y2("high:Q")
    )
    layers = [band]
    for name, field, dash in ((perfect, "perfect", [2, 3]), (random, "random", [6, 4])):
        line = base.mark_line(strokeDash=dash, strokeWidth=2)
        layers.append(line.encode(x=x, y=alt.Y(f"{field}:Q", scale=scale, axis=axis), color=_word(rows, name, names)))
    ours = base.mark_line(strokeWidth=2.5, point={"filled": True, "size": 34})
    y = alt.Y("share_caught:Q", scale=scale, axis=axis)
    if any(row.get("chosen") for row in rows):
        chosen = base.transform_filter("datum.chosen")
        layers += [
            chosen.mark_rule(color=INK, strokeWidth=1.5).encode(x=x),
            chosen.mark_point(filled=True, color=INK, size=110, opacity=1).encode(x=x, y=y),
        ]
    return _layered(*layers, ours.encode(x=x, y=y, color=_word(rows, model, names), tooltip=_tips("gains")))


@chart(
    noted("Lift by tenth"),
    noted("Profiles in ten groups of equal size, highest scores first: how many times the average share {did} in "
          "each. Bars fall from left to right; the line is average."),
    [
        ("decile", noted("Tenth")), PROFILES, ("positives", "{did}", "count"), ("rate", noted("Share"), "percent"),
        ("lift", noted("Times the average"), "times"), ("cumulative_share", noted("Of all so far"), "percent"),
    ],
)  # fmt: skip
def lift(rows: Rows, _words: Words) -> Drawing:
    base = _base()
    x = alt.X("decile:O", axis=alt.Axis(title=say("tenth of profiles, highest scores first"), labelAngle=0, grid=False))
    y = alt.Y("lift:Q", axis=alt.Axis(title=say("times the average"), tickCount=5))
    bars = base.mark_bar(color=BLUE).encode(x=x, y=y, tooltip=_tips("lift"))
    short = alt.Text("lift:Q", format=".1f")
    text = base.mark_text(dy=-8, fontSize=12).encode(x=x, y=y, text=short)
    average = base.mark_rule(color=INK, strokeDash=[6, 4], opacity=0.6, aria=False).encode(y=alt.YDatum(1))
    return _layered(bars, text, average)


# --- the data -------------------------------------------------------------------------------------------


@chart(
    noted("Events per month"),
    noted("How many events were read in each month; sudden drops may be gaps in tracking."),
    [("month", noted("Month")), ("events", noted("Events"), "count")],
)  # fmt: skip
def events_per_month(rows: Rows, _words: Words) -> Drawing:
    axis = alt.Axis(title=None, grid=False, format="%b %Y", labelOverlap=True, labelAngle=0)
    x = alt.X("month:T", timeUnit="utcyearmonth", scale=alt.Scale(type="utc"), axis=axis)
    y = alt.Y("events:Q", axis=alt.Axis(title=say("events"), labelExpr="format(datum.value, '~s')", tickCount=4))
    return _base(180).mark_bar(color=PALE).encode(x=x, y=y, tooltip=_tips("events_per_month"))
