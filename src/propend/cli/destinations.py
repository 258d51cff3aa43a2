"""Commands that bring scores elsewhere: saved destinations, and one export by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from propend.cli.screen import JsonOption, fail, out, tell
from propend.cli.workspace import IdArgument, WorkspaceOption, opened
from propend.errors import ConfigurationError, Mistake, PropendError, error_of

if TYPE_CHECKING:
    from propend.store.catalog import DestinationRow, PushRow

destination_app = typer.Typer(help="Places that scores are pushed to after every run.", no_args_is_help=True)
NumberArgument = Annotated[
    int, typer.Argument(help="The destination's number, as `propend destination list` shows it.")
]
KeepOption = Annotated[bool, typer.Option("--keep-exports", help="Leave there what it was given.")]
SegmentOption = Annotated[int | None, typer.Option("--segment", help="Only members of this segment.")]


def _read_options(given: list[str]) -> dict[str, Any]:
    """``key=value`` as options; a value is JSON where it can be read as such, else a text."""
    found: dict[str, Any] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals:
            raise ConfigurationError([Mistake("--option", f"{one!r:.80} is not KEY=VALUE")], "the command")
        try:
            read = json.loads(value)
        except ValueError:
            read = value
        found[key] = read if isinstance(read, int | bool | float) else value
    return found


@destination_app.command("add")
def add_destination(
    instance_id: IdArgument,
    name: Annotated[str, typer.Argument(help="What it is called.")],
    kind: Annotated[str, typer.Option("--kind", help="Which kind of place.")] = "file",
    option: Annotated[list[str] | None, typer.Option("--option", help="KEY=VALUE of that kind; repeatable.")] = None,
    segment: SegmentOption = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Push only when asked.")] = False,
    workspace: WorkspaceOption = Path(),
) -> None:
    """Save a place that every later run is pushed to."""
    with opened(workspace) as found:
        row = found.destinations.create(
            instance_id, name, kind, _read_options(option or []), segment_id=segment, enabled=not disabled
        )
    when = "runs are pushed there when you ask" if disabled else "every run is pushed there from now on"
    tell(f"destination {row.id} of {instance_id}: {when}")


@destination_app.command("list")
def list_destinations(
    instance_id: IdArgument, workspace: WorkspaceOption = Path(), as_json: JsonOption = False
) -> None:
    """The destinations of an instance, and what came of the last push to each."""
    with opened(workspace, as_json) as found:
        rows = found.destinations.all(instance_id)
        document = _destinations_document(rows, found.destinations.last([row.id for row in rows]))
    if as_json:
        out.print_json(json.dumps(document))
    else:
        tell(_destinations_text(document))


@destination_app.command("push")
def push(number: NumberArgument, workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Push the newest run now."""
    with opened(workspace, as_json) as found:
        done = found.pushing.work(found.pushing.ask(number).id)
        if done.state != "succeeded" and done.error is not None:
            raise error_of(done.error)
        document = _push_document(done)
    if as_json:
        out.print_json(json.dumps(document))
    else:
        tell(_push_text(document))


@destination_app.command("try")
def try_destination(number: NumberArgument, workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Do with a few rows what a push needs, and leave the place as it was."""
    with opened(workspace, as_json) as found:
        tried = found.pushing.rehearse_saved(number)
    if as_json:
        out.print_json(json.dumps({"says": list(tried.says), "shown": tried.shown}))
    else:
        tell("\n".join([*tried.says, *filter(None, [tried.shown.rstrip()])]))


@destination_app.command("remove")
def remove_destination(number: NumberArgument, keep: KeepOption = False, workspace: WorkspaceOption = Path()) -> None:
    """Remove a destination, and take back what it was given."""
    with opened(workspace) as found:
        found.pushing.remove(number, keep=keep)
    tell(f"destination {number} is removed; " + ("what it was given stays" if keep else "what it was given is, too"))


def export(
    instance_id: Annotated[
        str | None, typer.Argument(help="The instance's id: its file's name without .yaml. --schema needs none.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="A file (.csv, .parquet, .jsonl, also .gz), or postgresql://...")
    ] = None,
    segment: SegmentOption = None,
    where: Annotated[str | None, typer.Option("--where", help="Only profiles of whom this rule holds.")] = None,
    table: Annotated[str | None, typer.Option("--table", help="The table, where it goes to PostgreSQL.")] = None,
    schema: Annotated[
        str | None,
        typer.Option("--schema", help="Print the JSON schema of xdm-profile or xdm-event, and write nothing."),
    ] = None,
    option: Annotated[list[str] | None, typer.Option("--option", help="KEY=VALUE of that form; repeatable.")] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write the scores of the newest run to a file or a table, once."""
    try:
        _gate_export(instance_id, to, schema)
        if schema is not None and instance_id is None:
            out.print_json(json.dumps(_schema_document(None, schema, option or [])))
            return
    except PropendError as error:
        fail(error, as_json)
    with opened(workspace, as_json) as found:
        known = found.instances.get(str(instance_id)).id
        if schema is not None:
            out.print_json(json.dumps(_schema_document(known, schema, option or [])))
            return
        done = found.pushing.export(known, str(to), segment_id=segment, where=where, table=table)
    if as_json:
        out.print_json(json.dumps(done))
    else:
        tell(_exported_text(done))


def _gate_export(instance_id: str | None, to: str | None, schema: str | None) -> None:
    """Refuse what does not say where to, or of what; all that is wrong at once."""
    mistakes = []
    if (to is None) == (schema is None):
        problem = "one of them is needed: a place to write to, or the form of XDM whose JSON schema is printed"
        mistakes.append(Mistake("--to, --schema", problem))
    if instance_id is None and schema is None:
        problem = "which instance's scores? name its id; `propend list` shows those of a workspace"
        mistakes.append(Mistake("ID", problem))
    if mistakes:
        raise ConfigurationError(mistakes, "the command")


def _schema_document(instance_id: str | None, kind: str, given: list[str]) -> dict[str, Any]:
    """The JSON schema of a row of a form of XDM; ``kind`` and ``given`` as for a destination."""
    from propend.exports import options_of  # noqa: PLC0415
    from propend.exports.xdm import FORMS, schema_of  # noqa: PLC0415

    if kind not in FORMS:
        problem = f"{kind!r:.80} has no schema; there are: {', '.join(FORMS)}"
        raise ConfigurationError([Mistake("--schema", problem)], "the command")
    return schema_of(FORMS[kind], options_of(kind, _read_options(given)), instance_id)


# --- what is printed ------------------------------------------------------------------------------------------


def _push_document(row: PushRow) -> dict[str, Any]:
    """A push as plain data."""
    counts = {name: getattr(row, name) for name in ("rows", "added", "updated", "retracted")}
    ended = row.finished_at.isoformat() if row.finished_at else None
    error = (row.error or {}).get("message")
    return {"id": row.id, "run": row.run_id, "what": row.what, "state": row.state, **counts, "finished_at": ended,
            "error": error}  # fmt: skip


def _push_text(push: dict[str, Any]) -> str:
    """What a push did, in a line."""
    return f"run {push['run']}: {_counted(push)}"


def _counted(push: dict[str, Any]) -> str:
    if push["state"] != "succeeded":
        return f"{push['state']}: {push['error']}" if push["error"] else str(push["state"])
    parts = [f"{push['rows']:,} rows"] if push["what"] == "push" else ["taken back"]
    parts += [f"{push[name]:,} {name}" for name in ("added", "updated", "retracted") if push[name] is not None]
    return ", ".join(parts)


def _destinations_document(rows: Sequence[DestinationRow], last: Mapping[int, PushRow]) -> list[dict[str, Any]]:
    """Destinations as plain data, each with its last push."""
    from propend.workspace.destinations import shown  # noqa: PLC0415

    return [
        {"id": row.id, **shown(row), "last": _push_document(last[row.id]) if row.id in last else None} for row in rows
    ]


def _destinations_text(found: Sequence[dict[str, Any]]) -> str:
    """The same as a table."""
    if not found:
        return "no destinations yet; `propend destination add INSTANCE NAME --kind KIND` saves the first one"
    from propend.screen import left_text  # noqa: PLC0415

    rows = [("id", "name", "kind", "profiles", "pushed", "last push")]
    for one in found:
        whom = "all" if one["segment"] is None else f"segment {one['segment']}"
        when = "after every run" if one["enabled"] else "when asked"
        rows.append(
            (str(one["id"]), one["name"], one["kind"], whom, when, _counted(one["last"]) if one["last"] else "–")
        )
    return left_text(rows, 0)


def _exported_text(done: dict[str, Any]) -> str:
    """What one export wrote."""
    return f"{done['rows']:,} rows of run {done['run']} are in {done['to']}"
