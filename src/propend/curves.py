"""Pictures of all that a ranking can do, and of what came by score: charts beside those of ``charts``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from propend.drawing import (
    BLUE,
    CHARTS,
    GREY,
    PALE,
    PROFILES,
    Drawing,
    Rows,
    canvas,
    chart,
    percent_axis,
    tooltips,
    worded,
)
from propend.language import noted, numeral, say
from propend.phrasing import Words, percent, shown

Plain = dict[str, Any]
THRESHOLD = ("probability", noted("Probability from"), "percent")
RECALL = ("recall", noted("Of all who {did}"), "percent")
SQUARE = alt.Scale(domain=[0, 1])


def curve_pictures(evaluation: Mapping[str, Any], words: Words) -> list[Plain]:
    """ROC and precision by recall, from ``evaluation.json``; none where nothing is recorded or only one outcome was.

    They are in the form of ``narrative``'s pictures.
    """
    rows = [row for row in evaluation.get("curve", ()) if row["recall"] is not None and row["false_alarms"] is not None]
    if not rows:
        return []
    auc, base = evaluation["auc"]["value"], evaluation["base_rate"]
    precise = [{**row, "base_rate": base} for row in rows if row["precision"] is not None]
    found = (
        ("roc", rows, say("Area under the curve: {area}", area=shown(auc, "decimal"))),
        ("precision_recall", precise, say("At random {rate} of those taken {did}", rate=percent(base), did=words.did)),
    )
    return [{"chart": name, "id": name, "message": said, "alt": said, "rows": kept} for name, kept, said in found]


@chart(
    noted("Caught and taken in vain (ROC)"),
    noted("Going down from the highest probability: how many of those who {did} are among those taken, against how "
          "many of all others are. The further above the straight line, the better; the area under it is the AUC."),
    [THRESHOLD, ("n", noted("Taken"), "count"), RECALL, ("false_alarms", noted("Of all others"), "percent")],
)  # fmt: skip
def roc(rows: Rows, words: Words) -> Drawing:
    x = alt.X("false_alarms:Q", scale=SQUARE, axis=percent_axis(say("share of all others who are taken")))
    y = say("share of all who {did}", did=words.did)
    return _beside_chance(rows, x, "recall", "false_alarms", y, tooltips("roc"))


@chart(
    noted("How pure, and how complete (precision and recall)"),
    noted("Going down from the highest probability: the share of those taken who {did}, against the share of all who "
          "{did} that is reached. The line falls to the share of all; there everybody is taken."),
    [THRESHOLD, ("n", noted("Taken"), "count"), RECALL, ("precision", noted("Of those taken"), "percent")],
)  # fmt: skip
def precision_recall(rows: Rows, words: Words) -> Drawing:
    x = alt.X("recall:Q", scale=SQUARE, axis=percent_axis(say("share of all who {did}", did=words.did)))
    y = say("share of those taken who {did}", did=words.did)
    return _beside_chance(rows, x, "precision", "base_rate", y, tooltips("precision_recall"))


def _beside_chance(rows: Rows, x: Drawing, ours: str, chance: str, title: str, tips: list[Drawing]) -> Drawing:
    """A line of the model over a broken one of chance, both by fields of the rows."""
    model, random, axis = say("this model"), say("at random"), percent_axis(title)
    names = {model: BLUE, random: GREY}
    broken = canvas().mark_line(strokeDash=[6, 4], strokeWidth=2)
    y = alt.Y(f"{chance}:Q", scale=SQUARE, axis=axis)
    broken = broken.encode(x=x, y=y, color=worded(rows, random, names))
    line = canvas().mark_line(strokeWidth=2.5, point={"filled": True, "size": 20})
    y = alt.Y(f"{ours}:Q", scale=SQUARE, axis=axis)
    return broken + line.encode(x=x, y=y, color=worded(rows, model, names), tooltip=tips)


@chart(
    noted("What came, by score"),
    noted("Each bar counts the profiles with a score in its range whose outcome is known; the dark part {did}, the "
          "pale part did not."),
    [
        ("score_from", noted("Score from"), "count"), ("score_to", noted("to under"), "count"),
        ("bucket", noted("Bucket"), "code"), PROFILES, ("positives", "{did}", "count"),
        ("rate", noted("Share"), "percent"),
    ],
)  # fmt: skip
def outcome_histogram(rows: Rows, words: Words) -> Drawing:
    did, did_not = words.did, say("did not")
    names = {did: BLUE, did_not: PALE}
    title = say("score")
    x = alt.X("score_from:Q", bin="binned", scale=alt.Scale(domain=[0, 100]),
              axis=alt.Axis(title=title, values=[0, 25, 50, 75, 100], grid=False))  # fmt: skip
    axis = alt.Axis(title=say("profiles"), format=",d", tickCount=5, tickMinStep=1)
    base, end = canvas().mark_bar(stroke="white", strokeWidth=1), alt.X2("score_to:Q")
    everybody = base.encode(x=x, x2=end, y=alt.Y("n:Q", axis=axis), color=worded(rows, did_not, names),
                            tooltip=tooltips("outcome_histogram"))  # fmt: skip
    met = base.encode(x=x, x2=end, y=alt.Y("positives:Q", axis=axis), color=worded(rows, did, names),
                      tooltip=tooltips("outcome_histogram"))  # fmt: skip
    return everybody + met


def outcome_picture(histogram: Rows, words: Words) -> Plain:
    """A run's scores split by what came, from ``aftermath.json``; without rows where nothing is recorded."""
    rows = [{**row, "rate": row["positives"] / row["n"] if row["n"] else None} for row in histogram]
    known, met = (sum(row[key] for row in rows) for key in ("n", "positives"))
    said = ""
    if known:
        said = say("{met} of {n} {did}", met=numeral(f"{met:,}"), n=numeral(f"{known:,}"), did=words.did)
    title = CHARTS["outcome_histogram"].titled(words)
    return {
        "chart": "outcome_histogram",
        "id": "outcome_histogram",
        "message": said,
        "alt": said or title,
        "rows": rows,
    }
