"""The page after the window, as plain data and as one offline HTML file: what came, beside what was expected.

Nothing is computed here that ``aftermath.json`` does not have.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from propend.charts import CHARTS
from propend.language import day_words
from propend.narrative import TONES
from propend.phrasing import NOTHING, Words, capital, count, percent, shown, words_of
from propend.report import page_html, write_whole

Plain = dict[str, Any]

DOCUMENT_NAME, PAGE_NAME = "aftermath.json", "aftermath.html"
RANKED_RUNS = 6
"""So many of the newest runs are shown with the ranking that was promised for them."""
FIGURES = {
    "auc": ("Right one of two ranked first (AUC)", "decimal"),
    "log_loss": ("Log loss (lower is better)", "fine"),
    "brier": ("Brier score (lower is better)", "fine"),
    "calibration_error": ("Calibration error (lower is better)", "fine"),
}
DECISIONS = {"promote": "Promote the challenger", "keep": "Keep the champion", "open": "Cannot tell yet"}


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

    def to_html(self) -> str:
        """The page as one HTML file that opens offline."""
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
    """All that the page says, in reading order."""
    zone, words = ZoneInfo(document["time_zone"]), words_of(document["propensity_type"])
    runs = [r | {"day": _day(r["scored_at"], zone), "scored_on": _iso(r["scored_at"], zone)} for r in document["runs"]]
    told = [r for r in runs if r["matured"] and r["known"]]
    return {
        "name": document["name"],
        "propensity_type": document["propensity_type"],
        "do": words.do,
        "did": words.did,
        "sentence": document["sentence"],
        "version": document["propend_version"],
        "until_on": _day(document["observed_until"], zone),
        "figures": _figures(document["summary"], words),
        "summary": document["summary"]["sentence"],
        "notices": [{**n, "title": n["symbol"].replace("_", " ").capitalize()} for n in document["warnings"]],
        "challenge": _challenge(document["challenge"], zone) if document["challenge"] else None,
        "trend": _trend(runs, document["propensity_type"]),
        "runs": [_row(r, words) for r in runs],
        "newest": _newest(told[-1], document["propensity_type"]) if told else None,
        "ranking": _ranking(told),
        "details": [_detail(r, words) for r in reversed(told)],
        "drift": [{"As of": r["scored_on"], "Said by the run": message} for r in runs for message in r["drift"]],
        "left_out": [{"Run": r["run_id"], "Why": capital(r["reason"])} for r in document["left_out"]],
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
        return [_figure("Runs judged", "0", f"of {summary['runs']}; the windows of the others are not over yet")]
    return [
        _figure("Runs judged", str(n), f"of {summary['runs']}"),
        _figure(f"Expected to {words.do}", count(round(expected)), _rate(summary, expected)),
        _figure(capital(words.did), count(summary["positives"]), _rate(summary, summary["positives"])),
        _figure("Level as expected", f"{summary['level_as_expected']} of {n}", "runs, within chance or a tenth"),
        _figure("Ranked worse", f"{summary['ranking_worse']} of {n}", "runs, than their tests had promised"),
    ]  # fmt: skip


def _figure(label: str, value: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def _rate(summary: Plain, positives: float) -> str:
    return f"{percent(positives / summary['known'])} of {count(summary['known'])} with a known outcome"


def _trend(runs: Sequence[Plain], kind: str) -> Plain:
    rows = []
    for run in runs:
        for bucket in run["buckets"]:
            if bucket["expected_rate"] is None:
                continue
            came = bucket.get("realised_rate") or {"value": None, "low": None, "high": None}
            rows.append(
                {
                    "scored_on": run["scored_on"],
                    "bucket": bucket["bucket"].capitalize(),
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
        "As of": run["scored_on"],
        "Profiles": count(run["population"]),
        f"Expected to {words.do}": percent(run["expected_rate"]),
        capital(words.did): realised,
        "Level": capital(run["verdict"]["level"]) if judged else "Window not over",
        "AUC promised": shown(run["promised"]["auc"]["value"], "decimal"),
        "AUC": shown(run["auc"]["value"], "decimal") if judged else NOTHING,
        "Ranking": capital(run["verdict"]["ranking"]) if judged else NOTHING,
        "Scores moved": NOTHING if run["score_drift"] is None else f"{run['score_drift']:.2f}",
    }


def interval(metric: Plain | None, form: str) -> str:
    """A figure with its interval; what is not known is a dash."""
    if metric is None or metric["value"] is None:
        return NOTHING
    if metric["low"] is None:
        return shown(metric["value"], form)
    return f"{shown(metric['value'], form)} ({shown(metric['low'], form)} to {shown(metric['high'], form)})"


def _newest(run: Plain, kind: str) -> Plain:
    rows = [
        {
            "bucket": b["bucket"].capitalize(),
            "tone": TONES[kind][b["bucket"]],
            "n": b["known"],
            "expected": b["expected_rate"],
            "realised": b["realised_rate"]["value"],
            "low": b["realised_rate"]["low"],
            "high": b["realised_rate"]["high"],
            "level": b["level"],
        }
        for b in run["buckets"]
        if b["known"]
    ]
    pictures = [_picture("bucket_outcomes", rows), _picture("calibration", run["calibration"])]
    return {"day": run["day"], "sentence": run["verdict"]["sentence"], "pictures": pictures}


def _ranking(told: Sequence[Plain]) -> Plain:
    rows = []
    for run in reversed(told[-RANKED_RUNS:]):
        for name, ours, metric in (("came", True, run["auc"]), ("promised", False, run["promised"]["auc"])):
            if metric and metric["value"] is not None:
                rows.append({"name": f"{run['day']}: {name}", "ours": ours, **metric})
    return _picture("ranking", rows)


def _detail(run: Plain, words: Words) -> Plain:
    counts = {
        "scored": run["population"],
        "with a known outcome": run["known"],
        "met the goal before the window": run["met_early"],
        "left": run["gone"],
        "not in the data any more": run["absent"],
        "not eligible by the data of today": run["not_eligible_now"],
        "eligible by the data of today, not scored": run["not_scored_then"],
    }
    return {
        "day": run["day"],
        "sentence": run["verdict"]["sentence"],
        "counts": "; ".join(f"{count(n)} {name}" for i, (name, n) in enumerate(counts.items()) if n or i < 2),
        "buckets": [
            {
                "Bucket": b["bucket"].capitalize(),
                "Profiles": count(b["known"]),
                f"Expected to {words.do}": percent(b["expected_rate"]),
                capital(words.did): interval(b["realised_rate"], "percent"),
                "Level": capital(b["level"]),
            }
            for b in run["buckets"]
        ],
        "figures": [
            {"Figure": name, "Came": interval(run[key], form), "Promised": interval(run["promised"][key], form)}
            for key, (name, form) in FIGURES.items()
        ],
    }


def _challenge(found: Plain, zone: ZoneInfo) -> Plain:
    days = [_day(c, zone) for c in found["cutoffs"]]
    sides = ("champion", "challenger")
    return {
        "title": DECISIONS[found["decision"]],
        "sentence": found["sentence"],
        "fair": (
            f"Both were asked about the same {count(found['profiles'])} profiles, as of {', '.join(days)}: "
            f"{count(found['n'])} outcomes that neither had seen, {count(found['positives'])} of them positive. The "
            f"challenger had to save {percent(found['margin'])} of the log loss."
        ),
        "figures": [
            {"Figure": name, **{capital(side): interval(found[side][key], form) for side in sides}}
            for key, (name, form) in FIGURES.items()
        ],
        "folders": [
            {
                "Model": capital(side),
                "Learnt from data until": _iso(found[side]["learnt_until"], zone),
                "Folder": found[side]["folder"],
            }
            for side in sides
        ],
    }
