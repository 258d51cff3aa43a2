"""XDM's shape in a relation: its fields under plain paths, and what happened, to whom and for how much, as expressions.

Nothing is copied or made a view: what is added to a relation are columns whose expressions stand over its own table,
so that the same statements read it wherever they run. ``connectors.xdm`` has what is known; the SQL is here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from propend.connectors import xdm
from propend.connectors.xdm import Rule, Wanted
from propend.engines.database import Database
from propend.engines.relations import ITEM, MAX_DEPTH, RawColumn, Recognised, Relation, field_type, struct_members
from propend.errors import IdentityNotFoundError, NotXdmEventsError
from propend.instance import Attributes, Source
from propend.predicates import quote_name, quote_text

KIND, VALUE = "xdm:kind", "xdm:value"
"""Columns that are made; no plain path begins so."""
MOST_NAMESPACES = 50
_NOT_FIELDS = (f"{xdm.MAP}.", f"{xdm.END_USER_IDS}.", "segmentMembership")


@dataclass(frozen=True)
class Leaf:
    """A value at the end of a path, under the name that the data have for it."""

    raw: str
    sql: str
    native: str


@dataclass
class Fields:
    """What a relation has, by plain path; several leaves of one path are one field written in several ways.

    Attributes:
        single: values.
        lists: lists of values or of records.
        maps: mappings.
        prefixed: whether any name was written with ``xdm:`` or as an address.
    """

    single: dict[str, list[Leaf]] = field(default_factory=dict)
    lists: dict[str, list[Leaf]] = field(default_factory=dict)
    maps: dict[str, list[Leaf]] = field(default_factory=dict)
    prefixed: bool = False

    def add(self, path: tuple[str, ...], raw: str, sql: str, native: str, depth: int = 0) -> None:
        """A column, and each within it."""
        if native.startswith("STRUCT(") and native.endswith(")") and depth < MAX_DEPTH:
            for child, kind in struct_members(native):
                self._see(child)
                inner = f"struct_extract({sql}, {quote_text(child)})"
                self.add((*path, *xdm.plain_key(child)), f"{raw}.{child}", inner, kind, depth + 1)
            return
        where = self.lists if native.endswith("[]") else self.maps if native.startswith("MAP(") else self.single
        where.setdefault(".".join(path), []).append(Leaf(raw, sql, native))

    def _see(self, key: str) -> None:
        self.prefixed = self.prefixed or key.startswith(("xdm:", "https://ns.adobe.com/"))

    @classmethod
    def of(cls, columns: Sequence[tuple[str, str]], base: str = "") -> Fields:
        """Of columns, or of the members of a record that the expression ``base`` gives."""
        found = cls()
        for name, native in columns:
            found._see(name)
            sql = f"struct_extract({base}, {quote_text(name)})" if base else quote_name(name)
            found.add(xdm.plain_key(name), name, sql, native)
        return found

    @property
    def paths(self) -> set[str]:
        return {*self.single, *self.lists, *self.maps}


def recognised(db: Database, relation: Relation, given: Source | Attributes) -> Relation:
    """A relation with what XDM's shape says of it; the same relation if it has none, or nobody may look.

    Raises:
        IdentityNotFoundError: the identity that is named is not there.
    """
    if given.format == "plain":
        return relation
    columns = [(str(r[0]), str(r[1])) for r in db.rows(f"DESCRIBE {relation.table}")]
    fields = Fields.of(columns)
    shape = xdm.shape_of(fields.paths, fields.prefixed)
    if given.format == "xdm" and not shape and xdm.AT in fields.paths:
        shape = "event"
    if not shape and given.format != "xdm":
        return relation
    plain = _plain_columns(relation, fields)
    if isinstance(given, Attributes):
        return _attributes(db, relation, fields, plain, shape)
    if shape == "event":
        return _events(db, relation, fields, plain, given)
    if given.format == "xdm" or fields.prefixed:
        return replace(relation, columns=plain, xdm=Recognised(shape, {}, {}))
    return relation


def check_events(relation: Relation) -> None:
    """Rows that were recognised as XDM must be its events.

    Raises:
        NotXdmEventsError: they are subscriptions, memberships of segments, or parts of events.
    """
    if relation.xdm is None or relation.xdm.shape == "event":
        return
    shape = relation.xdm.shape
    what = xdm.WHAT.get(shape, "nothing that has the shape of XDM's ExperienceEvents")
    hint = "name them as `data.attributes: {path: ..., format: xdm}`."
    if shape in ("fragment", "membership"):
        hint = "export the ExperienceEvents themselves, each with its `timestamp` and an identity."
    if shape == "":
        hint = "leave `format: xdm` out: the columns are then guessed or named as of any other data."
    raise NotXdmEventsError(f"{relation.name!r} holds {what}.", hint, source=relation.name, shape=shape)


# --- fields ---------------------------------------------------------------------------------------------------


def _one(leaves: Sequence[Leaf]) -> Leaf:
    """Several ways of writing one field as one; as texts where they differ in type."""
    if len(leaves) == 1:
        return leaves[0]
    native = leaves[0].native
    if all(leaf.native == native for leaf in leaves):
        return Leaf(leaves[0].raw, f"coalesce({', '.join(leaf.sql for leaf in leaves)})", native)
    texts = ", ".join(f"CAST({leaf.sql} AS VARCHAR)" for leaf in leaves)
    return Leaf(leaves[0].raw, f"coalesce({texts})", "VARCHAR")


def _plain_columns(relation: Relation, fields: Fields) -> dict[str, RawColumn]:
    """Every usable column under its plain path, and of lists their items."""
    found: dict[str, RawColumn] = {}
    for path, leaves in fields.single.items():
        if path.startswith(f"{xdm.END_USER_IDS}.") and path.rpartition(".")[2] not in ("id", "_id"):
            continue  # what is said about an id describes nobody
        known = [relation.columns[leaf.raw] for leaf in leaves if leaf.raw in relation.columns]
        if known:
            leaf = _one([Leaf(c.name, c.sql, c.native) for c in known])
            kinds = {c.type for c in known if not c.empty} or {known[0].type}
            kind = next(iter(kinds)) if len(kinds) == 1 else "text"
            found[path] = RawColumn(path, leaf.sql, leaf.native, kind, all(c.empty for c in known))
    for path, leaves in fields.lists.items():
        if path.startswith(_NOT_FIELDS) or path == xdm.MAP:
            continue
        for inner, item in _items(leaves):
            holds = field_type(item.native)
            if holds is not None:
                name = f"{path}.{inner}" if inner else path
                found[name] = RawColumn(name, f"({item.sql})[1]", item.native, holds, many=item.sql)
    return found


def _items(leaves: Sequence[Leaf]) -> Iterator[tuple[str, Leaf]]:
    """What the items of a list have, by plain path, each as a list; a list of values has one without a path."""
    found: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        native = leaf.native[:-2]
        if not native.startswith("STRUCT("):
            found.setdefault("", []).append(Leaf(leaf.raw, leaf.sql, native))
            continue
        for inner, inside in Fields.of(struct_members(native), ITEM).single.items():
            one = _one(inside)
            found.setdefault(inner, []).append(Leaf(one.raw, f"[{one.sql} for {ITEM} in {leaf.sql}]", one.native))
    for inner, ways in found.items():
        if len({way.native for way in ways}) == 1:
            yield inner, _one(ways)
            continue
        texts = [Leaf(w.raw, f"[CAST({ITEM} AS VARCHAR) for {ITEM} in {w.sql}]", "VARCHAR") for w in ways]
        yield inner, _one(texts)


# --- what happened --------------------------------------------------------------------------------------------


def _number(column: RawColumn) -> str:
    return column.column.number


def _shown(rule: Rule, columns: Mapping[str, RawColumn]) -> list[tuple[str, str]]:
    """Conditions under which a row shows a kind, with what each looks at in words."""
    shown = []
    for path in rule.fields:
        if rule.test == "present":
            if path in columns:
                shown.append((columns[path].column.present, f"{path} filled"))
            continue
        value = columns.get(f"{path}.value")
        own = next((columns[f"{path}.{key}"] for key in ("id", "_id") if f"{path}.{key}" in columns), None)
        tests = [f"{_number(value)} > 0"] if value is not None else []
        if own is not None:
            tests.append(
                own.column.present if value is None else f"({_number(value)} IS NULL AND {own.column.present})"
            )
        if tests:
            shown.append((f"({' OR '.join(tests)})", f"{path} above 0"))
    return shown


def _kinds(columns: Mapping[str, RawColumn]) -> tuple[str, dict[str, str]]:
    """What a row is, and by what each kind that there can be is recognised."""
    by: dict[str, list[str]] = {}
    cases = []

    def look(rules: Sequence[Rule]) -> None:
        for rule in rules:
            for test, words in _shown(rule, columns):
                cases.append(f"WHEN coalesce({test}, FALSE) THEN {quote_text(rule.kind)}")
                by.setdefault(rule.kind, []).append(words)

    look(xdm.ACTS)
    types = columns.get(xdm.EVENT_TYPE)
    if types is not None:
        low = f"lower({types.column.text})"
        pages = ", ".join(map(quote_text, xdm.PAGE_TYPES))
        named = " ".join(f"WHEN {quote_text(t)} THEN {quote_text(kind)}" for t, kind in xdm.EVENT_TYPES.items())
        other = f"CASE {low} {named} ELSE {types.column.text} END"
        cases.append(f"WHEN {types.column.present} AND {low} NOT IN ({pages}) THEN {other}")
        for kind in dict.fromkeys(xdm.EVENT_TYPES.values()):
            by.setdefault(kind, []).append(xdm.EVENT_TYPE)
    look(xdm.PAGES)
    if types is not None:
        cases.append(f"WHEN lower({types.column.text}) IN ({pages}) THEN 'webVisit'")
        by.setdefault("webVisit", []).append(xdm.EVENT_TYPE)
    sql = f"(CASE {' '.join(cases)} ELSE {quote_text(xdm.OTHER)} END)" if cases else quote_text(xdm.OTHER)
    return sql, {kind: " or ".join(words) for kind, words in by.items()} | {xdm.OTHER: xdm.OTHER_BY}


def _value(fields: Fields, columns: Mapping[str, RawColumn]) -> tuple[str, str, str]:
    """What an event is worth, the currency of that, and what it is made of in words; empty where nothing says it."""
    ways = [_number(columns[path]) for path in xdm.TOTALS if path in columns]
    words = [path for path in xdm.TOTALS if path in columns]
    currencies = [columns[path].column.text for path in xdm.CURRENCIES if path in columns]
    for leaf in fields.lists.get(xdm.ITEMS, ()):
        inside = Fields.of(struct_members(leaf.native[:-2]), ITEM) if leaf.native.startswith("STRUCT(") else Fields()

        def amount(name: str, inside: Fields = inside) -> str:
            return f"try_cast({_one(inside.single[name]).sql} AS DOUBLE)" if name in inside.single else ""

        total, price, quantity = map(amount, (xdm.ITEM_TOTAL, xdm.ITEM_PRICE, xdm.ITEM_QUANTITY))
        each = [total] if total else []
        each += [f"{price} * coalesce({quantity}, 1)" if quantity else price] if price else []
        if each:
            ways.append(f"list_sum([coalesce({', '.join(each)}) for {ITEM} in {leaf.sql}])")
            words.append(f"sum of {xdm.ITEMS}")
    currency = columns.get(f"{xdm.ITEMS}.{xdm.ITEM_CURRENCY}")
    currencies += [currency.column.text] if currency is not None else []
    said = ", else ".join(dict.fromkeys(words))
    return (f"coalesce({', '.join(ways)})" if ways else "", _coalesced(currencies), said)


def _coalesced(texts: Sequence[str]) -> str:
    return f"coalesce({', '.join(texts)})" if texts else ""


# --- whose it is ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    """An identity that a relation has.

    Attributes:
        sql: expression of the id, of the primary one where a map has several.
        primary: expression of the id where it is marked as the primary identity; empty where nothing can be.
        filled, primary_filled: shares of the rows that have it, and that have it as the primary one.
    """

    namespace: str
    path: str
    sql: str
    primary: str = ""
    filled: float = 0.0
    primary_filled: float = 0.0

    @property
    def label(self) -> str:
        return f"{self.namespace} ({self.path})"


def _candidates(db: Database, relation: Relation, fields: Fields, columns: Mapping[str, RawColumn]) -> list[Candidate]:
    """Identities there are: of ``identityMap``, one for each namespace, then of ``endUserIDs``; with their shares."""
    found = [*_of_lists(fields), *_of_maps(db, relation, fields), *_of_paths(columns)]
    together: dict[tuple[str, str], list[Candidate]] = {}
    for one in found:
        together.setdefault((one.namespace, one.path), []).append(one)
    merged = [
        Candidate(space, path, _coalesced([c.sql for c in ways]), _coalesced([c.primary for c in ways if c.primary]))
        for (space, path), ways in together.items()
    ]
    return _counted(db, relation, merged)


def _counted(db: Database, relation: Relation, candidates: Sequence[Candidate]) -> list[Candidate]:
    if not candidates:
        return []
    asked = ", ".join(f"count(nullif({c.sql}, '')), count({c.primary or 'NULL'})" for c in candidates)
    with db.reading(relation.name):
        rows, *counts = db.rows(f"SELECT count(*), {asked} FROM {relation.table}")[0]
    every = max(int(rows), 1)
    return [
        replace(c, filled=counts[2 * i] / every, primary_filled=counts[2 * i + 1] / every)
        for i, c in enumerate(candidates)
    ]


def _of_lists(fields: Fields) -> Iterator[Candidate]:
    """Namespaces that are fields of a record, as JSON is read."""
    for path, leaves in fields.lists.items():
        if path.startswith(f"{xdm.MAP}."):
            for leaf in leaves:
                yield from _of_list(xdm.namespace(leaf.raw.split(f"{xdm.MAP}.", 1)[1]), leaf.sql, leaf.native)


def _of_maps(db: Database, relation: Relation, fields: Fields) -> Iterator[Candidate]:
    """Namespaces that are keys of a map, as Parquet has them."""
    for leaf in fields.maps.get(xdm.MAP, ()):
        native = struct_members(f"STRUCT(k {leaf.native[len('MAP(') : -1].replace(', ', ', v ', 1)})")[-1][1]
        with db.reading(relation.name):
            keys = db.rows(f"SELECT DISTINCT unnest(map_keys({leaf.sql})) AS k FROM {relation.table} ORDER BY k")
        for (key,) in keys[:MOST_NAMESPACES]:
            sql = f"map_extract({leaf.sql}, {quote_text(str(key))})[1]"
            yield from _of_list(xdm.namespace(str(key)), sql, native)


def _of_list(space: str, sql: str, native: str) -> Iterator[Candidate]:
    """The identity of one namespace: the primary of its ids, else the first that is there."""
    inside = Fields.of(struct_members(native[:-2]), ITEM) if native.startswith("STRUCT(") else Fields()
    ids = [leaf for key in ("id", "_id") for leaf in inside.single.get(key, ())]
    if not ids:
        return
    text = _bare_id(_coalesced([f"CAST({leaf.sql} AS VARCHAR)" for leaf in ids]))
    first = f"[{text} for {ITEM} in {sql} if {text} IS NOT NULL][1]"
    if "primary" not in inside.single:
        yield Candidate(space, xdm.MAP, first)
        return
    marked = f"coalesce(lower(CAST({_one(inside.single['primary']).sql} AS VARCHAR)) = 'true', FALSE)"
    primary = f"[{text} for {ITEM} in {sql} if {marked} AND {text} IS NOT NULL][1]"
    yield Candidate(space, xdm.MAP, f"coalesce({primary}, {first})", primary)


def _bare_id(text: str) -> str:
    """An id without the address that it may be written as; null where it is empty."""
    bare = f"substr({text}, {len(xdm.IDENTITY_URI) + 1})"
    return f"nullif(CASE WHEN starts_with({text}, {quote_text(xdm.IDENTITY_URI)}) THEN {bare} ELSE {text} END, '')"


def _of_paths(columns: Mapping[str, RawColumn]) -> Iterator[Candidate]:
    start = f"{xdm.END_USER_IDS}._experience."
    for path, column in columns.items():
        key, _, last = path.removeprefix(start).rpartition(".")
        if path.startswith(start) and key and "." not in key and last in ("id", "_id"):
            yield Candidate(xdm.namespace_of_key(key), f"{start}{key}.id", _bare_id(column.id_text))


def _chosen(
    db: Database, relation: Relation, candidates: list[Candidate], columns: Mapping[str, RawColumn], given: Source
) -> tuple[Candidate | None, str]:
    """The identity that profiles are told apart by, and why it is this one.

    Raises:
        IdentityNotFoundError: the one that is named is not there.
    """
    wanted = xdm.read_identity(given.identity) if given.identity is not None else None
    if wanted is not None:
        return _named(db, relation, candidates, columns, wanted), "named by `identity`"
    space = xdm.namespace(given.namespace) if given.namespace is not None else None
    usable = [c for c in candidates if c.filled > 0 and (space is None or c.namespace == space)]
    if space is not None and not usable:
        raise _no_identity(relation, candidates, f"no identity of the namespace {space}")
    usual = next((c for c in usable if c.path == f"{xdm.END_USER_IDS}._experience.mcid.id"), None)
    always = next((c for c in usable if c.primary_filled == 1.0), None)
    if always is not None:
        return always, "the primary identity"
    if usual is not None:
        return usual, "the usual one, as no primary identity is always there"
    best = max(usable, key=lambda c: (round(c.filled, 6), round(c.primary_filled, 6)), default=None)
    return best, "the best filled identity"


def _named(
    db: Database,
    relation: Relation,
    candidates: Sequence[Candidate],
    columns: Mapping[str, RawColumn],
    wanted: Wanted,
) -> Candidate:
    for one in candidates:
        if one.path == wanted.path and (not wanted.namespace or one.namespace == wanted.namespace):
            return one
    column = columns.get(wanted.path)
    if column is None:
        asked = f"{wanted.namespace} ({wanted.path})" if wanted.namespace else wanted.path
        raise _no_identity(relation, candidates, f"no identity {asked}")
    space = wanted.namespace or xdm.namespace_of_path(wanted.path)
    return _counted(db, relation, [Candidate(space, wanted.path, column.id_text)])[0]


def _no_identity(relation: Relation, candidates: Sequence[Candidate], problem: str) -> IdentityNotFoundError:
    there = ", ".join(f"{c.label}, {c.filled:.1%} filled" for c in candidates) or "none"
    return IdentityNotFoundError(
        f"{relation.name!r} has {problem}; identities there are: {there}.",
        "name one of them under `identity:`, or any field that holds an id: `identity: EMAIL (personalEmail.address)`.",
        source=relation.name, candidates=[c.label for c in candidates],
    )  # fmt: skip


# --- events and attributes ------------------------------------------------------------------------------------


def _events(db: Database, relation: Relation, fields: Fields, columns: dict[str, RawColumn], given: Source) -> Relation:
    kind, by = _kinds(columns)
    value, currency, said = _value(fields, columns)
    candidates = _candidates(db, relation, fields, columns)
    who, why = _chosen(db, relation, candidates, columns, given)
    roles, reasons = (
        {"at": xdm.AT, "event": KIND},
        {"at": "XDM's time, in UTC", "event": "by the fields that are filled"},
    )
    columns[KIND] = RawColumn(KIND, kind, "VARCHAR", "text")
    if who is not None:
        columns[who.label] = RawColumn(who.label, who.sql, "VARCHAR", "text")
        roles["profile"], reasons["profile"] = who.label, f"{why}, {who.filled:.1%} filled"
    if value:
        columns[VALUE] = RawColumn(VALUE, value, "DOUBLE", "number")
        roles["value"], reasons["value"] = VALUE, said
    if xdm.EVENT_ID in columns:
        roles["id"], reasons["id"] = xdm.EVENT_ID, "XDM's id of an event"
    known = Recognised(
        "event", roles, reasons, who.namespace if who is not None else "",
        tuple((c.label, c.filled) for c in candidates), by, currency if value else "",
    )  # fmt: skip
    return replace(relation, columns=columns, xdm=known)


def _attributes(
    db: Database, relation: Relation, fields: Fields, columns: dict[str, RawColumn], shape: str
) -> Relation:
    """Records about profiles: their identity as a column, and of subscriptions the time from which each is true."""
    candidates = [c for c in _candidates(db, relation, fields, columns) if c.filled > 0]
    best = max(candidates, key=lambda c: (c.primary_filled, c.filled), default=None)
    roles: dict[str, str] = {}
    if best is not None:
        columns[best.label] = RawColumn(best.label, best.sql, "VARCHAR", "text")
        roles["profile"] = best.label
    if shape == "subscription":
        roles["at"] = xdm.START
    labels = tuple((c.label, c.filled) for c in candidates)
    known = Recognised(shape, roles, {}, best.namespace if best is not None else "", labels)
    return replace(relation, columns=columns, xdm=known)
