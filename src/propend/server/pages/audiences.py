"""Take an audience: the top so many of an instance's scores, what to expect of them, and what else they can become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from propend.narrative import Given
from propend.phrasing import count, percent, shown
from propend.segments import Rule
from propend.server.pages.served import Served, number_of
from propend.server.pages.shell import View, invalid
from propend.server.state import InstanceId
from propend.workspace.audiences import Ranked, Take, proved

router = APIRouter()
Typed = Annotated[str, Query(max_length=40)]
USUAL_SHARE = 0.2
SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)
Plain = dict[str, Any]


@dataclass(frozen=True)
class Costs:
    """What a contact costs, and what somebody who meets the goal is worth."""

    cost: float
    value: float


@router.get("/instances/{instance_id}/audience")
def audience(
    page: View, instance_id: InstanceId, n: Typed = "", cost: Typed = "", value: Typed = "", best: Typed = ""
) -> Response:
    """The form and what it gives; a part of it for who moves the slider."""
    instance = page.space.instances.get(instance_id)
    if page.space.runs.serving(instance_id) is None:
        return page.html("audience.html.j2", instance=instance, ranked=None)
    served = Served.of(page, instance_id)
    ranked, costs = served.scores.ranked(), _costs(cost, value)
    if not len(ranked):
        return page.html("audience.html.j2", instance=instance, ranked=None)
    if best and costs is None:
        raise invalid("The best number depends on both costs.", "say what a contact costs and what a success is worth.")
    wanted = _wanted(ranked, n, costs if best or not n else None)
    known = served.given
    given: Plain = {"instance": instance, "words": known.words, "ranked": ranked}
    given |= {"as_of": known.day(known.run["scored_at"]), "until": known.day_before(known.run["expires_at"])}
    if wanted == 0:
        content: Plain = {"take": None}
    else:
        content = _content(served, ranked.take(wanted), costs)
    template = "audience_part.html.j2" if page.is_part else "audience.html.j2"
    asked: Plain = {"cost": cost, "value": value, "costs": costs, "best": best}
    return page.html(template, **given, **content, **asked, shares=_shares(ranked))


def _costs(cost: str, value: str) -> Costs | None:
    """Both, or nothing where one of them is missing."""
    of_contact, of_success = number_of(cost, "What a contact costs"), number_of(value, "What a success is worth")
    return Costs(of_contact, of_success) if of_contact is not None and of_success is not None else None


def _wanted(ranked: Ranked, n: str, costs: Costs | None) -> int:
    """How many are asked for; by costs, the number that gains most, which may be nobody."""
    if costs is not None:
        return ranked.worth_it(costs.cost, costs.value)
    asked = number_of(n, "How many")
    return max(1, round(asked if asked is not None else USUAL_SHARE * len(ranked)))


def _shares(ranked: Ranked) -> list[tuple[float, int]]:
    """Sizes that people often ask for, each once."""
    sizes = {max(1, round(share * len(ranked))): share for share in reversed(SHARES)}
    return sorted((share, n) for n, share in sizes.items())


def _content(served: Served, take: Take, costs: Costs | None) -> Plain:
    given, population = served.given, len(served.scores.ranked())
    share = take.n / population
    test = proved(given.evaluation, share)
    return {
        "take": take,
        "share": share,
        "numbers": _figures(given, take, share),
        "gain": take.gain(costs.cost, costs.value) if costs else None,
        "ways": _ways(given, test, share),
        "test": test,
        "tested": given.evaluation["n"],
        "positives": given.evaluation["positives"],
        "no_better": bool(test["simple"] and test["low"] is not None and test["simple"]["value"] >= test["low"]),
        "same_period": given.same_period,
        "picture_given": _picture(given, test, share),
        "keeps": _keeps(served, take, share),
        "total": served.scores.ranked().total,
        "name": f"Top {count(take.n)} of {served.instance.name}"[:200],
    }


def _figures(given: Given, take: Take, share: float) -> list[Plain]:
    expected, words = take.expected, given.words
    span = f"between {count(round(expected['low']))} and {count(round(expected['high']))}"
    rest = {end: take.n - expected[other] for end, other in (("value", "value"), ("low", "high"), ("high", "low"))}
    wasted = f"between {count(round(rest['low']))} and {count(round(rest['high']))}"
    usual = given.insights["mean_probability"]
    times = f"{take.rate / usual:.1f} times the average of all" if usual else ""
    return [
        {"label": "Taken", "value": count(take.n), "note": f"the top {shown(share, 'share')} of all scored"},
        {"label": f"Expected to {words.do}", "value": count(round(expected["value"])), "note": span},
        {"label": f"Expected not to {words.do}", "value": count(round(rest["value"])), "note": wasted},
        {"label": f"Chance to {words.do}, on average", "value": percent(take.rate), "note": times},
    ]


def _ways(given: Given, test: Plain, share: float) -> list[Plain]:
    """Ways to choose as many, with the share of those who met the goal that each held in the test."""
    ways = [{"name": "By these scores", "value": test["value"], "low": test["low"], "high": test["high"], "ours": True}]
    if test["simple"] is not None:
        name = SIMPLE_RULES.get(test["simple"]["name"], test["simple"]["name"].replace("_", " "))
        ways += [{"name": f"By the best simple rule: {name}", "value": test["simple"]["value"], "ours": False}]
    ways += [{"name": "At random", "value": share, "ours": False}]
    met = given.evaluation["positives"]
    return [
        {"low": None, "high": None, **way, "caught": way["value"] * met if way["value"] is not None else None}
        for way in ways
    ]


SIMPLE_RULES = {
    "recency": "who was active last",
    "frequency": "who was active most often",
    "rfm_logistic": "recency, frequency and money together",
}


def _picture(given: Given, test: Plain, share: float) -> Plain:
    """The gains of the test, with the choice marked."""
    rows = [dict(row) for row in given.evaluation["gains"] if None not in (row["share_caught"], row["perfect"])]
    message = ""
    if rows and test["value"] is not None:
        mark = {"share_targeted": share, "share_caught": test["value"], "random": share, "chosen": True}
        mark |= {end: test[end] for end in ("low", "high", "perfect")}
        rows = sorted([*rows, mark], key=lambda row: (row["share_targeted"], row.get("chosen", False)))
        held = f"{percent(test['value'])} of all who {given.words.did}"
        message = f"In the test, the top {shown(share, 'share')} held {held}"
    return {"chart": "gains", "id": "gains-audience", "message": message, "alt": message or "gains", "rows": rows}


def _keeps(served: Served, take: Take, share: float) -> list[Plain]:
    """Rules that these people can be kept by: by the probability, or by the share of every run."""
    kept = [
        {"where": take.where, "n": take.n, "text": f"whoever has a probability of {percent(take.threshold)} or more"}
    ]
    hundredths = round(100 * share)
    if 1 <= hundredths <= 99:
        where = f"percentile >= {101 - hundredths}"
        n = served.tally(Rule.read(where)).n
        kept += [{"where": where, "n": n, "text": f"the top {hundredths} % of every run"}]
    return kept
