"""What a terminal shows of checks, runs and profiles: plain text from plain documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from propend.aftermath_page import PAGE_NAME
from propend.connectors import known
from propend.errors import PropendError
from propend.instance import Instance
from propend.phrasing import Words, words_of
from propend.pipeline import Run
from propend.proposal import Proposal
from propend.record import identities_text
from propend.sentence import write_sentence
from propend.snapshots.kernel import compute_features
from propend.store.runs import list_runs

if TYPE_CHECKING:
    from propend.store.catalog import RunRow, VersionRow
    from propend.workspace.instances import Difference

METRIC_WORDS = (
    ("auc", "AUC (0.5 is chance, 1 is perfect)", 3),
    ("average_precision", "average precision (more is better)", 3),
    ("log_loss", "log loss (less is better)", 4),
    ("calibration_error", "calibration error (less is better)", 4),
    ("top_decile_lift", "top tenth, times the average rate", 2),
)
BASELINE_WORDS = {"recency": "recency", "frequency": "frequency", "rfm_logistic": "RFM logistic"}
DIRECTION_WORDS = {"more raises": "more raises it", "more lowers": "more lowers it", "mixed": "no one direction"}
FACTORS_SHOWN = 6
REASONS_SHOWN = 2
"""In each direction."""
WIDE = 0.1
"""An interval that reaches so far is shown without decimals."""
TOO_LITTLE_HISTORY = "too little history to say: profiles with so few active days cannot be told apart"
SLOW_SECONDS = 1.0
"""Stages that took longer are named."""


def columns_text(rows: Sequence[Sequence[str]], indent: int = 2) -> str:
    """Rows as aligned columns: the first left, the others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append((" " * indent + "   ".join(cells)).rstrip())
    return "\n".join(lines)


def left_text(rows: Sequence[Sequence[str]], indent: int = 2) -> str:
    """Rows as aligned columns, all left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    cells = ["   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join((" " * indent + line).rstrip() for line in cells)


def local_day(instant: str | datetime, zone: str) -> str:
    """The date that an instant has on the instance's clock: a cutoff is a midnight there."""
    moment = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d}"


def zone_of(record: dict[str, Any]) -> str:
    """The time zone of a run's instance."""
    return str(record["instance"].get("options", {}).get("time_zone", "UTC"))


def _percent(share: float | None, digits: int = 1) -> str:
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def _metric(metric: dict[str, Any], digits: int) -> str:
    if metric["value"] is None:
        return "-"
    return f"{metric['value']:.{digits}f} ({metric['low']:.{digits}f} to {metric['high']:.{digits}f})"


def notices_text(notices: Sequence[dict[str, str]]) -> list[str]:
    """Warnings, one paragraph each."""
    lines = []
    for n in notices:
        lines.append(f"  ! {n['code']} {n['symbol']}: {n['message']}")
        lines += [f"    Hint: {n['hint']}"] if n["hint"] else []
    return lines


# --- check ---------------------------------------------------------------------------------------------


def check_text(found: dict[str, Any]) -> str:
    """The definition-time page as text."""
    outcomes, timeline, zone = found["outcomes"], found["timeline"], found["time_zone"]
    funnel = [("who is left", "profiles", "snapshots")]
    funnel += [(_line_words(line), f"{line['profiles']:,}", f"{line['snapshots']:,}") for line in found["funnel"]]
    cutoffs = [("cutoff", "snapshots", "met the goal", "rate")]
    for c in timeline["cutoffs"]:
        if c["role"] != "scoring":
            name = local_day(c["cutoff_at"], zone) + (" (proof)" if c["role"] == "proof" else "")
            cutoffs.append((name, f"{c['snapshots']:,}", f"{c['positives']:,}", _percent(c["base_rate"])))
    lines = [found["name"], found["sentence"], "", columns_text(funnel), "", columns_text(cutoffs), ""]
    lines += [
        f"  {outcomes['met']:,} profiles met the goal at least once and {outcomes['unmet']:,} did not; "
        f"{outcomes['minimum']} of each are the minimum.",
        f"  history: {timeline['history_days']} days, {timeline['history_needed_days']} needed. "
        f"{found['population_now']:,} profiles would be scored now. "
        f"A run takes about {found['expected_seconds']:.0f} s.",
    ]
    lines += [f"  not used: {local_day(d['cutoff_at'], zone)}, {d['reason']}" for d in timeline["dropped"]]
    lines += _guesses(found["data"])
    lines += [f"  {identities_text(x)}" for x in [found["data"].get("identities")] if x]
    for met in (True, False):
        lines += ["", "  examples that met the goal" if met else "  examples that did not"]
        lines += [f"    {e['profile_id']}: {e['evidence']}" for e in found["examples"] if e["met"] == met]
    suspects = [f"  {_leak(x)}" for x in found["leaks"]]
    warnings = notices_text(found["warnings"])
    if suspects or warnings:
        lines += ["", *suspects, *warnings]
    for refusal in found["refusals"]:
        lines += [
            "",
            f"  a run would be refused: {refusal['code']} {refusal['symbol']}",
            f"  {refusal['message']}",
        ]
        lines.append(f"  Hint: {refusal['hint']}")
    return "\n".join(lines)


def _leak(given: dict[str, Any]) -> str:
    """A suspect in one line."""
    power = "" if given["auc"] is None else f"AUC {given['auc']:.3f} alone; "
    word = {"dropped": "leak", "suspect": "leak?"}.get(given["action"], given["action"])
    return f"{word} {given['sentence']}: {power}{given['reason']}"


def _guesses(data: dict[str, Any]) -> list[str]:
    """Columns that nobody named, and why they were taken."""
    columns, reasons = data["columns"], data["reasons"]
    found = [f"{role} is {columns[role]!r} ({reasons[role]})" for role in columns if role in reasons]
    lines = [f"  guessed columns: {'; '.join(found)}."] if found else []
    for xdm in (s["xdm"] for s in data["sources"] if "xdm" in s):
        counted = {k["kind"]: k["events"] for k in data["kinds"]} | xdm["made"]
        kinds = [f"{kind} {counted.get(kind, 0):,} (by {by})" for kind, by in xdm["kinds"].items()]
        lines.append(f"  XDM events of {xdm['identity']}: {'; '.join(kinds)}.")
    return lines


# --- run -----------------------------------------------------------------------------------------------


def _line_words(line: dict[str, Any]) -> str:
    return f"{line['line']}{' (default)' if line['origin'] == 'default' else ''}"


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
        rows.append((words, _metric(evaluation[key], digits), *others))
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
        f"{_percent(found['mean_probability'])} of them are expected to {do}: "
        f"{expected['value']:,.0f} ({expected['low']:,.0f} to {expected['high']:,.0f})",
        *([f"  too little history to say: {thin['n']:,} ({_percent(thin['share'])})"] if thin["n"] else []),
        f"  buckets: {buckets}",
        *([f"  when: {_horizons_text(found['horizons'])}"] if "horizons" in found else []),
    ]


def _horizons_text(horizons: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{_percent(h['expected_rate'])} within {h['days']} d" for h in horizons)


def _proof_text(evaluation: dict[str, Any], words: Words, zone: str) -> str:
    """When and on whom the model was tested, and the base rate."""
    met = f"of {evaluation['n']:,} profiles, {_percent(evaluation['base_rate'])} {words.did}"
    if evaluation["proof"] == "out-of-time":
        first, end = local_day(evaluation["cutoff_at"], zone), local_day(evaluation["outcome_ends_at"], zone)
        return f"tested on a later period that nothing was learnt from, {first} to {end}: {met}"
    return f"tested on profiles held out of the same period, for history is too short for a later one: {met}"


def factors_text(factors: Sequence[dict[str, Any]]) -> str:
    """The strongest factors: share of all impact, name, direction, typical value."""
    rows = [
        (f"{_percent(f['share'], 0):>5}", f["label"], DIRECTION_WORDS[f["direction"]], f"typical: {f['typical']}")
        for f in factors
    ]
    return left_text(rows, 4)


def _work_text(finished: Run) -> list[str]:
    record = finished.record
    slow = ", ".join(f"{s['name']} {s['seconds']:.1f}" for s in record["stages"] if s["seconds"] >= SLOW_SECONDS)
    return [
        f"  took {record['seconds']:.1f} s{f' ({slow})' if slow else ''}; "
        f"peak memory {record['peak_memory_bytes'] / 1e6:,.0f} MB",
        f"  report: {finished.folder / 'report.html'}",
        f"  scores: {finished.folder / 'scores.parquet'}",
    ]


def three_examples(examples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One profile of each bucket there is."""
    by_bucket: dict[str, dict[str, Any]] = {}
    for example in examples:
        by_bucket.setdefault(example["bucket"], example)
    return list(by_bucket.values())


def example_text(example: dict[str, Any]) -> str:
    """One profile with its strongest reasons, one a line."""
    head = (
        f"    {example['profile_id']}: {_percent(example['probability'])} {_span(example)}, "
        f"{example['times_average']:.1f} times the average; score {example['score']:.0f} ({example['bucket']})"
    )
    up = [f for f in example["factors"] if f["impact"] > 0][:REASONS_SHOWN]
    down = [f for f in example["factors"] if f["impact"] < 0][:REASONS_SHOWN]
    reasons = [("+", f) for f in up] + [("-", f) for f in down]
    return "\n".join(
        [head, *(f"      {sign} {f['label']}: {f['value']} (typical: {f['typical']})" for sign, f in reasons)]
    )


LOG_ODDS_NOTE = "impacts are in log-odds; they say what the model goes by, not what causes what."


def profile_text(found: dict[str, Any], zone: str) -> str:
    """All named factors of one profile; the zone is that of the run's instance."""
    lines = [
        f"profile {found['profile_id']} in {found['instance']}, as of {local_day(found['scored_at'], zone)}",
        f"  probability {_percent(found['probability'])} {_span(found)}, {found['times_average']:.1f} times the "
        f"average; score {found['score']:.0f} ({found['bucket']}), percentile {found['percentile']}",
        *([f"  {TOO_LITTLE_HISTORY}"] if found["too_little_history"] else []),
        *_curve_text(found),
        "",
    ]
    rows = [("factor", "value", "typical", "impact", "importance")]
    for f in found["factors"]:
        rows.append((f["label"], f["value"], f["typical"], f"{f['impact']:+.2f}", f["importance"]))
    lines.append(left_text(rows) if len(rows) > 1 else "  no factor stands out")
    return "\n".join([*lines, "", f"  {LOG_ODDS_NOTE}"])


SHOWN_CHANGES, LEAST_CHANGE = 8, 0.005


def difference_text(found: dict[str, Any], zone: str) -> str:
    """Two sides, and the factors that set them apart."""
    before, after = found["before"], found["after"]
    lines = [_side_text(before, zone), _side_text(after, zone), ""]
    return "\n".join([*lines, *_change_lines(found), "", f"  {LOG_ODDS_NOTE}"])


def _side_text(side: dict[str, Any], zone: str) -> str:
    who = f"profile {side['profile_id']}" if "profile_id" in side else f"{side['profiles']:,} profiles"
    bucket = f" ({side['bucket']})" if "bucket" in side else ""
    mean = "" if "profile_id" in side else "mean "
    return (
        f"{who}, as of {local_day(side['scored_at'], zone)}: {mean}probability {_percent(side['probability'])}, "
        f"{mean}score {side['score']:.0f}{bucket}"
    )


def _change_lines(found: dict[str, Any]) -> list[str]:
    """The largest changes, what all the others come to, and the base."""
    shown = [f for f in found["factors"][:SHOWN_CHANGES] if abs(f["change"]) >= LEAST_CHANGE]
    rest = found["log_odds"] - found["base"] - sum(f["change"] for f in shown)
    ids = [found[side].get("profile_id", side) for side in ("before", "after")]
    rows = [("factor", *(ids if ids[0] != ids[1] else ("before", "after")), "change")]
    for f in shown:
        rows.append(
            (f["label"], *(f[side]["value"] or "not a factor" for side in ("before", "after")), f"{f['change']:+.2f}")
        )
    rows.append(("everything else", "", "", f"{rest:+.2f}"))
    if abs(found["base"]) >= LEAST_CHANGE:
        rows.append(("the level of everybody", "", "", f"{found['base']:+.2f}"))
    rows.append(("together", "", "", f"{found['log_odds']:+.2f}"))
    return [left_text(rows)]


def movement_text(found: dict[str, Any], zone: str) -> str:
    """Buckets changed, what moved everybody, who moved most and why, factors that count otherwise."""
    n = found["profiles"]
    lines = [f"{n['both']:,} profiles scored in both runs, {n['new']:,} new, {n['gone']:,} gone", ""]
    if found["everybody"] is None:
        return lines[0]
    rows = [("from \\ to", *(t["to"] for t in found["buckets"][:3]))]
    for first in range(0, len(found["buckets"]), 3):
        row = found["buckets"][first : first + 3]
        rows.append((row[0]["from"], *(f"{t['n']:,}" for t in row)))
    lines += [left_text(rows), "", "  what moved everybody, on average", *_change_lines(found["everybody"])]
    if found["movers"]:
        lines += ["", "  moved most"]
    for m in found["movers"]:
        why = "; ".join(
            f"{f['label']}: {f['before']['value']} -> {f['after']['value']} ({f['change']:+.2f})" for f in m["factors"]
        )
        lines.append(
            f"    {m['after']['profile_id']}: {_percent(m['before']['probability'])} -> "
            f"{_percent(m['after']['probability'])} ({m['before']['bucket']} -> {m['after']['bucket']}). {why}"
        )
    if found["effects"]:
        lines += ["", "  factors that count otherwise than before"]
    for e in found["effects"]:
        was, now = (_effect_text(e[side]) for side in ("before", "after"))
        lines.append(f"    {e['label']}: {was} before, {now} now")
    return "\n".join([*lines, "", f"  {LOG_ODDS_NOTE}"])


def _effect_text(side: dict[str, Any]) -> str:
    if side["direction"] is None:
        return "no factor"
    turn = f", {side['direction']}" if side["direction"] != "mixed" else ""
    return f"{_percent(side['share'], 0)} of all impact{turn}"


def _span(found: dict[str, Any]) -> str:
    """The interval of a probability: ``(28 % to 42 %)``."""
    low, high = found["probability_low"], found["probability_high"]
    digits = 0 if high >= WIDE else 1
    return f"({_percent(low, digits)} to {_percent(high, digits)})"


def _curve_text(found: dict[str, Any]) -> list[str]:
    """The profile's curve over horizons, where its run has one."""
    if not found.get("horizons"):
        return []
    steps = ", ".join(f"{_percent(h['probability'])} within {h['days']} d" for h in found["horizons"])
    expected = found["expected_days"]
    when = f"as likely as not by day {expected}" if expected is not None else "not expected within the longest of these"
    return [f"  when: {steps}; {when}"]


# --- evaluate -------------------------------------------------------------------------------------------


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
        expected = (day, f"{r['population']:,}", _percent(r["expected_rate"]))
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
            (b["bucket"], f"{b['known']:,}", _percent(b["expected_rate"]), _rate(b["realised_rate"]), b["level"])
        )
    return columns_text(rows, 4)


def _rate(rate: dict[str, Any] | None) -> str:
    if rate is None:
        return "-"
    return f"{_percent(rate['value'])} ({_percent(rate['low'])} to {_percent(rate['high'])})"


def _value(metric: dict[str, Any] | None) -> str:
    return "-" if metric is None or metric["value"] is None else f"{metric['value']:.3f}"


def _challenge_text(found: dict[str, Any], zone: str) -> list[str]:
    sides = ("champion", "challenger")
    rows: list[tuple[str, ...]] = [("", *sides)]
    for key, words, digits in METRIC_WORDS:
        rows.append((words, *(_metric(found[side][key], digits) for side in sides)))
    days = ", ".join(local_day(c, zone) for c in found["cutoffs"])
    return [
        f"  champion and challenger on {found['n']:,} outcomes that neither has seen, as of {days}",
        columns_text(rows, 4),
        f"  {found['sentence']}",
    ]


# --- list ----------------------------------------------------------------------------------------------


def list_document(folder: Path) -> dict[str, Any]:
    """Instances and finished runs in a folder, as plain data."""
    instances: list[dict[str, Any]] = []
    for path in sorted([*folder.glob("*.y*ml"), *folder.glob("instances/*.y*ml")]):
        try:
            instance = Instance.load(path)
        except PropendError as error:
            instances.append({"path": str(path), "name": path.stem, "type": "-", "problem": error.code})
            continue
        instances.append({"path": str(path), "name": instance.name, "type": instance.type, "problem": ""})
    homes = [folder, *([folder / "instances"] if (folder / "instances").is_dir() else [])]
    runs = [
        {
            "folder": str(entry.folder),
            "run_id": entry.document["run_id"],
            "name": entry.document["name"],
            "status": entry.document["status"],
            "started_at": entry.document["started_at"],
            "population": entry.document["counts"]["population"],
        }
        for home in homes
        for entry in list_runs(home)
    ]
    return {"instances": instances, "runs": runs}


def list_text(found: dict[str, Any]) -> str:
    """Instances and runs as two tables."""
    if not found["instances"] and not found["runs"]:
        return "nothing here yet; `propend init DIR --data PATH` makes a first instance"
    lines: list[str] = []
    if found["instances"]:
        rows = [("instance", "type", "name")]
        rows += [(i["path"], i["type"], i["problem"] or i["name"]) for i in found["instances"]]
        lines.append(columns_text(rows, 0))
    if found["runs"]:
        rows5 = [("run", "status", "profiles scored", "name")]
        rows5 += [(r["folder"], r["status"], f"{r['population']:,}", r["name"]) for r in found["runs"]]
        lines += ["", columns_text(rows5, 0)]
    return "\n".join(lines).strip("\n")


# --- connectors ----------------------------------------------------------------------------------------


def connectors_document() -> list[dict[str, str]]:
    """Connectors in the order in which they are asked, as plain data; ``problem`` is empty of those that are used."""
    return [
        {"name": one.name, "distribution": one.distribution, "version": one.version, "problem": one.problem}
        for one in known()
    ]


def connectors_text(found: Sequence[dict[str, str]]) -> str:
    """Connectors as a table."""
    rows = [("connector", "package", "version", "state")]
    rows += [(c["name"], c["distribution"], c["version"], c["problem"] or "in use") for c in found]
    return left_text(rows, 0)


# --- the workspace -------------------------------------------------------------------------------------


def history_document(runs: Sequence[RunRow]) -> list[dict[str, Any]]:
    """Runs of a workspace as plain data."""
    return [
        {
            "run_id": run.id,
            "instance": run.instance_id,
            "version": run.version,
            "state": run.state,
            "stage": run.stage if run.state == "running" else None,
            "progress": run.progress,
            "trigger": run.trigger,
            "asked_by": run.asked_by,
            "queued_at": run.queued_at.isoformat(),
            "finished_at": run.finished_at.isoformat() if run.finished_at else None,
            "summary": run.summary,
            "error": run.error,
        }
        for run in runs
    ]


def history_text(found: Sequence[dict[str, Any]]) -> str:
    """Runs as a table: what came of each, or what it is doing."""
    if not found:
        return "no runs yet; `propend run INSTANCE` makes one"
    rows = [("run", "instance", "state", "AUC", "profiles", "what")]
    for run in found:
        summary = run["summary"] or {}
        auc, scored = (f"{summary['auc']:.3f}", f"{summary['population']:,}") if summary else ("", "")
        rows.append((run["run_id"], f"{run['instance']} v{run['version']}", run["state"], auc, scored, _what(run)))
    return left_text(rows, 0)


def _what(run: dict[str, Any]) -> str:
    if run["error"]:
        return f"{run['error']['code']} {run['error']['symbol']}"
    if run["summary"]:
        realised = run["summary"].get("realised")
        return f"{run['summary']['decision']['kind']}" + (f"; level {realised['level']}" if realised else "")
    return f"{run['stage'] or 'waiting'} {run['progress']:.0%}" if run["state"] == "running" else ""


def versions_document(versions: Sequence[VersionRow]) -> list[dict[str, Any]]:
    """Versions of an instance as plain data."""
    return [
        {
            "version": v.number,
            "created_at": v.created_at.isoformat(),
            "created_by": v.created_by,
            "hash": v.hash,
            "document": v.document,
        }
        for v in versions
    ]


def versions_text(found: Sequence[dict[str, Any]]) -> str:
    """Versions as a table."""
    rows = [("version", "made at (UTC)", "by", "hash")]
    rows += [(str(v["version"]), v["created_at"][:16].replace("T", " "), v["created_by"], v["hash"]) for v in found]
    return left_text(rows, 0)


def differences_document(found: Sequence[Difference]) -> list[dict[str, Any]]:
    """What changed between two versions as plain data."""
    return [asdict(d) for d in found]


def differences_text(found: Sequence[dict[str, Any]]) -> str:
    """What changed, place by place."""
    if not found:
        return "nothing changed"
    lines: list[str] = []
    for d in found:
        lines.append(d["place"])
        lines += [f"  {sign} {json.dumps(d[k], ensure_ascii=False)}" for sign, k in (("-", "before"), ("+", "after"))
                  if d[k] is not None]  # fmt: skip
    return "\n".join(lines)


def users_document(users: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of users as plain data, without anything secret."""
    return [
        {
            "name": u.name,
            "role": u.role,
            "disabled": u.disabled,
            "comes_by": "password" if u.password else "oidc",
            "created_at": u.created_at.isoformat(),
        }
        for u in users
    ]


def users_text(found: Sequence[dict[str, Any]]) -> str:
    """The same as a table."""
    if not found:
        return "nobody yet; `propend user add NAME --role manage` lets the first one in"
    rows = [("name", "may", "comes by", "since")]
    rows += [
        (u["name"], "not log in" if u["disabled"] else u["role"], u["comes_by"], u["created_at"][:10]) for u in found
    ]
    return columns_text(rows, 0)


def segments_text(found: Sequence[dict[str, Any]]) -> str:
    """Segments, each with its rule and how many profiles it has."""
    if not found:
        return "no segments yet; `propend segment create INSTANCE NAME RULE` saves one"
    return "\n\n".join(_segment_text(one) for one in found)


def _segment_text(one: dict[str, Any]) -> str:
    says = f"{one['count']:,} profiles by run {one['run']}" if one["count"] is not None else "no scores yet"
    lines = [f"{one['id']}  {one['name']}  ({one['instance']})", one["where"], one["sentence"], one["problem"] or says]
    return "\n    ".join(lines)


# --- init ----------------------------------------------------------------------------------------------


def proposal_text(proposal: Proposal) -> str:
    """What a look at the data found, under the sections of the document."""
    lines = [proposal.instance.name, write_sentence(proposal.instance.goal, proposal.instance.eligible)]
    section = ""
    for note in proposal.notes:
        lines += [] if note.section == section else ["", f"  {note.section}"]
        section = note.section
        lines.append(f"    {note.text}")
    return "\n".join([*lines, ""])


def after_init(folder: Path, proposal: Proposal | None, written: Sequence[Path]) -> str:
    """The next command."""
    if proposal is None:
        return f"next: propend init {folder} --data PATH     your events: a file, glob or folder"
    as_of = f" --as-of {proposal.as_of}" if proposal.as_of else ""
    return f"next: propend check {written[-1]}{as_of}"


# --- demo ----------------------------------------------------------------------------------------------


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


def removal_text(removal: dict[str, Any]) -> str:
    """What was removed of a person, in words; the id is not among them."""
    if removal["runs"]:
        runs = f"{removal['runs']:,} run{'' if removal['runs'] == 1 else 's'}"
        said = f"removed: {removal['rows']:,} rows and {removal['examples']:,} examples of {runs}"
    else:
        said = "no finished run has anything of this profile"
    if removal["pushed"]:
        said += f"; {removal['pushed']:,} rows of destinations"
    if removal["out_of_reach"]:
        said += f"\nout of reach: {', '.join(removal['out_of_reach'])}; ask those who keep what was sent there"
    later = "later runs neither score it nor learn from it; models trained already hold no ids"
    return f"forgotten (log of changes: {removal['mark']}…)\n{said}\n{later}"
