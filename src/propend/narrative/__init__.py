"""What a report says, as plain data: sentences, tables, and pictures as named charts with their rows.

Everything is said in a marketer's words first; methods, codes and versions come last. Nothing here knows of
HTML, and no figure is computed that the three documents of a run do not have.
"""

from __future__ import annotations

from propend.narrative.given import TONES, Given, Plain
from propend.narrative.making import data_section, making
from propend.narrative.opening import judged, people, spread_words, summary
from propend.narrative.proof import choice, fairness, quality
from propend.narrative.reasons import drivers, scores, when
from propend.narrative.titles import TITLES, titled

__all__ = ["TITLES", "TONES", "Given", "compose", "judged", "spread_words", "titled"]


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
        "summary": summary(given),
        "people": people(given),
        "quality": quality(given),
        "scores": scores(given),
        "when": when(given),
        "fairness": fairness(given),
        "drivers": drivers(given),
        "choice": choice(given),
        "data": data_section(given),
        "making": making(given),
    }
