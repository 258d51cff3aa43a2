"""``propend doctor``: what is found on this machine, and what to do about what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from propend.cli.screen import JsonOption, out, tell


def doctor(
    workspace: Annotated[Path, typer.Option("--workspace", help="A workspace to look at too.")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Versions, engines, extras, memory, disks and the workspace: what is missing, and how to get it."""
    from propend.diagnosis import Finding, examine, findings_text, worst  # noqa: PLC0415

    findings = examine()
    try:
        from propend.workspace import DATABASE_VARIABLE  # noqa: PLC0415
        from propend.workspace.diagnosis import examine_workspace  # noqa: PLC0415
    except ImportError as error:
        says = f"cannot be looked at: {error}"
        findings.append(Finding("workspace", "workspace", "problem", says, "mend what is named above first."))
    else:
        findings += examine_workspace(workspace.absolute(), DATABASE_VARIABLE)
    if as_json:
        out.print_json(json.dumps({"state": worst(findings), "findings": [f.to_dict() for f in findings]}))
    else:
        tell(findings_text(findings))
    if worst(findings) == "problem":
        raise typer.Exit(1)
