"""Pushing: the scores of runs brought to destinations, taken back from them, and cleared of people.

One process at a time works on a destination: it holds a lock file that the system gives up when the process ends,
however it ends, and a push that is running while its lock is free has broken off and waits for another try.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from propend.errors import (
    ConfigurationError,
    DestinationRefusedError,
    Mistake,
    OlderRunError,
    PropendError,
    PushFailedError,
    told_of,
)
from propend.exports import Delivery, Destination, Past, Pushed, Rehearsed, can_rehearse, destination
from propend.exports.files import write_file
from propend.scoring import SCORES_SCHEMA
from propend.segments import Rule
from propend.store.catalog import DestinationRow, PushRow, RunRow, now
from propend.store.erasure import Who
from propend.store.runs import WORK_FOLDER, plain
from propend.workspace.alerts import Alerts
from propend.workspace.audit import LOCAL
from propend.workspace.destinations import Destinations
from propend.workspace.runs import Runs
from propend.workspace.score_file import ScoreFile
from propend.workspace.segments import Segments

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
"""Between two tries; each wait is twice as long as the one before."""
EVERYBODY = "all"
Plain = dict[str, Any]
log = logging.getLogger("propend.pushing")


class Pushing:
    """Carries out what the destinations of a workspace are asked for."""

    def __init__(
        self, home: Path, destinations: Destinations, runs: Runs, segments: Segments, alerts: Alerts, tries: int
    ) -> None:
        """``home``: the workspace's folder; ``tries``: of one push, before it is given up."""
        self._destinations, self._runs, self._segments = destinations, runs, segments
        self._alerts, self._tries = alerts, tries
        self._locks = home / WORK_FOLDER / "pushes"

    # --- asking -------------------------------------------------------------------------------------------

    def of_run(self, run: RunRow) -> list[PushRow]:
        """Push a run that has succeeded to every enabled destination of its instance; none of them fails the run."""
        enabled = [row for row in self._destinations.all(run.instance_id) if row.enabled]
        asked = [self._destinations.ask(row.id, run, run.asked_by) for row in enabled]
        return [self.work(row.id) for row in asked]

    def ask(self, destination_id: int, by: str = LOCAL) -> PushRow:
        """Ask for a push of the newest run to one destination, enabled or not; ``work`` does it, or a server.

        Raises:
            DestinationNotFoundError: there is no such destination.
            InstanceNotFoundError: its instance has no scores yet.
            NotEnrichedError: the place holds profiles, which the instance's scores do not enrich.
        """
        row = self._destinations.get(destination_id)
        self._destinations.gate_enriching(row.kind, row.instance_id)
        return self._destinations.ask(destination_id, self._runs.served(row.instance_id), by)

    def ask_expired(self) -> list[int]:
        """Ask for the retraction of scores that have expired, where a destination wants that; gives the pushes."""
        found = []
        for row in self._destinations.every():
            if not row.options.get("retract_expired"):
                continue
            standing = self._destinations.standing(row.id)
            if standing and self._unfinished(row.id) is None:
                run = self._runs.get(standing[0].run_id)
                if datetime.fromisoformat((run.summary or {})["expires_at"]) <= now():
                    found.append(self._destinations.ask(row.id, run, what="expire").id)
        return found

    def due(self) -> list[int]:
        """Pushes that wait and whose time has come, the oldest first."""
        waiting = [row for row in self._destinations.unfinished() if row.state == "waiting"]
        soon, later = now(), now() + 2 * LONGEST_WAIT  # so long nobody waits: the clock was put back
        return [row.id for row in waiting if row.due_at is None or not soon < row.due_at <= later]

    def rehearse(
        self, instance_id: str, kind: str, options: Plain, segment_id: int | None = None, by: str = LOCAL
    ) -> Rehearsed:
        """Try, now, what a push to a place needs, with a few rows of the newest run; nothing of them stays there.

        The place need not be saved; before the first scores it is tried without rows.

        Raises:
            InstanceNotFoundError: there is no such instance or segment.
            DestinationNotFoundError: there is no such kind.
            ConfigurationError: the options have mistakes.
            NotEnrichedError: the place holds profiles, which the instance's scores do not enrich.
            DestinationRefusedError: the kind cannot be tried, or the place may not be written to.
            PushFailedError, OlderRunError: a push would fail so.
        """
        ready = destination(kind, options, self._destinations.place)
        self._destinations.gate_enriching(kind, instance_id)
        if not can_rehearse(kind):
            raise DestinationRefusedError(
                f"Places of the kind {kind!r} cannot be tried without pushing.",
                "save it, push, and look what came of it; removing it takes that back.", kind=kind,
            )  # fmt: skip
        rule = Rule() if segment_id is None else Rule.read(self._segments.get(segment_id).where)
        audience, run = _audience_of(segment_id), self._runs.serving(instance_id)
        delivery = self.delivery(run, rule, audience) if run is not None else _nobody(instance_id, audience)
        self._destinations.note_rehearsal(instance_id, kind, options, by)
        found: Rehearsed = ready.rehearse(delivery)  # type: ignore[attr-defined]
        return found

    def rehearse_saved(self, destination_id: int, by: str = LOCAL) -> Rehearsed:
        """Try a saved destination; raises as ``Destinations.get`` and ``rehearse`` do."""
        row = self._destinations.get(destination_id)
        return self.rehearse(row.instance_id, row.kind, row.options, row.segment_id, by)

    # --- doing --------------------------------------------------------------------------------------------

    def work(self, push_id: int) -> PushRow:
        """Carry out one push, when nobody else works on its destination; gives it as it ended, or as it waits again."""
        row = self._destinations.push(push_id)
        with self._alone(row.destination_id):
            self._broken_off(row.destination_id)
            begun = self._destinations.begin(push_id)
            if begun is None:  # somebody else did it, or a newer run took its turn
                return self._destinations.push(push_id)
            try:
                pushed = self._carried_out(begun)
            except PropendError as error:
                return self._failed(begun, error)
            except Exception as error:  # told in the push, whatever it was
                log.exception("push %d failed", push_id)
                return self._failed(begun, told_of(error))
            return self._destinations.end(
                push_id, state="succeeded", finished_at=now(), rows=pushed.rows, added=pushed.added,
                updated=pushed.updated, retracted=pushed.retracted, facts=plain(pushed.facts), error=None,
            )  # fmt: skip

    def reap(self) -> None:
        """Let pushes wait again that nobody is at work on any more."""
        for destination_id in {row.destination_id for row in self._destinations.unfinished() if row.state == "running"}:
            try:
                with self._alone(destination_id, wait_seconds=0):
                    self._broken_off(destination_id)
            except Timeout:
                continue  # somebody is at it

    def retract(self, destination_id: int, by: str = LOCAL) -> PushRow | None:
        """Take back, now, what a destination was given; None where nothing stands there.

        Raises:
            PropendError: it could not be taken back; what stood there stands.
        """
        if not self._destinations.was_reached(destination_id):
            return None
        run = self._runs.get(self._destinations.pushes(destination_id, limit=1)[0].run_id)
        asked = self._destinations.ask(destination_id, run, by, what="retract")
        done = self.work(asked.id)
        if done.state == "succeeded":
            return done
        raise PushFailedError(
            f"Destination {destination_id} could not be cleared: {(done.error or {}).get('message', done.state)}",
            "see to the place and try again; or leave there what it has: --keep-exports, keep_exports=true.",
            destination=destination_id,
        )

    def change(
        self, destination_id: int, *, name: str, options: Plain, segment_id: int | None, enabled: bool, by: str = LOCAL
    ) -> DestinationRow:
        """``Destinations.change``, after taking back what stands where it would not reach any more."""
        if self._destinations.is_elsewhere(destination_id, options, segment_id):
            self.retract(destination_id, by)
        return self._destinations.change(
            destination_id, name=name, options=options, segment_id=segment_id, enabled=enabled, by=by
        )

    def remove(self, destination_id: int, by: str = LOCAL, keep: bool = False) -> None:
        """Remove a destination, and take back what it was given unless that is to be kept.

        Raises:
            PushFailedError: it could not be taken back; the destination stays.
        """
        if not keep:
            self.retract(destination_id, by)
        self._destinations.remove(destination_id, by)

    def retract_all(self, instance_id: str, by: str = LOCAL) -> None:
        """Take back all that destinations of an instance were given, and push no run of it any more.

        Raises:
            PushFailedError: some of it could not be taken back; the rest has been.
        """
        failed: list[PropendError] = []
        for row in self._destinations.all(instance_id):
            try:
                self._destinations.switch(row.id, False, by)
                self.retract(row.id, by)
            except PropendError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def forget(self, who: Who) -> tuple[int, list[str]]:
        """Remove people from every place that scores were pushed to.

        Gives from how many rows, and the names of destinations that are out of reach.

        Raises:
            PushFailedError: a place cannot be reached now; the others are cleared.
        """
        rows, beyond, failed = 0, list[str](), list[PropendError]()
        for row in self._destinations.every():
            if not self._destinations.was_reached(row.id):
                continue
            with self._alone(row.id):
                try:
                    rows += self._ready(row).forget(who, self._past(row.id))
                except DestinationRefusedError:
                    beyond.append(row.name)
                except PropendError as error:
                    failed.append(error)
        if failed:
            raise failed[0]
        return rows, beyond

    def export(
        self, instance_id: str, to: str, *, segment_id: int | None = None, where: str | None = None,
        table: str | None = None,
    ) -> Plain:  # fmt: skip
        """Write the scores of the newest run to a file or a table, once; nothing of it is remembered.

        Args:
            to: a file ending in ``.csv``, ``.parquet`` or ``.jsonl``, the texts also in ``.gz``; or an address of
                PostgreSQL, which needs ``table``.
            segment_id, where: only members of this segment, of whom this rule holds.

        Raises:
            InstanceNotFoundError: there is no such instance or segment, or it has no scores yet.
            ConfigurationError: the rule, or where it is to go, has mistakes.
        """
        run, rule = self._runs.served(instance_id), Rule.read(where) if where is not None else Rule()
        audience = EVERYBODY
        if segment_id is not None:
            audience = f"segment-{segment_id}"
            rule += Rule.read(self._segments.get(segment_id).where)
        delivery = self.delivery(run, rule, audience)
        if to.startswith(("postgresql://", "postgres://", "env:", "keyring:")):
            given = {"url": to, "table": table or ""}
            pushed = destination("postgres", given, self._destinations.place).push(delivery, Past())
            return {"run": run.id, "to": table, "rows": pushed.rows}
        form = re.fullmatch(r".*\.(?:(csv|jsonl)(\.gz)?|(parquet))", to)
        if form is None:
            known = Mistake("--to", f"{to!r:.200} does not end in .csv, .jsonl (also with .gz) or .parquet")
            raise ConfigurationError([known], "the export")
        rows = write_file(Path(to).absolute(), form[1] or form[3], form[2] is not None, delivery)
        return {"run": run.id, "to": to, "rows": rows}

    # --- within -------------------------------------------------------------------------------------------

    def _carried_out(self, push: PushRow) -> Pushed:
        row = self._destinations.get(push.destination_id)
        past, ready = self._past(row.id, push), self._ready(row)
        if push.what != "push":
            return ready.retract(_source(row), past)
        self._destinations.gate_enriching(row.kind, row.instance_id)
        standing = self._destinations.standing(row.id)
        if standing and standing[0].made_at and push.made_at and standing[0].made_at > push.made_at:
            raise OlderRunError(
                f"{row.name!r} has the scores of run {standing[0].run_id}, which is newer than {push.run_id}.",
                "push the newest run; an older one replaces nothing.", run=standing[0].run_id,
            )  # fmt: skip
        return ready.push(self._delivery(row, self._runs.get(push.run_id)), past)

    def _ready(self, row: DestinationRow) -> Destination:
        return destination(row.kind, row.options, self._destinations.place)

    def _past(self, destination_id: int, push: PushRow | None = None) -> Past:
        facts = tuple(row.facts or {} for row in self._destinations.standing(destination_id))
        if push is None:
            return Past(facts)
        return Past(facts, push.progress or {}, partial(self._destinations.tell, push.id))

    def _delivery(self, row: DestinationRow, run: RunRow) -> Delivery:
        rule = Rule() if row.segment_id is None else Rule.read(self._segments.get(row.segment_id).where)
        return self.delivery(run, rule, _audience(row))

    def delivery(self, run: RunRow, rule: Rule, audience: str = EVERYBODY) -> Delivery:
        """The scores of a run that a rule means, a part at a time.

        Raises:
            InstanceNotFoundError: the scores are not there, or those of another instance that the rule speaks of.
            ConfigurationError, NotKeptError: the rule speaks of what the run does not keep.
        """
        summary, scores = run.summary or {}, self._scores(run)
        scores.gate(rule)
        return Delivery(
            instance=run.instance_id, run_id=run.id, made_at=run.finished_at or run.queued_at,
            scored_at=datetime.fromisoformat(summary["scored_at"]),
            expires_at=datetime.fromisoformat(summary["expires_at"]),
            audience=audience, schema=scores.schema, parts=lambda: scores.batches(rule),
        )  # fmt: skip

    def _scores(self, run: RunRow) -> ScoreFile:
        return ScoreFile.open(self._runs.folder(run), elsewhere=self._beside)

    def _beside(self, instance_id: str) -> ScoreFile:
        """The scores of another instance that a rule speaks of."""
        self._destinations.gate_beside(instance_id)
        return self._scores(self._runs.served(instance_id))

    def _failed(self, push: PushRow, error: PropendError) -> PushRow:
        """It waits for another try where that may help, or has failed; somebody is told at the first and the last."""
        again = isinstance(error, PushFailedError) and push.tries < self._tries and push.what != "retract"
        log.warning("push %d to destination %d: %s", push.id, push.destination_id, error.message)
        values: Plain = {"error": plain(error.to_dict())}
        if again:
            wait = min(FIRST_WAIT * 2 ** (push.tries - 1), LONGEST_WAIT) * random.uniform(0.75, 1.25)
            values |= {"state": "waiting", "due_at": now() + wait}
        else:
            values |= {"state": "failed", "finished_at": now()}
        ended = self._destinations.end(push.id, **values)
        if push.tries == 1 or not again:
            row = self._destinations.get(push.destination_id)
            more = {"destination": row.name, "push": push.id, "try": push.tries, "error": ended.error}
            self._alerts.tell("push_failed", self._runs.get(push.run_id), more | {"again": again})
        return ended

    def _broken_off(self, destination_id: int) -> None:
        """With the lock of a destination held: whoever was at work on it is not any more."""
        for row in self._destinations.unfinished():
            if row.destination_id == destination_id and row.state == "running":
                self._failed(
                    row, PushFailedError("The process ended before the push was done.", "it is tried again by itself.")
                )

    def _unfinished(self, destination_id: int) -> PushRow | None:
        return next((row for row in self._destinations.unfinished() if row.destination_id == destination_id), None)

    @contextmanager
    def _alone(self, destination_id: int, wait_seconds: float = -1) -> Iterator[None]:
        """Nobody else works on the destination meanwhile; waits for whoever does.

        Raises:
            WriteFailedError: there is no room for the lock.
        """
        lock = FileLock(self._locks / f"{destination_id}.lock", timeout=wait_seconds)
        try:
            self._locks.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise
        except OSError as error:
            raise told_of(error, f"Destination {destination_id} cannot be worked on") from None
        try:
            yield
        finally:
            lock.release()


def _audience(row: DestinationRow) -> str:
    return _audience_of(row.segment_id)


def _audience_of(segment_id: int | None) -> str:
    return EVERYBODY if segment_id is None else f"segment-{segment_id}"


def _nobody(instance_id: str, audience: str) -> Delivery:
    """What is delivered of an instance that has no scores yet."""
    at = now()
    return Delivery(
        instance=instance_id, run_id="rehearsal", made_at=at, scored_at=at, expires_at=at, audience=audience,
        schema=SCORES_SCHEMA, parts=lambda: iter(()),
    )  # fmt: skip


def _source(row: DestinationRow) -> str:
    return f"{row.instance_id}/{_audience(row)}"
