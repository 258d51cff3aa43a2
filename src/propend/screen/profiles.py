"""One profile with its reasons, two sides set apart, who moved between runs, and what was removed of a person."""

from __future__ import annotations

from typing import Any

from propend.screen import left_text, local_day, percent_text, span_text

TOO_LITTLE_HISTORY = "too little history to say: profiles with so few active days cannot be told apart"
LOG_ODDS_NOTE = "impacts are in log-odds; they say what the model goes by, not what causes what."
SHOWN_CHANGES, LEAST_CHANGE = 8, 0.005


def profile_text(found: dict[str, Any], zone: str) -> str:
    """All named factors of one profile; the zone is that of the run's instance."""
    lines = [
        f"profile {found['profile_id']} in {found['instance']}, as of {local_day(found['scored_at'], zone)}",
        f"  probability {percent_text(found['probability'])} {span_text(found)}, {found['times_average']:.1f} times "
        f"the average; score {found['score']:.0f} ({found['bucket']}), percentile {found['percentile']}",
        *([f"  {TOO_LITTLE_HISTORY}"] if found["too_little_history"] else []),
        *_curve_text(found),
        "",
    ]
    rows = [("factor", "value", "typical", "impact", "importance")]
    for f in found["factors"]:
        rows.append((f["label"], f["value"], f["typical"], f"{f['impact']:+.2f}", f["importance"]))
    lines.append(left_text(rows) if len(rows) > 1 else "  no factor stands out")
    return "\n".join([*lines, "", f"  {LOG_ODDS_NOTE}"])


def _curve_text(found: dict[str, Any]) -> list[str]:
    """The profile's curve over horizons, where its run has one."""
    if not found.get("horizons"):
        return []
    steps = ", ".join(f"{percent_text(h['probability'])} within {h['days']} d" for h in found["horizons"])
    expected = found["expected_days"]
    when = f"as likely as not by day {expected}" if expected is not None else "not expected within the longest of these"
    return [f"  when: {steps}; {when}"]


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
        f"{who}, as of {local_day(side['scored_at'], zone)}: {mean}probability {percent_text(side['probability'])}, "
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
            f"    {m['after']['profile_id']}: {percent_text(m['before']['probability'])} -> "
            f"{percent_text(m['after']['probability'])} ({m['before']['bucket']} -> {m['after']['bucket']}). {why}"
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
    return f"{percent_text(side['share'], 0)} of all impact{turn}"


def removal_text(removal: dict[str, Any]) -> str:
    """What was removed of a person, in words; the id is not among them."""
    if removal["runs"]:
        runs = f"{removal['runs']:,} run{'' if removal['runs'] == 1 else 's'}"
        said = f"removed: {removal['rows']:,} rows and {removal['examples']:,} examples of {runs}"
    else:
        said = "no finished run has anything of this profile"
    for name, where in (("pushed", "destinations"), ("mirrored", "databases that were kept")):
        said += f"; {removal[name]:,} rows of {where}" if removal[name] else ""
    if removal["out_of_reach"]:
        said += f"\nout of reach: {', '.join(removal['out_of_reach'])}; ask those who keep what was sent there"
    later = "later runs neither score it nor learn from it; models trained already hold no ids"
    return f"forgotten (log of changes: {removal['mark']}…)\n{said}\n{later}"
