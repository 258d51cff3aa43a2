"""Every picture of reports and pages: tidy rows in, a Vega-Lite description out; and the same rows as a table.

What they are made of is in ``drawing``; further pictures stand in modules of their own, which who gives them their rows
imports.
"""

from __future__ import annotations

import math

import altair as alt

from propend.drawing import (
    BAR,
    BLUE,
    BUCKET,
    CHARTS,
    EXPECTED_AND_CAME,
    GREY,
    INK,
    INTERVAL,
    MUTED,
    PALE,
    PROFILES,
    ROW_STEP,
    Drawing,
    Rows,
    bar_list,
    bar_marks,
    canvas,
    chart,
    in_place,
    in_tones,
    labels_above,
    layered,
    percent_axis,
    tick_marks,
    tooltips,
    track,
    two_way,
    word,
    worded,
)
from propend.language import noted, say
from propend.phrasing import Words, shown

__all__ = ["CHARTS"]  # the register, for those who draw: it is asked for here so that these pictures are in it

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
    return bar_list("funnel", rows, "line", "profiles", "profiles_text")


@chart(
    noted("Share who {did} at each cutoff"),
    noted("Each point is one past date: the share of the population then who {did} in the window after it."),
    [
        ("cutoff_on", noted("Cutoff")), ("role", noted("Used for"), "code"), ("snapshots", noted("Profiles"), "count"),
        ("positives", "{did}", "count"), ("base_rate", noted("Share"), "percent"),
    ],
)  # fmt: skip
def base_rates(rows: Rows, words: Words) -> Drawing:
    axis = alt.Axis(title=None, grid=False, format="%-d %b %Y", labelOverlap=True, labelFlush=30, tickCount=6)
    x = alt.X("cutoff_on:T", scale=alt.Scale(type="utc"), axis=axis)
    y = alt.Y("base_rate:Q", scale=alt.Scale(zero=True), axis=percent_axis(say("share who {did}", did=words.did)))
    base = canvas(200)
    names = {word("learnt from"): PALE, word("test"): BLUE}
    color = alt.Color("role:N", scale=alt.Scale(domain=list(names), range=list(names.values())))
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=x, y=y, color=color, shape=alt.Shape("role:N", scale=alt.Scale(domain=list(names))),
        tooltip=tooltips("base_rates"),
    )  # fmt: skip
    return layered(base.mark_line(color=PALE, strokeWidth=1.5).encode(x=x, y=y), points)


# --- how good -------------------------------------------------------------------------------------------


@chart(
    noted("How often the right one of two is ranked first"),
    noted("Of one profile who {did} and one who did not, how often the first had the higher score. Half is chance, "
          "all is perfect; the line is the 95 % interval."),
    [("name", noted("Ranked by")), ("value", noted("Right one first"), "percent"), *INTERVAL],
)  # fmt: skip
def ranking(rows: Rows, _words: Words) -> Drawing:
    base = canvas(ROW_STEP * max(len(rows), 1))
    y = in_place()
    lowest = min((row["low"] for row in rows if row["low"] is not None), default=0.5)
    scale = alt.Scale(domain=[min(0.5, math.floor(lowest * 10) / 10), 1.0], nice=False)
    color = alt.Color("ours:N", scale=alt.Scale(domain=[True, False], range=[BLUE, GREY]), legend=None)
    span = base.mark_rule(strokeWidth=3, yOffset=10, opacity=0.45).encode(
        y=y, x=alt.X("low:Q", scale=scale, axis=percent_axis(None)), x2=alt.X2("high:Q"), color=color
    )
    points = base.mark_point(filled=True, size=110, opacity=1, yOffset=10).encode(
        y=y, x=alt.X("value:Q", scale=scale, axis=percent_axis(None)), color=color, tooltip=tooltips("ranking")
    )
    return layered(span, points, *labels_above(base, "name", "value_text", 80))


@chart(
    noted("Expected and what happened"),
    noted("Profiles in ten groups by their probability. On the diagonal as many {did} as expected; above it more, "
          "below it fewer. The lines are 95 % intervals."),
    [("bin", noted("Group")), PROFILES, *EXPECTED_AND_CAME, *INTERVAL],
)  # fmt: skip
def calibration(rows: Rows, words: Words) -> Drawing:
    top = max((max(row["expected"], row["high"]) for row in rows), default=1.0)
    scale = alt.Scale(domain=[0, min(1.0, top * 1.03)], nice=False)
    x = alt.X("expected:Q", scale=scale, axis=percent_axis(say("expected")))
    axis = percent_axis(words.did)
    base = canvas(320)
    ends = alt.Data(values=[{"at": 0.0}, {"at": top}] if rows else [])
    diagonal = alt.Chart(ends, width="container").mark_line(color=PALE, strokeDash=[5, 4], strokeWidth=1.5)
    diagonal = diagonal.encode(x=alt.X("at:Q", scale=scale), y=alt.Y("at:Q", scale=scale))
    span = base.mark_rule(color=BLUE, strokeWidth=2, opacity=0.4).encode(
        x=x, y=alt.Y("low:Q", scale=scale, axis=axis), y2=alt.Y2("high:Q")
    )
    points = base.mark_point(filled=True, color=BLUE, size=90, opacity=1).encode(
        x=x, y=alt.Y("realised:Q", scale=scale, axis=axis), tooltip=tooltips("calibration")
    )
    return layered(diagonal, span, points)


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
    base, scale, y = canvas(ROW_STEP * max(len(rows), 1)), alt.Scale(domain=[0, top], nice=True), in_place()
    axis = percent_axis(None)
    span = base.mark_rule(strokeWidth=3, yOffset=10, opacity=0.45, color=BLUE).encode(
        y=y, x=alt.X("low:Q", scale=scale, axis=axis), x2=alt.X2("high:Q")
    )
    came, expected = say("what happened"), say("what was expected")
    names = {came: BLUE, expected: INK}
    points = base.mark_point(filled=True, size=110, opacity=1, yOffset=10).encode(
        y=y, x=alt.X("realised:Q", scale=scale, axis=axis), color=worded(rows, came, names),
        tooltip=tooltips("group_outcomes"),
    )  # fmt: skip
    marks = base.mark_tick(size=BAR + 8, thickness=2.5, yOffset=10, opacity=1).encode(
        y=y, x=alt.X("expected:Q", scale=scale, axis=axis), color=worded(rows, expected, names)
    )
    return layered(span, points, marks, *labels_above(base, "group", "both", 170))


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
    return bar_list("group_selection", rows, "group", "high_share", "high_share_text", mark="overall")


# --- scores and buckets ---------------------------------------------------------------------------------


@chart(
    noted("How scores are distributed"),
    noted("Each bar counts the profiles with a score in its range; 50 is average. The colour is the bucket."),
    [("score_from", noted("Score from"), "count"), ("score_to", noted("to under"), "count"), BUCKET, PROFILES],
)  # fmt: skip
def score_histogram(rows: Rows, _words: Words) -> Drawing:
    axis = alt.Axis(title=say("score"), values=[0, 25, 50, 75, 100], grid=False)
    return canvas().mark_bar(stroke="white", strokeWidth=1).encode(
        x=alt.X("score_from:Q", bin="binned", scale=alt.Scale(domain=[0, 100]), axis=axis),
        x2=alt.X2("score_to:Q"),
        y=alt.Y("n:Q", axis=alt.Axis(title=say("profiles"), format=",d", tickCount=5, tickMinStep=1)),
        color=in_tones(rows),
        tooltip=tooltips("score_histogram"),
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
    base = canvas(132)
    tips, order = tooltips("bucket_shares"), alt.Order("place:Q")
    domain = [say("All profiles"), say("Expected to {do}", do=words.do)]
    y_scale = alt.Scale(domain=domain, paddingInner=0.0)
    layers = []
    for name, field in zip(domain, ("share", "expected_share"), strict=True):
        x = alt.X(f"{field}:Q", stack="zero", scale=alt.Scale(domain=[0, 1]), axis=percent_axis(None, grid=False))
        y = alt.YDatum(name, type="nominal", scale=y_scale, axis=None)
        bars = base.mark_bar(size=22, stroke="white", yOffset=9)
        layers.append(bars.encode(x=x, y=y, color=in_tones(rows), order=order, tooltip=tips))
        label = alt.Chart(alt.Data(values=[{"name": name}]), width="container")
        label = label.mark_text(align="left", baseline="bottom", dy=-6)
        layers.append(
            label.encode(y=alt.Y("name:N", scale=y_scale, axis=None), x=alt.XValue(0), text=alt.Text("name:N"))
        )
    return layered(*layers)


@chart(
    noted("Expected to {do}, by time"),
    noted("The share of each bucket that is expected to {do} within so many days, all from one model; between the "
          "points the line is only drawn through."),
    [("days", noted("Within days"), "count"), BUCKET, ("expected_rate", noted("Expected to {do}"), "percent")],
)  # fmt: skip
def horizon_curve(rows: Rows, words: Words) -> Drawing:
    days, share = say("days from the start of the outcome window"), say("expected to {do}", do=words.do)
    x = alt.X("days:Q", axis=alt.Axis(title=days, grid=False, tickCount=6))
    y = alt.Y("expected_rate:Q", axis=percent_axis(share), scale=alt.Scale(domainMin=0))
    line = canvas().mark_line(strokeWidth=2.5, point={"filled": True, "size": 40})
    return line.encode(x=x, y=y, color=in_tones(rows), tooltip=tooltips("horizon_curve"))


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
    base, y = canvas(ROW_STEP * max(len(rows), 1)), in_place()
    scale = alt.Scale(domain=[0, top], nice=False)
    bars = bar_marks(base).encode(
        y=y, x=alt.X("realised:Q", scale=scale, axis=None), color=worded(rows, came, names),
        tooltip=tooltips("bucket_outcomes"),
    )  # fmt: skip
    spans = base.mark_rule(color=GREY, strokeWidth=2, yOffset=BAR / 2 + 3).encode(
        y=y, x=alt.X("low:Q", scale=scale, axis=None), x2=alt.X2("high:Q")
    )
    marks = tick_marks(base, thickness=3).encode(
        y=y, x=alt.X("expected:Q", scale=scale, axis=None), color=worded(rows, expected, names)
    )
    return layered(track(base), bars, spans, marks, *labels_above(base, "bucket", "both", 130))


@chart(
    noted("Expected and what came, run by run"),
    noted("Each date is one run. The solid line is the share of a bucket who {did}, with its 95 % interval; the "
          "dashed one what was expected, alone where the window is not over yet."),
    [("scored_on", noted("As of")), BUCKET, *EXPECTED_AND_CAME, *INTERVAL],
)  # fmt: skip
def outcome_trend(rows: Rows, words: Words) -> Drawing:
    axis = alt.Axis(title=None, grid=False, format="%-d %b %Y", labelOverlap=True, tickCount=5)
    x = alt.X("scored_on:T", scale=alt.Scale(type="utc", padding=24), axis=axis)
    zero, tips = alt.Scale(domainMin=0), tooltips("outcome_trend")

    def y(field: str) -> Drawing:
        return alt.Y(f"{field}:Q", axis=percent_axis(say("share who {did}", did=words.did)), scale=zero)

    base = canvas().encode(x=x, color=in_tones(rows))
    came = base.transform_filter("isValid(datum.realised)")
    expected = base.mark_line(strokeDash=[5, 4], strokeWidth=1.5, point={"filled": False, "fill": "white", "size": 40})
    layers = [expected.encode(y=y("expected"), tooltip=tips)]
    if any(row["realised"] is not None for row in rows):
        layers.append(came.mark_rule(strokeWidth=2, opacity=0.4).encode(y=y("low"), y2=alt.Y2("high:Q")))
        realised = came.mark_line(strokeWidth=2.5, point={"filled": True, "size": 60})
        layers.append(realised.encode(y=y("realised"), tooltip=tips))
    return layered(*layers)


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
    return two_way("bucket_factors", rows, "label", "mean_impact", "mean_impact_text")


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
    base = canvas(ROW_STEP * max(len(rows), 1))
    scale, y = alt.Scale(domain=[0, top], nice=False), in_place()
    bars = bar_marks(base).encode(
        y=y, x=alt.X("inside:Q", scale=scale, axis=None), color=worded(rows, here, names),
        tooltip=tooltips("value_distribution"),
    )  # fmt: skip
    marks = tick_marks(base, thickness=3).encode(
        y=y, x=alt.X("outside:Q", scale=scale, axis=None), color=worded(rows, elsewhere, names)
    )
    return layered(track(base), bars, marks, *labels_above(base, "label", "both", 130))


@chart(
    noted("What moves scores most, overall"),
    noted("How much of all movement of the probabilities, up and down, comes from each factor."),
    [
        ("label", noted("Factor")), ("share", noted("Share of all influence"), "percent"),
        ("direction", noted("Direction")), ("typical", noted("Typical value")),
    ],
)  # fmt: skip
def factor_shares(rows: Rows, _words: Words) -> Drawing:
    return bar_list("factor_shares", rows, "label", "share", "share_text")


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
    return two_way("dependence", rows, "label", "mean_impact", "mean_impact_text")


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
    return bar_list("top_n", rows, "taken", "precision", "words", most=1.0, mark="base_rate")


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
    base, scale = canvas(), alt.Scale(domain=[0, 1])
    x = alt.X("share_targeted:Q", scale=scale, axis=percent_axis(say("share of profiles taken, highest scores first")))
    axis = percent_axis(say("share of all who {did}", did=words.did))
    band = base.mark_area(color=BLUE, opacity=0.15).encode(
        x=x, y=alt.Y("low:Q", scale=scale, axis=axis), y2=alt.Y2("high:Q")
    )
    layers = [band]
    for name, field, dash in ((perfect, "perfect", [2, 3]), (random, "random", [6, 4])):
        line = base.mark_line(strokeDash=dash, strokeWidth=2)
        layers.append(line.encode(x=x, y=alt.Y(f"{field}:Q", scale=scale, axis=axis), color=worded(rows, name, names)))
    ours = base.mark_line(strokeWidth=2.5, point={"filled": True, "size": 34})
    y = alt.Y("share_caught:Q", scale=scale, axis=axis)
    if any(row.get("chosen") for row in rows):
        chosen = base.transform_filter("datum.chosen")
        layers += [
            chosen.mark_rule(color=INK, strokeWidth=1.5).encode(x=x),
            chosen.mark_point(filled=True, color=INK, size=110, opacity=1).encode(x=x, y=y),
        ]
    return layered(*layers, ours.encode(x=x, y=y, color=worded(rows, model, names), tooltip=tooltips("gains")))


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
    base = canvas()
    x = alt.X("decile:O", axis=alt.Axis(title=say("tenth of profiles, highest scores first"), labelAngle=0, grid=False))
    y = alt.Y("lift:Q", axis=alt.Axis(title=say("times the average"), tickCount=5))
    bars = base.mark_bar(color=BLUE).encode(x=x, y=y, tooltip=tooltips("lift"))
    short = alt.Text("lift:Q", format=".1f")
    text = base.mark_text(dy=-8, fontSize=12).encode(x=x, y=y, text=short)
    average = base.mark_rule(color=INK, strokeDash=[6, 4], opacity=0.6, aria=False).encode(y=alt.YDatum(1))
    return layered(bars, text, average)


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
    return canvas(180).mark_bar(color=PALE).encode(x=x, y=y, tooltip=tooltips("events_per_month"))


@chart(
    noted("Events per month, by kind"),
    noted("One row for each kind, the most frequent first; each row has a scale of its own. A kind that stops, or "
          "lacks some months, may not have been recorded then."),
    [("month", noted("Month")), ("kind", noted("Kind of event")), ("events", noted("Events"), "count")],
)  # fmt: skip
def events_by_kind(rows: Rows, _words: Words) -> Drawing:
    most: dict[str, int] = {}
    for row in rows:
        most[row["kind"]] = max(most.get(row["kind"], 1), row["events"])
    kinds = list(most)
    for row in rows:
        floor = kinds.index(row["kind"]) + 0.96
        row |= {"floor": floor, "top": floor - 0.6 * row["events"] / most[row["kind"]]}
    heads = {row["kind"]: row for row in reversed(rows)}
    for kind, head in heads.items():
        said = say("at most {n} a month", n=shown(most[kind], "count"))
        head |= {"head": kinds.index(kind) + 0.06, "name": kind, "most": said}
    axis = alt.Axis(title=None, grid=False, format="%b %Y", labelOverlap=True, labelAngle=0)
    x = alt.X("month:T", timeUnit="utcyearmonth", scale=alt.Scale(type="utc"), axis=axis)
    base, scale = canvas(ROW_STEP * max(len(kinds), 1)), alt.Scale(domain=[0, len(kinds)], reverse=True, nice=False)
    bars = base.mark_bar(color=PALE).encode(
        x=x, y=alt.Y("top:Q", scale=scale, axis=None), y2=alt.Y2("floor:Q"), tooltip=tooltips("events_by_kind")
    )
    above = base.transform_filter("isValid(datum.head)").encode(y=alt.Y("head:Q", scale=scale, axis=None))
    names = above.mark_text(align="left", baseline="top", limit=alt.ExprRef("width - 150"))
    figures = above.mark_text(align="right", baseline="top", fontSize=12, color=MUTED)
    return layered(
        bars, names.encode(x=alt.XValue(0), text="name:N"), figures.encode(x=alt.XValue("width"), text="most:N")
    )
