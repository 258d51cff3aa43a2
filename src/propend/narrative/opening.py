"""The beginning of a report: in short, what to do next, and who is asked about."""

from __future__ import annotations

from collections.abc import Sequence

from propend.language import listed, say
from propend.narrative.given import Given, Plain, defined, picture, row_at, span_counts, tested
from propend.narrative.titles import rule_name, titled
from propend.phrasing import count, lower, percent, shown

ROLES = {"training": "learnt from", "proof": "test"}
"""Codes of the pictures, which show them as words; so are origins, buckets, importances and effects in rows."""
TOP_SHARE = 0.2
"""Which "take the top" is named in the summary."""


def summary(given: Given) -> Plain:
    """In short: four figures, which test they are from, what to do next."""
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
    span, until = span_counts(insights["expected_positives"]), given.day_before(given.run["expires_at"])
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


def _figure(label: str, value: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def _proof(given: Given) -> str:
    """Which test the figures come from: the first thing to know about them."""
    if given.same_period:
        return say(
            "Tested on the same period, not on a later one, because history is too short: {n} profiles, a third of "
            "all, were held out; {met} of them ({rate}) {did}. Such figures flatter: expect somewhat less in practice.",
            **tested(given),
        )
    return say(
        "Tested on a later period that the model had not seen: {n} profiles as of {day}; {met} of them ({rate}) {did} "
        "until {until}.",
        **tested(given),
    )


def _next_steps(given: Given) -> list[str]:
    evaluation, insights, words = given.evaluation, given.insights, given.words
    steps = []
    weaker = [lower(rule_name(n)) for n in evaluation["verdict"]["does_not_beat"]]
    if weaker:
        steps += [say(
            "Before relying on it: a simple rule does about as well ({rules}). Further kinds of events would help "
            "most.",
            rules=listed(weaker),
        )]  # fmt: skip
    top = row_at(evaluation["top_n"], "share", TOP_SHARE)
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


def people(given: Given) -> Plain:
    """Who is asked about, and how many of them met the goal at past dates."""
    run, lines = given.run, given.run["funnel"]
    rows = [{**line, "origin": "default" if line["origin"] == "default" else "the question"} for line in lines]
    cutoffs = [
        {**c, "cutoff_on": str(given.date_of(c["cutoff_at"])), "role": ROLES[c["role"]]}
        for c in defined(run["timeline"]["cutoffs"], "base_rate")
    ]
    spread = spread_words([c["base_rate"] for c in cutoffs], given.words.did)
    return {"pictures": [picture("funnel", rows, _left(lines)), picture("base_rates", cutoffs, spread)]}


def _left(lines: Sequence[Plain]) -> str:
    """How many are left: of now where a run only scores, of any date that it learnt from where it learns."""
    if not lines:
        return ""
    left, every = count(lines[-1]["profiles"]), count(lines[0]["profiles"])
    if lines[-1]["snapshots"] > lines[-1]["profiles"]:
        return say("{left} of {all} profiles were asked about at past dates", left=left, all=every)
    return say("{left} of {all} profiles are asked about", left=left, all=every)


def spread_words(rates: Sequence[float], did: str) -> str:
    """What share met the goal at past dates: one, or from the least to the most."""
    if not rates:
        return ""
    low, high = percent(min(rates)), percent(max(rates))
    if low == high:
        return say("At past dates {rate} {did}", rate=low, did=did)
    return say("At past dates between {low} and {high} {did}", low=low, high=high, did=did)
