"""People who ask to be forgotten: out of all that a workspace keeps, and of all that it reads later (spec OPS-06).

What is kept of them is a keyed hash of the id, which tells whether an id that is met again is theirs and does not tell
the id. It is committed first; then they are taken out of every finished run. Whoever is killed on the way leaves a row
that says so, and the next look at the workspace goes on, told by the hash which rows are meant.
"""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from propend.errors import ForgettingFailedError, NoProfileGivenError, PropendError
from propend.protection import Forgotten, digest_of
from propend.store.catalog import Catalog, ForgottenRow, RunRow, SettingRow, alone, now
from propend.store.erasure import Erased, Who, any_of, erase, exactly
from propend.store.runs import WORK_FOLDER
from propend.workspace.audit import LOCAL, note
from propend.workspace.runs import Runs

KEY = "forgotten_key"
KEY_BYTES = 32
MADE_ANEW = ("exports", "cache")
"""Folders of files that are made from scores when they are asked for, and that hold nothing else."""
PLACES = ("run.json", "*/run.json", f"{WORK_FOLDER}/runs/*/*/run.json", f"instances/{WORK_FOLDER}/runs/*/*/run.json")
"""Where finished runs lie, those of the command line among them."""
Elsewhere = Callable[[Who], tuple[int, list[str]]]
"""Removes people from where scores were pushed to: gives from how many rows, and the places that are out of reach."""
log = logging.getLogger("propend.privacy")


@dataclass(frozen=True)
class Removal:
    """What was removed of a person.

    Attributes:
        mark: the first letters of the keyed hash, by which the log of changes speaks of it.
        runs: finished runs that had anything of the person.
        rows: rows of scores and contributions.
        examples: entries of reports and documents.
        pushed: rows of destinations.
        mirrored: rows of databases that are kept from run to run.
        out_of_reach: destinations that the person cannot be taken back from.
        known: whether the person had been forgotten before.
    """

    mark: str
    runs: int
    rows: int
    examples: int
    pushed: int
    mirrored: int
    out_of_reach: list[str]
    known: bool

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def forgotten_of(catalog: Catalog) -> Forgotten | None:
    """Everybody who is to be forgotten; None where there is nobody."""
    with catalog.reading() as session:
        key, digests = session.get(SettingRow, KEY), frozenset(session.scalars(select(ForgottenRow.digest)))
    if key is None or not digests:
        return None
    return Forgotten(bytes.fromhex(key.value), frozenset(map(bytes.fromhex, digests)))


class Privacy:
    """Who is forgotten in a workspace."""

    def __init__(
        self, home: Path, catalog: Catalog, runs: Runs, elsewhere: Elsewhere, from_mirrors: Callable[[], int]
    ) -> None:
        """Who removes people from what else has them.

        Args:
            home: the workspace's folder.
            elsewhere: removes people from where scores were pushed to.
            from_mirrors: removes everybody who is to be forgotten from rows of databases; gives how many rows.
        """
        self._home, self._catalog, self._runs, self._elsewhere = home, catalog, runs, elsewhere
        self._from_mirrors = from_mirrors
        self._lock = home / WORK_FOLDER / "forgetting.lock"

    # --- asking -------------------------------------------------------------------------------------------

    def forgotten(self) -> Forgotten | None:
        """Everybody who is to be forgotten; None where there is nobody."""
        return forgotten_of(self._catalog)

    def is_forgotten(self, profile_id: str) -> bool:
        """Whether an id is that of somebody who is to be forgotten."""
        forgotten = self.forgotten()
        return forgotten is not None and forgotten.among([profile_id.encode()])[0]

    @staticmethod
    def as_many(session: Session, forgotten: Forgotten | None) -> bool:
        """Within a transaction: whether nobody else has been forgotten since these were."""
        count = session.scalar(select(func.count()).select_from(ForgottenRow)) or 0
        return count == (len(forgotten.digests) if forgotten else 0)

    # --- forgetting ---------------------------------------------------------------------------------------

    def forget(self, profile_id: str, by: str = LOCAL) -> Removal:
        """Remove a person from all finished runs, and leave the person out of all data that are read from now on.

        Models that are trained already hold no ids; what they have learnt goes with the next training.

        Args:
            profile_id: as in the data.
            by: who does it.

        Raises:
            NoProfileGivenError: the id is empty.
            ForgettingFailedError: a file cannot be written; the person is left out of later runs, and the next look at
                the workspace tries again.
        """
        if not profile_id:
            raise NoProfileGivenError("No id was given.", "name the profile's id, as it is in your data.")
        digest, known = self._remember(profile_id, by)
        with FileLock(self._lock):
            mirrored = self._clear_mirrors()
            erased, runs = self._erase(exactly(profile_id), {digest})
            pushed, beyond = self._clear(exactly(profile_id))
        self._done({digest}, by, erased, runs, pushed, mirrored)
        return Removal(digest[:8], runs, erased.rows, erased.examples, pushed, mirrored, beyond, known)

    def resume(self) -> int:
        """Go on where somebody was killed while forgetting; gives how many people that concerned."""
        pending = self._pending()
        if not pending:
            return 0
        try:
            with FileLock(self._lock, timeout=0):
                pending = self._pending()  # who held the lock may have done it
                forgotten = self.forgotten()
                if not pending or forgotten is None:
                    return 0
                some = Forgotten(forgotten.key, frozenset(map(bytes.fromhex, pending)))
                mirrored = self._clear_mirrors()
                erased, runs = self._erase(any_of(some), pending)
                pushed, _ = self._clear(any_of(some))
        except Timeout:
            return 0  # somebody is at it
        self._done(pending, LOCAL, erased, runs, pushed, mirrored)
        return len(pending)

    def clean(self, folder: Path, forgotten: Forgotten) -> Erased:
        """Take people out of a run that is not finished yet.

        Args:
            forgotten: those who asked since its data were read.
        """
        return erase(folder, any_of(forgotten))

    def _remember(self, profile_id: str, by: str) -> tuple[str, bool]:
        """Commit that somebody is to be forgotten; from then on no run that has the person can be committed."""
        with self._catalog.writing() as session:
            alone(session, "runs")
            key = session.get(SettingRow, KEY)
            if key is None:
                key = SettingRow(key=KEY, value=secrets.token_bytes(KEY_BYTES).hex())
                session.add(key)
            digest = digest_of(profile_id.encode(), bytes.fromhex(key.value)).hex()
            found = session.get(ForgottenRow, digest)
            if found is None:
                session.add(ForgottenRow(digest=digest, at=now(), pending=True))
            else:
                found.pending = True
            note(session, by, "forget", "profile", digest[:8])
            return digest, found is not None

    def _pending(self) -> set[str]:
        with self._catalog.reading() as session:
            return set(session.scalars(select(ForgottenRow.digest).where(ForgottenRow.pending.is_(True))))

    def _erase(self, who: Who, digests: Iterable[str]) -> tuple[Erased, int]:
        """From every finished run; what is left of it, and from how many."""
        for name in MADE_ANEW:
            shutil.rmtree(self._home / WORK_FOLDER / name, ignore_errors=True)
        total, runs, failed = Erased(), 0, list[ForgettingFailedError]()
        for folder in self._folders():
            try:
                erased = erase(folder, who)
            except FileNotFoundError:
                continue  # its instance was deleted meanwhile, or its scores are too old to be kept
            except (OSError, PropendError) as error:
                failed.append(_failed(folder, error, [d[:8] for d in digests]))  # the others are cleared all the same
                continue
            total, runs = total + erased, runs + bool(erased.files)
        self._prune_again()
        if failed:
            raise failed[0]
        return total, runs

    def _clear_mirrors(self) -> int:
        """From rows of databases that are kept; gives how many."""
        try:
            return self._from_mirrors()
        except (OSError, PropendError) as error:
            reason = getattr(error, "message", None) or type(error).__name__
            raise ForgettingFailedError(
                f"Rows of a database that are kept could not be cleared: {reason}",
                "see to the folder; the next look at the workspace goes on, and no later run reads the profile.",
            ) from None

    def _clear(self, who: Who) -> tuple[int, list[str]]:
        """From destinations; gives from how many rows, and those that are out of reach."""
        try:
            return self._elsewhere(who)
        except PropendError as error:
            raise ForgettingFailedError(
                f"A destination could not be cleared: {error.message}",
                "see to it; the next look at the workspace goes on, and nothing that is pushed has the profile.",
            ) from None

    def _folders(self) -> list[Path]:
        """Of finished runs; one that is executed sees to itself before it is committed."""
        with self._catalog.reading() as session:
            unfinished = set(session.scalars(select(RunRow.folder).where(RunRow.state.in_(("queued", "running")))))
            finished = session.scalars(select(RunRow.folder).where(RunRow.state == "succeeded"))
            found = {self._home / folder for folder in finished}
        found |= {path.parent for place in PLACES for path in self._home.glob(place)}
        busy = {self._home / folder for folder in unfinished}
        return sorted(f for f in found - busy if f.is_dir() and not f.name.endswith(".tmp"))

    def _prune_again(self) -> None:
        """Scores that were removed for their age while they were written anew."""
        with self._catalog.reading() as session:
            gone = select(RunRow.folder).where(RunRow.state == "succeeded", RunRow.scores_kept.is_(False))
            folders = list(session.scalars(gone))
        for folder in folders:
            self._runs.remove_scores(self._home / folder)

    def _done(self, digests: Iterable[str], by: str, erased: Erased, runs: int, pushed: int, mirrored: int) -> None:
        with self._catalog.writing() as session:
            for digest in sorted(digests):
                session.execute(update(ForgottenRow).where(ForgottenRow.digest == digest).values(pending=False))
                left = {"runs": runs, "rows": erased.rows, "examples": erased.examples, "pushed": pushed}
                left |= {"mirrored": mirrored}
                note(session, by, "erase", "profile", digest[:8], after=left)
        log.info("forgotten: %d rows of %d runs were removed", erased.rows, runs)


def _failed(folder: Path, error: Exception, marks: list[str]) -> ForgettingFailedError:
    reason = getattr(error, "strerror", None) or getattr(error, "message", None) or type(error).__name__
    return ForgettingFailedError(
        f"Run {folder.name!r} could not be cleared of {', '.join(marks)}: {str(reason).rstrip('.')}.",
        "see to the folder; the next look at the workspace goes on, and no later run reads the profile.",
        run=folder.name,
    )  # fmt: skip
