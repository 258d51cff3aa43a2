"""Commands on a workspace: its runs, versions, switches and log of changes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from propend.cli.screen import JsonOption, err, fail, out, tell
from propend.errors import ConfigurationError, Mistake, PropendError, RunCancelledError, error_of

if TYPE_CHECKING:
    from propend.store.catalog import RunRow
    from propend.workspace import Workspace

WorkspaceOption = Annotated[Path, typer.Option("--workspace", help="The workspace's folder.")]
IdArgument = Annotated[str, typer.Argument(help="The instance's id: its file's name without .yaml.")]
FILE = "propend.toml"


@contextmanager
def opened(home: Path, as_json: bool = False) -> Iterator[Workspace]:
    """An open workspace; what goes wrong within is told, and ends the command."""
    from propend.workspace import Workspace  # noqa: PLC0415

    try:
        workspace = Workspace.open(home)
    except PropendError as error:
        fail(error, as_json)
    try:
        yield workspace
    except PropendError as error:
        fail(error, as_json)
    finally:
        workspace.close()


def instance_of(given: Path, workspace: Path) -> tuple[Path, str] | None:
    """The workspace and the id that an argument of ``run`` names, if it names an instance of one and no other file."""
    if given.is_file():
        home = given.absolute().parent.parent
        within = given.absolute().parent.name == "instances" and (home / FILE).is_file()
        return (home, given.stem) if within else None
    return (workspace, str(given)) if (workspace / FILE).is_file() and given.suffix == "" else None


def run_in(home: Path, instance_id: str, kind: str, options: dict[str, Any], as_json: bool) -> None:
    """Ask for a run of an instance, see it to its end, and show what came of it."""
    from propend import pipeline  # noqa: PLC0415
    from propend.screen.running import run_text  # noqa: PLC0415
    from propend.workspace.runs import KINDS  # noqa: PLC0415

    if kind not in KINDS:
        fail(ConfigurationError([Mistake("--kind", f"{kind!r} is not one of {', '.join(KINDS)}")]), as_json)
    with opened(home, as_json) as workspace:
        problem = workspace.problems.get(instance_id)
        if problem is not None:
            raise problem
        run = _followed(workspace, workspace.runs.start(instance_id, kind=kind, options=options).id, as_json)
        if run.error is not None:
            fail(error_of(run.error), as_json)
        finished = pipeline.Run.load(workspace.runs.folder(run))
    if as_json:
        document = {"folder": str(finished.folder), "run": finished.record, "evaluation": finished.evaluation}
        out.print_json(json.dumps(document, default=str))
    else:
        tell(run_text(finished))


def _followed(workspace: Workspace, run_id: str, quiet: bool) -> RunRow:
    from propend.workspace.dispatch import follow  # noqa: PLC0415

    try:
        if quiet or not sys.stderr.isatty():
            return follow(workspace, run_id, lambda _run: None)
        with err.status("waiting") as status:
            return follow(
                workspace, run_id, lambda run: status.update(f"{run.stage or run.state} … {run.progress:.0%}")
            )
    except KeyboardInterrupt:
        workspace.runs.cancel(run_id)
        cancelled = RunCancelledError(f"Run {run_id} was cancelled.", "start it again when it is wanted.")
        raise cancelled from None


def history(
    instance_id: Annotated[str | None, typer.Argument(help="Only runs of this instance.")] = None,
    workspace: WorkspaceOption = Path(),
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="So many at the most.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Runs of a workspace with their states, newest first."""
    from propend.screen.listing import history_document, history_text  # noqa: PLC0415

    with opened(workspace, as_json) as found:
        if instance_id is not None:
            found.instances.get(instance_id)
        document = history_document(found.runs.history(instance_id, limit=limit))
    _show(document, history_text(document), as_json)


def cancel(
    run_id: Annotated[str, typer.Argument(help="The run's id, as `propend history` shows it.")],
    workspace: WorkspaceOption = Path(),
) -> None:
    """Stop a run that waits or is executed; the scores before it stay."""
    with opened(workspace) as found:
        run = found.runs.cancel(run_id)
    tell(
        f"run {run_id} of {run.instance_id} is cancelled"
        if run.state == "cancelled"
        else f"run {run_id} is told to stop"
    )


def versions(
    instance_id: IdArgument,
    before: Annotated[int | None, typer.Option("--before", help="Show what changed since this version.")] = None,
    after: Annotated[int | None, typer.Option("--after", help="Up to this one; the newest by default.")] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Versions of an instance, newest first; or what changed from one to another."""
    from propend.screen import listing  # noqa: PLC0415

    with opened(workspace, as_json) as found:
        if before is None:
            document = listing.versions_document(found.instances.versions(instance_id))
            text = listing.versions_text(document)
        else:
            newest = found.instances.get(instance_id).version
            document = listing.differences_document(found.instances.differences(instance_id, before, after or newest))
            text = listing.differences_text(document)
    _show(document, text, as_json)


def enable(instance_id: IdArgument, workspace: WorkspaceOption = Path()) -> None:
    """Let an instance be run and scheduled again."""
    with opened(workspace) as found:
        due = found.instances.switch(instance_id, True).due_at
    tell(f"{instance_id} is enabled" + (f"; its next run is due at {due:%Y-%m-%d %H:%M} UTC" if due else ""))


def disable(instance_id: IdArgument, workspace: WorkspaceOption = Path()) -> None:
    """Keep an instance from being run; its last scores stay."""
    with opened(workspace) as found:
        found.instances.switch(instance_id, False)
    tell(f"{instance_id} is disabled; its last scores stay")


def delete(
    instance_id: IdArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    keep: Annotated[bool, typer.Option("--keep-exports", help="Leave with destinations what they were given.")] = False,
    workspace: WorkspaceOption = Path(),
) -> None:
    """Remove an instance with its document, versions, runs and scores, and take back what was pushed."""
    with opened(workspace) as found:
        row = found.instances.get(instance_id)
        runs = len(found.runs.history(instance_id, limit=1000))
        if not yes and not typer.confirm(f"Remove {row.name!r} with {row.version} versions and {runs} runs?"):
            raise typer.Exit(1)
        found.delete(instance_id, keep_exports=keep)
    tell(f"{instance_id} is removed, with {runs} runs and their scores")


def forget(
    profile_id: Annotated[
        str | None, typer.Argument(help="The profile's id, as in your data; read from the standard input where absent.")
    ] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Remove a person from every run of a workspace, and leave the person out of all later ones."""
    from propend.screen.profiles import removal_text  # noqa: PLC0415

    given = profile_id if profile_id is not None else sys.stdin.readline().rstrip("\r\n")
    with opened(workspace, as_json) as found:
        removal = found.privacy.forget(given).document()
    if as_json:
        out.print_json(json.dumps(removal))
    else:
        tell(removal_text(removal))


def _show(document: list[dict[str, Any]], text: str, as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps(document, default=str))
    else:
        tell(text)


COMMANDS = (history, cancel, versions, enable, disable, delete, forget)
