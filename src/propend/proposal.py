"""A first instance for data never seen before: columns guessed and announced, a goal proposed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from propend.engines import connect
from propend.errors import OutputExistsError, WriteFailedError
from propend.events import OpenedEvents
from propend.goal import Did, Eligibility, Goal, Group, NamedEvent
from propend.instance import Columns, Data, Instance, Options, Source

GOAL_WORDS = (
    "purchase", "order", "buy", "bought", "transaction", "sale", "checkout", "payment", "subscribe",
    "subscription", "renew", "booking", "reservation", "stay", "donation", "signup", "commit",
)  # fmt: skip
"""Kinds of event a business usually wants more of, the likeliest first."""
WINDOW_DAYS = 30
LOOKBACK_DAYS = 90
INSTANCE_FILE = "first.yaml"
WORKSPACE_FILE = "propend.toml"


@dataclass(frozen=True)
class Proposal:
    """A first instance and what was seen on the way to it.

    Attributes:
        instance: to be read, corrected and run.
        opened: the kinds and columns that were recognised.
        notes: sentences to be shown: what was guessed and why.
    """

    instance: Instance
    opened: OpenedEvents
    notes: tuple[str, ...]


def propose(data: str | Path, home: Path) -> Proposal:
    """Look at a file, glob or folder and propose an instance for it.

    Args:
        data: where the events are.
        home: the folder the document will stand in; the path is written relative to it where possible.

    Raises:
        SourceNotFoundError, SourceUnreadableError, ColumnNotFoundError: as when reading.
    """
    path = Path(data).absolute()
    source = Source(path=_relative(path, home.absolute()))
    with connect() as session:
        opened = session.open(Data(events=(source,)), home.absolute())
    facts = opened.sources[0]
    roles = {role: column for role, column in facts.columns.items() if role in Columns.model_fields}
    goal_kind = _goal_kind(opened)
    events = {goal_kind: NamedEvent(kinds=(goal_kind,))}
    instance = Instance(
        name=f"{goal_kind.replace('_', ' ').capitalize()} within {WINDOW_DAYS} days",
        type="conversion",
        data=Data(events=(source,), columns=Columns(**roles)),
        events=events,
        goal=Goal(group=Group(combinator="any_of", items=(Did(did=goal_kind),)), within_days=WINDOW_DAYS),
        eligible=Eligibility(group=Group(combinator="all_of", items=(Did(did="anything", within_days=LOOKBACK_DAYS),))),
        options=Options(),
    )
    notes = [
        f"{role}: column {column!r}" + (" (guessed)" if role in facts.guessed else "") for role, column in roles.items()
    ]
    total = sum(opened.kinds.values())
    kinds = ", ".join(f"{k} ({n:,})" for k, n in list(opened.kinds.items())[:12])
    notes.append(f"{len(opened.kinds)} kinds among {total:,} events: {kinds}")
    notes.append(f"goal proposed: {goal_kind!r} within {WINDOW_DAYS} days; change it to what matters to you")
    return Proposal(instance, opened, tuple(notes))


def _relative(path: Path, home: Path) -> str:
    try:
        return str(path.relative_to(home))
    except ValueError:
        return str(path)


def _goal_kind(opened: OpenedEvents) -> str:
    for word in GOAL_WORDS:
        for kind in opened.kinds:
            if word in kind.lower():
                return kind
    return next(iter(opened.kinds), "event")


def write_workspace(home: Path, proposal: Proposal | None) -> list[Path]:
    """Make a workspace folder, with a first instance if one was proposed; gives the files written.

    Raises:
        OutputExistsError: the instance file is there already.
        WriteFailedError: the folder cannot be written.
    """
    target = home / "instances" / INSTANCE_FILE
    if target.exists():
        raise OutputExistsError(
            f"{target.name!r} is already in {target.parent.name!r}.",
            "name another folder, or edit that file.",
        )
    written = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        settings = home / WORKSPACE_FILE
        if not settings.exists():
            settings.write_text("# A propend workspace: instances/*.yaml, runs under .propend/\n", encoding="utf-8")
            written.append(settings)
        if proposal is not None:
            target.write_text(_document_text(proposal), encoding="utf-8")
            written.append(target)
    except OSError as error:
        raise WriteFailedError(
            f"The workspace {home.name!r} cannot be written: {error.strerror}.", "name another folder."
        ) from None
    return written


def _document_text(proposal: Proposal) -> str:
    comments = "\n".join(f"# {note}" for note in proposal.notes)
    instance = proposal.instance
    data = instance.data.model_copy(update={"folder": ".."})
    return f"{comments}\n{instance.model_copy(update={'data': data}).to_yaml()}"
