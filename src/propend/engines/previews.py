"""A look at a source for people: first rows, what each column holds, how complete it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from propend.columns import ROLES, guess_columns
from propend.engines.database import Database
from propend.engines.relations import Relation, sample_of
from propend.engines.sources import open_relation
from propend.instance import Attributes, Columns, Data, Source
from propend.predicates import FieldType, quote_name

ROWS_SHOWN = 8
COLUMNS_SHOWN = 10
VALUES_SHOWN = 30
VALUE_ROWS = 500_000
"""Rows from which the usual values are counted."""
LONGEST_VALUE = 80
MUCH_FILLED = 0.6
"""Under this share of cells that hold something, much is empty."""
YEAR = "INTERVAL 365 DAY"


@dataclass(frozen=True)
class ColumnPreview:
    """One column.

    Attributes:
        name, type: as conditions have them.
        role: it plays, if any.
        reason: why it was taken for that, where nobody said so.
        filled: share of the rows of the last year that have it; of all rows where no time is known.
        values: the usual ones, most first; of texts and truth only.
    """

    name: str
    type: FieldType
    role: str
    reason: str
    filled: float
    values: tuple[str, ...]


@dataclass(frozen=True)
class SourcePreview:
    """One source.

    Attributes:
        name, format, rows: as read.
        columns: all of them, in their order.
        first: its first rows as texts, None where empty.
        lately: whether completeness is that of the last year.
        due: the share of cells that hold something, of those that one could expect to: a column that belongs to some
            kinds of events is empty by nature in all others; of XDM, whose fields belong to some events each, it is
            that of the columns that play a role.
    """

    name: str
    format: str
    rows: int
    columns: tuple[ColumnPreview, ...]
    first: tuple[tuple[str | None, ...], ...]
    lately: bool
    due: float = 1.0

    @property
    def shown(self) -> tuple[ColumnPreview, ...]:
        """The first columns, those that play a role before the others (reference specification CF-05)."""
        ranked = sorted(self.columns, key=lambda c: not c.role)
        return tuple(ranked[:COLUMNS_SHOWN])

    @property
    def rows_shown(self) -> list[list[str | None]]:
        """The first rows, of these columns."""
        places = [self.columns.index(c) for c in self.shown]
        return [[row[i] for i in places] for row in self.first]

    @property
    def much_empty(self) -> bool:
        """Whether much is empty that one could expect to hold something."""
        return self.due < MUCH_FILLED

    @property
    def filled(self) -> float:
        """The share of all cells that hold something (reference specification CF-09)."""
        return sum(c.filled for c in self.columns) / max(len(self.columns), 1)


def preview(db: Database, source: Source, data: Data, folder: Path) -> SourcePreview:
    """Look at a source, whether or not events can be made of it.

    Raises:
        SourceNotFoundError, SourceUnreadableError: 200 and 201.
    """
    relation = open_relation(db, source, folder, {})
    roles, reasons = _roles(db, relation, source.columns or Columns(), data.columns)
    return _seen(db, relation, roles, reasons, roles.get("at"))


def preview_attributes(db: Database, table: Attributes, names: Sequence[str], folder: Path) -> SourcePreview:
    """Look at a table of attributes.

    Args:
        names: columns of the profile's id in the events; one of the same name is it, where none is named.

    Raises:
        SourceNotFoundError, SourceUnreadableError: 200 and 201.
    """
    relation = open_relation(db, table, folder, {})
    named = {"profile": table.profile, "at": table.effective}
    roles = {role: name for role, name in named.items() if name in relation.columns}
    reasons: dict[str, str] = {}
    if table.profile is None and (same := next((n for n in names if n in relation.columns), None)):
        roles, reasons = roles | {"profile": same}, {"profile": "it is called as in the events"}
    elif table.profile is None and relation.xdm is None:
        guess = guess_columns(relation.types, sample_of(db, relation), {"at": ""}).get("profile")
        if guess is not None:
            roles, reasons = roles | {"profile": guess.column}, {"profile": guess.reason}
    if relation.xdm is not None:
        roles, reasons = relation.xdm.roles | roles, relation.xdm.reasons
    return _seen(db, relation, roles, reasons, None)


def _seen(
    db: Database, relation: Relation, roles: Mapping[str, str], reasons: Mapping[str, str], at: str | None
) -> SourcePreview:
    """What there is; complete over the last year that a column of times has, or over all rows where there is none."""
    with db.reading(relation.name):
        lately, shares = _filled(db, relation, at)
        first = _first(db, relation)
        due = _due(db, relation, roles, shares)
        values = {name: _values(db, relation, name) for name in relation.columns}
    by_column = {column: role for role, column in roles.items()}
    columns = tuple(
        ColumnPreview(
            name, column.type, by_column.get(name, ""), reasons.get(by_column.get(name, ""), ""), shares[name],
            values[name],
        )
        for name, column in relation.columns.items()
    )  # fmt: skip
    return SourcePreview(relation.name, relation.format, relation.rows, columns, first, lately, due)


def _roles(db: Database, relation: Relation, own: Columns, usual: Columns) -> tuple[dict[str, str], Mapping[str, str]]:
    named = {role: getattr(own, role) or getattr(usual, role) for role in ROLES}
    roles = {role: name for role, name in named.items() if name in relation.columns}
    if relation.xdm is not None:
        known = relation.xdm
        found = {r: c for r, c in known.roles.items() if r not in roles}
        return roles | found, {r: known.reasons[r] for r in found if r in known.reasons}
    guesses = guess_columns(relation.types, sample_of(db, relation), roles)
    return roles | {r: g.column for r, g in guesses.items()}, {r: g.reason for r, g in guesses.items()}


def _filled(db: Database, relation: Relation, at: str | None) -> tuple[bool, dict[str, float]]:
    where, lately = "", False
    if at is not None and relation.columns[at].type == "time":
        moment = relation.columns[at].column.time
        where = f" WHERE {moment} > (SELECT max({moment}) FROM {relation.table}) - {YEAR}"
        lately = True
    names = list(relation.columns)
    counts = ", ".join(["count(*)", *(f"count({relation.columns[n].column.text})" for n in names)])
    row = db.rows(f"SELECT {counts} FROM {relation.table}{where}")[0]
    return lately, {name: int(n) / max(int(row[0]), 1) for name, n in zip(names, row[1:], strict=True)}


def _due(db: Database, relation: Relation, roles: Mapping[str, str], shares: Mapping[str, float]) -> float:
    """See ``SourcePreview.due``; kinds are only told apart where much is empty."""
    played = [shares[name] for name in roles.values() if name in shares]
    if relation.xdm is not None:
        return sum(played) / max(len(played), 1)
    whole = sum(shares.values()) / max(len(shares), 1)
    if whole >= MUCH_FILLED or "event" not in roles:
        return whole
    names = list(relation.columns)
    counts = ", ".join(["count(*)", *(f"count({relation.columns[n].column.text})" for n in names)])
    kind = relation.columns[roles["event"]].column.text
    rows = db.rows(f"SELECT {counts} FROM {relation.table} GROUP BY {kind}")
    found = []
    for place in range(1, len(names) + 1):
        having = [(int(row[0]), int(row[place])) for row in rows if int(row[place])]
        found.append(sum(n for _, n in having) / max(sum(n for n, _ in having), 1))
    return sum(found) / max(len(found), 1)


def _first(db: Database, relation: Relation) -> tuple[tuple[str | None, ...], ...]:
    shown = ", ".join(f"left({c.column.text}, {LONGEST_VALUE})" for c in relation.columns.values())
    return tuple(tuple(row) for row in db.rows(f"SELECT {shown or 'NULL'} FROM {relation.table} LIMIT {ROWS_SHOWN}"))


def _values(db: Database, relation: Relation, name: str) -> tuple[str, ...]:
    """The usual values of a column of texts or truth; none where hardly any comes twice."""
    column = relation.columns[name]
    if column.type not in ("text", "boolean"):
        return ()
    text = quote_name("v")
    rows = db.rows(
        f"SELECT {text}, count(*) AS n FROM (SELECT {column.column.text} AS {text} FROM {relation.table} "
        f"LIMIT {VALUE_ROWS}) WHERE {text} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {VALUES_SHOWN}"
    )
    return tuple(str(v)[:LONGEST_VALUE] for v, n in rows if int(n) > 1)
