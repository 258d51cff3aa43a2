"""Pictures of one profile, in the register of ``drawing``: it is imported by who gives them their rows."""

from __future__ import annotations

import altair as alt

from propend.drawing import (
    BLUE,
    BUCKET,
    GREY,
    INK,
    INTERVAL,
    PALE,
    Drawing,
    Rows,
    canvas,
    chart,
    in_tones,
    layered,
    percent_axis,
    tooltips,
    word,
)
from propend.language import noted, say
from propend.phrasing import Words


@chart(
    noted("Probability from run to run"),
    noted("Each point is one run: the profile's probability then, with its 95 % interval; the colour is the bucket."),
    [
        ("scored_on", noted("As of")), ("probability", noted("Probability"), "percent"), *INTERVAL,
        ("score", noted("Score"), "count"), BUCKET,
    ],
)  # fmt: skip
def score_history(rows: Rows, _words: Words) -> Drawing:
    axis = alt.Axis(title=None, grid=False, format="%-d %b %Y", labelOverlap=True, tickCount=5)
    x = alt.X("scored_on:T", scale=alt.Scale(type="utc", padding=24), axis=axis)
    zero, share = alt.Scale(domainMin=0), percent_axis(say("probability"))
    base = canvas(200).encode(x=x)
    y = alt.Y("probability:Q", axis=share, scale=zero)
    spans = base.mark_rule(strokeWidth=3, opacity=0.35, color=GREY).encode(
        y=alt.Y("low:Q", axis=share, scale=zero), y2=alt.Y2("high:Q")
    )
    points = base.mark_point(filled=True, size=110, opacity=1).encode(
        y=y, color=in_tones(rows), tooltip=tooltips("score_history")
    )
    return layered(spans, base.mark_line(color=PALE, strokeWidth=1.5).encode(y=y), points)


@chart(
    noted("Events, and the windows of the run"),
    noted("Each mark is one event. The grey span was looked back on to make the score; the blue one is the time that "
          "the score speaks about."),
    [
        ("at", noted("When")), ("until", noted("Until (not included)")), ("kind", noted("What"), "code"),
        ("value", noted("Value")),
    ],
)  # fmt: skip
def profile_events(rows: Rows, _words: Words) -> Drawing:
    for row in rows:
        row["window"] = word(row["kind"]) if row["until"] else ""
    lines = dict.fromkeys(row["line"] for row in rows if not row["until"])
    base = canvas(60 + 34 * max(len(lines), 1))
    axis = alt.Axis(title=None, grid=False, format="%b %Y", labelOverlap=True, tickCount=6)
    x = alt.X("at:T", scale=alt.Scale(type="utc"), axis=axis)
    colours = alt.Scale(domain=[row["window"] for row in rows if row["until"]], range=[GREY, BLUE])
    spans = base.transform_filter("isValid(datum.until)").mark_rect(opacity=0.22)
    marks = base.transform_filter("!isValid(datum.until)").mark_tick(thickness=2, size=20, color=INK, opacity=0.75)
    y = alt.Y("line:N", sort=None, axis=alt.Axis(title=None, labelLimit=110))
    return layered(
        spans.encode(x=x, x2=alt.X2("until:T"), color=alt.Color("window:N", scale=colours)),
        marks.encode(x=x, y=y, tooltip=tooltips("profile_events")),
    )
