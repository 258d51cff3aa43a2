"""What a run found, what came of earlier ones, and what the demo says around its runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from propend.aftermath_page import PAGE_NAME
from propend.phrasing import Words, words_of
from propend.pipeline import Run
from propend.screen import (
    METRIC_WORDS,
    columns_text,
    left_text,
    local_day,
    metric_text,
    notices_text,
    percent_text,
    span_text,
    zone_of,
)
from propend.snapshots.kernel import compute_features

BASELINE_WORDS = {"recency": "recency", "frequency": "frequency", "rfm_logistic": "RFM logistic"}
DIRECTION_WORDS = {"more raises": "more raises it", "more lowers": "more lowers it", "mixed": "no one direction"}
FACTORS_SHOWN = 6
REASONS_SHOWN = 2
"""In each direction."""
SLOW_SECONDS = 1.0
"""Stages that took longer are named."""


def quality_text(evaluation: dict[str, Any]) -> str:
    """The proof beside the simple rules, as a table."""
    names = [n for n in BASELINE_WORDS if n in evaluation["baselines"]]
    header = ("", "propend (95 % interval)", *(BASELINE_WORDS[n] for n in names))
    rows = [header]
    for key, words, digits in METRIC_WORDS:
        others = []
        for name in names:
            value = evaluation["baselines"][name][key]["value"]
            others.append("-" if value is None else f"{value:.{digits}f}")
        rows.append((words, metric_text(evaluation[key], digits), *others))
    return columns_text(rows)


def run_text(finished: Run) -> str:
    """What a run found, in a screen's length."""
    record, evaluation, found = finished.record, finished.evaluation, finished.insights
    lines = [
        record["name"],
        record["sentence"],
        "",
        *_population_text(finished),
        "",
        f"  {_proof_text(evaluation, words_of(record['propensity_type']), zone_of(record))}",
        "",
        quality_text(evaluation),
        "",
        f"  {evaluation['verdict']['sentence']}",
        "",
        "  what the score goes by",
        factors_text(found["factors"][:FACTORS_SHOWN]),
        "",
        "  three profiles, and what raises (+) or lowers (-) their scores",
        *(example_text(e) for e in three_examples(found["examples"])),
    ]
    warnings = notices_text(record["warnings"])
    lines += ["", *warnings] if warnings else []
    return "\n".join([*lines, "", *_work_text(finished)])


def _population_text(finished: Run) -> list[str]:
    found, day = finished.insights, local_day(finished.record["scored_at"], zone_of(finished.record))
    expected, thin = found["expected_positives"], found["too_little_history"]
    do = words_of(finished.record["propensity_type"]).do
    buckets = ", ".join(f"{b['n']:,} {b['bucket']}" for b in found["buckets"])
    return [
        f"  {found['population']:,} profiles are eligible as of {day}; "
        f"{percent_text(found['mean_probability'])} of them are expected to {do}: "
        f"{expected['value']:,.0f} ({expected['low']:,.0f} to {expected['high']:,.0f})",
        *([f"  too little history to say: {thin['n']:,} ({percent_text(thin['share'])})"] if thin["n"] else []),
        f"  buckets: {buckets}",
        *([f"  when: {_horizons_text(found['horizons'])}"] if "horizons" in found else []),
    ]


def _horizons_text(horizons: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{percent_text(h['expected_rate'])} within {h['days']} d" for h in horizons)


def _proof_text(evaluation: dict[str, Any], words: Words, zone: str) -> str:
    """When and on whom the model was tested, and the base rate."""
    met = f"of {evaluation['n']:,} profiles, {percent_text(evaluation['base_rate'])} {words.did}"
    if evaluation["proof"] == "out-of-time":
        first, end = local_day(evaluation["cutoff_at"], zone), local_day(evaluation["outcome_ends_at"], zone)
        return f"tested on a later period that nothing was learnt from, {first} to {end}: {met}"
    return f"tested on profiles held out of the same period, for history is too short for a later one: {met}"


def factors_text(factors: Sequence[dict[str, Any]]) -> str:
    """The strongest factors: share of all impact, name, direction, typical value."""
    rows = [
        (f"{percent_text(f['share'], 0):>5}", f["label"], DIRECTION_WORDS[f["direction"]], f"typical: {f['typical']}")
        for f in factors
    ]
    return left_text(rows, 4)


def _work_text(finished: Run) -> list[str]:
    record = finished.record
    slow = ", ".join(f"{s['name']} {s['seconds']:.1f}" for s in record["stages"] if s["seconds"] >= SLOW_SECONDS)
    return [
        f"  took {record['seconds']:.1f} s{f' ({slow})' if slow else ''}; "
        f"peak memory {record['peak_memory_bytes'] / 1e6:,.0f} MB",
        *_mirrors_text(record["data"]["sources"]),
        f"  report: {finished.folder / 'report.html'}",
        f"  scores: {finished.folder / 'scores.parquet'}",
    ]


WHY_ALL = {
    "first": "there were none from an earlier run",
    "asked": "that was asked for",
    "age": "the last time was long enough ago",
    "columns": "its columns have changed",
    "damaged": "what was kept is damaged",
    "nowhere": "name a folder to keep them in: --mirror DIR",
}
"""Why all rows of an incremental source were read."""


def _mirrors_text(sources: Sequence[dict[str, Any]]) -> list[str]:
    """How the rows of incremental sources came; nothing where there are none."""
    lines = []
    for source in sources:
        found = source.get("mirror")
        if found is None:
            continue
        kept = f"and {found['kept']:,} kept from before" if found["why"] == "newer" else f"all: {WHY_ALL[found['why']]}"
        lines.append(f"  {source['path']}: {found['read']:,} rows read from the database, {kept}")
    return lines


def three_examples(examples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One profile of each bucket there is."""
    by_bucket: dict[str, dict[str, Any]] = {}
    for example in examples:
        by_bucket.setdefault(example["bucket"], example)
    return list(by_bucket.values())


def example_text(example: dict[str, Any]) -> str:
    """One profile with its strongest reasons, one a line."""
    head = (
        f"    {example['profile_id']}: {percent_text(example['probability'])} {span_text(example)}, "
        f"{example['times_average']:.1f} times the average; score {example['score']:.0f} ({example['bucket']})"
    )
    up = [f for f in example["factors"] if f["impact"] > 0][:REASONS_SHOWN]
    down = [f for f in example["factors"] if f["impact"] < 0][:REASONS_SHOWN]
    reasons = [("+", f) for f in up] + [("-", f) for f in down]
    return "\n".join(
        [head, *(f"      {sign} {f['label']}: {f['value']} (typical: {f['typical']})" for sign, f in reasons)]
    )


def aftermath_text(found: dict[str, Any], folder: Path | None = None) -> str:
    """What came of finished runs: one row per run, the buckets of the newest, the challenge."""
    zone = found["time_zone"]
    told = [r for r in found["runs"] if r["matured"] and r["known"]]
    lines = [found["name"], found["sentence"], "", *_past_runs(found["runs"], zone)]
    if told:
        newest = told[-1]
        lines += ["", f"  the newest of them, as of {local_day(newest['scored_at'], zone)}", _past_buckets(newest)]
        lines += [f"  {newest['verdict']['sentence']}"]
    lines += ["", f"  {found['summary']['sentence']}"]
    lines += [f"  left out: {r['folder']}, it {r['reason']}" for r in found["left_out"]]
    if found["challenge"]:
        lines += ["", *_challenge_text(found["challenge"], zone)]
    warnings = notices_text(found["warnings"])
    lines += ["", *warnings] if warnings else []
    lines += ["", f"  page: {folder / PAGE_NAME}"] if folder else []
    return "\n".join(lines)


def _past_runs(runs: Sequence[dict[str, Any]], zone: str) -> list[str]:
    rows: list[tuple[str, ...]] = [
        ("as of", "profiles", "expected", "came (95 % interval)", "level", "AUC", "promised", "ranking", "drift")
    ]
    for r in runs:
        drift = "-" if r["score_drift"] is None else f"{r['score_drift']:.2f}"
        day, promised = local_day(r["scored_at"], zone), _value(r["promised"]["auc"])
        expected = (day, f"{r['population']:,}", percent_text(r["expected_rate"]))
        if r["matured"]:
            verdict = r["verdict"]
            came = (_rate(r["realised_rate"]), verdict["level"], _value(r["auc"]), promised, verdict["ranking"])
        else:
            came = (f"from {local_day(r['matures_at'], zone)}", "not yet", "-", promised, "not yet")
        rows.append((*expected, *came, drift))
    return [columns_text(rows)]


def _past_buckets(run: dict[str, Any]) -> str:
    rows = [("bucket", "profiles", "expected", "came (95 % interval)", "level")]
    for b in run["buckets"]:
        rows.append(
            (b["bucket"], f"{b['known']:,}", percent_text(b["expected_rate"]), _rate(b["realised_rate"]), b["level"])
        )
    return columns_text(rows, 4)


def _rate(rate: dict[str, Any] | None) -> str:
    if rate is None:
        return "-"
    return f"{percent_text(rate['value'])} ({percent_text(rate['low'])} to {percent_text(rate['high'])})"


def _value(metric: dict[str, Any] | None) -> str:
    return "-" if metric is None or metric["value"] is None else f"{metric['value']:.3f}"


def _challenge_text(found: dict[str, Any], zone: str) -> list[str]:
    sides = ("champion", "challenger")
    rows: list[tuple[str, ...]] = [("", *sides)]
    for key, words, digits in METRIC_WORDS:
        rows.append((words, *(metric_text(found[side][key], digits) for side in sides)))
    days = ", ".join(local_day(c, zone) for c in found["cutoffs"])
    return [
        f"  champion and challenger on {found['n']:,} outcomes that neither has seen, as of {days}",
        columns_text(rows, 4),
        f"  {found['sentence']}",
    ]


def demo_head(name: str, position: int, of: int) -> str:
    """The line above one of the demo's runs."""
    return f"\n=== {position} of {of}: {name} " + "=" * max(3, 60 - len(name))


def demo_end(finished: Run) -> str:
    """What to do next: with the last of the demo's runs, and with data of one's own."""
    someone = finished.insights["examples"][0]["profile_id"]
    return f"""
Look closer:
  propend explain {someone} --run {finished.folder}
Now with your own data:
  propend init my-shop --data my-events.csv          columns, a goal and windows are proposed
  propend check my-shop/instances/first.yaml         what it means on your data, in seconds
  propend run my-shop/instances/first.yaml           scores, reasons and a report for every profile"""


def compiled_text(parts: int, seconds: float) -> str:
    """What ``propend compile`` did."""
    folder = compute_features.stats.cache_path
    if parts == 0:
        return f"Everything was compiled before, and is kept in {folder}."
    return f"Compiled {parts} parts in {seconds:.0f} s; they are kept in {folder} and the like."
