"""Commands about segments: saved rules over the scores of an instance, and rules over the scores in a run's folder."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from propend.cli.screen import JsonOption, fail, out, tell
from propend.cli.workspace import WorkspaceOption, opened
from propend.errors import ConfigurationError, Mistake, OutputExistsError, PropendError, WriteFailedError

if TYPE_CHECKING:
    from propend.segments import Rule
    from propend.server.serving import Serving
    from propend.store.catalog import SegmentRow
    from propend.workspace.score_file import ScoreFile
    from propend.workspace.segments import Segments

segment_app = typer.Typer(help="Rules over scores, and whom they mean.", no_args_is_help=True)
NumberArgument = Annotated[
    int, typer.Argument(metavar="ID", help="The segment's id, as `propend segment list` has it.")
]
ChangeOption = Annotated[
    str | None, typer.Option("--change", help="Ids of those who joined, stayed or left by the newest run, or any.")
]
CHANGES = ("joined", "stayed", "left")
CHANGES_AT_ONCE = 10_000
OutOption = Annotated[Path | None, typer.Option("--out", help="A new file: .csv, .parquet or .arrow.")]


@contextmanager
def _opened(home: Path, as_json: bool = False) -> Iterator[tuple[Segments, Serving]]:
    """The segments of a workspace, and the scores that they are of."""
    from propend.server.serving import Serving  # noqa: PLC0415
    from propend.workspace.segments import Segments  # noqa: PLC0415

    with opened(home, as_json) as workspace:
        yield Segments(workspace.catalog, workspace.instances), Serving(workspace)


@segment_app.command("create")
def create_segment(
    instance_id: Annotated[str, typer.Argument(help="Of whose scores.")],
    name: Annotated[str, typer.Argument(help="By which others find it.")],
    where: Annotated[str, typer.Argument(help="The rule.")],
    home: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Save a rule over the scores of an instance."""
    with _opened(home, as_json) as (segments, serving):
        serving.gate(instance_id, _rule(where))
        _show([_document(segments.create(instance_id, name, where), serving)], as_json, alone=True)


@segment_app.command("list")
def list_segments(
    instance_id: Annotated[str | None, typer.Argument(help="Of one instance; of all otherwise.")] = None,
    home: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Segments with their rules, and how many profiles they have."""
    from propend.server.serving import Serving  # noqa: PLC0415
    from propend.workspace.segments import Segments  # noqa: PLC0415

    with opened(home, as_json) as workspace:
        segments, serving = Segments(workspace.catalog, workspace.instances), Serving(workspace)
        known = [instance_id] if instance_id is not None else [row.id for row in workspace.instances.all()]
        _show([_document(row, serving) for i in known for row in segments.every(i)], as_json)


@segment_app.command("show")
def show_segment(
    segment_id: NumberArgument,
    history: Annotated[bool, typer.Option("--history", help="Run by run: members, joined, left, expected.")] = False,
    home: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """One segment: its rule, and how many profiles it has; or its history."""
    if history:
        _history(segment_id, home, as_json)
        return
    with _opened(home, as_json) as (segments, serving):
        _show([_document(segments.get(segment_id), serving)], as_json, alone=True)


@segment_app.command("members")
def members(
    segment_id: NumberArgument, to: OutOption = None, change: ChangeOption = None, home: WorkspaceOption = Path()
) -> None:
    """The scores of a segment's profiles, as CSV on standard output or in a file; or who joined, stayed or left."""
    if change is not None:
        _changes(segment_id, change, to, home)
        return
    with _opened(home) as (segments, serving):
        row = segments.get(segment_id)
        _write(serving.of(row.instance_id), _rule(row.where), to)


@segment_app.command("change")
def change_segment(
    segment_id: NumberArgument,
    name: Annotated[str | None, typer.Option("--name", help="Another name.")] = None,
    where: Annotated[str | None, typer.Option("--where", help="Another rule.")] = None,
    home: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Give a segment another name or rule."""
    with _opened(home, as_json) as (segments, serving):
        row = segments.get(segment_id)
        rule = where if where is not None else row.where
        serving.gate(row.instance_id, _rule(rule))
        changed = segments.change(segment_id, name if name is not None else row.name, rule)
        _show([_document(changed, serving)], as_json, alone=True)


@segment_app.command("delete")
def delete_segment(segment_id: NumberArgument, home: WorkspaceOption = Path()) -> None:
    """Remove a segment; the scores stay."""
    from propend.workspace.segments import Segments  # noqa: PLC0415

    with opened(home) as workspace:
        row = Segments(workspace.catalog, workspace.instances).get(segment_id)
        workspace.membership.remove(segment_id)
    tell(f"segment {segment_id}, {row.name!r}, is removed")


@segment_app.command("take")
def take(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a folder with runs in it.")],
    where: Annotated[str, typer.Option("--where", help="The rule.")],
    to: OutOption = None,
) -> None:
    """The scores in a run's folder of those whom a rule means; no workspace is needed."""
    from propend.store.runs import latest_run  # noqa: PLC0415
    from propend.workspace.score_file import ScoreFile  # noqa: PLC0415

    try:
        _write(ScoreFile.open(latest_run(run).folder), _rule(where), to)
    except PropendError as error:
        fail(error, False)


def _history(segment_id: int, home: Path, as_json: bool) -> None:
    from propend.screen.listing import memberships_text  # noqa: PLC0415

    with opened(home, as_json) as workspace:
        rows = workspace.membership.history(segment_id)
        names = ("at", "where", "members", "joined", "left", "expected", "expected_low", "expected_high")
        found = [{"run": row.run_id, **{name: getattr(row, name) for name in names}} for row in rows]
        if as_json:
            out.print_json(json.dumps(found, default=str))
        else:
            tell(memberships_text(found))


def _changes(segment_id: int, change: str, to: Path | None, home: Path) -> None:
    """Ids with what became of each, as CSV, a page at a time; the command holds no more of them."""
    if to is not None:
        raise typer.BadParameter("--out takes scores; send what --change prints to a file.", param_hint="--out")
    wanted = None if change == "any" else change
    with opened(home) as workspace:
        if wanted is not None and wanted not in CHANGES:
            problem = f"there is no change {change!r}; there are: any, {', '.join(CHANGES)}"
            raise ConfigurationError([Mistake("--change", problem)], "the command")
        _, found = workspace.membership.page(segment_id, wanted, None, CHANGES_AT_ONCE)
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow(["profile_id", "change"])
        while found:
            table.writerows([one["profile_id"], one["change"]] for one in found)
            _, found = workspace.membership.page(segment_id, wanted, found[-1]["profile_id"], CHANGES_AT_ONCE)


def _rule(where: str) -> Rule:
    from propend.segments import Rule  # noqa: PLC0415

    return Rule.read(where)


def _document(row: SegmentRow, serving: Serving) -> dict[str, Any]:
    named = {name: getattr(row, name) for name in ("id", "name", "where", "created_at", "created_by")}
    return {"instance": row.instance_id, "sentence": _rule(row.where).sentence, **named, **asdict(serving.counted(row))}


def _show(found: list[dict[str, Any]], as_json: bool, alone: bool = False) -> None:
    from propend.screen.listing import segments_text  # noqa: PLC0415

    if as_json:
        out.print_json(json.dumps(found[0] if alone else found, default=str))
    else:
        tell(segments_text(found))


def _write(scores: ScoreFile, rule: Rule, to: Path | None) -> None:
    """What a rule means, as CSV on standard output, or in a file that was not there, whole or not at all.

    Raises:
        ConfigurationError: the end of the file's name says no form that there is.
        OutputExistsError: there is such a file.
        WriteFailedError: it cannot be written.
    """
    from propend.server.serving import MEDIA, stream  # noqa: PLC0415
    from propend.writing import whole_file  # noqa: PLC0415

    scores.gate(rule)
    if to is None:
        for part in stream(scores, rule, "csv"):
            sys.stdout.write(part.decode())
        return
    form = to.suffix.removeprefix(".")
    if form not in MEDIA:
        ends = ", ".join(f".{name}" for name in MEDIA)
        raise ConfigurationError([Mistake("--out", f"{to.name!r} ends in none of {ends}")], "the command")
    if to.exists():
        raise OutputExistsError(f"{to.name!r} is there already.", "name another --out file.", path=str(to))
    try:
        with whole_file(to) as file:
            file.writelines(stream(scores, rule, form))
    except OSError as error:
        raise WriteFailedError(
            f"{to.name!r} cannot be written: {error.strerror}.", "name another --out file."
        ) from None
    tell(f"{scores.count(rule):,} profiles in {to}")
