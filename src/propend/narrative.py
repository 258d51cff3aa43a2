"""What a report says, as plain data: sentences, tables, and pictures as named charts with their rows.

Everything is said in a marketer's words first; methods, codes and versions come last. Nothing here knows of
HTML, and no figure is computed that the three documents of a run do not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import PurePath
from typing import Any
from zoneinfo import ZoneInfo

from propend.charts import CHARTS
from propend.curves import curve_pictures
from propend.document import write_yaml
from propend.language import day_words, listed, noted, numeral, say
from propend.phrasing import Words, count, lower, percent, shown, words_of

Plain = dict[str, Any]
Rows = Iterable[Mapping[str, Any]]

TONES = {
    "conversion": {"high": "good", "medium": "medium", "low": "bad"},
    "churn": {"high": "bad", "medium": "medium", "low": "good"},
}
"""What is good to see depends on the goal (reference specification UI-12): few leaving, many converting."""

RULES = {
    "recency": noted("Recency alone"),
    "frequency": noted("Frequency alone"),
    "rfm_logistic": noted("Recency-frequency-money"),
}
METRICS = {
    "auc": (noted("Right one of two ranked first (AUC)"), "decimal"),
    "average_precision": (noted("Average precision"), "decimal"),
    "top_decile_lift": (noted("Lift of the top tenth"), "times"),
    "log_loss": (noted("Log loss (lower is better)"), "fine"),
    "brier": (noted("Brier score (lower is better)"), "fine"),
    "calibration_error": (noted("Calibration error (lower is better)"), "fine"),
}
ROLES = {"training": "learnt from", "proof": "test"}
"""Codes of the pictures, which show them as words; so are origins, buckets, importances and effects in rows."""
DIRECTIONS = {
    "more raises": noted("higher values raise the chances"),
    "more lowers": noted("higher values lower the chances"),
    "mixed": noted("no one direction"),
}
LEVEL_DRIVERS = {
    "last": noted("the last known window"),
    "lately": noted("what half a window has shown since"),
    "season": noted("the same weeks a year ago"),
}
TITLES = frozenset({
    noted("Few outcomes"), noted("Same period proof"), noted("Last day partial"), noted("Tracking gap"),
    noted("Attributes without time"), noted("Rows set aside"), noted("Leak suspect"), noted("Input drift"),
    noted("Simple rule as good"), noted("Score drift"), noted("Exact duplicates"), noted("Values not numbers"),
    noted("Rows too short"), noted("No signal"), noted("New kind"), noted("Volume drift"), noted("Many profiles"),
    noted("Forgotten left out"), noted("Without consent"), noted("Forgotten"), noted("Horizon left out"),
    noted("Scored not in data"), noted("No profile"), noted("No time"), noted("Unparsable time"), noted("Before 1970"),
    noted("In the future"), noted("Duplicate"), noted("Excluded"), noted("After as of"), noted("Poor"), noted("Fair"),
    noted("Good"), noted("Excellent"), noted("Currencies mixed"), noted("Marketer made"), noted("Links left out"),
    noted("Partitions left out"),
})  # fmt: skip
"""What notices, reasons to set a row aside, and grades are called: their codes, written as titles."""
CODES = frozenset({
    noted("dropped"), noted("suspect"), noted("noted"), noted("boosted trees"), noted("logistic regression"),
    noted("recency-frequency-money regression"), noted("read"), noted("survey"), noted("features"), noted("fit"),
    noted("level"), noted("prove"), noted("fairness"), noted("refit"), noted("horizons"), noted("describe"),
    noted("score"), noted("write"),
})  # fmt: skip
"""What was done about leaks, members of the model, and stages: their codes are words as they are."""
LEAST_DRIVER = 0.005
TOP_SHARE = 0.2
"""Which "take the top" is named in the summary."""
SHOWN_OVERALL, WORKING_FACTORS = 15, 10


@dataclass(frozen=True)
class Given:
    """The three documents of a run, and the words, tones and days that go with them."""

    evaluation: Plain
    insights: Plain
    run: Plain

    @property
    def words(self) -> Words:
        """How meeting the goal is called."""
        return words_of(self.run["propensity_type"])

    @property
    def tones(self) -> dict[str, str]:
        """Whether each bucket is good to be in."""
        return TONES[self.run["propensity_type"]]

    @property
    def same_period(self) -> bool:
        """Whether the proof is from the period that was learnt from."""
        return bool(self.evaluation["proof"] != "out-of-time")

    def bucket(self, name: str) -> Plain:
        """One bucket of the insights."""
        return next(dict(b) for b in self.insights["buckets"] if b["bucket"] == name)

    def date_of(self, instant: str) -> date:
        """An ISO 8601 instant as a date of the instance's time zone."""
        zone = (self.run["instance"].get("options") or {}).get("time_zone", "UTC")
        return datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)).date()

    def day(self, instant: str) -> str:
        """``1 September 2011``."""
        return day_words(self.date_of(instant))

    def day_before(self, instant: str) -> str:
        """The last day of a window that ends at an instant."""
        return day_words(self.date_of(instant) - timedelta(days=1))


def compose(given: Given) -> Plain:
    """All that the report says, in reading order."""
    run = given.run
    return {
        "name": run["name"],
        "propensity_type": run["propensity_type"],
        "do": given.words.do,
        "did": given.words.did,
        "sentence": run["sentence"],
        "version": run["propend_version"],
        "scored_on": given.day(run["scored_at"]),
        "until_on": given.day_before(run["expires_at"]),
        "population": given.insights["population"],
        "notices": [{**n, "title": titled(n["symbol"])} for n in run["warnings"]],
        "summary": _summary(given),
        "people": _people(given),
        "quality": _quality(given),
        "scores": _scores(given),
        "when": _when(given),
        "fairness": _fairness(given),
        "drivers": _drivers(given),
        "choice": _choice(given),
        "data": _data(given),
        "making": _making(given),
    }


def titled(symbol: str) -> str:
    """What a code is called, in words."""
    title = symbol.replace("_", " ").capitalize()
    return say(title) if title in TITLES else title


def _worded(code: str) -> str:
    return say(code) if code in CODES else code


def _rule(name: str) -> str:
    return say(RULES[name]) if name in RULES else titled(name)


def _picture(chart: str, rows: Rows, message: str = "", name: str = "") -> Plain:
    """A chart with its rows; ``message`` is what it shows this time."""
    title = CHARTS[chart].titled(words_of())
    return {
        "chart": chart,
        "id": f"{chart}-{name}" if name else chart,
        "message": message,
        "alt": message or title,
        "rows": [dict(row) for row in rows],
    }


def _defined(rows: Rows, *fields: str) -> list[Plain]:
    return [dict(row) for row in rows if all(row[field] is not None for field in fields)]


def _at(rows: Sequence[Plain], field: str, value: float) -> Plain | None:
    return next((row for row in rows if row[field] == value), None)


def _directed(rows: Rows, impact: str = "mean_impact") -> list[Plain]:
    return [{**r, "mean_impact": r[impact], "direction": "raises" if r[impact] >= 0 else "lowers"} for r in rows]


# --- in short, and for whom -------------------------------------------------------------------------------


def _summary(given: Given) -> Plain:
    return {
        "figures": _figures(given),
        "proof": _proof(given),
        "same_period": given.same_period,
        "verdict": given.evaluation["verdict"]["sentence"],
        "next": _next_steps(given),
    }


def _figures(given: Given) -> list[dict[str, str]]:
    evaluation, insights, words = given.evaluation, given.insights, given.words
    n, rate = insights["population"], insights["mean_probability"]
    span, until = _span(insights["expected_positives"]), given.day_before(given.run["expires_at"])
    return [
        _figure(say("Profiles scored"), count(n), say("as of {day}", day=given.day(given.run["scored_at"]))),
        _figure(
            say("Expected to {do}", do=words.do), count(round(n * rate)),
            say("between {low} and {high}; {rate} of them, until {day}", rate=percent(rate), day=until, **span),
        ),
        _figure(say("How good"), *judged(evaluation)),
        _figure(
            say("Top tenth"), shown(evaluation["top_decile_lift"]["value"], "times"),
            say("as many {did} there as on average", did=words.did),
        ),
    ]  # fmt: skip


def judged(evaluation: Plain) -> tuple[str, str]:
    """How good a ranking is: its grade, and what that means; both in words."""
    auc, verdict = evaluation["auc"]["value"], evaluation["verdict"]
    if auc is None:
        return say("Cannot be judged"), say("everybody in the test had the same outcome")
    grade = titled(verdict["grade"] if verdict["better_than_chance"] else "no signal")
    return grade, say("ranks the right one of two first {times} times in 100", times=round(100 * auc))


def _span(expected: Mapping[str, float]) -> dict[str, str]:
    return {end: count(round(expected[end])) for end in ("low", "high")}


def _figure(label: str, value: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def _proof(given: Given) -> str:
    """Which test the figures come from: the first thing to know about them."""
    if given.same_period:
        return say(
            "Tested on the same period, not on a later one, because history is too short: {n} profiles, a third of "
            "all, were held out; {met} of them ({rate}) {did}. Such figures flatter: expect somewhat less in practice.",
            **_tested(given),
        )
    return say(
        "Tested on a later period that the model had not seen: {n} profiles as of {day}; {met} of them ({rate}) {did} "
        "until {until}.",
        **_tested(given),
    )


def _tested(given: Given) -> dict[str, str]:
    """How many were in the test and when, how many of them met the goal, and their share."""
    evaluation = given.evaluation
    n, met, rate = evaluation["n"], evaluation["positives"], evaluation["base_rate"]
    day, until = given.day(evaluation["cutoff_at"]), given.day_before(evaluation["outcome_ends_at"])
    figures = {"n": count(n), "met": count(met), "rate": percent(rate)}
    return {**figures, "did": given.words.did, "day": day, "until": until}


def _next_steps(given: Given) -> list[str]:
    evaluation, insights, words = given.evaluation, given.insights, given.words
    steps = []
    weaker = [lower(_rule(n)) for n in evaluation["verdict"]["does_not_beat"]]
    if weaker:
        steps += [say(
            "Before relying on it: a simple rule does about as well ({rules}). Further kinds of events would help "
            "most.",
            rules=listed(weaker),
        )]  # fmt: skip
    top = _at(evaluation["top_n"], "share", TOP_SHARE)
    if top and evaluation["positives"] and evaluation["auc"]["value"] is not None:
        steps += [say(
            "Begin with the {n} highest scores, the top {share}. In the test they held {caught} of the {all} who "
            "{did} ({rate}).",
            n=count(round(TOP_SHARE * insights["population"])), share=shown(TOP_SHARE, "share"),
            caught=count(top["caught"]), all=count(evaluation["positives"]), did=words.did,
            rate=percent(top["caught"] / evaluation["positives"]),
        )]  # fmt: skip
    high = given.bucket("high")
    if high["n"]:
        steps += [say(
            "The high bucket has {n} profiles; {rate} of them are expected to {do}, against {usual} of all.",
            n=count(high["n"]), rate=percent(high["expected_rate"]), do=words.do,
            usual=percent(insights["mean_probability"]),
        )]  # fmt: skip
    where = say("Every profile has its score, probability, bucket and reasons in scores.parquet, beside this file.")
    return [*steps, where]


def _people(given: Given) -> Plain:
    run, lines = given.run, given.run["funnel"]
    rows = [{**line, "origin": "default" if line["origin"] == "default" else "the question"} for line in lines]
    first, last = (count(lines[i]["profiles"]) if lines else "" for i in (0, -1))
    left = say("{left} of {all} profiles are asked about", left=last, all=first) if lines else ""
    cutoffs = [
        {**c, "cutoff_on": str(given.date_of(c["cutoff_at"])), "role": ROLES[c["role"]]}
        for c in _defined(run["timeline"]["cutoffs"], "base_rate")
    ]
    spread = _spread_words([c["base_rate"] for c in cutoffs], given.words.did)
    return {"pictures": [_picture("funnel", rows, left), _picture("base_rates", cutoffs, spread)]}


def _spread_words(rates: Sequence[float], did: str) -> str:
    if not rates:
        return ""
    low, high = percent(min(rates)), percent(max(rates))
    if low == high:
        return say("At past dates {rate} {did}", rate=low, did=did)
    return say("At past dates between {low} and {high} {did}", low=low, high=high, did=did)


# --- how good ---------------------------------------------------------------------------------------------


def _quality(given: Given) -> Plain:
    evaluation = given.evaluation
    rankers = [(say("This model"), evaluation)] + [(_rule(n), e) for n, e in evaluation["baselines"].items()]
    rows = _defined([{"name": n, "ours": e is evaluation, **e["auc"]} for n, e in rankers], "value")
    message = ""
    if len(rows) > 1:
        message = say(
            "This model is right {ours} times in 100, the best simple rule {best} times in 100",
            ours=round(100 * rows[0]["value"]), best=round(100 * max(row["value"] for row in rows[1:])),
        )  # fmt: skip
    expected, came = (percent(evaluation[key]["value"]) for key in ("expected_rate", "realised_rate"))
    level = say("{expected} were expected to {do}, {realised} did", expected=expected, do=given.words.do, realised=came)
    return {
        "story": _story(given),
        "same_period": given.same_period,
        "unbeaten": [lower(_rule(n)) for n in evaluation["verdict"]["does_not_beat"]],
        "pictures": [_picture("ranking", rows, message), _picture("calibration", evaluation["calibration"], level)],
        "curves": curve_pictures(evaluation, given.words),
        "figures": [
            {say("Figure"): say(words), **{name: _interval(figures[key], form) for name, figures in rankers}}
            for key, (words, form) in METRICS.items()
        ],
    }


def _story(given: Given) -> str:
    """How the test went."""
    if given.same_period:
        return say(
            "History is too short for a test on a later period. So a third of the profiles, {n}, was held out: the "
            "model learnt from the others, ranked these as of {day}, and was held against what they did until {until}: "
            "{met} ({rate}) {did}. What was special about that period it had seen.",
            **_tested(given),
        )
    return say(
        "The model was put back to {day}, shown only what had happened before, and asked to rank {n} profiles. Then it "
        "was held against what they did until {until}: {met} ({rate}) {did}.",
        **_tested(given),
    )


def _interval(metric: Mapping[str, float | None], form: str) -> str:
    value, low, high = (shown(metric[key], form) for key in ("value", "low", "high"))
    if metric["value"] is None or metric["low"] is None:
        return value
    return say("{value} ({low} to {high})", value=value, low=low, high=high)


def _choice(given: Given) -> Plain:
    evaluation, did = given.evaluation, given.words.did
    positives, base = evaluation["positives"], evaluation["base_rate"]
    tops = [
        {**row, "taken": say("Top {share}", share=shown(row["share"], "share")), "base_rate": base,
         "share_caught": row["caught"] / positives if positives else None}
        for row in evaluation["top_n"]
    ]  # fmt: skip
    gains = _defined(evaluation["gains"], "share_caught", "perfect")
    lifts = _defined(evaluation["deciles"], "lift", "cumulative_share")
    tenth, fifth = _at(tops, "share", 0.1), _at(gains, "share_targeted", TOP_SHARE)
    caught = held = best = ""
    if tenth:
        rate, usual = percent(tenth["precision"]), percent(base)
        caught = say("Of the top tenth {rate} {did}, of all {usual}", rate=rate, did=did, usual=usual)
    if fifth:
        held = say("The top fifth held {share} of all who {did}", share=percent(fifth["share_caught"]), did=did)
    if lifts:
        times = numeral(f"{lifts[0]['lift']:.1f}")
        best = say("The top tenth {did} {times} times as often as the average", did=did, times=times)
    return {
        "pictures": [_picture("top_n", tops, caught), _picture("gains", gains, held), _picture("lift", lifts, best)]
    }


# --- scores and what drives them --------------------------------------------------------------------------


def _scores(given: Given) -> Plain:
    total = sum(b["expected_positives"] for b in given.insights["buckets"]) or 1.0
    buckets = [
        {k: v for k, v in b.items() if k != "factors"}
        | {"tone": given.tones[b["bucket"]], "expected_share": b["expected_positives"] / total}
        for b in given.insights["buckets"]
    ]
    bars = [{**row, "tone": given.tones[row["bucket"]]} for row in given.insights["score_histogram"]]
    high, low = given.bucket("high"), given.bucket("low")
    spread = say(
        "{many} profiles score {top} or more, {few} under {bottom}",
        many=count(high["n"]), top=f"{high['score_from']:.0f}", few=count(low["n"]), bottom=f"{low['score_to']:.0f}",
    )  # fmt: skip
    held = say(
        "The high bucket has {share} of the profiles and {held} of all who are expected to {do}",
        share=percent(high["share"]), held=percent(high["expected_positives"] / total), do=given.words.do,
    )  # fmt: skip
    return {
        "buckets": buckets,
        "sure": _sure(given),
        "pictures": [_picture("score_histogram", bars, spread), _picture("bucket_shares", buckets, held)],
    }


def _sure(given: Given) -> list[str]:
    """What the intervals say, how they did in the test, and for whom nothing can be said."""
    thin, rows = given.insights["too_little_history"], given.evaluation["intervals"]
    said = [
        say(
            "Every probability has an interval. It says how well the probability is known: the share of profiles alike "
            "who will {do} lies in it about 95 times in 100. It does not say what one profile will do. In the test, "
            "cut into {groups} groups by probability, the share who {did} lay inside in {inside} of {groups}.",
            groups=len(rows), inside=sum(row["inside"] for row in rows), **vars(given.words),
        ),
        say(
            "Of all together between {low} and {high} are expected to {do}. That span is wide mostly because some "
            "periods are better for everybody than others, and it is not known which one is coming.",
            do=given.words.do, **_span(given.insights["expected_positives"]),
        ),
    ]  # fmt: skip
    if thin["n"]:
        said += [say(
            "{n} profiles ({share}) have too little history to say more than the rate of all like them: in the test, "
            "those with so few active days could not be told apart.",
            n=count(thin["n"]), share=percent(thin["share"]),
        )]  # fmt: skip
    return said


def _when(given: Given) -> Plain:
    """The curve over horizons and its proof; nothing where none was asked for."""
    expected = given.insights.get("horizons", [])
    rows = [
        {"days": row["days"], "bucket": name, "expected_rate": rate, "tone": given.tones[name]}
        for row in expected
        for name, rate in row["buckets"].items()
    ]
    if not rows:
        return {"pictures": [], "figures": [], "unobserved": []}
    first, last = expected[0], expected[-1]
    said = say(
        "{first} of all are expected to {do} within {days} days, {last} within {most}",
        first=percent(first["expected_rate"]), do=given.words.do, days=first["days"],
        last=percent(last["expected_rate"]), most=last["days"],
    )  # fmt: skip
    return {
        "pictures": [_picture("horizon_curve", rows, said)],
        "figures": [
            {
                say("Within"): say("{days} days", days=row["days"]),
                say("Profiles tested"): shown(row["n"] or None, "count"),
                say("Expected"): shown(row["expected_rate"], "percent"),
                given.words.did.capitalize(): shown(row["base_rate"], "percent"),
                "AUC": _interval(row["auc"], "decimal"),
                say("Log loss"): _interval(row["log_loss"], "fine"),
                say("Calibration error"): _interval(row["calibration_error"], "fine"),
            }
            for row in given.evaluation.get("horizons", [])
        ],
        "unobserved": [row["days"] for row in given.evaluation.get("horizons", []) if not row["n"]],
    }


def _fairness(given: Given) -> list[Plain]:
    """The groups of each attribute that was asked for, in the test and now."""
    now = {entry["attribute"]: entry["groups"] for entry in given.insights.get("fairness", [])}
    overall = given.bucket("high")["share"]
    return [
        {
            "attribute": entry["attribute"],
            "sentences": entry["sentences"],
            "proxies": [_proxy_words(p) for p in entry["proxies"]],
            "pictures": [
                _picture("group_outcomes", [_outcome_row(g) for g in entry["groups"]], name=str(i)),
                _picture("group_selection", _selection_rows(now.get(entry["attribute"], []), overall), name=str(i)),
            ],
            "figures": [_group_row(g, given.words.did) for g in entry["groups"]],
        }
        for i, entry in enumerate(given.evaluation.get("fairness", []))
    ]


def _proxy_words(proxy: Plain) -> str:
    return say(
        "{feature} (tells {group} from the others {times} times in 100)",
        feature=proxy["sentence"], group=repr(proxy["group"]), times=round(100 * proxy["auc"]),
    )  # fmt: skip


def _outcome_row(group: Plain) -> Plain:
    plain = {"group": group["group"], "n": group["n"], "expected": group["expected"]["value"]}
    return {**plain, "realised": group["realised"]["value"], **{end: group["realised"][end] for end in ("low", "high")}}


def _selection_rows(groups: Rows, overall: float) -> list[Plain]:
    plain = ("group", "n", "expected")
    return [
        {**{k: g[k] for k in plain}, "high_share": g["high_share"]["value"], "overall": overall} for g in groups
    ]  # fmt: skip


def _group_row(group: Plain, did: str) -> dict[str, str]:
    return {
        say("Group"): group["group"],
        say("Profiles tested"): count(group["n"]),
        did.capitalize(): _interval(group["realised"], "percent"),
        say("Expected"): shown(group["expected"]["value"], "percent"),
        "AUC": _interval(group["auc"], "decimal"),
        say("Log loss"): _interval(group["log_loss"], "fine"),
        say("Calibration error"): _interval(group["calibration_error"], "fine"),
        say("In the high bucket"): _interval(group["high_share"], "percent"),
        say("In the top fifth"): _interval(group["top_share"], "percent"),
        say("Against the largest"): shown(group.get("ratio"), "times"),
    }


def _drivers(given: Given) -> Plain:
    overall = [{**f, "direction": say(DIRECTIONS[f["direction"]])} for f in given.insights["factors"]]
    strongest = say("{factor} counts most", factor=overall[0]["label"]) if overall else ""
    impacts = [abs(f["mean_impact"]) for b in given.insights["buckets"] for f in b["factors"]]
    reach = max(impacts, default=0.0)
    return {
        "buckets": [_bucket(given, b, reach) for b in given.insights["buckets"] if b["n"]],
        "overall": _picture("factor_shares", overall[:SHOWN_OVERALL], strongest),
        "factors": [
            {k: f[k] for k in ("label", "share", "direction", "value_label", "typical")}
            | {"picture": _picture("dependence", _directed(f["dependence"]), name=str(i))}
            for i, f in enumerate(overall[:WORKING_FACTORS])
        ],
        "examples": [_example(given, e) for e in given.insights["examples"]],
    }


def _bucket(given: Given, bucket: Plain, reach: float) -> Plain:
    """A bucket with its factors; all buckets' bars share one scale, for the strongest factor of any."""
    name, factors = bucket["bucket"], _directed(bucket["factors"])
    message = ""
    if factors:
        f = factors[0]
        message = say(
            "Most of all: {factor} ({inside} here, {outside} elsewhere)",
            factor=lower(f["label"]), inside=f["typical_inside"], outside=f["typical_outside"],
        )  # fmt: skip
    rows = [{k: v for k, v in f.items() if k != "distribution"} for f in factors]
    return {
        "bucket": name,
        "tone": given.tones[name],
        "n": bucket["n"],
        "expected_rate": bucket["expected_rate"],
        "picture": _picture("bucket_factors", [{**r, "reach": reach} for r in rows], message, name),
        "factors": [
            {**row, "picture": _picture("value_distribution", f["distribution"], name=f"{name}-{i}")}
            for i, (row, f) in enumerate(zip(rows, factors, strict=True))
        ],
    }


def _example(given: Given, example: Plain) -> Plain:
    reasons = _directed(example["factors"], "impact")
    sides = {side: [r for r in reasons if r["direction"] == side] for side in ("raises", "lowers")}
    return {k: v for k, v in example.items() if k != "factors"} | {"tone": given.tones[example["bucket"]]} | sides


# --- the data, and how it was made ------------------------------------------------------------------------


def _data(given: Given) -> Plain:
    data = given.run["data"]
    n, first, last = given.run["counts"]["events_used"], *(data[f"{end}_event_at"] for end in ("first", "last"))
    read = say("{n} events from {first} to {last}", n=count(n), first=given.day(first), last=given.day(last))
    return {
        "pictures": [_picture("events_per_month", data["events_per_month"], read)],
        "tables": _data_tables(given.run),
        "stability": given.insights.get("score_stability"),
    }


def _data_tables(run: Plain) -> dict[str, list[dict[str, str]]]:
    data, guessed = run["data"], set(run["data"]["guessed"])
    rows, reason = say("Rows"), say("Reason")
    return {
        say("Sources"): [
            {say("Source"): PurePath(s["path"]).name or s["path"], say("Format"): s["format"], rows: count(s["rows"])}
            for s in data["sources"]
        ],
        say("Columns"): [
            {say("Column"): column, say("Read as"): role,
             say("How known"): say("guessed from its name") if role in guessed else say("named")}
            for role, column in data["columns"].items()
        ],
        say("Kinds of events"): [
            {say("Kind"): k["kind"], say("Events"): count(k["events"]), say("Profiles"): count(k["profiles"])}
            for k in data["kinds"]
        ],
        say("Rows set aside"): [
            {reason: titled(code), rows: count(n)} for code, n in run["counts"]["set_aside"].items() if n
        ],
        say("Days without events"): [
            {say("From"): g["from"], say("To (not included)"): g["to"], say("Days"): count(g["days"])}
            for g in data["gaps"]
        ],
        say("Suspected leaks"): [
            {say("Feature"): k["sentence"], say("AUC alone"): shown(k["auc"], "decimal"),
             say("Action"): _worded(k["action"]), reason: k["reason"]}
            for k in run["leaks"]
        ],
    }  # fmt: skip


def _making(given: Given) -> Plain:
    run, reason = given.run, say("Reason")
    tables = {
        say("Cutoffs not used"): [
            {say("Cutoff"): given.day(d["cutoff_at"]), reason: d["reason"]} for d in run["timeline"]["dropped"]
        ],
        say("Features not used"): [
            {say("Feature"): d["feature"], reason: d["reason"]} for d in run["model"]["features_dropped"]
        ],
        say("Notices by code"): [
            {say("Code"): n["code"], say("Name"): n["symbol"], say("Says"): n["message"]} for n in run["warnings"]
        ],
        say("Stages"): [
            {say("Stage"): _worded(s["name"]), say("Seconds"): numeral(f"{s['seconds']:.1f}")} for s in run["stages"]
        ],
        say("Versions"): [{say("Package"): k, say("Version"): version} for k, version in run["versions"].items()],
    }
    return {"facts": _facts(given), "tables": tables, "document": write_yaml(run["instance"])}


def _level_words(calibration: Plain) -> str:
    drivers, error = calibration["level_drivers"], numeral(f"{calibration['level_error']:.2f}")
    parts = [f"{say(LEVEL_DRIVERS[n])} {shown(x, 'signed')}" for n, x in drivers.items() if abs(x) >= LEAST_DRIVER]
    why = ", ".join(parts) if parts else say("nothing known speaks for one")
    if not drivers:
        return say("{why}; expected error {error}", why=why, error=error)
    tested = count(calibration["level_backtested"])
    return say("{why}, tested on {n} earlier cutoffs; expected error {error}", why=why, n=tested, error=error)


def _faithful_words(found: Plain) -> str:
    """One line on both curves; the first step tells most."""
    moved, by_chance = (found[name]["deletion"][1] for name in ("named", "random"))
    setting = say(
        "of {n} profiles, setting the strongest factor to what is typical moves the log-odds by {moved}, one at random "
        "by {chance}",
        n=count(found["profiles"]), moved=numeral(f"{moved:.2f}"), chance=numeral(f"{by_chance:.2f}"),
    )  # fmt: skip
    curve = found["named"]["insertion"]
    n, start, left = count(len(curve) - 1), curve[0], curve[-1]
    if start > 0:
        share = percent(1 - left / start)
        came = say("a typical profile given its {n} strongest comes {share} of the way to its own", n=n, share=share)
    else:
        came = say("a typical profile given its {n} strongest comes nowhere, as all are alike, to its own", n=n)
    return f"{setting}; {came}"


def _facts(given: Given) -> dict[str, str]:
    run, timeline, model = given.run, given.run["timeline"], given.run["model"]
    calibration, used = model["calibration"], count(model["features"])
    members = listed([f"{_worded(m['name'])} ({percent(m['weight'])})" for m in model["members"]])
    return {
        say("Model"): say("{members}, blended on log-odds; {n} features", members=members, n=used),
        say("Learnt from"): say(
            "{n} snapshots (one profile at one cutoff); features look back at most {days} days",
            n=count(model["training_snapshots"]), days=timeline["lookback_days"],
        ),
        say("Calibration"): say(
            "log-odds × {slope} {intercept}, fitted out of fold; level shifted by {shift} ({why})",
            slope=numeral(f"{calibration['slope']:.2f}"), intercept=shown(calibration["intercept"], "signed"),
            shift=shown(calibration["level_shift"], "signed"), why=_level_words(calibration),
        ),
        say("Factors checked"): _faithful_words(given.insights["faithfulness"]),
        say("Outcome window"): say(
            "{outcome} days, beginning {lead} days after the cutoff; {settle} days to settle",
            outcome=timeline["outcome_days"], lead=timeline["lead_days"], settle=timeline["settle_days"],
        ),
        say("History"): say(
            "{days} days; {needed} are needed", days=timeline["history_days"], needed=timeline["history_needed_days"],
        ),
        say("Trained"): given.day(model["trained_at"]),
        say("Run"): say(
            "{run}, {seconds} seconds, {memory} MB of memory",
            run=run["run_id"], seconds=numeral(f"{run['seconds']:.1f}"),
            memory=numeral(f"{run['peak_memory_bytes'] / 1e6:,.0f}"),
        ),
        say("Engine"): run["engine"],
        say("Instance"): say(
            "{instance} (changes with anything that can change a score)", instance=run["instance_hash"]
        ),
    }  # fmt: skip
