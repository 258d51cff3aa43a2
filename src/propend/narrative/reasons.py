"""The scores, when they come true, and what drives them."""

from __future__ import annotations

from propend.language import say
from propend.narrative.given import Given, Plain, directed, interval, picture, span_counts
from propend.narrative.titles import DIRECTIONS
from propend.phrasing import count, lower, percent, shown

SHOWN_OVERALL, WORKING_FACTORS = 15, 10


def scores(given: Given) -> Plain:
    """Buckets, how scores are spread, and how well probabilities are known."""
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
        "pictures": [picture("score_histogram", bars, spread), picture("bucket_shares", buckets, held)],
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
            do=given.words.do, **span_counts(given.insights["expected_positives"]),
        ),
    ]  # fmt: skip
    if thin["n"]:
        said += [say(
            "{n} profiles ({share}) have too little history to say more than the rate of all like them: in the test, "
            "those with so few active days could not be told apart.",
            n=count(thin["n"]), share=percent(thin["share"]),
        )]  # fmt: skip
    return said


def when(given: Given) -> Plain:
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
        "pictures": [picture("horizon_curve", rows, said)],
        "figures": [
            {
                say("Within"): say("{days} days", days=row["days"]),
                say("Profiles tested"): shown(row["n"] or None, "count"),
                say("Expected"): shown(row["expected_rate"], "percent"),
                given.words.did.capitalize(): shown(row["base_rate"], "percent"),
                "AUC": interval(row["auc"], "decimal"),
                say("Log loss"): interval(row["log_loss"], "fine"),
                say("Calibration error"): interval(row["calibration_error"], "fine"),
            }
            for row in given.evaluation.get("horizons", [])
        ],
        "unobserved": [row["days"] for row in given.evaluation.get("horizons", []) if not row["n"]],
    }


def drivers(given: Given) -> Plain:
    """What the scores go by: overall, by bucket, and in examples."""
    overall = [{**f, "direction": say(DIRECTIONS[f["direction"]])} for f in given.insights["factors"]]
    strongest = say("{factor} counts most", factor=overall[0]["label"]) if overall else ""
    impacts = [abs(f["mean_impact"]) for b in given.insights["buckets"] for f in b["factors"]]
    reach = max(impacts, default=0.0)
    return {
        "buckets": [_bucket(given, b, reach) for b in given.insights["buckets"] if b["n"]],
        "overall": picture("factor_shares", overall[:SHOWN_OVERALL], strongest),
        "factors": [
            {k: f[k] for k in ("label", "share", "direction", "value_label", "typical")}
            | {"picture": picture("dependence", directed(f["dependence"]), name=str(i))}
            for i, f in enumerate(overall[:WORKING_FACTORS])
        ],
        "examples": [_example(given, e) for e in given.insights["examples"]],
    }


def _bucket(given: Given, bucket: Plain, reach: float) -> Plain:
    """A bucket with its factors; all buckets' bars share one scale, for the strongest factor of any."""
    name, factors = bucket["bucket"], directed(bucket["factors"])
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
        "picture": picture("bucket_factors", [{**r, "reach": reach} for r in rows], message, name),
        "factors": [
            {**row, "picture": picture("value_distribution", f["distribution"], name=f"{name}-{i}")}
            for i, (row, f) in enumerate(zip(rows, factors, strict=True))
        ],
    }


def _example(given: Given, example: Plain) -> Plain:
    reasons = directed(example["factors"], "impact")
    sides = {side: [r for r in reasons if r["direction"] == side] for side in ("raises", "lowers")}
    return {k: v for k, v in example.items() if k != "factors"} | {"tone": given.tones[example["bucket"]]} | sides
