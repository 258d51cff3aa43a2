"""Log-ins that failed lately: who guesses passwords waits longer each time, whichever server is asked.

An attempt is written down before the password is looked at, and taken back when it was right: guesses that are made
at the same time count each other.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from propend.errors import TooManyAttemptsError
from propend.store.catalog import AttemptRow, Catalog, alone, now

WINDOW = timedelta(hours=1)
AHEAD = timedelta(minutes=1)
"""By so much clocks of servers may differ; what lies further ahead was written before a clock was put back."""


@dataclass(frozen=True)
class Limit:
    """How many failures are free within the window, and the longest wait after more, in seconds."""

    free: int
    longest: int


BY_NAME, BY_ADDRESS = Limit(5, 300), Limit(20, 900)
"""Many people may share an address; and nobody shall be locked out for long because others guess at their name."""


@dataclass(frozen=True)
class Attempt:
    """A log-in that is being tried: the row of its name, and that of its address."""

    name_key: str
    rows: tuple[int, ...]


class Attempts:
    """Counts log-ins."""

    def __init__(self, catalog: Catalog) -> None:
        """In the catalog, so that several servers count together."""
        self._catalog = catalog

    def begin(self, name: str, address: str) -> Attempt:
        """Write an attempt down as failed.

        Raises:
            TooManyAttemptsError: too many failed lately; ``retry_seconds`` says how long to wait.
        """
        keys = [(_key("name", name), BY_NAME), (_key("address", _network(address)), BY_ADDRESS)]
        with self._catalog.writing() as session:
            alone(session, "attempts")
            instant = now()
            gone = (AttemptRow.at < instant - WINDOW) | (AttemptRow.at > instant + AHEAD)
            session.execute(delete(AttemptRow).where(gone))
            wait = max(_wait(session, key, limit, instant) for key, limit in keys)
            if wait <= 0:
                rows = [AttemptRow(key=key, at=instant) for key, _ in keys]
                session.add_all(rows)
                session.flush()
                return Attempt(keys[0][0], tuple(row.id for row in rows))
        seconds = math.ceil(wait)
        raise TooManyAttemptsError(
            "Too many log-ins failed lately, with this name or from this address.",
            f"wait {seconds} seconds, then try again.",
            retry_seconds=seconds,
        )

    def succeeded(self, session: Session, attempt: Attempt) -> None:
        """Take an attempt back, with all that failed before by its name; what failed by its address stays."""
        rows = AttemptRow.id.in_(attempt.rows) | (AttemptRow.key == attempt.name_key)
        session.execute(delete(AttemptRow).where(rows))


def _wait(session: Session, key: str, limit: Limit, instant: datetime) -> float:
    """Seconds to wait, doubled by each failure beyond those that are free."""
    failed = list(session.scalars(select(AttemptRow.at).where(AttemptRow.key == key).order_by(AttemptRow.at)))
    if len(failed) < limit.free:
        return 0.0
    pause = min(2 ** min(len(failed) - limit.free, 30), limit.longest)
    return (failed[-1] + timedelta(seconds=pause) - instant).total_seconds()


def _key(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind} {text}".encode()).hexdigest()


def _network(address: str) -> str:
    """An address as it is counted: whoever has one of IPv6 has the 2**64 beside it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
