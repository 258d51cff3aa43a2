"""The saved segments of a workspace: rules over the scores of an instance (``propend.segments``), by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from propend.errors import InstanceNotFoundError, StatusError
from propend.segments import Members, Rule
from propend.store.catalog import Catalog, DestinationRow, SegmentRow, now
from propend.workspace.audit import LOCAL, note
from propend.workspace.instances import Instances

__all__ = ("Members", "Rule", "Segments")


class Segments:
    """The segments of a workspace."""

    def __init__(self, catalog: Catalog, instances: Instances) -> None:
        """Nothing is read yet."""
        self._catalog, self._instances = catalog, instances

    def all(self, instance_id: str, after: int = 0, limit: int = 1000) -> list[SegmentRow]:
        """Those of an instance, by id; only those whose id is greater than ``after``.

        Raises:
            InstanceNotFoundError: there is no such instance.
        """
        asked = select(SegmentRow).where(SegmentRow.instance_id == instance_id, SegmentRow.id > after)
        with self._catalog.reading() as session:
            self._instances.row(session, instance_id)
            return list(session.scalars(asked.order_by(SegmentRow.id).limit(limit)))

    def every(self, instance_id: str) -> Iterator[SegmentRow]:
        """All of an instance, however many they are; raises as ``all`` does."""
        page = self.all(instance_id)
        while page:
            yield from page
            page = self.all(instance_id, page[-1].id)

    def some(self, instance_ids: Sequence[str], after: int = 0, limit: int = 1000) -> list[SegmentRow]:
        """Those of several instances, as ``all`` gives them."""
        asked = select(SegmentRow).where(SegmentRow.instance_id.in_(instance_ids), SegmentRow.id > after)
        with self._catalog.reading() as session:
            return list(session.scalars(asked.order_by(SegmentRow.id).limit(limit)))

    def get(self, segment_id: int) -> SegmentRow:
        """One segment.

        Raises:
            InstanceNotFoundError: there is none of that id.
        """
        with self._catalog.reading() as session:
            return self._row(session, segment_id)

    def create(self, instance_id: str, name: str, where: str, by: str = LOCAL) -> SegmentRow:
        """Save a rule.

        Raises:
            ConfigurationError: the rule has mistakes.
            InstanceNotFoundError: there is no such instance.
            StatusError: the instance has a segment of that name.
            NotEnrichedError: its scores, or those of another instance that the rule speaks of, enrich no profiles.
        """
        elsewhere = Rule.read(where).elsewhere
        self._instances.gate_enriching(instance_id, *elsewhere)
        try:
            with self._catalog.writing() as session:
                for known in (instance_id, *elsewhere):
                    self._instances.row(session, known)
                found = SegmentRow(
                    instance_id=instance_id, name=name, where=where, created_at=now(), created_by=by
                )  # fmt: skip
                session.add(found)
                session.flush()
                note(session, by, "create", "segment", str(found.id), after=_plain(found))
                return found
        except IntegrityError:
            raise _taken(instance_id, name) from None

    def change(self, segment_id: int, name: str, where: str, by: str = LOCAL) -> SegmentRow:
        """Give a segment another name or rule; raises as ``create`` does."""
        elsewhere = Rule.read(where).elsewhere
        self._instances.gate_enriching(self.get(segment_id).instance_id, *elsewhere)
        instance_id = ""
        try:
            with self._catalog.writing() as session:
                for known in elsewhere:
                    self._instances.row(session, known)
                found = self._row(session, segment_id)
                instance_id, before = found.instance_id, _plain(found)
                found.name, found.where = name, where
                session.flush()
                note(session, by, "update", "segment", str(segment_id), before, _plain(found))
                return found
        except IntegrityError:
            raise _taken(instance_id, name) from None

    def remove(self, segment_id: int, by: str = LOCAL) -> None:
        """Remove a segment.

        Raises:
            InstanceNotFoundError: there is none of that id.
            StatusError: a destination pushes its members.
        """
        with self._catalog.writing() as session:
            found = self._row(session, segment_id)
            used = session.scalars(select(DestinationRow.name).where(DestinationRow.segment_id == segment_id)).first()
            if used is not None:
                raise StatusError(
                    f"The destination {used!r} pushes members of {found.name!r}.", "remove or change that one first."
                )
            note(session, by, "delete", "segment", str(segment_id), _plain(found))
            session.delete(found)

    def _row(self, session: Session, segment_id: int) -> SegmentRow:
        found = session.get(SegmentRow, segment_id)
        if found is None:
            raise InstanceNotFoundError(
                f"There is no segment {segment_id}.", "the segments of an instance are listed with it.",
                segment=segment_id,
            )  # fmt: skip
        self._instances.row(session, found.instance_id)  # not of one that is being removed
        return found


def _plain(row: SegmentRow) -> dict[str, Any]:
    return {"instance": row.instance_id, "name": row.name, "where": row.where}


def _taken(instance_id: str, name: str) -> StatusError:
    return StatusError(f"{instance_id!r} has a segment {name!r} already.", "take another name, or change that one.")
