"""A hundred ways of being broken: what propend answers to each, and how far probabilities move.

The orders are the demo's, of 1,200 customers, broken in one way at a time (``tests/corruptions``). Each is checked;
what is not refused is scored by a model of the good orders, as after a delivery that went wrong, and every probability
is compared with that of the good orders.

    python -m benchmarks.bad_data    # twenty minutes on two cores; RESUME=1 goes on where it was stopped

It writes docs/bad_data.md. Figures are kept in ``tests/corruptions/measured.json``; ``ONLY="one|other"`` measures
those with a word in their name alone.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import propend

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from corruptions import CORRUPTIONS, DOCUMENT, Corruption, as_csv, canonical, good_orders, plain_id  # noqa: E402

PAGE, MEASURED = ROOT / "docs" / "bad_data.md", ROOT / "tests" / "corruptions" / "measured.json"
MOST_MEDIAN, MOST_OF_95 = 0.01, 0.05
"""Of the change of the probability: within this a break does no harm worth telling."""

Found = dict[str, Any]


def answer_of(one: Corruption, data: Path, usual: Found) -> Found:
    """What ``check`` says: the code of a refusal, or the codes of new notices and rows set aside by reason."""
    try:
        found = propend.check(one.document, data=data).document
    except propend.PropendError as refusal:
        return {"refused": refusal.code}
    if found["refusals"]:
        return {"refused": found["refusals"][0]["code"]}
    aside = {reason: n for reason, n in found["counts"]["set_aside"].items() if n}
    return {"said": _codes(found, usual), "aside": aside}


def _codes(found: Found, usual: Found) -> list[str]:
    """Codes of notices that good orders have not, or have with other facts."""
    known = {(w["code"], w["message"]) for w in usual["warnings"]}
    return sorted({w["code"] for w in found["warnings"] if (w["code"], w["message"]) not in known})


def moved(before: dict[str, float], scores: Any) -> Found:
    """Absolute change of probabilities of those in both, their rank correlation, and the share that is not scored."""
    after: dict[str, float] = {}
    ids, chances = (scores.column(name).to_pylist() for name in ("profile_id", "probability"))
    for profile, chance in zip(map(plain_id, ids), chances, strict=True):
        after[profile] = max(chance, after.get(profile, 0.0))  # of two ids of one customer the livelier
    both = sorted(before.keys() & after.keys())
    p, q = (np.array([side[i] for i in both]) for side in (before, after))
    change = np.abs(p - q)
    return {
        "median": round(float(np.median(change)), 4),
        "most": round(float(np.quantile(change, 0.95)), 4),
        "rank": round(float(spearmanr(p, q).statistic), 4),
        "lost": round(1 - len(both) / len(before), 4),
    }


class Bench:
    """Good orders, a model of them, and the scores it gives."""

    def __init__(self, folder: Path) -> None:
        """Check, train and score once."""
        self.folder, self.orders = folder, good_orders()
        self.good = as_csv(self.orders, folder / "good")
        self.usual = propend.check(DOCUMENT, data=self.good).document
        self.events = canonical(DOCUMENT, self.good)
        self.model = propend.train(DOCUMENT, data=self.good, out=folder / "model")
        scored = propend.score(self.model, data=self.good, out=folder / "scored")
        self.scored, self.before = scored.record, moved_from(scored.scores)

    def measure(self, name: str) -> Found:
        """One way of being broken."""
        one, place = CORRUPTIONS[name], self.folder / f"{list(CORRUPTIONS).index(name)}"
        data = one.make(self.orders, place)
        if one.answer == "same" and canonical(one.document, data) == self.events:
            return {"said": [], "aside": {}, "scored": {"median": 0.0, "most": 0.0, "rank": 1.0, "lost": 0.0}}
        found = answer_of(one, data, self.usual)
        return found if "refused" in found else found | self.scored_from(one, data, place, found)

    def scored_from(self, one: Corruption, data: Path, place: Path, found: Found) -> Found:
        """How far scores of the good orders' model move."""
        events = data / one.data["events"] if "events" in one.data else data
        run = propend.score(self.model, data=events, out=place / "scored")
        if one.data:  # the model reads without what this document has besides
            return {"scored": moved(self.before, run.scores)}
        said = sorted({*found["said"], *_codes(run.record, self.scored)})
        return {"said": said, "scored": moved(self.before, run.scores)}


def moved_from(scores: Any) -> dict[str, float]:
    """Probabilities by customer."""
    ids, chances = (scores.column(name).to_pylist() for name in ("profile_id", "probability"))
    return dict(zip(map(plain_id, ids), chances, strict=True))


# --- the page -----------------------------------------------------------------------------------------------


def verdict_of(one: Corruption, found: Found) -> str:
    """``refused``, ``warned``, ``set aside``, ``same``, ``within`` or ``unnoticed``: what really came of it."""
    if "refused" in found:
        return "refused" if found["refused"] == one.code else f"refused otherwise, {found['refused']}"
    if one.code in found["said"]:
        return "warned"
    if one.code in found["aside"]:
        return "set aside"
    change = found.get("scored", {})
    if one.answer == "same" and change and not change["median"] and not change["most"] and not change["lost"]:
        return "same"
    within = (
        change and change["median"] <= MOST_MEDIAN and change["most"] <= MOST_OF_95 and change["lost"] <= MOST_MEDIAN
    )
    return "within" if within else "unnoticed"


SAYS = {
    "refused": "refused, {code}",
    "warned": "warned, {code}",
    "set aside": "set aside and counted, `{code}`",
    "same": "nothing: read as it was meant",
    "within": "nothing: no harm worth telling",
    "unnoticed": "**not noticed**",
}


def page() -> str:
    """docs/bad_data.md, from the register and what was measured."""
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    counts = Counter(one.answer for one in CORRUPTIONS.values())
    parts = [HEAD.format(
        all=len(CORRUPTIONS), median=MOST_MEDIAN, most=MOST_OF_95,
        **{answer.replace(" ", "_"): counts[answer] for answer in SAYS},
    )]  # fmt: skip
    for group in dict.fromkeys(one.group for one in CORRUPTIONS.values()):
        rows = [_row(one, measured[one.name]) for one in CORRUPTIONS.values() if one.group == group]
        parts.append(f"\n## {GROUP_TITLES[group]}\n\n{TABLE_HEAD}" + "\n".join(rows) + "\n")
    missed = [one for one in CORRUPTIONS.values() if one.answer == "unnoticed"]
    parts.append("\n## Not noticed, and why\n\n" + "\n".join(f"- **{one.name}**: {one.why}" for one in missed) + "\n")
    return "".join(parts)


def _row(one: Corruption, found: Found) -> str:
    said = SAYS[one.answer].format(code=f"`{one.code}`" if one.answer != "set aside" else one.code)
    return f"| {one.name} | {one.does} | {said} | {_change(found.get('scored'))} |"


def _change(found: Found | None) -> str:
    if found is None:
        return ""
    lost = f"; {100 * found['lost']:.0f} % not scored" if found["lost"] >= 0.005 else ""
    if not found["median"] and not found["most"]:
        return f"0{lost}"
    return f"{found['median']:.3f}, {found['most']:.3f}{lost}"


TABLE_HEAD = "| name | what is done | what propend says | scores move by |\n| --- | --- | --- | --- |\n"
GROUP_TITLES = {
    "values": "Values", "ids": "Ids", "leaks": "What knows too much", "files": "Bytes and shapes of files",
    "schema": "Files that differ", "times": "Times", "duplicates": "Duplicates", "tracking": "What was recorded",
}  # fmt: skip
HEAD = """# Bad data: what becomes of it

Real orders, those of 1,200 customers of the demo, broken in {all} ways, one at a time, as deliveries really break.
Each is given to `propend check`, and what is not refused is scored.

| what propend does | ways |
| --- | ---: |
| refuses, with a code and what to do | {refused} |
| warns, with a code and what to do | {warned} |
| sets rows aside and counts them | {set_aside} |
| reads it as it was meant: the same events to the last bit | {same} |
| says nothing, and probabilities hardly move | {within} |
| does **not notice** | {unnoticed} |

*Scores move by*: the median and the 95 % quantile, over customers, of the change of the probability when a model of the
good orders scores the broken ones, as after a delivery that went wrong; then the share of customers who are not scored
any more, if any. "Hardly" is a median of {median} and a 95 % quantile of {most} at most, and at most one customer in a
hundred who is not scored.

`tests/test_corruptions.py` does every one of these and holds what is said here; `make bad-data` measures, and writes
this page. What is done to the rows stands in `tests/corruptions/`, what the codes mean in
[how it works](how_it_works.md#what-warns).

Where several notices are given, the table names the one that says it best. Two answers are weaker than they look: of
the outcome dated back by a week, what is said is that the newest week has no such event, not that it is a leak; and a
header, a total or a placeholder among the rows is counted, and told of only where more than 1 % is set aside.
"""


def main() -> int:
    """Measure what is asked for, keep it, and write the page; non-zero where an answer is not as stated."""
    measured: dict[str, Found] = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
    asked = [n for n in CORRUPTIONS if any(word in n for word in os.environ.get("ONLY", "").split("|"))]
    if os.environ.get("RESUME"):
        asked = [n for n in asked if n not in measured]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name in asked:
            measured[name] = bench.measure(name)
            ordered = {n: measured[n] for n in CORRUPTIONS if n in measured}
            MEASURED.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
            print(f"{name}: {verdict_of(CORRUPTIONS[name], measured[name])} {measured[name]}", flush=True)
    PAGE.write_text(page(), encoding="utf-8")
    wrong = [n for n in asked if verdict_of(CORRUPTIONS[n], measured[n]) != CORRUPTIONS[n].answer]
    print("\n".join(f"not as stated: {n}" for n in wrong) or "all as stated")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
