"""What is pushed, where it may go, and what came of it: the seam between scores and the places that take them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from propend.connectors.libraries import load
from propend.errors import DatabaseUnreachableError, DestinationRefusedError, LibraryMissingError
from propend.goal import Part
from propend.store.erasure import Who

Plain = dict[str, Any]
FEW = 5
"""Rows that a rehearsal brings along."""
OWN_VARIABLES, COMMON_PASSWORD = "PROPEND_", "PGPASSWORD"
"""What the process itself is told: whoever saves a destination could have it sent to an address of theirs."""
_SECRET = re.compile(r"env:(?P<variable>[A-Za-z_][A-Za-z0-9_]*)|keyring:(?P<service>[^/\s]{1,200})/(?P<user>\S{1,200})")


@dataclass(frozen=True)
class Delivery:
    """The scores of one run that are pushed: all of them, or those of a segment's members.

    Attributes:
        instance: its id.
        run_id: of the run.
        made_at: when the run was finished: what was made earlier never replaces what was made later.
        scored_at, expires_at: of the scores.
        audience: ``all``, or ``segment-`` and the segment's number.
        schema: of the rows (``scoring.SCORES_SCHEMA`` and further columns).
        parts: the rows, sorted by ``profile_id`` within a part, from the first again with each call.
    """

    instance: str
    run_id: str
    made_at: datetime
    scored_at: datetime
    expires_at: datetime
    audience: str
    schema: pa.Schema
    parts: Callable[[], Iterator[pa.RecordBatch]]

    @property
    def source(self) -> str:
        """What fills a place: the instance, and which of its profiles."""
        return f"{self.instance}/{self.audience}"

    def few(self, rows: int = FEW) -> Delivery:
        """The same with no more than its first rows."""

        def first() -> Iterator[pa.RecordBatch]:
            left = rows
            for batch in self.parts():
                if left:
                    yield batch.slice(0, left)
                left = max(left - batch.num_rows, 0)
                if not left:
                    return

        return replace(self, parts=first)


@dataclass(frozen=True)
class Past:
    """What a destination knows of its earlier pushes.

    Attributes:
        facts: what each that succeeded has left (``Pushed.facts``), newest first.
        broken: how far a push of the same run came that broke off (``tell``); empty where there was none.
        tell: keeps how far a push is, so that another can go on there.
    """

    facts: tuple[Plain, ...] = ()
    broken: Plain = field(default_factory=dict)
    tell: Callable[[Plain], None] = lambda _how_far: None


@dataclass(frozen=True)
class Pushed:
    """What a push or a retraction has changed.

    Attributes:
        rows: that were delivered.
        added, updated, retracted: profiles that are new there, that changed, that left; None where nobody can tell.
        facts: what the destination wants to know of it later, such as the files it wrote; plain data.
    """

    rows: int = 0
    added: int | None = None
    updated: int | None = None
    retracted: int | None = None
    facts: Plain = field(default_factory=dict)


@dataclass(frozen=True)
class Rehearsed:
    """What is known of a place after a push of a few rows to it was tried, of which nothing has stayed.

    Attributes:
        says: in sentences.
        shown: the rows as the place would have them, or what was sent; as text.
    """

    says: tuple[str, ...]
    shown: str = ""


@dataclass(frozen=True)
class Place:
    """Where destinations may reach from here.

    Attributes:
        home: what paths are relative to.
        folders: below which files may be written; anywhere where None.
        private: whether addresses within private networks may be called.
    """

    home: Path
    folders: tuple[Path, ...] | None = None
    private: bool = True

    def file(self, folder: str, name: str) -> Path:
        """A file that may be written.

        Raises:
            DestinationRefusedError: it would be outside of the folders that are allowed, also by a symbolic link.
        """
        base = (self.home / folder).resolve()
        found = (base / name).resolve()
        if not self._has(base) or not found.is_relative_to(base) or found == base:
            raise DestinationRefusedError(
                f"No file may be written at {name!r:.200} in {folder!r:.200}.",
                "write below the workspace's folder exports/, or allow others by exports.folders in propend.toml.",
                folder=folder, name=name,
            )  # fmt: skip
        return found

    def written(self, name: str) -> Path:
        """A file that ``file`` once gave, to be changed or removed.

        Raises:
            DestinationRefusedError: a symbolic link leads elsewhere by now, or its folder is not allowed any more.
        """
        path = Path(name)
        if path.is_symlink() or path.resolve() != path or not self._has(path):
            raise DestinationRefusedError(
                f"{name!r:.300} was written by an earlier push, and nothing may be changed there now: a symbolic link "
                "leads elsewhere, or its folder is not allowed any more.",
                "put the folder back, or remove the destination with --keep-exports and see to the file yourself.",
                path=name[:300],
            )
        return path

    def _has(self, path: Path) -> bool:
        """Whether a resolved path is below a folder that is allowed."""
        return self.folders is None or any(path.is_relative_to(f.resolve()) for f in self.folders)


class Options(Part):
    """What every kind takes.

    Attributes:
        retract_expired: whether scores are taken back when they have expired and no newer ones came.
        how: names of options that say how the place is filled, and not which it is.
        enriches: whether the place holds profiles, whose facts the scores become; not where the scores stand alone, as
            a table of their own or as a history of events.
    """

    how: ClassVar[frozenset[str]] = frozenset({"retract_expired"})
    enriches: ClassVar[bool] = False

    retract_expired: bool = False


class Destination(Protocol):
    """A place that takes scores. A class has ``kind``, its name, and ``options``, a model of what it is told.

    An object is made for each push: ``kind(options, place)``. Whatever goes wrong is a ``PushFailedError`` (worth
    another try) or another ``PropendError``, and then the state before stands.

    A kind that can be tried before anything is pushed has ``rehearse(delivery) -> Rehearsed``, too: it does with a few
    rows all that a push needs, and leaves the place as it was.
    """

    kind: ClassVar[str]
    options: ClassVar[type[Options]]

    def __init__(self, options: Any, place: Place) -> None:
        """``options``: valid; ``place``: where it may reach."""

    def push(self, delivery: Delivery, past: Past) -> Pushed:
        """Make the place hold exactly these rows of this source; the same again changes nothing."""

    def retract(self, source: str, past: Past) -> Pushed:
        """Take back everything of a source."""

    def forget(self, who: Who, past: Past) -> int:
        """Remove people from what was pushed; gives from how many rows.

        Raises:
            DestinationRefusedError: what was pushed is out of reach.
        """


def is_secret_name(text: str) -> bool:
    """Whether a text names a secret, as ``env:NAME`` or ``keyring:SERVICE/USER`` does."""
    return _SECRET.fullmatch(text) is not None


def secret_of(named: str) -> str:
    """The secret that ``env:NAME`` or ``keyring:SERVICE/USER`` names; it is never stored, shown or logged.

    Raises:
        DestinationRefusedError: the text names none, or one of propend's own, or nothing is kept under that name here.
    """
    found = _SECRET.fullmatch(named)
    if found is None:
        raise DestinationRefusedError(
            "A secret stands in place of its name.", "write `env:NAME`, and put the secret into that variable."
        )
    _gate_variable(found["variable"])
    if found["variable"] is None:
        return _from_keyring(named, found["service"], found["user"])
    value = os.environ.get(found["variable"])
    if not value:
        raise DestinationRefusedError(
            f"There is no secret {named!r}: the variable {found['variable']} is not set.",
            "set it where the server and its runs are started.", secret=named,
        )  # fmt: skip
    return value


def _gate_variable(name: str | None) -> None:
    if name is not None and _is_own(name):
        raise DestinationRefusedError(
            f"The variable {name[:100]} is not for destinations: what it holds is sent to nobody.",
            "keep the secret in a variable of its own, such as CRM_PASSWORD, and name that one.", variable=name[:100],
        )  # fmt: skip


def _is_own(name: str) -> bool:
    """Also in small letters: on some systems names of variables have no case."""
    return name.upper().startswith(OWN_VARIABLES) or name.upper() == COMMON_PASSWORD


def _from_keyring(named: str, service: str, user: str) -> str:
    try:
        value = load("propend.connectors.keyrings").kept(service, user)
    except LibraryMissingError as error:
        raise DestinationRefusedError(f"There is no secret {named!r}: keyring is not installed.", error.hint) from None
    except DatabaseUnreachableError as error:  # as addresses of databases say it
        hint = "on a server there is often none: keep the secret in a variable, as env:NAME."
        raise DestinationRefusedError(error.message, hint, secret=named) from None
    if not value:
        raise DestinationRefusedError(
            f"There is no secret {named!r}: the keyring has nothing under {service!r} for {user!r}.",
            f"keep it there, as the account that propend runs as: keyring set {service} {user}.", secret=named,
        )  # fmt: skip
    return str(value)


def secret_name(value: str) -> str:
    """A validator of options: only the name of a secret, never one itself, and none of propend's own."""
    found = _SECRET.fullmatch(value)
    if found is not None and found["variable"] is not None and _is_own(found["variable"]):
        raise ValueError(
            f"the variable {found['variable'][:100]} is not for destinations; keep the secret in one of its own, "
            "such as env:CRM_SECRET"
        )
    if found is None:
        raise ValueError(
            "the name of a secret is needed, such as env:CRM_SECRET or keyring:crm/propend, not the secret itself"
        )
    return value
