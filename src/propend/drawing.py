"""What pictures are made of: their register, colours, axes, layers, and names above bars.

A chart is one function under ``@chart``. It gets its rows, each with its place and with the text of every
column, and draws them; it computes no figures and knows nothing of where they come from, so
that reports, pages and notebooks can share it.

Long names stand above their bars, not beside them, so that a picture reads the same on a phone and on a
wall. Colours never speak alone: every colour has a word beside it. They stay apart under the common colour
blindnesses, simulated after Machado, Oliveira and Fernandes (2009).
"""

from __future__ import annotations

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


def canvas(height: int = HEIGHT) -> Drawing:
    """An empty picture over the rows, as wide as its container."""
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


def layered(*layers: Drawing) -> Drawing:
    """Charts of one size, one over the other."""
    return _Layered(layers)


def tooltips(name: str) -> list[Drawing]:
    """Tooltips with the columns of a chart's table; headings are neutral, the table has the words."""
    neutral = vars(words_of())
    return [alt.Tooltip(f"{c.field}_text:N", title=capital(say(c.heading, **neutral))) for c in CHARTS[name].columns]


def percent_axis(title: str | None, **more: Any) -> Drawing:
    """An axis of shares, written as percentages."""
    return alt.Axis(title=title, labelExpr=PERCENT_LABELS, tickCount=5, **more)


def in_tones(rows: Rows, field: str = "bucket") -> Drawing:
    """A colour per value of a field, by the tone of the rows that have it."""
    tones = {row[field]: row["tone"] for row in rows}
    scale = alt.Scale(domain=list(tones), range=[TONES[t] for t in tones.values()])
    return alt.Color(f"{field}:N", scale=scale)


def worded(rows: Rows, name: str, names: Mapping[str, str]) -> Drawing:
    """The colour of a layer that needs a legend entry of its own: a constant that its rows get."""
    field = f"word_{list(names).index(name)}"
    for row in rows:
        row[field] = name
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=list(names), range=list(names.values())), title=None)


# --- names above bars -----------------------------------------------------------------------------------


def labels_above(base: Drawing, label: str, text: str, room: int) -> list[Drawing]:
    """Above each bar: its name at the left, its figure at the right."""
    name = base.mark_text(align="left", baseline="bottom", dy=-1, limit=alt.ExprRef(f"width - {room}"))
    figure = base.mark_text(align="right", baseline="bottom", dy=-1, fontWeight=600)
    return [
        name.encode(y=in_place(), x=alt.XValue(0), text=alt.Text(f"{label}:N")),
        figure.encode(y=in_place(), x=alt.XValue("width"), text=alt.Text(f"{text}:N")),
    ]


def in_place() -> Drawing:
    """One row of the picture for each of the rows, in their order."""
    return alt.Y("place:O", axis=None)


def bar_marks(base: Drawing, **mark: Any) -> Drawing:
    """Bars that leave room for a name above them."""
    return base.mark_bar(size=BAR, yOffset=BAR / 2 + 3, opacity=1, **mark)


def tick_marks(base: Drawing, **mark: Any) -> Drawing:
    """Thin marks across such bars."""
    return base.mark_tick(size=BAR + 8, yOffset=BAR / 2 + 3, opacity=1, **mark)


def track(base: Drawing) -> Drawing:
    """What a bar runs in: as wide as the picture."""
    return bar_marks(base, color=TRACK).encode(y=in_place(), x=alt.XValue(0), x2=alt.X2Value("width"))


def bar_list(
    name: str, rows: Rows, label: str, value: str, text: str, most: float | None = None, mark: str = ""
) -> Drawing:
    """One bar per row from zero; the longest fills the width unless ``most`` says otherwise.

    Args:
        name: of the chart, for its tooltips.
        label, value, text: fields of the name, the bar's length and the figure at the right.
        mark: field of a thin mark across the bar, if any.
    """
    base = canvas(ROW_STEP * max(len(rows), 1))
    top = most if most is not None else max((row[value] or 0.0 for row in rows), default=0.0) or 1.0
    scale = alt.Scale(domain=[0, top], nice=False)
    x = alt.X(f"{value}:Q", scale=scale, axis=None)
    layers = [track(base), bar_marks(base, color=BLUE).encode(y=in_place(), x=x, tooltip=tooltips(name))]
    if mark:
        layers.append(
            tick_marks(base, color=INK, thickness=2).encode(y=in_place(), x=alt.X(f"{mark}:Q", scale=scale, axis=None))
        )
    return layered(*layers, *labels_above(base, label, text, 90))


def two_way(name: str, rows: Rows, label: str, value: str, text: str) -> Drawing:
    """Bars to the right of a zero line for what raises, to the left for what lowers.

    Rows may have a ``reach``, at which the longest bar would end, so that several pictures share a scale.
    """
    base, values = canvas(ROW_STEP * max(len(rows), 1)), [row[value] for row in rows]
    reach = max([abs(v) for v in values] + [row.get("reach", 0.0) for row in rows], default=0.0) or 1.0
    names = {word("lowers"): PLUM, word("raises"): BLUE}
    color = alt.Color("direction:N", scale=alt.Scale(domain=list(names), range=list(names.values())))
    x = alt.X(f"{value}:Q", scale=alt.Scale(domain=[-reach, reach], nice=False), axis=None)
    bars = bar_marks(base).encode(y=in_place(), x=x, color=color, tooltip=tooltips(name))
    zero = tick_marks(base, color=INK, thickness=1.5).encode(y=in_place(), x=alt.XDatum(0))
    return layered(track(base), bars, zero, *labels_above(base, label, text, 90))


# --- columns of several tables --------------------------------------------------------------------------

PROFILES = ("n", noted("Profiles"), "count")
BUCKET = ("bucket", noted("Bucket"), "code")
EXPECTED_AND_CAME = (("expected", noted("Expected"), "percent"), ("realised", "{did}", "percent"))
INTERVAL = (("low", noted("From"), "percent"), ("high", noted("To"), "percent"))
