"""What an instance means on its data, before any training; and a proposal of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from propend.proposal import Proposal
from propend.record import identities_text
from propend.screen import columns_text, local_day, notices_text, percent_text
from propend.sentence import write_sentence


def check_text(found: dict[str, Any]) -> str:
    """The definition-time page as text."""
    outcomes, timeline, zone = found["outcomes"], found["timeline"], found["time_zone"]
    funnel = [("who is left", "profiles", "snapshots")]
    funnel += [(_line_words(line), f"{line['profiles']:,}", f"{line['snapshots']:,}") for line in found["funnel"]]
    cutoffs = [("cutoff", "snapshots", "met the goal", "rate")]
    for c in timeline["cutoffs"]:
        if c["role"] != "scoring":
            name = local_day(c["cutoff_at"], zone) + (" (proof)" if c["role"] == "proof" else "")
            cutoffs.append((name, f"{c['snapshots']:,}", f"{c['positives']:,}", percent_text(c["base_rate"])))
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


def _line_words(line: dict[str, Any]) -> str:
    return f"{line['line']}{' (default)' if line['origin'] == 'default' else ''}"


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
