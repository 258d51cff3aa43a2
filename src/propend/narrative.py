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
from propend.document import write_yaml
from propend.language import day_words, listed
from propend.phrasing import Words, count, lower, percent, shown, words_of

Plain = dict[str, Any]
Rows = Iterable[Mapping[str, Any]]

TONES = {
    "conversion": {"high": "good", "medium": "medium", "low": "bad"},
    "churn": {"high": "bad", "medium": "medium", "low": "good"},
}
"""What is good to see depends on the goal (reference specification UI-12): few leaving, many converting."""

RULES = {
    "recency": "Recency alone",
    "frequency": "Frequency alone",
    "rfm_logistic": "Recency-frequency-money",
}
METRICS = {
    "auc": ("Right one of two ranked first (AUC)", "decimal"),
    "average_precision": ("Average precision", "decimal"),
    "top_decile_lift": ("Lift of the top tenth", "times"),
    "log_loss": ("Log loss (lower is better)", "fine"),
    "brier": ("Brier score (lower is better)", "fine"),
    "calibration_error": ("Calibration error (lower is better)", "fine"),
}
ROLES = {"training": "learnt from", "proof": "test"}
DIRECTIONS = {
    "more raises": "higher values raise the chances",
    "more lowers": "higher values lower the chances",
    "mixed": "no one direction",
}
LEVEL_DRIVERS = {
    "last": "the last known window",
    "lately": "what half a window has shown since",
    "season": "the same weeks a year ago",
}
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
        "notices": [{**n, "title": _titled(n["symbol"])} for n in run["warnings"]],
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


def _titled(symbol: str) -> str:
    return symbol.replace("_", " ").capitalize()


def _rule(name: str) -> str:
    return RULES.get(name, _titled(name))


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
    n, rate, auc = insights["population"], insights["mean_probability"], evaluation["auc"]["value"]
    grade, ranks = "Cannot be judged", "everybody in the test had the same outcome"
    if auc is not None:
        verdict = evaluation["verdict"]
        grade = verdict["grade"].capitalize() if verdict["better_than_chance"] else "No signal"
        ranks = f"ranks the right one of two first {_times_in_100(auc)}"
    until = given.day_before(given.run["expires_at"])
    return [
        _figure("Profiles scored", count(n), f"as of {given.day(given.run['scored_at'])}"),
        _figure(
            f"Expected to {words.do}", count(round(n * rate)),
            f"{_between(insights['expected_positives'])}; {percent(rate)} of them, until {until}",
        ),
        _figure("How good", grade, ranks),
        _figure(
            "Top tenth", shown(evaluation["top_decile_lift"]["value"], "times"),
            f"as many {words.did} there as on average",
        ),
    ]  # fmt: skip


def _between(expected: Mapping[str, float]) -> str:
    return f"between {count(round(expected['low']))} and {count(round(expected['high']))}"


def _figure(label: str, value: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def _times_in_100(value: float) -> str:
    return f"{round(100 * value)} times in 100"


def _proof(given: Given) -> str:
    """Which test the figures come from: the first thing to know about them."""
    evaluation, did = given.evaluation, given.words.did
    who = f"{count(evaluation['n'])} profiles"
    outcome = f"{count(evaluation['positives'])} of them ({percent(evaluation['base_rate'])}) {did}"
    if given.same_period:
        return (
            f"Tested on the same period, not on a later one, because history is too short: {who}, a third of all, "
            f"were held out; {outcome}. Such figures flatter: expect somewhat less in practice."
        )
    return (
        f"Tested on a later period that the model had not seen: {who} as of {given.day(evaluation['cutoff_at'])}; "
        f"{outcome} until {given.day_before(evaluation['outcome_ends_at'])}."
    )


def _next_steps(given: Given) -> list[str]:
    evaluation, insights, words = given.evaluation, given.insights, given.words
    steps = []
    weaker = [lower(_rule(n)) for n in evaluation["verdict"]["does_not_beat"]]
    if weaker:
        steps.append(
            f"Before relying on it: a simple rule does about as well ({listed(weaker)}). Further kinds of events "
            "would help most."
        )
    top, share = _at(evaluation["top_n"], "share", TOP_SHARE), shown(TOP_SHARE, "share")
    if top and evaluation["positives"] and evaluation["auc"]["value"] is not None:
        steps.append(
            f"Begin with the {count(round(TOP_SHARE * insights['population']))} highest scores, the top {share}. In "
            f"the test they held {count(top['caught'])} of the {count(evaluation['positives'])} who {words.did} "
            f"({percent(top['caught'] / evaluation['positives'])})."
        )
    high = given.bucket("high")
    if high["n"]:
        rate, usual = percent(high["expected_rate"]), percent(insights["mean_probability"])
        steps.append(
            f"The high bucket has {count(high['n'])} profiles; {rate} of them are expected to {words.do}, against "
            f"{usual} of all."
        )
    return [*steps, "Every profile has its score, probability, bucket and reasons in scores.parquet, beside this file."]


def _people(given: Given) -> Plain:
    run, lines = given.run, given.run["funnel"]
    rows = [{**line, "origin": "default" if line["origin"] == "default" else "the question"} for line in lines]
    left = f"{count(lines[-1]['profiles'])} of {count(lines[0]['profiles'])} profiles are asked about" if lines else ""
    cutoffs = [
        {**c, "cutoff_on": str(given.date_of(c["cutoff_at"])), "role": ROLES[c["role"]]}
        for c in _defined(run["timeline"]["cutoffs"], "base_rate")
    ]
    rates, spread = [c["base_rate"] for c in cutoffs], ""
    if rates:
        low, high = percent(min(rates)), percent(max(rates))
        spread = f"At past dates {low if low == high else f'between {low} and {high}'} {given.words.did}"
    return {"pictures": [_picture("funnel", rows, left), _picture("base_rates", cutoffs, spread)]}


# --- how good ---------------------------------------------------------------------------------------------


def _quality(given: Given) -> Plain:
    evaluation = given.evaluation
    rankers = [("This model", evaluation)] + [(_rule(n), e) for n, e in evaluation["baselines"].items()]
    rows = _defined([{"name": n, "ours": e is evaluation, **e["auc"]} for n, e in rankers], "value")
    message = ""
    if len(rows) > 1:
        best = max(row["value"] for row in rows[1:])
        ours = _times_in_100(rows[0]["value"])
        message = f"This model is right {ours}, the best simple rule {_times_in_100(best)}"
    expected, realised = (percent(evaluation[key]["value"]) for key in ("expected_rate", "realised_rate"))
    level = f"{expected} were expected to {given.words.do}, {realised} did"
    return {
        "story": _story(given),
        "same_period": given.same_period,
        "unbeaten": [lower(_rule(n)) for n in evaluation["verdict"]["does_not_beat"]],
        "pictures": [_picture("ranking", rows, message), _picture("calibration", evaluation["calibration"], level)],
        "figures": [
            {"Figure": words, **{name: _interval(figures[key], form) for name, figures in rankers}}
            for key, (words, form) in METRICS.items()
        ],
    }


def _story(given: Given) -> str:
    """How the test went."""
    evaluation = given.evaluation
    day, n = given.day(evaluation["cutoff_at"]), count(evaluation["n"])
    until = given.day_before(evaluation["outcome_ends_at"])
    happened = f"{count(evaluation['positives'])} ({percent(evaluation['base_rate'])}) {given.words.did}"
    if given.same_period:
        return (
            f"History is too short for a test on a later period. So a third of the profiles, {n}, was held out: the "
            f"model learnt from the others, ranked these as of {day}, and was held against what they did until "
            f"{until}: {happened}. What was special about that period it had seen."
        )
    return (
        f"The model was put back to {day}, shown only what had happened before, and asked to rank {n} profiles. Then "
        f"it was held against what they did until {until}: {happened}."
    )


def _interval(metric: Mapping[str, float | None], form: str) -> str:
    if metric["value"] is None or metric["low"] is None:
        return shown(metric["value"], form)
    return f"{shown(metric['value'], form)} ({shown(metric['low'], form)} to {shown(metric['high'], form)})"


def _choice(given: Given) -> Plain:
    evaluation, did = given.evaluation, given.words.did
    positives, base = evaluation["positives"], evaluation["base_rate"]
    tops = [
        {
            **row,
            "taken": f"Top {shown(row['share'], 'share')}",
            "base_rate": base,
            "share_caught": row["caught"] / positives if positives else None,
        }
        for row in evaluation["top_n"]
    ]
    gains = _defined(evaluation["gains"], "share_caught", "perfect")
    lifts = _defined(evaluation["deciles"], "lift", "cumulative_share")
    tenth, fifth = _at(tops, "share", 0.1), _at(gains, "share_targeted", TOP_SHARE)
    caught = f"Of the top tenth {percent(tenth['precision'])} {did}, of all {percent(base)}" if tenth else ""
    held = f"The top fifth held {percent(fifth['share_caught'])} of all who {did}" if fifth else ""
    best = f"The top tenth {did} {lifts[0]['lift']:.1f} times as often as the average" if lifts else ""
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
    spread = (
        f"{count(high['n'])} profiles score {high['score_from']:.0f} or more, "
        f"{count(low['n'])} under {low['score_to']:.0f}"
    )
    held = (
        f"The high bucket has {percent(high['share'])} of the profiles and "
        f"{percent(high['expected_positives'] / total)} of all who are expected to {given.words.do}"
    )
    return {
        "buckets": buckets,
        "sure": _sure(given),
        "pictures": [_picture("score_histogram", bars, spread), _picture("bucket_shares", buckets, held)],
    }


def _sure(given: Given) -> list[str]:
    """What the intervals say, how they did in the test, and for whom nothing can be said."""
    do, thin = given.words.do, given.insights["too_little_history"]
    rows = given.evaluation["intervals"]
    held = f"{sum(row['inside'] for row in rows)} of {len(rows)}"
    said = [
        f"Every probability has an interval. It says how well the probability is known: the share of profiles alike "
        f"who will {do} lies in it about 95 times in 100. It does not say what one profile will do. In the test, cut "
        f"into {len(rows)} groups by probability, the share who {given.words.did} lay inside in {held}.",
        f"Of all together {_between(given.insights['expected_positives'])} are expected to {do}. That span is wide "
        "mostly because some periods are better for everybody than others, and it is not known which one is coming.",
    ]
    if thin["n"]:
        said.append(
            f"{count(thin['n'])} profiles ({percent(thin['share'])}) have too little history to say more than the rate "
            "of all like them: in the test, those with so few active days could not be told apart."
        )
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
    said = (
        f"{percent(first['expected_rate'])} of all are expected to {given.words.do} within {first['days']} days, "
        f"{percent(last['expected_rate'])} within {last['days']}"
    )
    return {
        "pictures": [_picture("horizon_curve", rows, said)],
        "figures": [
            {
                "Within": f"{row['days']} days",
                "Profiles tested": shown(row["n"] or None, "count"),
                "Expected": shown(row["expected_rate"], "percent"),
                given.words.did.capitalize(): shown(row["base_rate"], "percent"),
                "AUC": _interval(row["auc"], "decimal"),
                "Log loss": _interval(row["log_loss"], "fine"),
                "Calibration error": _interval(row["calibration_error"], "fine"),
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
            "proxies": [
                f"{p['sentence']} (tells {p['group']!r} from the others {_times_in_100(p['auc'])})"
                for p in entry["proxies"]
            ],
            "pictures": [
                _picture("group_outcomes", [_outcome_row(g) for g in entry["groups"]], name=str(i)),
                _picture(
                    "group_selection",
                    [_selection_row(g, overall) for g in now.get(entry["attribute"], [])],
                    name=str(i),
                ),
            ],
            "figures": [_group_row(g, given.words.did) for g in entry["groups"]],
        }
        for i, entry in enumerate(given.evaluation.get("fairness", []))
    ]


def _outcome_row(group: Plain) -> Plain:
    realised = {
        "realised": group["realised"]["value"],
        "low": group["realised"]["low"],
        "high": group["realised"]["high"],
    }
    return {"group": group["group"], "n": group["n"], "expected": group["expected"]["value"], **realised}


def _selection_row(group: Plain, overall: float) -> Plain:
    plain = {key: group[key] for key in ("group", "n", "expected")}
    return {**plain, "high_share": group["high_share"]["value"], "overall": overall}


def _group_row(group: Plain, did: str) -> dict[str, str]:
    return {
        "Group": group["group"],
        "Profiles tested": count(group["n"]),
        did.capitalize(): _interval(group["realised"], "percent"),
        "Expected": shown(group["expected"]["value"], "percent"),
        "AUC": _interval(group["auc"], "decimal"),
        "Log loss": _interval(group["log_loss"], "fine"),
        "Calibration error": _interval(group["calibration_error"], "fine"),
        "In the high bucket": _interval(group["high_share"], "percent"),
        "In the top fifth": _interval(group["top_share"], "percent"),
        "Against the largest": shown(group.get("ratio"), "times"),
    }


def _drivers(given: Given) -> Plain:
    overall = [{**f, "direction": DIRECTIONS[f["direction"]]} for f in given.insights["factors"]]
    strongest = f"{overall[0]['label']} counts most" if overall else ""
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
        message = f"Most of all: {lower(f['label'])} ({f['typical_inside']} here, {f['typical_outside']} elsewhere)"
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
    data, used = given.run["data"], count(given.run["counts"]["events_used"])
    read = f"{used} events from {given.day(data['first_event_at'])} to {given.day(data['last_event_at'])}"
    return {
        "pictures": [_picture("events_per_month", data["events_per_month"], read)],
        "tables": _data_tables(given.run),
        "stability": given.insights.get("score_stability"),
    }


def _data_tables(run: Plain) -> dict[str, list[dict[str, str]]]:
    data, guessed = run["data"], set(run["data"]["guessed"])
    return {
        "Sources": [
            {"Source": PurePath(s["path"]).name or s["path"], "Format": s["format"], "Rows": count(s["rows"])}
            for s in data["sources"]
        ],
        "Columns": [
            {"Column": column, "Read as": role, "How known": "guessed from its name" if role in guessed else "named"}
            for role, column in data["columns"].items()
        ],
        "Kinds of events": [
            {"Kind": k["kind"], "Events": count(k["events"]), "Profiles": count(k["profiles"])} for k in data["kinds"]
        ],
        "Rows set aside": [
            {"Reason": _titled(reason), "Rows": count(n)} for reason, n in run["counts"]["set_aside"].items() if n
        ],
        "Days without events": [
            {"From": g["from"], "To (not included)": g["to"], "Days": count(g["days"])} for g in data["gaps"]
        ],
        "Suspected leaks": [
            {"Feature": k["sentence"], "AUC alone": shown(k["auc"], "decimal"), "Action": k["action"],
             "Reason": k["reason"]}
            for k in run["leaks"]
        ],
    }  # fmt: skip


def _making(given: Given) -> Plain:
    run, dropped = given.run, given.run["timeline"]["dropped"]
    return {
        "facts": _facts(given),
        "tables": {
            "Cutoffs not used": [{"Cutoff": given.day(d["cutoff_at"]), "Reason": d["reason"]} for d in dropped],
            "Features not used": [
                {"Feature": d["feature"], "Reason": d["reason"]} for d in run["model"]["features_dropped"]
            ],
            "Notices by code": [
                {"Code": n["code"], "Name": n["symbol"], "Says": n["message"]} for n in run["warnings"]
            ],
            "Stages": [{"Stage": s["name"], "Seconds": f"{s['seconds']:.1f}"} for s in run["stages"]],
            "Versions": [{"Package": name, "Version": version} for name, version in run["versions"].items()],
        },
        "document": write_yaml(run["instance"]),
    }


def _level_words(calibration: Plain) -> str:
    drivers = calibration["level_drivers"]
    parts = [f"{LEVEL_DRIVERS[n]} {shown(x, 'signed')}" for n, x in drivers.items() if abs(x) >= LEAST_DRIVER]
    why = ", ".join(parts) if parts else "nothing known speaks for one"
    tested = f", tested on {count(calibration['level_backtested'])} earlier cutoffs" if drivers else ""
    return f"{why}{tested}; expected error {calibration['level_error']:.2f}"


def _faithful_words(found: Plain) -> str:
    """One line on both curves; the first step tells most."""
    moved, by_chance = (found[name]["deletion"][1] for name in ("named", "random"))
    start, left = found["named"]["insertion"][0], found["named"]["insertion"][-1]
    share = f"{percent(1 - left / start)} of the way" if start > 0 else "nowhere, as all are alike,"
    return (
        f"of {count(found['profiles'])} profiles, setting the strongest factor to what is typical moves the log-odds "
        f"by {moved:.2f}, one at random by {by_chance:.2f}; a typical profile given its "
        f"{count(len(found['named']['insertion']) - 1)} strongest comes {share} to its own"
    )


def _facts(given: Given) -> dict[str, str]:
    run, timeline, model = given.run, given.run["timeline"], given.run["model"]
    calibration = model["calibration"]
    members = listed([f"{m['name']} ({percent(m['weight'])})" for m in model["members"]])
    return {
        "Model": f"{members}, blended on log-odds; {count(model['features'])} features",
        "Learnt from": f"{count(model['training_snapshots'])} snapshots (one profile at one cutoff); features look "
        f"back at most {timeline['lookback_days']} days",
        "Calibration": f"log-odds × {calibration['slope']:.2f} {shown(calibration['intercept'], 'signed')}, fitted out "
        f"of fold; level shifted by {shown(calibration['level_shift'], 'signed')} ({_level_words(calibration)})",
        "Factors checked": _faithful_words(given.insights["faithfulness"]),
        "Outcome window": f"{timeline['outcome_days']} days, beginning {timeline['lead_days']} days after the cutoff; "
        f"{timeline['settle_days']} days to settle",
        "History": f"{timeline['history_days']} days; {timeline['history_needed_days']} are needed",
        "Trained": given.day(model["trained_at"]),
        "Run": f"{run['run_id']}, {run['seconds']:.1f} seconds, {run['peak_memory_bytes'] / 1e6:,.0f} MB of memory",
        "Engine": run["engine"],
        "Instance": f"{run['instance_hash']} (changes with anything that can change a score)",
    }
