"""Members of segments from run to run: written after each run, with who joined and who left.

A run that succeeded has its scores, whatever becomes of this: what goes wrong is told in the log and made up for when
the history of the segment is asked for, or after the next run. Who is killed on the way leaves a file without a row,
which counts for nothing and is written again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock
from sqlalchemy import and_, select

from propend.errors import InstanceNotFoundError, NotKeptError, PropendError
from propend.protection import Forgotten
from propend.segments import Members, Rule
from propend.store.catalog import Catalog, InstanceRow, MembershipRow, RunRow, SegmentRow, now
from propend.store.erasure import any_of, erase
from propend.store.membership import MEMBERS, members_path, page_of_members, read_members, write_members
from propend.store.runs import WORK_FOLDER
from propend.workspace.audit import LOCAL
from propend.workspace.privacy import Privacy
from propend.workspace.runs import Runs
from propend.workspace.score_file import ScoreFile
from propend.workspace.segments import Segments

log = logging.getLogger("propend.membership")


class Membership:
    """The members of the segments of a workspace, run by run."""

    def __init__(self, home: Path, catalog: Catalog, runs: Runs, segments: Segments, privacy: Privacy) -> None:
        """``home``: the workspace's folder. Nothing is read yet."""
        self._catalog, self._runs, self._segments, self._privacy = catalog, runs, segments, privacy
        self._lock = home / WORK_FOLDER / "membership.lock"

    def of_run(self, run: RunRow) -> int:
        """Write the members of every segment that speaks of a run's instance; gives of how many that failed."""
        failed = 0
        try:
            self._sweep()
        except OSError as error:
            log.warning("members of segments that are gone cannot be removed: %s", error)
        for row in self._speaking_of(run.instance_id):
            try:
                self.catch_up(row)
            except (PropendError, OSError, pa.ArrowException) as error:
                failed += 1
                log.warning("run %s: members of segment %d cannot be told: %s", run.id, row.id, error)
        return failed

    def catch_up(self, row: SegmentRow) -> None:
        """Write the members by the newest run that a segment speaks of, unless that was done; nothing without scores.

        Raises:
            ConfigurationError, NotKeptError: the rule speaks of what the scores do not have.
            InstanceNotFoundError: an instance that it speaks of has no scores, or they cannot be read.
            OSError: the run's folder cannot be written.
        """
        rule = Rule.read(row.where)
        if self._runs.serving(row.instance_id) is None:
            return
        with FileLock(self._lock):
            served = {i: self._runs.served(i) for i in (row.instance_id, *rule.elsewhere)}
            newest = max(served.values(), key=lambda run: (run.finished_at or run.queued_at, run.id))
            known = self._rows(row.id, 1)
            if known and known[0].run_id == newest.id:
                return
            self._write(row, rule, served, newest, known[0] if known else None)

    def remove(self, segment_id: int, by: str = LOCAL) -> None:
        """Remove a segment, and the files of its members in all runs.

        Raises:
            InstanceNotFoundError: there is none of that id.
            StatusError: a destination pushes its members.
            OSError: a file cannot be removed; the segment is.
        """
        with FileLock(self._lock):
            with self._catalog.reading() as session:
                told = MembershipRow.run_id == RunRow.id, MembershipRow.segment_id == segment_id
                runs = list(session.scalars(select(RunRow).join(MembershipRow, and_(*told))))
            self._segments.remove(segment_id, by)
            for run in runs:
                members_path(self._runs.folder(run), segment_id).unlink(missing_ok=True)

    def history(self, segment_id: int, limit: int = 100, offset: int = 0) -> list[MembershipRow]:
        """A segment run by run, the newest first.

        Raises:
            InstanceNotFoundError: there is no such segment.
        """
        self._look(self._segments.get(segment_id))
        return self._rows(segment_id, limit, offset)

    def page(
        self, segment_id: int, change: str | None, after: str | None, limit: int
    ) -> tuple[str, list[dict[str, str]]]:
        """The run that tells, and so many of its members by id: ``profile_id`` and ``change``.

        Args:
            change: ``joined``, ``stayed`` or ``left``; all where None.
            after: the last id of the page before; None for the first.

        Raises:
            NotKeptError: no run has told yet.
            InstanceNotFoundError: there is no such segment, or its file is gone.
        """
        self._look(self._segments.get(segment_id))
        known = self._rows(segment_id, 1)
        if not known:
            raise NotKeptError(
                f"Of segment {segment_id} no run has told the members yet.", "run its instance, and ask again.",
                segment=segment_id,
            )  # fmt: skip
        folder = self._runs.folder(self._runs.get(known[0].run_id))
        return known[0].run_id, page_of_members(folder, segment_id, change, after, limit)

    # --- within ---------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Remove files of segments that are gone: with their instance, or by somebody who was killed on the way."""
        with FileLock(self._lock):  # nobody writes for a new one meanwhile
            with self._catalog.reading() as session:
                known = {f"{segment_id}.parquet" for segment_id in session.scalars(select(SegmentRow.id))}
                kept = list(session.scalars(select(RunRow).where(RunRow.scores_kept.is_(True))))
            for run in kept:
                for path in (self._runs.folder(run) / MEMBERS).glob("*.parquet"):
                    if path.name not in known:
                        path.unlink(missing_ok=True)

    def _look(self, row: SegmentRow) -> None:
        """Make up for what was missed; who looks sees what there is where that cannot be done now."""
        try:
            self.catch_up(row)
        except (PropendError, OSError, pa.ArrowException) as error:
            log.warning("members of segment %d cannot be told: %s", row.id, error)

    def _speaking_of(self, instance_id: str) -> Iterator[SegmentRow]:
        with self._catalog.reading() as session:
            asked = select(SegmentRow).join(InstanceRow, InstanceRow.id == SegmentRow.instance_id)
            rows = list(session.scalars(asked.where(InstanceRow.status != "deleting").order_by(SegmentRow.id)))
        for row in rows:
            if row.instance_id == instance_id or instance_id in Rule.read(row.where).elsewhere:
                yield row

    def _rows(self, segment_id: int, limit: int, offset: int = 0) -> list[MembershipRow]:
        asked = select(MembershipRow).where(MembershipRow.segment_id == segment_id)
        asked = asked.order_by(MembershipRow.at.desc(), MembershipRow.run_id.desc()).limit(limit).offset(offset)
        with self._catalog.reading() as session:
            return list(session.scalars(asked))

    def _write(
        self, row: SegmentRow, rule: Rule, served: dict[str, RunRow], newest: RunRow, last: MembershipRow | None
    ) -> None:
        opened: dict[str, ScoreFile] = {}

        def of(instance_id: str) -> ScoreFile:
            if instance_id not in opened:
                opened[instance_id] = ScoreFile.open(self._runs.folder(served[instance_id]), elsewhere=of)
            return opened[instance_id]

        forgotten = self._privacy.forgotten()
        scores = of(row.instance_id)
        scores.gate(rule)
        present, expected = scores.members(rule), scores.tally(rule).expected
        past = self._before(row.id, last)
        if past is None:
            ids, change = present.ids, pa.repeat(pa.scalar("joined" if last is None else "stayed"), len(present.ids))
            joined, left = (len(ids), 0) if last is None else (None, None)
        else:
            ids, change, joined, left = _changed(present, _without(past, forgotten))
        folder = self._runs.folder(newest)
        write_members(folder, row.id, ids, change)
        found = {
            "members": len(present.ids), "joined": joined, "left": left, "expected": expected["value"],
            "expected_low": expected["low"], "expected_high": expected["high"],
        }  # fmt: skip
        while not self._commit(MembershipRow(segment_id=row.id, run_id=newest.id, where=row.where, **found), forgotten):
            since = self._privacy.forgotten()
            if since is not None:  # who asked meanwhile is in no file that counts
                erase(folder, any_of(since))
            forgotten = since

    def _before(self, segment_id: int, last: MembershipRow | None) -> Members | None:
        """The members by the run before; None where there was none, or its file is not kept any more."""
        if last is None:
            return None
        try:
            ids = read_members(self._runs.folder(self._runs.get(last.run_id)), segment_id)
        except InstanceNotFoundError as error:
            log.warning("segment %d: %s", segment_id, error.message)
            return None
        return Members(ids) if ids is not None else None

    def _commit(self, row: MembershipRow, forgotten: Forgotten | None) -> bool:
        """The row by which a file counts; False where somebody was forgotten since, or what it is of was removed."""
        with self._catalog.writing() as session:
            if not self._privacy.as_many(session, forgotten):
                return False
            if session.get(SegmentRow, row.segment_id) is None or session.get(RunRow, row.run_id) is None:
                return True  # removed meanwhile
            row.at = now()
            session.merge(row)
            return True


def _without(members: Members, forgotten: Forgotten | None) -> Members:
    """Those who are not to be forgotten: they are written again as who left."""
    if not forgotten:
        return members
    return Members(members.ids.filter(pc.invert(pa.array(any_of(forgotten)(members.ids)))))


def _changed(present: Members, past: Members) -> tuple[pa.Array, pa.Array, int, int]:
    """Ids of who is a member and who was, ascending, what became of each, and how many joined and left."""
    fresh = pc.invert(past.among(present.ids))
    left = past.ids.filter(pc.invert(present.among(past.ids)))
    ids = pa.concat_arrays([present.ids, left])
    change = pa.concat_arrays([
        pc.if_else(fresh, pa.scalar("joined"), pa.scalar("stayed")), pa.repeat(pa.scalar("left"), len(left))
    ])  # fmt: skip
    order = pc.sort_indices(ids)
    return ids.take(order), change.take(order), int(pc.sum(fresh).as_py() or 0), len(left)
