"""The page after the window, as plain data and as one offline HTML file: what came, beside what was expected.

Nothing is computed here that ``aftermath.json`` does not have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from propend.charts import CHARTS
from propend.curves import outcome_picture
from propend.language import ENGLISH, day_words, noted, numeral, say, say_many, speaking
from propend.narrative import TONES, titled
from propend.notebook import card, line, table
from propend.phrasing import NOTHING, Words, capital, count, percent, shown, words_of
from propend.report import page_html, write_whole

Plain = dict[str, Any]

DOCUMENT_NAME, PAGE_NAME = "aftermath.json", "aftermath.html"
RANKED_RUNS = 6
"""So many of the newest runs are shown with the ranking that was promised for them."""
FIGURES = {
    "auc": (noted("Right one of two ranked first (AUC)"), "decimal"),
    "log_loss": (noted("Log loss (lower is better)"), "fine"),
    "brier": (noted("Brier score (lower is better)"), "fine"),
    "calibration_error": (noted("Calibration error (lower is better)"), "fine"),
}
DECISIONS = {
    "promote": noted("Promote the challenger"),
    "keep": noted("Keep the champion"),
    "open": noted("Cannot tell yet"),
}
SIDES = {"champion": noted("Champion"), "challenger": noted("Challenger")}
KICKERS = {
    "conversion": noted("After the window · conversion · data until {day}"),
    "churn": noted("After the window · churn · data until {day}"),
}
BUCKETS = {"high": noted("high"), "medium": noted("medium"), "low": noted("low")}


@dataclass(frozen=True)
class Aftermath:
    """What came of finished runs.

    Attributes:
        document: ``aftermath.json``: every run with its figures and verdict, the summary, the challenge.
    """

    document: Plain

    def to_dict(self) -> Plain:
        """The document, as ``propend evaluate --json`` prints it."""
        return self.document

    def _repr_html_(self) -> str:
        with speaking(self.document.get("language", ENGLISH)):
            told = compose(self.document)
            figures = [list(figure.values()) for figure in told["figures"]]
            runs = [list(run.values()) for run in told["runs"]]
            notices = [line(f"{n['title']}: {n['message']}", "w") for n in told["notices"]]
            parts = (line(told["sentence"], "q"), line(told["summary"]), *notices, table(("", "", ""), figures))
            return card(told["name"], *parts, table(list(told["runs"][0]) if runs else (), runs))

    def to_html(self) -> str:
        """The page as one HTML file that opens offline."""
        with speaking(self.document.get("language", ENGLISH)):
            return page_html("aftermath.html.j2", compose(self.document), words_of(self.document["propensity_type"]))

    def save(self, folder: str | Path) -> None:
        """Write ``aftermath.json`` and ``aftermath.html`` into a folder.

        Raises:
            WriteFailedError: the folder cannot be written, or the disk is full.
        """
        text = json.dumps(self.document, ensure_ascii=False, indent=1, allow_nan=False)
        write_whole(Path(folder) / DOCUMENT_NAME, text + "\n")
        write_whole(Path(folder) / PAGE_NAME, self.to_html())


def compose(document: Plain) -> Plain:
    """All that the page says, in reading order and in the language of the context."""
    zone, words = ZoneInfo(document["time_zone"]), words_of(document["propensity_type"])
    runs = [r | {"day": _day(r["scored_at"], zone), "scored_on": _iso(r["scored_at"], zone)} for r in document["runs"]]
    told = [r for r in runs if r["matured"] and r["known"]]
    return {
        "name": document["name"],
        "kicker": say(KICKERS[document["propensity_type"]], day=_day(document["observed_until"], zone)),
        "do": words.do,
        "did": words.did,
        "sentence": document["sentence"],
        "version": document["propend_version"],
        "until_on": _day(document["observed_until"], zone),
        "figures": _figures(document["summary"], words),
        "summary": document["summary"]["sentence"],
        "notices": [{**n, "title": titled(n["symbol"])} for n in document["warnings"]],
        "challenge": _challenge(document["challenge"], zone) if document["challenge"] else None,
        "trend": trend(runs, document["propensity_type"], zone),
        "runs": [_row(r, words) for r in runs],
        "newest": newest(told[-1], document["propensity_type"]) if told else None,
        "ranking": _ranking(told),
        "details": [_detail(r, words) for r in reversed(told)],
        "drift": [
            {say("As of"): r["scored_on"], say("Said by the run"): message} for r in runs for message in r["drift"]
        ],
        "left_out": [{say("Run"): r["run_id"], say("Why"): capital(r["reason"])} for r in document["left_out"]],
    }


def _day(instant: str, zone: ZoneInfo) -> str:
    return day_words(datetime.fromisoformat(instant).astimezone(zone).date())


def _iso(instant: str, zone: ZoneInfo) -> str:
    return str(datetime.fromisoformat(instant).astimezone(zone).date())


def _picture(chart: str, rows: Sequence[Plain], message: str = "") -> Plain:
    title = CHARTS[chart].titled(words_of())
    return {"chart": chart, "id": chart, "message": message, "alt": message or title, "rows": list(rows)}


def _figures(summary: Plain, words: Words) -> list[dict[str, str]]:
    n, expected = summary["judged"], summary["expected_positives"]
    if not n:
        waiting = say("of {runs}; the windows of the others are not over yet", runs=summary["runs"])
        return [_figure(say("Runs judged"), "0", waiting)]
    good, worse = (say("{some} of {all}", some=summary[key], all=n) for key in ("level_as_expected", "ranking_worse"))
    return [
        _figure(say("Runs judged"), str(n), say("of {runs}", runs=summary["runs"])),
        _figure(say("Expected to {do}", do=words.do), count(round(expected)), _rate(summary, expected)),
        _figure(capital(words.did), count(summary["positives"]), _rate(summary, summary["positives"])),
        _figure(say("Level as expected"), good, say("runs, within chance or a tenth")),
        _figure(say("Ranked worse"), worse, say("runs, than their tests had promised")),
    ]


def _figure(label: str, value: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def _rate(summary: Plain, positives: float) -> str:
    share, known = percent(positives / summary["known"]), count(summary["known"])
    return say("{share} of {known} with a known outcome", share=share, known=known)


def _bucket(bucket: Plain) -> str:
    return capital(say(BUCKETS[bucket["bucket"]]))


def trend(runs: Sequence[Plain], kind: str, zone: ZoneInfo) -> Plain:
    """The picture of what runs expected of each bucket, and of what came where that is known.

    Args:
        runs: as in ``aftermath.json``, oldest first.
        kind: the propensity type.
        zone: of the instance.
    """
    rows = []
    for run in runs:
        for bucket in run["buckets"]:
            if bucket["expected_rate"] is None:
                continue
            came = bucket.get("realised_rate") or {"value": None, "low": None, "high": None}
            rows.append(
                {
                    "scored_on": _iso(run["scored_at"], zone),
                    "bucket": _bucket(bucket),
                    "tone": TONES[kind][bucket["bucket"]],
                    "expected": bucket["expected_rate"],
                    "realised": came["value"],
                    "low": came["low"],
                    "high": came["high"],
                }
            )
    return _picture("outcome_trend", rows)


def _row(run: Plain, words: Words) -> dict[str, str]:
    """A run as a row of the table of all runs."""
    judged = run["matured"] and run["known"]
    realised = interval(run["realised_rate"], "percent") if judged else NOTHING
    return {
        say("As of"): run["scored_on"],
        say("Profiles"): count(run["population"]),
        say("Expected to {do}", do=words.do): percent(run["expected_rate"]),
        capital(words.did): realised,
        say("Level"): capital(say(run["verdict"]["level"])) if judged else say("Window not over"),
        say("AUC promised"): shown(run["promised"]["auc"]["value"], "decimal"),
        say("AUC"): shown(run["auc"]["value"], "decimal") if judged else NOTHING,
        say("Ranking"): capital(say(run["verdict"]["ranking"])) if judged else NOTHING,
        say("Scores moved"): NOTHING if run["score_drift"] is None else numeral(f"{run['score_drift']:.2f}"),
    }


def interval(metric: Plain | None, form: str) -> str:
    """A figure with its interval; what is not known is a dash."""
    if metric is None or metric["value"] is None:
        return NOTHING
    if metric["low"] is None:
        return shown(metric["value"], form)
    return say("{value} ({low} to {high})", **{key: shown(metric[key], form) for key in ("value", "low", "high")})


def newest(run: Plain, kind: str) -> Plain:
    """One run that was judged: its verdict, and pictures of buckets, scores and probabilities beside what came."""
    rows = [
        {
            "bucket": _bucket(b),
            "tone": TONES[kind][b["bucket"]],
            "n": b["known"],
            "expected": b["expected_rate"],
            "realised": b["realised_rate"]["value"],
            "low": b["realised_rate"]["low"],
            "high": b["realised_rate"]["high"],
            "level": say(b["level"]),
        }
        for b in run["buckets"]
        if b["known"]
    ]
    pictures = [
        _picture("bucket_outcomes", rows),
        outcome_picture(run.get("score_histogram", []), words_of(kind)),
        _picture("calibration", run["calibration"]),
    ]
    return {"day": run.get("day", ""), "sentence": run["verdict"]["sentence"], "pictures": pictures}


def _ranking(told: Sequence[Plain]) -> Plain:
    rows = []
    for run in reversed(told[-RANKED_RUNS:]):
        came, promised = say("{day}: came", day=run["day"]), say("{day}: promised", day=run["day"])
        for name, ours, metric in ((came, True, run["auc"]), (promised, False, run["promised"]["auc"])):
            if metric and metric["value"] is not None:
                rows.append({"name": name, "ours": ours, **metric})
    return _picture("ranking", rows)


def _detail(run: Plain, words: Words) -> Plain:
    return {
        "day": run["day"],
        "sentence": run["verdict"]["sentence"],
        "counts": "; ".join(_counts(run)),
        "buckets": [
            {
                say("Bucket"): _bucket(b),
                say("Profiles"): count(b["known"]),
                say("Expected to {do}", do=words.do): percent(b["expected_rate"]),
                capital(words.did): interval(b["realised_rate"], "percent"),
                say("Level"): capital(say(b["level"])),
            }
            for b in run["buckets"]
        ],
        "figures": [
            {
                say("Figure"): say(name),
                say("Came"): interval(run[key], form),
                say("Promised"): interval(run["promised"][key], form),
            }
            for key, (name, form) in FIGURES.items()
        ],
    }


def _counts(run: Plain) -> Iterator[str]:
    """How many were scored, how many outcomes are known, and what became of the others."""
    early, gone, absent, out, new = (
        run[key] for key in ("met_early", "gone", "absent", "not_eligible_now", "not_scored_then")
    )
    yield say_many("{n} scored", "{n} scored", run["population"])
    yield say_many("{n} with a known outcome", "{n} with a known outcome", run["known"])
    if early:
        yield say_many("{n} met the goal before the window", "{n} met the goal before the window", early)
    if gone:
        yield say_many("{n} left", "{n} left", gone)
    if absent:
        yield say_many("{n} not in the data any more", "{n} not in the data any more", absent)
    if out:
        yield say_many("{n} not eligible by the data of today", "{n} not eligible by the data of today", out)
    if new:
        yield say_many(
            "{n} eligible by the data of today, not scored", "{n} eligible by the data of today, not scored", new
        )


def _challenge(found: Plain, zone: ZoneInfo) -> Plain:
    days = [_day(c, zone) for c in found["cutoffs"]]
    return {
        "title": say(DECISIONS[found["decision"]]),
        "sentence": found["sentence"],
        "fair": say(
            "Both were asked about the same {profiles} profiles, as of {days}: {n} outcomes that neither had seen, "
            "{positives} of them positive. The challenger had to save {margin} of the log loss.",
            profiles=count(found["profiles"]),
            days=", ".join(days),
            n=count(found["n"]),
            positives=count(found["positives"]),
            margin=percent(found["margin"]),
        ),
        "figures": [
            {say("Figure"): say(name)} | {say(title): interval(found[side][key], form) for side, title in SIDES.items()}
            for key, (name, form) in FIGURES.items()
        ],
        "folders": [
            {
                say("Model"): say(title),
                say("Learnt from data until"): _iso(found[side]["learnt_until"], zone),
                say("Folder"): found[side]["folder"],
            }
            for side, title in SIDES.items()
        ],
    }
