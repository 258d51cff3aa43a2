"""What goes over the wire about destinations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from propend.document import without_passwords
from propend.server.shapes import Asked, Refusal, Shape
from propend.store.catalog import DestinationRow, PushRow

Plain = dict[str, Any]
Name = Annotated[str, Field(min_length=1, max_length=200, examples=["CRM, every night"])]
OptionsOf = Annotated[
    Plain,
    Field(description="What its kind is told; of secrets only names.", examples=[{"format": "csv", "gzip": True}]),
]
Segment = Annotated[
    int | None, Field(ge=1, le=2_000_000_000, description="Only members of this segment; null: everybody.")
]
Enabled = Annotated[bool, Field(description="Whether every run is pushed by itself.")]


class DestinationBody(Asked):
    """A place that scores are pushed to."""

    name: Name
    kind: Annotated[str, Field(min_length=1, max_length=60, examples=["file"])]
    options: OptionsOf = {}  # noqa: RUF012  pydantic copies it
    segment: Segment = None
    enabled: Enabled = True


class DestinationChange(Asked):
    """What a destination is from now on; its kind stays."""

    name: Name
    options: OptionsOf
    segment: Segment = None
    enabled: Enabled = True


class PushOut(Shape):
    """A push of a run, or a retraction."""

    id: int
    run: Annotated[str, Field(examples=["20260301T040000-1f2e3d"])]
    what: Annotated[str, Field(description="`push`, `retract`, or `expire`: a retraction of scores that had expired")]
    state: Annotated[
        str,
        Field(
            description="`waiting` (until `due_at`), `running`, `succeeded`, `failed`, or `superseded` by a newer one"
        ),
    ]
    tries: int
    due_at: datetime | None
    asked_by: str
    asked_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    rows: int | None
    added: Annotated[int | None, Field(description="null where nobody can tell")]
    updated: int | None
    retracted: int | None
    error: Annotated[Refusal | None, Field(description="of the last try")]

    @classmethod
    def of(cls, row: PushRow) -> Self:
        """From its row."""
        named = {name: getattr(row, name) for name in cls.model_fields if name not in ("run", "error")}
        error = Refusal.model_validate(row.error) if row.error is not None else None
        return cls(run=row.run_id, error=error, **named)


class PushPage(Shape):
    """A page of pushes."""

    items: list[PushOut]
    next: str | None


class TriedOut(Shape):
    """What came of trying a place, of which nothing has stayed there."""

    says: Annotated[list[str], Field(description="in sentences")]
    shown: Annotated[str, Field(description="the rows as the place would have them, or what was sent")]


class DestinationOut(Shape):
    """A place that scores are pushed to, and what came of the last push."""

    id: int
    instance: Annotated[str, Field(examples=["buyers"])]
    name: Name
    kind: Annotated[str, Field(examples=["file"])]
    options: OptionsOf
    segment: int | None
    enabled: bool
    created_at: datetime
    created_by: str
    changed_at: datetime
    changed_by: str
    last: Annotated[PushOut | None, Field(description="null before the first")]

    @classmethod
    def of(cls, row: DestinationRow, last: PushRow | None) -> Self:
        """From its row, and that of its last push."""
        named = ("id", "name", "kind", "enabled", "created_at", "created_by", "changed_at", "changed_by")
        return cls(
            instance=row.instance_id, segment=row.segment_id, options=without_passwords(row.options),
            last=PushOut.of(last) if last is not None else None, **{name: getattr(row, name) for name in named},
        )  # fmt: skip


class DestinationPage(Shape):
    """A page of destinations."""

    items: list[DestinationOut]
    next: str | None
