"""What a folder or a workspace has: instances, runs, versions, people, segments, connectors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propend.connectors import known
from propend.errors import PropendError
from propend.instance import Instance
from propend.screen import columns_text, left_text
from propend.store.runs import list_runs

if TYPE_CHECKING:
    from propend.store.catalog import RunRow, VersionRow
    from propend.workspace.instances import Difference


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


def memberships_text(found: Sequence[dict[str, Any]]) -> str:
    """A segment run by run, the newest first."""
    if not found:
        return "no run has told the members yet"
    head = f"{'run':<24}  {'members':>9}  {'joined':>8}  {'left':>8}  {'expected':>9}  rule"
    return "\n".join([head, *map(_membership_line, found)])


def _membership_line(one: dict[str, Any]) -> str:
    joined, left = (f"{one[name]:,}" if one[name] is not None else "-" for name in ("joined", "left"))
    return f"{one['run']:<24}  {one['members']:>9,}  {joined:>8}  {left:>8}  {one['expected']:>9,.0f}  {one['where']}"
