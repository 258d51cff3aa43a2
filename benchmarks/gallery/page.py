"""What stands between the marks of the gallery's pages: question, commands and figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.accuracy.evidence import filled
from benchmarks.gallery.studies import ROOT, Study

from propend.narrative.titles import titled
from propend.sentence import write_sentence

Found = dict[str, Any]
INDEX = ROOT / "docs" / "gallery.md"
METRICS = {
    "auc": "AUC", "average_precision": "average precision", "log_loss": "log loss",
    "calibration_error": "calibration error", "top_decile_lift": "lift of the top tenth",
}  # fmt: skip
NAMES = {
    "propend": "**propend**", "recency": "recency alone", "frequency": "frequency alone",
    "rfm_logistic": "recency-frequency-money", "truth": "*the true probability*",
}  # fmt: skip
RULES = ("recency", "frequency", "rfm_logistic")


def written(study: Study) -> str:
    """The page of a study with its marks filled; where nothing was measured yet, it says so."""
    found = figures(study)
    text = study.page.read_text(encoding="utf-8")
    parts = {
        "question": question(study),
        "commands": commands(study),
        "figures": shown(found) if found else "Not measured yet: `make gallery`.\n",
    }
    for part, tables in parts.items():
        text = filled(text, tables, part)
    return text


def figures(study: Study) -> Found | None:
    """What was measured, or None."""
    if not study.figures.exists():
        return None
    found: Found = json.loads(study.figures.read_text(encoding="utf-8"))
    return found


# --- before a run -------------------------------------------------------------------------------------------


def question(study: Study) -> str:
    """The sentence of the document, and whose data they are."""
    instance = study.instance
    sentence = write_sentence(instance.goal, instance.eligible)
    return (
        f"> {sentence}\n\n{instance.description.strip()} [The document]({study.document.name}).\n\n"
        f"Data: **{study.data}**. Licence: {study.licence}.\n"
    )


def commands(study: Study) -> str:
    """How to repeat it, from the root of the repository."""
    document = study.document.relative_to(ROOT).as_posix()
    out = f".bench/gallery/{study.name}"
    if study.simulated is not None:
        names, call = study.simulated.script
        return (
            f"```python\nimport propend\nfrom propend.demo.simulator import {names}\n\n"
            f'run = propend.run("{document}", data={call}.events, out="{out}")\n```\n\n'
            f"Or `ONLY={study.name} make gallery`.\n"
        )
    now = f" --as-of {study.as_of}" if study.as_of else ""
    return (
        f"```console\npropend check {document}{now}\npropend run {document}{now} --out {out}\n```\n\n"
        f"Or `ONLY={study.name} make gallery`. Data that are elsewhere than in `../shared/data/{study.folder}`: "
        f"`--data FOLDER`, or `DATA=FOLDER make gallery`.\n"
    )


# --- after a run --------------------------------------------------------------------------------------------


def shown(found: Found) -> str:
    """Read, tested, scored; or read and refused."""
    read = found["read"]
    head = (
        f"Read: {read['events']:,} events of {read['profiles']:,} profiles, {read['first']} to {read['last']}."
        if read
        else ""
    )
    if found["refusal"]:
        refusal = found["refusal"]
        said = f"**Refused: `{refusal['code']} {refusal['symbol']}`.** {refusal['message']}\n\nHint: {refusal['hint']}"
        return "\n\n".join(filter(None, [head, said])) + "\n"
    return "\n\n".join([head, tested(found), table(found), "\n".join(points(found))]) + "\n"


def tested(found: Found) -> str:
    """On whom the test was, and what happened to them."""
    proof = found["proof"]
    how = {
        "out-of-time": "Tested on a later period",
        "same-period": "Tested on other profiles of the same period, which flatters",
    }[proof["kind"]]
    return (
        f"{how}: as of {proof['cutoff']}, {proof['n']:,} profiles, of whom {proof['positives']:,} "
        f"({_percent(proof['base_rate'])}) met the goal by {proof['ends']}. In brackets: 95 % intervals."
    )


def table(found: Found) -> str:
    """All contenders on the same rows."""
    lines = ["| | " + " | ".join(METRICS.values()) + " |", "| --- |" + " ---: |" * len(METRICS)]
    for name, cells in found["figures"].items():
        cell = [_interval(cells[m]) if m in cells else "" for m in METRICS]
        lines.append(f"| {NAMES[name]} | " + " | ".join(cell) + " |")
    return "\n".join(lines)


def points(found: Found) -> list[str]:
    """What the figures say, one a line."""
    proof, top, scored = found["proof"], found["top_tenth"], found["scored"]
    reached = f"{top['caught']:,} of them met the goal ({top['caught_low']:,} to {top['caught_high']:,})"
    buckets = ", ".join(f"{n:,} {bucket}" for bucket, n in scored["buckets"].items())
    factors = "; ".join(f"{f['label']} ({_percent(f['share'], 0)}, {f['direction']})" for f in found["factors"])
    return [
        f"- {found['verdict']}",
        f"- Expected {_percent(found['expected_rate'])}, realised {_percent(proof['base_rate'])}.",
        f"- The tenth with the highest scores is {top['n']:,} profiles: {reached}, "
        f"{_percent(top['caught'] / proof['positives'])} of all who did.",
        f"- Scored now: {scored['population']:,} profiles; {buckets}.",
        f"- The model goes by: {factors}.",
        *(f"- `{n['code']}` {titled(n['symbol'])}: {n['message']}" for n in found["notices"]),
    ]


# --- the index ----------------------------------------------------------------------------------------------


def index(studies: Sequence[Study]) -> str:
    """docs/gallery.md with its table filled."""
    lines = ["| study | data | propend's AUC | best simple rule | what came of it |", "| --- | --- | --- | --- | --- |"]
    for study in studies:
        found = figures(study)
        place = f"../{study.page.relative_to(ROOT).as_posix()}"
        cells = [f"[{study.title}]({place})", f"{study.data} ({study.licence})", *_outcome(found)]
        lines.append("| " + " | ".join(cells) + " |")
    return filled(INDEX.read_text(encoding="utf-8"), "\n".join(lines) + "\n", "gallery")


def _outcome(found: Found | None) -> tuple[str, str, str]:
    if not found:
        return "", "", "not measured yet"
    if found["refusal"]:
        return "", "", f"refused, `{found['refusal']['code']} {found['refusal']['symbol']}`"
    rules = {name: found["figures"][name]["auc"] for name in RULES}
    best = max(rules, key=lambda name: rules[name][0])
    return _interval(found["figures"]["propend"]["auc"]), f"{NAMES[best]} {_interval(rules[best])}", outcome(found)


def outcome(found: Found) -> str:
    """In a few words what came of a study that was scored."""
    codes = {notice["symbol"] for notice in found["notices"]}
    if "NO_SIGNAL" in codes:
        return "no signal, `PROPEND-313`"
    if "SIMPLE_RULE_AS_GOOD" in codes:
        return "a simple rule is as good, `PROPEND-308`"
    if any(given["auc"][1] <= 0 for given in found["differences"].values()):
        return "ranks no better than a simple rule; its probabilities are better"
    if any(given["log_loss"][2] >= 0 for given in found["differences"].values()):
        return "ranks better than every simple rule; its probabilities are not shown to be better"
    return "better than every simple rule"


def _interval(cell: Sequence[float | None]) -> str:
    value, low, high = cell
    return f"{value:.3f}" if low is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"
