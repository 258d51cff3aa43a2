"""Instances and their versions: made, edited, cloned, switched off and removed.

``instances/ID.yaml`` is the newest version as people read and edit it; the catalog keeps every version. A file that was
edited by hand is a new version at the next look; an edit through Python or REST writes the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from propend.document import read_document
from propend.errors import (
    ChangedMeanwhileError,
    ConfigurationError,
    InstanceNotFoundError,
    NotEnrichedError,
    PropendError,
    StatusError,
    WriteFailedError,
)
from propend.instance import Instance, parse_instance
from propend.labels import gate_policies
from propend.protection import Policies
from propend.store.catalog import Catalog, InstanceRow, VersionRow, now
from propend.store.runs import WORK_FOLDER
from propend.workspace.audit import LOCAL, note
from propend.workspace.journal import FOLDER as LOGS
from propend.workspace.mirrors import FOLDER as MIRRORS
from propend.workspace.schedules import next_due
from propend.writing import remove, whole_file

INSTANCES = "instances"
RESERVED = {"new"}
"""What no instance is called, for pages have another meaning for it."""
PROPOSALS = "proposals"
"""The folder of what was said of instances when they were proposed (``proposals``)."""
Plain = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """One place of a document that differs between two versions; None where there is nothing."""

    place: str
    before: Any
    after: Any


class Instances:
    """The instances of a workspace."""

    def __init__(self, home: Path, catalog: Catalog, policies: Policies) -> None:
        """Args: the workspace's folder, its catalog, and what may be done with labelled columns."""
        self._home, self._catalog, self._policies = home, catalog, policies
        self.folder = home / INSTANCES

    # --- looking ------------------------------------------------------------------------------------------

    def all(self) -> list[InstanceRow]:
        """Every instance, by id; not those that are being removed."""
        asked = select(InstanceRow).where(InstanceRow.status != "deleting").order_by(InstanceRow.id)
        with self._catalog.reading() as session:
            return list(session.scalars(asked))

    def get(self, instance_id: str) -> InstanceRow:
        """One instance.

        Raises:
            InstanceNotFoundError: there is none of that id.
        """
        with self._catalog.reading() as session:
            return self.row(session, instance_id)

    def row(self, session: Session, instance_id: str) -> InstanceRow:
        """The same within a transaction."""
        found = session.get(InstanceRow, instance_id)
        if found is None or found.status == "deleting":
            raise InstanceNotFoundError(
                f"There is no instance {instance_id!r} in this workspace.",
                "`propend list` shows those there are.",
                instance=instance_id,
            )
        return found

    def newest_versions(self, instance_ids: Collection[str]) -> dict[str, VersionRow]:
        """The newest version of each of these instances; drafts have none."""
        newest = (InstanceRow.id == VersionRow.instance_id) & (InstanceRow.version == VersionRow.number)
        asked = select(VersionRow).join(InstanceRow, newest).where(InstanceRow.id.in_(instance_ids))
        with self._catalog.reading() as session:
            return {version.instance_id: version for version in session.scalars(asked)}

    def held_back(self) -> frozenset[str]:
        """The ids of those whose newest version says that its scores enrich no profiles (``options.enrich``)."""
        newest = (InstanceRow.id == VersionRow.instance_id) & (InstanceRow.version == VersionRow.number)
        says_no = VersionRow.document["options"]["enrich"].as_boolean().is_(False)
        with self._catalog.reading() as session:
            return frozenset(session.scalars(select(InstanceRow.id).join(VersionRow, newest).where(says_no)))

    def gate_enriching(self, *instance_ids: str) -> None:
        """Refuse what would bring the scores of these instances to profiles, where one of them enriches none.

        Raises:
            NotEnrichedError: it does not.
        """
        held = sorted(self.held_back().intersection(instance_ids)) if instance_ids else []
        if held:
            raise NotEnrichedError(
                f"The scores of {', '.join(map(repr, held))} do not enrich profiles: options.enrich is false.",
                "set `enrich: true` under `options` of the instance, if they are to; its own scores, files and tables "
                "of its own do not need that.",
                instances=held,
            )  # fmt: skip

    def versions(self, instance_id: str) -> list[VersionRow]:
        """All versions, the newest first."""
        with self._catalog.reading() as session:
            self.row(session, instance_id)
            asked = select(VersionRow).where(VersionRow.instance_id == instance_id)
            return list(session.scalars(asked.order_by(VersionRow.number.desc())))

    def version(self, instance_id: str, number: int | None = None) -> VersionRow:
        """One version, the newest where no number is given.

        Raises:
            InstanceNotFoundError: there is no such instance or version.
        """
        with self._catalog.reading() as session:
            return self.version_row(session, instance_id, number or self.row(session, instance_id).version)

    @staticmethod
    def version_row(session: Session, instance_id: str, number: int) -> VersionRow:
        """The same within a transaction; the number is given."""
        found = session.get(VersionRow, (instance_id, number))
        if found is None:
            raise InstanceNotFoundError(
                f"{instance_id!r} has no version {number}.",
                "a draft has none before it is published; `propend diff` lists the versions there are.",
                instance=instance_id, version=number,
            )  # fmt: skip
        return found

    def differences(self, instance_id: str, before: int, after: int) -> list[Difference]:
        """What changed from one version to another, by place."""
        one, other = (self.version(instance_id, number).document for number in (before, after))
        return differing(one, other)

    # --- changing -----------------------------------------------------------------------------------------

    def create(self, document: Plain, by: str = LOCAL, instance_id: str | None = None) -> InstanceRow:
        """A new instance with its first version.

        Raises:
            ConfigurationError: the document has mistakes.
            StatusError: the id that was asked for is taken.
            PolicyError: a policy forbids what it does with a labelled column.
        """
        instance = _valid(document, self._policies)
        with self._catalog.writing() as session:
            found = self._new_row(
                session, instance.name, by, instance_id or instance.slug, asked=instance_id is not None
            )
            self._add_version(session, found, instance, by)
            found.status = "enabled"
            found.file_digest = self._write_file(found.id, instance)
            note(session, by, "create", "instance", found.id, after=instance.document())
            return found

    def create_draft(self, name: str, draft: Plain, by: str = LOCAL) -> InstanceRow:
        """A new instance without a version: nothing runs it, and its document may be unfinished."""
        with self._catalog.writing() as session:
            found = self._new_row(session, name, by, _slug(name))
            found.draft = draft
            note(session, by, "create", "instance", found.id, after={"draft": draft})
            return found

    def save_draft(self, instance_id: str, draft: Plain | None, by: str = LOCAL) -> InstanceRow:
        """Keep a document that is being worked on beside the version in force; None throws it away."""
        with self._catalog.writing() as session:
            found = self.row(session, instance_id)
            if found.draft is None or draft is None:  # each step of work on it would bury what matters in the log
                note(session, by, "update", "instance", instance_id, {"draft": found.draft}, {"draft": draft})
            found.draft, found.changed_at = draft, now()
            name = (draft or {}).get("name")
            if found.status == "draft" and isinstance(name, str) and name.strip():
                found.name = name[:200]
            return found

    def publish(self, instance_id: str, by: str = LOCAL) -> InstanceRow:
        """Make a draft the newest version.

        Raises:
            StatusError: there is no draft.
            ConfigurationError: it has mistakes.
        """
        draft = self.get(instance_id).draft
        if draft is None:
            raise StatusError(f"{instance_id!r} has no draft to publish.", "save one first, or edit the instance.")
        return self.edit(instance_id, draft, by)

    def edit(
        self,
        instance_id: str,
        document: Plain,
        by: str = LOCAL,
        expected: int | None = None,
        draft: Plain | None = None,
    ) -> InstanceRow:
        """A new version, unless nothing changed; a draft is used up by it.

        Args:
            expected: number of the version that was edited.
            draft: what is still being worked on beside it.

        Raises:
            ConfigurationError: the document has mistakes.
            ChangedMeanwhileError: there is a newer version than ``expected``.
            PolicyError: a policy forbids what it does with a labelled column.
        """
        instance = _valid(document, self._policies)
        with self._catalog.writing() as session:
            found = self.row(session, instance_id)
            if expected is not None and found.version != expected:
                raise ChangedMeanwhileError(
                    f"{instance_id!r} is at version {found.version}; version {expected} was edited.",
                    "read it again, and apply the change to the newest version.",
                    expected=expected, version=found.version,
                )  # fmt: skip
            before = self._add_version(session, found, instance, by)
            found.draft = draft
            if found.status == "draft":
                found.status = "enabled"
                self._set_due(session, found)
            found.file_digest = self._write_file(instance_id, instance)
            if before != instance.document():
                note(session, by, "update", "instance", instance_id, before, instance.document())
            return found

    def present(
        self, instance_id: str, expected: int, by: str = LOCAL, *, name: str, description: str, schedule: str | None
    ) -> InstanceRow:
        """Another name, description or schedule (spec CF-31): a new version of the same question.

        A draft is kept, and gets them, too; raises as ``edit`` does.
        """
        changes = {"name": name, "description": description}
        draft = self.get(instance_id).draft
        return self.edit(
            instance_id, _scheduled(self.version(instance_id, expected).document | changes, schedule), by, expected,
            _scheduled(draft | changes, schedule) if draft is not None else None,
        )  # fmt: skip

    def clone(self, instance_id: str, by: str = LOCAL, name: str | None = None) -> InstanceRow:
        """A draft with the document of another instance (spec CF-33)."""
        source = self.get(instance_id)
        document = source.draft if source.version == 0 else self.version(instance_id).document
        name = name or f"{source.name} (copy)"
        return self.create_draft(name, dict(document or {}) | {"name": name}, by)

    def switch(self, instance_id: str, enabled: bool, by: str = LOCAL) -> InstanceRow:
        """Enable or disable: a disabled instance is not run, and its last scores stay.

        Raises:
            StatusError: it is a draft.
        """
        with self._catalog.writing() as session:
            found, status = self.row(session, instance_id), "enabled" if enabled else "disabled"
            if found.status == "draft":
                raise StatusError(f"{instance_id!r} is a draft.", "publish it first.")
            if found.status != status:
                action = status.removesuffix("d")
                note(session, by, action, "instance", instance_id, {"status": found.status}, {"status": status})
            found.status, found.changed_at = status, now()
            self._set_due(session, found)
            return found

    def mark_deleted(self, instance_id: str, by: str = LOCAL) -> None:
        """From now on nobody sees it; what it left is removed by ``remove_rest``.

        Raises:
            InstanceNotFoundError: there is none of that id.
        """
        with self._catalog.writing() as session:
            found = self.row(session, instance_id)
            before = session.get(VersionRow, (instance_id, found.version))
            found.status, found.due_at = "deleting", None
            note(session, by, "delete", "instance", instance_id, before.document if before else None)

    def remove_rest(self, instance_id: str) -> None:
        """Remove the file, the runs' folders and the rows of a deleted instance; may be repeated after a crash."""
        self._path(instance_id).unlink(missing_ok=True)
        (self._home / WORK_FOLDER / PROPOSALS / f"{instance_id}.json").unlink(missing_ok=True)
        for folder in ("runs", LOGS, MIRRORS):
            remove(self._home / WORK_FOLDER / folder / instance_id)
        with self._catalog.writing() as session:
            session.execute(
                delete(InstanceRow).where(InstanceRow.id == instance_id, InstanceRow.status == "deleting")
            )  # two that remove the rest at once both succeed

    def deleted(self) -> list[str]:
        """Ids of instances of which something is still to be removed."""
        with self._catalog.reading() as session:
            return list(session.scalars(select(InstanceRow.id).where(InstanceRow.status == "deleting")))

    # --- files --------------------------------------------------------------------------------------------

    def sync(self) -> dict[str, PropendError]:
        """Take in files that were added or edited by hand; gives what is wrong with those that cannot be read."""
        problems: dict[str, PropendError] = {}
        for path in sorted(self.folder.glob("*.yaml")) if self.folder.is_dir() else ():
            try:
                self._take_in(path)
            except PropendError as error:
                problems[path.stem] = error
        return problems

    def _take_in(self, path: Path) -> None:
        instance_id = _slug(path.stem)
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise InstanceNotFoundError(f"{path.name} cannot be read: {error.strerror}.", "see to it.") from None
        with self._catalog.reading() as session:
            known = session.get(InstanceRow, instance_id)
            if known is not None and (known.file_digest == digest or known.status == "deleting"):
                return
        instance = Instance.load(path)
        gate_policies(instance, self._policies)
        with self._catalog.writing() as session:
            found = session.get(InstanceRow, instance_id)
            new = found is None
            if found is None:
                found = self._new_row(session, instance.name, LOCAL, instance_id)
            if found.status in ("draft", "deleting"):
                found.status = "enabled"
            before = self._add_version(session, found, instance, LOCAL)
            found.file_digest = digest
            if new or before != instance.document():
                note(
                    session, LOCAL, "create" if new else "update", "instance", instance_id, before, instance.document()
                )

    def _write_file(self, instance_id: str, instance: Instance) -> str:
        """Write the document so that it is whole or not there at all; gives its digest."""
        text = instance.to_yaml().encode()
        path = self._path(instance_id)
        try:
            with whole_file(path) as file:
                file.write(text)
        except OSError as error:
            raise WriteFailedError(
                f"{str(path)!r} cannot be written: {error.strerror}.", "see to the folder."
            ) from None
        return hashlib.sha256(text).hexdigest()

    def _path(self, instance_id: str) -> Path:
        return self.folder / f"{instance_id}.yaml"

    # --- rows ---------------------------------------------------------------------------------------------

    def _new_row(self, session: Session, name: str, by: str, wanted: str, asked: bool = False) -> InstanceRow:
        taken = set(session.scalars(select(InstanceRow.id))) | RESERVED
        if asked and (wanted in taken or wanted != _slug(wanted)):
            raise StatusError(
                f"{wanted!r} cannot be the id of a new instance.",
                "take small letters, digits and hyphens that no other instance has.",
            )
        number = next(n for n in range(1, len(taken) + 2) if _numbered(wanted, n) not in taken)
        found = InstanceRow(
            id=_numbered(wanted, number), name=name, status="draft", version=0, created_at=now(), created_by=by,
            changed_at=now(),
        )  # fmt: skip
        session.add(found)
        session.flush()
        return found

    def _add_version(self, session: Session, found: InstanceRow, instance: Instance, by: str) -> Plain | None:
        """Add a version if it differs from the newest, which is given back."""
        newest = session.get(VersionRow, (found.id, found.version))
        before = newest.document if newest else None
        if before != instance.document():
            found.version += 1
            session.add(
                VersionRow(
                    instance_id=found.id,
                    number=found.version,
                    document=instance.document(),
                    hash=instance.hash,
                    created_at=now(),
                    created_by=by,
                )
            )
        found.name, found.changed_at = instance.name, now()
        session.flush()
        self._set_due(session, found)
        return before

    def _set_due(self, session: Session, found: InstanceRow) -> None:
        """When it is to run next, counted from now."""
        newest = session.get(VersionRow, (found.id, found.version))
        options = Instance.load(newest.document).options if newest and found.status in ("enabled", "draft") else None
        found.due_at = next_due(options.schedule, options.zone, now()) if options and options.schedule else None


def _valid(document: Plain, policies: Policies) -> Instance:
    plain, lines, label = read_document(document)
    instance, mistakes = parse_instance(plain, lines)
    if instance is None or mistakes:
        raise ConfigurationError(mistakes, label)
    gate_policies(instance, policies)
    return instance


def _scheduled(document: Plain, schedule: str | None) -> Plain:
    """The document with another schedule, or without one."""
    options = document.get("options")
    rest = {k: v for k, v in options.items() if k != "schedule"} if isinstance(options, dict) else {}
    return document | {"options": rest | ({"schedule": schedule} if schedule else {})}


def _slug(name: str) -> str:
    return Instance.slug_of(name)


def _numbered(wanted: str, number: int) -> str:
    return wanted if number == 1 else f"{wanted}-{number}"


def differing(before: Any, after: Any) -> list[Difference]:
    """Where two documents differ, place by place."""
    return list(_differences(before, after, ""))


def _differences(before: Any, after: Any, place: str) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(k for k in after if k not in before)]:
            yield from _differences(before.get(key), after.get(key), f"{place}.{key}".removeprefix("."))
    elif before != after:
        yield Difference(place, before, after)
