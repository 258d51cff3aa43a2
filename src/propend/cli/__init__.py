"""The command line: one command per verb; it prints and exits, the work is elsewhere."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from propend.cli import workspace as workspace_commands
from propend.cli.destinations import destination_app, export
from propend.cli.doctor import doctor
from propend.cli.examples import illustrate
from propend.cli.people import token_app, user_app
from propend.cli.screen import JsonOption, err, fail, out, show_error, tell
from propend.cli.segments import segment_app
from propend.errors import ColumnNotFoundError, ConfigurationError, Mistake, PropendError, told_of
from propend.version import __version__

app = typer.Typer(
    name="propend",
    help="How likely is each of your customers to buy, renew or leave, and why.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
InstanceArgument = Annotated[Path, typer.Argument(help="The instance document (YAML or JSON).")]
DataOption = Annotated[str | None, typer.Option("--data", help="A folder or file in place of the instance's own.")]
AsOfOption = Annotated[
    str | None, typer.Option("--as-of", help="Stand at this date (2011-08-01): nothing from it on is read.")
]
EngineOption = Annotated[str, typer.Option("--engine", help="Which engine reads the data.")]
MemoryOption = Annotated[str | None, typer.Option("--memory", help="The engine's memory budget, such as 4GB.")]
RunArgument = Annotated[Path, typer.Option("--run", help="A run's folder, or a folder with runs in it.")]


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str], None] | None]:
    """Names of the stages as they begin; silent when nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    stages = ["starting"]
    with err.status("starting") as status:
        from propend.compiling import told_of_compiling  # noqa: PLC0415

        def show(doing: str = "") -> None:
            status.update(f"{stages[-1]} …{doing}")

        def begun(stage: str) -> None:
            stages.append(stage)
            show()

        with told_of_compiling(lambda part: show(f" compiling, at first use (part {part})"), show):
            yield begun


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"propend {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """State a goal; get calibrated, explained scores for every customer."""


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put the two runs.")] = Path("propend-demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Only the first of the two instances.")] = False,
) -> None:
    """The main job on shipped real data: two instances, scored and explained."""
    from propend import pipeline  # noqa: PLC0415
    from propend.demo import instance_texts, orders_path  # noqa: PLC0415
    from propend.screen import running  # noqa: PLC0415

    names = list(instance_texts())[: 1 if quick else None]
    tell("Real data: orders of a British gift shop, 2009 to 2011 (UCI Online Retail II, CC BY 4.0).")
    for position, name in enumerate(names, 1):
        tell(running.demo_head(name, position, len(names)))
        document = orders_path().with_name(f"{name}.yaml")
        try:
            with _progress(False) as progress:
                finished = pipeline.run(document, out=folder / name, progress=progress)
        except PropendError as error:
            fail(error, False)
        tell(running.run_text(finished))
    tell(running.demo_end(finished))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The workspace to make.")],
    data: Annotated[str | None, typer.Option("--data", help="Your events: a file, glob, folder or address.")] = None,
    profile: Annotated[str | None, typer.Option("--profile", help="Column of the profile's id.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="Column of the event's time.")] = None,
    event: Annotated[str | None, typer.Option("--event", help="Column of the event's kind.")] = None,
    value: Annotated[str | None, typer.Option("--value", help="Column of amounts.")] = None,
) -> None:
    """A workspace, with a first instance proposed from a look at your data."""
    from propend.proposal import propose  # noqa: PLC0415
    from propend.screen.checking import after_init, proposal_text  # noqa: PLC0415
    from propend.workspace.first import write_workspace  # noqa: PLC0415

    named = {"profile": profile, "at": at, "event": event, "value": value}
    columns = {role: column for role, column in named.items() if column is not None}
    try:
        with _progress(False) as progress:
            if progress:
                progress("looking at the data")
            proposal = propose(data, folder, columns) if data is not None else None
            written = write_workspace(folder, proposal)
    except ColumnNotFoundError as error:
        if error.facts.get("role") in named:
            error.hint += f" Here it is named by --{error.facts['role']} COLUMN."
        fail(error, False)
    except PropendError as error:
        fail(error, False)
    if proposal:
        tell(proposal_text(proposal))
    for path in written:
        tell(f"wrote {path}")
    tell(after_init(folder, proposal, written))


@app.command()
def check(
    instance: InstanceArgument,
    data: DataOption = None,
    as_of: AsOfOption = None,
    engine: EngineOption = "duckdb",
    as_json: JsonOption = False,
) -> None:
    """What a definition means, before any training: funnel, outcomes, example profiles, warnings."""
    from propend import pipeline  # noqa: PLC0415
    from propend.screen.checking import check_text  # noqa: PLC0415
    from propend.workspace import protection_near  # noqa: PLC0415

    try:
        with _progress(as_json) as progress:
            near = protection_near(instance)
            found = pipeline.check(instance, data=data, as_of=as_of, engine=engine, progress=progress, protection=near)
    except PropendError as error:
        fail(error, as_json)
    if as_json:
        out.print_json(json.dumps(found.to_dict(), default=str))
    else:
        tell(check_text(found.to_dict()))
    if not found.ready:
        raise typer.Exit(3)


@app.command()
def run(
    instance: Annotated[Path, typer.Argument(help="The instance document, or the id of one in the workspace.")],
    data: DataOption = None,
    as_of: AsOfOption = None,
    folder: Annotated[Path | None, typer.Option("--out", help="Folder for the run.")] = None,
    engine: EngineOption = "duckdb",
    memory: MemoryOption = None,
    workspace: workspace_commands.WorkspaceOption = Path(),
    kind: Annotated[str, typer.Option("--kind", help="In a workspace: auto, train or score.")] = "auto",
    mirror: Annotated[
        Path | None, typer.Option("--mirror", help="Folder where rows of incremental sources are kept from run to run.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Read incremental sources as a whole again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Data to explained scores: train, prove on a later period, score every eligible profile, report."""
    from propend import pipeline  # noqa: PLC0415
    from propend.protection import Mirrors  # noqa: PLC0415
    from propend.workspace import protection_near  # noqa: PLC0415

    within = workspace_commands.instance_of(instance, workspace)
    if within is not None and folder is None and data is None and mirror is None:
        options: dict[str, Any] = {"as_of": as_of, "engine": engine, "memory": memory, "full": full or None}
        workspace_commands.run_in(
            *within, kind, {k: v for k, v in options.items() if v not in (None, "duckdb")}, as_json
        )
        return
    full_since = datetime.now(UTC) if full else None

    def work(progress: Callable[[str], None] | None) -> Any:
        near = protection_near(instance)
        if mirror is not None:
            near = replace(near, mirrors=Mirrors(mirror, full_since, forgotten=lambda: near.forgotten))
        return pipeline.run(
            instance, data=data, as_of=as_of, out=folder, engine=engine, memory=memory, progress=progress,
            protection=near,
        )  # fmt: skip

    _run_and_show(work, as_json)


@app.command()
def train(
    instance: InstanceArgument,
    folder: Annotated[Path, typer.Option("--out", help="Folder for the model.")],
    data: DataOption = None,
    as_of: AsOfOption = None,
    engine: EngineOption = "duckdb",
    memory: MemoryOption = None,
) -> None:
    """Train and prove only; `propend score` uses the model later."""
    from propend import pipeline  # noqa: PLC0415
    from propend.workspace import protection_near  # noqa: PLC0415

    try:
        with _progress(False) as progress:
            written = pipeline.train(
                instance, data=data, as_of=as_of, out=folder, engine=engine, memory=memory, progress=progress,
                protection=protection_near(instance),
            )  # fmt: skip
    except PropendError as error:
        fail(error, False)
    tell(f"model in {written}")
    tell(f"next: propend score {written} --out scores")


@app.command()
def score(
    model: Annotated[Path, typer.Argument(help="Folder of a run or of `propend train`.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for the scores.")],
    data: DataOption = None,
    as_of: AsOfOption = None,
    engine: EngineOption = "duckdb",
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score now with a trained model, without training again."""
    from propend import pipeline  # noqa: PLC0415
    from propend.workspace import protection_near  # noqa: PLC0415

    def work(progress: Callable[[str], None] | None) -> Any:
        return pipeline.score(
            model, data=data, as_of=as_of, out=folder, engine=engine, memory=memory, progress=progress,
            protection=protection_near(model),
        )  # fmt: skip

    _run_and_show(work, as_json)


@app.command()
def evaluate(
    folders: Annotated[list[Path], typer.Argument(help="Folders of runs, or with runs in them.", metavar="FOLDER...")],
    data: DataOption = None,
    as_of: AsOfOption = None,
    challenger: Annotated[
        Path | None, typer.Option("--challenger", help="A run or model to compare with the newest run's.")
    ] = None,
    margin: Annotated[float, typer.Option("--margin", help="Share of log loss a challenger must save.")] = 0.005,
    folder: Annotated[Path | None, typer.Option("--out", help="Folder for aftermath.json and aftermath.html.")] = None,
    engine: EngineOption = "duckdb",
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """After the window: what came of finished runs, beside what they expected; champion against challenger."""
    from propend import pipeline  # noqa: PLC0415
    from propend.screen.running import aftermath_text  # noqa: PLC0415
    from propend.workspace import protection_near  # noqa: PLC0415

    try:
        with _progress(as_json) as progress:
            found = pipeline.evaluate(
                folders, data=data, as_of=as_of, challenger=challenger, margin=margin, out=folder, engine=engine,
                memory=memory, progress=progress, protection=protection_near(folders[0]),
            )  # fmt: skip
    except PropendError as error:
        fail(error, as_json)
    if as_json:
        out.print_json(json.dumps(found.to_dict(), default=str))
    else:
        tell(aftermath_text(found.to_dict(), folder))


def _run_and_show(work: Callable[[Callable[[str], None] | None], Any], as_json: bool) -> None:
    from propend.screen.running import run_text  # noqa: PLC0415

    try:
        with _progress(as_json) as progress:
            finished = work(progress)
    except PropendError as error:
        fail(error, as_json)
    if as_json:
        document = {"folder": str(finished.folder), "run": finished.record, "evaluation": finished.evaluation}
        out.print_json(json.dumps(document, default=str))
    else:
        tell(run_text(finished))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder, or a folder with runs in it.")] = Path(),
    to: Annotated[Path | None, typer.Option("--out", help="Where to write the page.")] = None,
) -> None:
    """Write the report of a finished run again: one offline HTML file."""
    from propend import pipeline  # noqa: PLC0415

    try:
        finished = pipeline.Run.load(folder)
        path = to or finished.folder / "report.html"
        finished.report().save(path)
    except PropendError as error:
        fail(error, False)
    tell(str(path))


@app.command()
def explain(
    profile_id: Annotated[str, typer.Argument(help="The profile's id, as in your data.")],
    folder: RunArgument = Path(),
    since: Annotated[Path | None, typer.Option(help="An earlier run: what moved the profile since then.")] = None,
    beside: Annotated[str | None, typer.Option(help="Another profile: what sets the two apart.")] = None,
    as_json: JsonOption = False,
) -> None:
    """One profile's probability, score and the factors behind them; or what moved it, or sets it apart."""
    from propend import pipeline  # noqa: PLC0415
    from propend.screen import zone_of  # noqa: PLC0415
    from propend.screen.profiles import difference_text, profile_text  # noqa: PLC0415

    if since is not None and beside is not None:
        fail(
            ConfigurationError([Mistake("--since, --beside", "only one of the two can be asked for at a time")]),
            as_json,
        )
    try:
        finished = pipeline.Run.load(folder)
        if since is not None:
            found = finished.moved(profile_id, pipeline.Run.load(since))
        elif beside is not None:
            found = finished.beside(beside, profile_id)
        else:
            found = finished.explain(profile_id)
    except PropendError as error:
        fail(error, as_json)
    if as_json:
        out.print_json(json.dumps(found, default=str))
    elif since is not None or beside is not None:
        tell(difference_text(found, zone_of(finished.record)))
    else:
        tell(profile_text(found, zone_of(finished.record)))


@app.command()
def moved(
    since: Annotated[Path, typer.Option(help="The earlier run's folder.")],
    folder: RunArgument = Path(),
    as_json: JsonOption = False,
) -> None:
    """What moved from an earlier run to this one: buckets, everybody, who moved most, factors that count otherwise."""
    from propend import pipeline  # noqa: PLC0415
    from propend.screen import zone_of  # noqa: PLC0415
    from propend.screen.profiles import movement_text  # noqa: PLC0415

    try:
        finished = pipeline.Run.load(folder)
        found = finished.movement(pipeline.Run.load(since))
    except PropendError as error:
        fail(error, as_json)
    if as_json:
        out.print_json(json.dumps(found, default=str))
    else:
        tell(movement_text(found, zone_of(finished.record)))


@app.command(name="compile")
def compile_() -> None:
    """Compile now what the first run would compile, by a run on shipped data that is thrown away."""
    from propend import pipeline  # noqa: PLC0415
    from propend.compiling import told_of_compiling  # noqa: PLC0415
    from propend.demo import instance_texts, orders_path  # noqa: PLC0415
    from propend.screen.running import compiled_text  # noqa: PLC0415

    started, parts = time.perf_counter(), [0]
    document = orders_path().with_name(f"{next(iter(instance_texts()))}.yaml")
    try:
        with tempfile.TemporaryDirectory() as folder, _progress(False) as progress, told_of_compiling(parts.append):
            pipeline.run(document, out=Path(folder) / "run", progress=progress)
    except PropendError as error:
        fail(error, False)
    tell(compiled_text(parts[-1], time.perf_counter() - started))


@app.command(name="list")
def list_(
    folder: Annotated[Path, typer.Argument(help="A workspace, or a folder with runs in it.")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Instances and finished runs in a folder, newest first."""
    from propend.screen.listing import list_document, list_text  # noqa: PLC0415

    try:
        found = list_document(folder)
    except PropendError as error:
        fail(error, as_json)
    if as_json:
        out.print_json(json.dumps(found, default=str))
    else:
        tell(list_text(found))


@app.command()
def connectors(as_json: JsonOption = False) -> None:
    """What can be read: connectors, the packages they are from, and which of them cannot be used."""
    from propend.screen.listing import connectors_document, connectors_text  # noqa: PLC0415

    found = connectors_document()
    if as_json:
        out.print_json(json.dumps(found))
    else:
        tell(connectors_text(found))


for _command in workspace_commands.COMMANDS:
    app.command()(_command)


@app.command()
def serve(
    workspace: Annotated[Path, typer.Option("--workspace", help="The workspace's folder.")] = Path(),
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Nobody logs in; on loopback only.")] = False,
    json_logs: Annotated[bool, typer.Option("--json-logs", help="Logs as lines of JSON.")] = False,
) -> None:
    """Serve a workspace: REST, schedules and runs, until told to end."""
    try:
        from propend.server.memory import give_back, one_allocator  # noqa: PLC0415

        give_back()
        with one_allocator():
            from propend.server.listening import serve as listen  # noqa: PLC0415
    except ModuleNotFoundError as error:
        mistake = Mistake("propend serve", f"the server needs {error.name}: pip install 'propend[server]'")
        fail(ConfigurationError([mistake], "the installation"), False)
    try:
        listen(
            workspace, host, port, access=not no_auth, json_logs=json_logs,
            told=tell,
        )  # fmt: skip
    except PropendError as error:
        fail(error, False)


app.command()(doctor)
app.command()(export)
app.add_typer(destination_app, name="destination")
app.add_typer(user_app, name="user")
app.add_typer(token_app, name="token")
app.add_typer(segment_app, name="segment")
illustrate(app)


def main() -> None:
    """The console entry point; what nobody expected is told in a line, with its traceback if PROPEND_DEBUG is set."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception as error:
        if os.environ.get("PROPEND_DEBUG", "0") not in ("", "0"):
            raise
        told = told_of(error)
        show_error(told, "--json" in sys.argv)
        sys.exit(told.exit_status)
