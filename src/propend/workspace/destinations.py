"""Destinations of a workspace: saved places that scores of an instance are pushed to, and the record of every push.

    waiting ──► running ──► succeeded | failed
       ▲           │
       └───────────┘ another try, later       superseded: a newer run took its turn

What is pushed is decided here, in the catalog; ``pushing`` carries it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from propend.document import without_passwords
from propend.errors import DestinationNotFoundError, StatusError
from propend.exports import Place, enriches, kind_of, options_of
from propend.store.catalog import Catalog, DestinationRow, InstanceRow, PushRow, RunRow, SegmentRow, now
from propend.store.runs import plain
from propend.workspace.audit import LOCAL, note
from propend.workspace.instances import Instances
from propend.workspace.settings import Settings

FOLDER = "exports"
Plain = dict[str, Any]


def place_of(home: Path, settings: Settings) -> Place:
    """Where destinations of a workspace may reach: its folder ``exports/``, and what its settings allow."""
    others = tuple((home / folder).absolute() for folder in settings.exports.folders)
    return Place(home, (home / FOLDER, *others), settings.exports.private_addresses)


class Destinations:
    """The destinations of a workspace."""

    def __init__(self, home: Path, catalog: Catalog, instances: Instances, settings: Settings) -> None:
        """``home``: the workspace's folder."""
        self._catalog, self._instances = catalog, instances
        self.place = place_of(home, settings)

    # --- looking ------------------------------------------------------------------------------------------

    def all(self, instance_id: str, after: int = 0, limit: int = 1000) -> list[DestinationRow]:
        """Those of an instance, by id; only those whose id is greater than ``after``.

        Raises:
            InstanceNotFoundError: there is no such instance.
        """
        asked = select(DestinationRow).where(DestinationRow.instance_id == instance_id, DestinationRow.id > after)
        with self._catalog.reading() as session:
            self._instances.row(session, instance_id)
            return list(session.scalars(asked.order_by(DestinationRow.id).limit(limit)))

    def some(self, after: int = 0, limit: int = 1000) -> list[DestinationRow]:
        """Those of all instances that are not being removed, as ``all`` gives them."""
        asked = select(DestinationRow).join(InstanceRow, InstanceRow.id == DestinationRow.instance_id)
        asked = asked.where(InstanceRow.status != "deleting", DestinationRow.id > after)
        with self._catalog.reading() as session:
            return list(session.scalars(asked.order_by(DestinationRow.id).limit(limit)))

    def every(self) -> list[DestinationRow]:
        """Those of all instances, by id."""
        with self._catalog.reading() as session:
            return list(session.scalars(select(DestinationRow).order_by(DestinationRow.id)))

    def get(self, destination_id: int) -> DestinationRow:
        """One destination.

        Raises:
            DestinationNotFoundError: there is none of that id.
        """
        with self._catalog.reading() as session:
            return self._row(session, destination_id)

    def push(self, push_id: int) -> PushRow:
        """One push.

        Raises:
            DestinationNotFoundError: there is none of that id.
        """
        with self._catalog.reading() as session:
            found = session.get(PushRow, push_id)
        if found is None:
            raise DestinationNotFoundError(f"There is no push {push_id}.", "a destination's pushes are listed with it.")
        return found

    def pushes(self, destination_id: int, before: int | None = None, limit: int = 50) -> list[PushRow]:
        """The pushes of a destination, newest first; only those whose id is less than ``before``.

        Raises:
            DestinationNotFoundError: there is no such destination.
        """
        asked = select(PushRow).where(PushRow.destination_id == destination_id)
        if before is not None:
            asked = asked.where(PushRow.id < before)
        with self._catalog.reading() as session:
            self._row(session, destination_id)
            return list(session.scalars(asked.order_by(PushRow.id.desc()).limit(limit)))

    def last(self, destination_ids: Sequence[int]) -> dict[int, PushRow]:
        """The newest push of each of these destinations that has any."""
        newest = select(func.max(PushRow.id)).where(PushRow.destination_id.in_(destination_ids))
        asked = select(PushRow).where(PushRow.id.in_(newest.group_by(PushRow.destination_id)))
        with self._catalog.reading() as session:
            return {row.destination_id: row for row in session.scalars(asked)}

    def standing(self, destination_id: int) -> list[PushRow]:
        """The pushes that what stands there now comes from, newest first: none after a retraction."""
        asked = select(PushRow).where(PushRow.destination_id == destination_id, PushRow.state == "succeeded")
        found: list[PushRow] = []
        with self._catalog.reading() as session:
            for row in session.scalars(asked.order_by(PushRow.finished_at.desc(), PushRow.id.desc())):
                if row.what != "push":
                    break
                found.append(row)
        return found

    def was_reached(self, destination_id: int) -> bool:
        """Whether anything may stand there: a push was begun since it was last cleared."""
        pushes = select(PushRow).where(PushRow.destination_id == destination_id, PushRow.tries > 0)
        with self._catalog.reading() as session:
            for row in session.scalars(pushes.order_by(PushRow.id.desc())):
                if row.what == "push":
                    return True
                if row.state == "succeeded":
                    return False
        return False

    # --- changing -----------------------------------------------------------------------------------------

    def create(
        self,
        instance_id: str,
        name: str,
        kind: str,
        options: Plain,
        *,
        segment_id: int | None = None,
        enabled: bool = True,
        by: str = LOCAL,
    ) -> DestinationRow:
        """Save a destination; nothing is pushed yet.

        Args:
            kind: which kind of place (``exports.kinds``); options: what it is told.
            segment_id: push only members of this segment; everybody where None.
            enabled: whether every run is pushed by itself.

        Raises:
            InstanceNotFoundError: there is no such instance, or no such segment of it.
            DestinationNotFoundError: there is no such kind.
            ConfigurationError: the options have mistakes.
            StatusError: the instance has a destination of that name, or one that fills the same place.
            NotEnrichedError: the place holds profiles, which the instance's scores do not enrich; one that is switched
                off may wait there until they do.
        """
        checked = self._checked(kind, options)
        if enabled:
            self.gate_enriching(kind, instance_id)
        try:
            with self._catalog.writing() as session:
                self._instances.row(session, instance_id)
                self._gate_segment(session, instance_id, segment_id)
                self._gate_same(session, instance_id, kind, checked, segment_id)
                found = DestinationRow(
                    instance_id=instance_id, name=name, segment_id=segment_id, kind=kind, options=checked,
                    enabled=enabled, created_at=now(), created_by=by, changed_at=now(), changed_by=by,
                )  # fmt: skip
                session.add(found)
                session.flush()
                note(session, by, "create", "destination", str(found.id), after=shown(found))
                return found
        except IntegrityError:
            raise _taken(instance_id, name) from None

    def change(
        self, destination_id: int, *, name: str, options: Plain, segment_id: int | None, enabled: bool, by: str = LOCAL
    ) -> DestinationRow:
        """Give a destination another name, other options, other profiles, or switch it; raises as ``create`` does.

        What stands at the place stays there: where that is another place now, retract it first (``Pushing.change``).
        """
        before = self.get(destination_id)
        checked = self._checked(before.kind, options)
        if enabled:
            self.gate_enriching(before.kind, before.instance_id)
        try:
            with self._catalog.writing() as session:
                found = self._row(session, destination_id)
                self._gate_segment(session, found.instance_id, segment_id)
                self._gate_same(session, found.instance_id, found.kind, checked, segment_id, but=destination_id)
                was = shown(found)
                found.name, found.options, found.segment_id, found.enabled = name, checked, segment_id, enabled
                found.changed_at, found.changed_by = now(), by
                session.flush()
                note(session, by, "update", "destination", str(destination_id), was, shown(found))
                if not enabled:
                    self._supersede(session, destination_id)
                return found
        except IntegrityError:
            raise _taken(before.instance_id, name) from None

    def switch(self, destination_id: int, enabled: bool, by: str = LOCAL) -> DestinationRow:
        """Push every run by itself from now on, or none; raises as ``get`` does."""
        with self._catalog.writing() as session:
            found = self._row(session, destination_id)
            if found.enabled != enabled:
                action = "enable" if enabled else "disable"
                note(session, by, action, "destination", str(destination_id), after=shown(found))
            found.enabled, found.changed_at, found.changed_by = enabled, now(), by
            if not enabled:
                self._supersede(session, destination_id)
            return found

    def gate_enriching(self, kind: str, instance_id: str) -> None:
        """Refuse to bring scores to a place that holds profiles, where they do not enrich any.

        Raises:
            NotEnrichedError: they do not.
        """
        if enriches(kind):
            self._instances.gate_enriching(instance_id)

    def gate_beside(self, instance_id: str) -> None:
        """Refuse a rule that speaks of another instance, where that one's scores stand beside no others.

        Raises:
            NotEnrichedError: they do not.
        """
        self._instances.gate_enriching(instance_id)

    def is_elsewhere(self, destination_id: int, options: Plain, segment_id: int | None) -> bool:
        """Whether a destination with such options would fill another place, or other profiles, than it does now."""
        found = self.get(destination_id)
        new, how = self._checked(found.kind, options), kind_of(found.kind).options.how
        places = [{k: v for k, v in one.items() if k not in how} for one in (found.options, new)]
        return places[0] != places[1] or found.segment_id != segment_id

    def remove(self, destination_id: int, by: str = LOCAL) -> None:
        """Remove a destination with the record of its pushes; what stands at the place stays there.

        Raises:
            DestinationNotFoundError: there is none of that id.
        """
        with self._catalog.writing() as session:
            found = self._row(session, destination_id)
            note(session, by, "delete", "destination", str(destination_id), shown(found))
            session.delete(found)

    # --- pushes -------------------------------------------------------------------------------------------

    def ask(self, destination_id: int, run: RunRow, by: str = LOCAL, what: str = "push") -> PushRow:
        """Ask for a push of a run, or for a retraction (``what``: ``retract``, ``expire``); older ones that wait are
        superseded."""
        with self._catalog.writing() as session:
            found = self._row(session, destination_id)
            self._supersede(session, destination_id)
            row = PushRow(
                destination_id=destination_id, run_id=run.id, what=what, state="waiting", tries=0, due_at=now(),
                made_at=run.finished_at, asked_by=by, asked_at=now(),
            )  # fmt: skip
            session.add(row)
            session.flush()
            after = {"instance": found.instance_id, "run": run.id, "push": row.id}
            note(session, by, what, "destination", str(destination_id), after=after)
            return row

    def note_rehearsal(self, instance_id: str, kind: str, options: Plain, by: str = LOCAL) -> None:
        """Write down that somebody tries a place.

        Raises:
            InstanceNotFoundError: there is no such instance.
        """
        with self._catalog.writing() as session:
            self._instances.row(session, instance_id)
            what = {"instance": instance_id, "kind": kind, "options": without_passwords(options)}
            note(session, by, "try", "destination", kind, after=what)

    def unfinished(self) -> list[PushRow]:
        """Pushes that wait or are running, the oldest first."""
        asked = select(PushRow).where(PushRow.state.in_(("waiting", "running"))).order_by(PushRow.id)
        with self._catalog.reading() as session:
            return list(session.scalars(asked))

    def begin(self, push_id: int) -> PushRow | None:
        """Make a waiting push a running one; None where it does not wait any more. Call it with the place's lock."""
        with self._catalog.writing() as session:
            found = session.get(PushRow, push_id)
            if found is None or found.state != "waiting":
                return None
            found.state, found.started_at, found.due_at = "running", now(), None
            found.tries += 1
            return found

    def tell(self, push_id: int, progress: Plain) -> None:
        """Keep how far a running push is."""
        with self._catalog.writing() as session:
            session.execute(update(PushRow).where(PushRow.id == push_id).values(progress=plain(progress)))

    def end(self, push_id: int, **values: Any) -> PushRow:
        """Write down how a running push has ended, or that it waits again: columns of ``PushRow``."""
        with self._catalog.writing() as session:
            session.execute(update(PushRow).where(PushRow.id == push_id, PushRow.state == "running").values(**values))
        return self.push(push_id)

    # --- within -------------------------------------------------------------------------------------------

    def _checked(self, kind: str, options: Plain) -> Plain:
        """Options as they are kept: without what is usual."""
        found: Plain = options_of(kind, options).model_dump(mode="json")
        kind_of(kind)(options_of(kind, options), self.place)
        return found

    def _row(self, session: Session, destination_id: int) -> DestinationRow:
        found = session.get(DestinationRow, destination_id)
        if found is None:
            raise DestinationNotFoundError(
                f"There is no destination {destination_id}.", "the destinations of an instance are listed with it.",
                destination=destination_id,
            )  # fmt: skip
        self._instances.row(session, found.instance_id)  # not of one that is being removed
        return found

    @staticmethod
    def _gate_segment(session: Session, instance_id: str, segment_id: int | None) -> None:
        found = session.get(SegmentRow, segment_id) if segment_id is not None else None
        if segment_id is not None and (found is None or found.instance_id != instance_id):
            raise DestinationNotFoundError(
                f"{instance_id!r} has no segment {segment_id}.", "its segments are listed with it.", segment=segment_id
            )

    @staticmethod
    def _gate_same(
        session: Session, instance_id: str, kind: str, options: Plain, segment_id: int | None, but: int = 0
    ) -> None:
        """Two destinations that fill one place would take back each other's scores."""
        asked = select(DestinationRow).where(DestinationRow.instance_id == instance_id, DestinationRow.kind == kind)
        for other in session.scalars(asked):
            if other.id != but and other.options == options and other.segment_id == segment_id:
                raise StatusError(
                    f"The destination {other.name!r} pushes the same profiles to the same place already.",
                    "change that one, or give this one another place.", destination=other.id,
                )  # fmt: skip

    @staticmethod
    def _supersede(session: Session, destination_id: int) -> None:
        waits = (PushRow.destination_id == destination_id) & (PushRow.state == "waiting")
        session.execute(
            update(PushRow).where(waits).values(state="superseded", finished_at=now(), due_at=None)
        )  # fmt: skip


def shown(row: DestinationRow) -> Plain:
    """A destination as plain data, without what nobody is to see."""
    return {
        "instance": row.instance_id, "name": row.name, "kind": row.kind, "options": without_passwords(row.options),
        "segment": row.segment_id, "enabled": row.enabled,
    }  # fmt: skip


def _taken(instance_id: str, name: str) -> StatusError:
    return StatusError(f"{instance_id!r} has a destination {name!r} already.", "take another name, or change that one.")
