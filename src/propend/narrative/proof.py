"""How good: the test beside the simple rules, how many to take, and groups compared."""

from __future__ import annotations

from propend.curves import curve_pictures
from propend.language import numeral, say
from propend.narrative.given import Given, Plain, Rows, defined, interval, picture, row_at, tested
from propend.narrative.opening import TOP_SHARE
from propend.narrative.titles import METRICS, rule_name
from propend.phrasing import count, lower, percent, shown


def quality(given: Given) -> Plain:
    """The test: ranking beside simple rules, calibration, curves, figures."""
    evaluation = given.evaluation
    rankers = [(say("This model"), evaluation)] + [(rule_name(n), e) for n, e in evaluation["baselines"].items()]
    rows = defined([{"name": n, "ours": e is evaluation, **e["auc"]} for n, e in rankers], "value")
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
        "unbeaten": [lower(rule_name(n)) for n in evaluation["verdict"]["does_not_beat"]],
        "pictures": [picture("ranking", rows, message), picture("calibration", evaluation["calibration"], level)],
        "curves": curve_pictures(evaluation, given.words),
        "figures": [
            {say("Figure"): say(words), **{name: interval(figures[key], form) for name, figures in rankers}}
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
            **tested(given),
        )
    return say(
        "The model was put back to {day}, shown only what had happened before, and asked to rank {n} profiles. Then it "
        "was held against what they did until {until}: {met} ({rate}) {did}.",
        **tested(given),
    )


def choice(given: Given) -> Plain:
    """How many to take, and what the test says of them."""
    evaluation, did = given.evaluation, given.words.did
    positives, base = evaluation["positives"], evaluation["base_rate"]
    tops = [
        {**row, "taken": say("Top {share}", share=shown(row["share"], "share")), "base_rate": base,
         "share_caught": row["caught"] / positives if positives else None}
        for row in evaluation["top_n"]
    ]  # fmt: skip
    gains = defined(evaluation["gains"], "share_caught", "perfect")
    lifts = defined(evaluation["deciles"], "lift", "cumulative_share")
    tenth, fifth = row_at(tops, "share", 0.1), row_at(gains, "share_targeted", TOP_SHARE)
    caught = held = best = ""
    if tenth:
        rate, usual = percent(tenth["precision"]), percent(base)
        caught = say("Of the top tenth {rate} {did}, of all {usual}", rate=rate, did=did, usual=usual)
    if fifth:
        held = say("The top fifth held {share} of all who {did}", share=percent(fifth["share_caught"]), did=did)
    if lifts:
        times = numeral(f"{lifts[0]['lift']:.1f}")
        best = say("The top tenth {did} {times} times as often as the average", did=did, times=times)
    return {"pictures": [picture("top_n", tops, caught), picture("gains", gains, held), picture("lift", lifts, best)]}


def fairness(given: Given) -> list[Plain]:
    """The groups of each attribute that was asked for, in the test and now."""
    now = {entry["attribute"]: entry["groups"] for entry in given.insights.get("fairness", [])}
    overall = given.bucket("high")["share"]
    return [
        {
            "attribute": entry["attribute"],
            "sentences": entry["sentences"],
            "proxies": [_proxy_words(p) for p in entry["proxies"]],
            "pictures": [
                picture("group_outcomes", [_outcome_row(g) for g in entry["groups"]], name=str(i)),
                picture("group_selection", _selection_rows(now.get(entry["attribute"], []), overall), name=str(i)),
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
        did.capitalize(): interval(group["realised"], "percent"),
        say("Expected"): shown(group["expected"]["value"], "percent"),
        "AUC": interval(group["auc"], "decimal"),
        say("Log loss"): interval(group["log_loss"], "fine"),
        say("Calibration error"): interval(group["calibration_error"], "fine"),
        say("In the high bucket"): interval(group["high_share"], "percent"),
        say("In the top fifth"): interval(group["top_share"], "percent"),
        say("Against the largest"): shown(group.get("ratio"), "times"),
    }
