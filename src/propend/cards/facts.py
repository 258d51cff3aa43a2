"""What is known of profiles besides events, as cards: tables of attributes, consent, labels, ids of one person."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import Any, get_args

from propend.cards.form import mapping, rows_of
from propend.document import database_at
from propend.errors import RequestInvalidError
from propend.protection import Label

Plain = dict[str, Any]
LABELS: tuple[str, ...] = get_args(Label)
ALWAYS, SINCE = "always", "since:"
"""How a form says that facts never change, and ahead of a column: since when they are true."""
TUNING = ("most", "shared", "prefer")
"""Of identities, beside the links."""


@dataclass(frozen=True)
class TableCard:
    """A table of attributes.

    Attributes:
        plain: the table as the document has it.
        place: the key and the value of where it is, where a form can edit it; else empty texts.
        profile: the column of the profile's id; empty where it is guessed.
        holds: ``always``, ``since:COLUMN``, or empty where nobody knows since when its facts hold.
        columns: those that are used; None for all others.
    """

    plain: Plain
    place: tuple[str, str]
    profile: str
    holds: str
    columns: tuple[str, ...] | None


@dataclass(frozen=True)
class ConsentCard:
    """Which column says that a profile may be scored; ``given`` as one text, empty for the usual values."""

    column: str = ""
    source: str = "attributes"
    given: str = ""
    learn: bool = False


@dataclass(frozen=True)
class LinkCard:
    """Ids of one person: two columns of events (``a`` and ``b``), or of a table at ``path``, known since ``at``."""

    plain: Plain
    kind: str
    path: str = ""
    a: str = ""
    b: str = ""
    at: str = ""
    constant: bool = False


# --- a data section as cards -----------------------------------------------------------------------------------


def tables_of(section: Plain) -> tuple[TableCard, ...]:
    """A card for each table of attributes."""
    return tuple(_table_card(one) for one in _tables(section.get("attributes")))


def _tables(attributes: Any) -> list[Plain]:
    many = attributes if isinstance(attributes, list | tuple) else [attributes]
    return [{"path": one} if isinstance(one, str) else dict(one) for one in many if isinstance(one, str | dict)]


def _table_card(table: Plain) -> TableCard:
    keys = ("database", "path") if "query" not in table else ()
    place = next(((key, table[key]) for key in keys if isinstance(table.get(key), str)), ("", ""))
    effective = table.get("effective")
    holds = ALWAYS if table.get("constant") else f"{SINCE}{effective}" if effective else ""
    columns = table.get("columns")
    named = tuple(map(str, columns)) if isinstance(columns, list | tuple) else None
    return TableCard(table, place, str(table.get("profile") or ""), holds, named)


def consent_of(section: Plain) -> ConsentCard:
    """The card of consent; one without a column where everybody may be scored."""
    consent = mapping(section.get("consent"))
    given = consent.get("given", [])
    values = given if isinstance(given, list | tuple) else [given]
    return ConsentCard(
        str(consent.get("column") or ""),
        str(consent.get("in") or "attributes"),
        ", ".join(_text(v) for v in values),
        bool(consent.get("learn")),
    )


def _text(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return '"' + text.replace('"', '""') + '"' if any(s in text for s in ',"') else text


def labels_of(section: Plain) -> dict[str, tuple[str, ...]]:
    """The labels of each column that has some."""
    labels = mapping(section.get("labels"))
    return {str(c): (one,) if isinstance(one, str) else tuple(map(str, one or ())) for c, one in labels.items()}


def links_of(section: Plain) -> tuple[LinkCard, ...]:
    """A card for each way in which ids are linked."""
    return tuple(map(_link_card, _links(section.get("identities"))))


def _links(identities: Any) -> list[Plain]:
    links = identities
    if isinstance(identities, dict):
        links = identities.get("links", {k: v for k, v in identities.items() if k not in TUNING})
    many = links if isinstance(links, list | tuple) else [links]
    return [dict(one) for one in many if isinstance(one, dict) and one]


def _link_card(link: Plain) -> LinkCard:
    events, columns = mapping(link.get("events")), mapping(link.get("columns"))
    if events:
        return LinkCard(link, "events", a=str(events.get("from") or ""), b=str(events.get("to") or ""))
    if not isinstance(link.get("path"), str):
        return LinkCard(link, "kept")
    a, b, at = (str(columns.get(side) or "") for side in ("a", "b", "at"))
    return LinkCard(link, "table", link["path"], a, b, at, bool(link.get("constant")))


# --- cards as a data section -----------------------------------------------------------------------------------


def with_facts(section: Plain, form: Plain) -> Plain:
    """A data section with what a form says of profiles; what the form does not show is as it was.

    Args:
        form: nested: ``tables``, ``consent``, ``labels`` and ``links``, with ``add_table``, ``add_label`` and
            ``add_link`` for one more of each. One without the field ``facts`` says nothing of them.

    Raises:
        RequestInvalidError: a list of values cannot be read.
    """
    if not form.get("facts"):
        return section
    parts = {
        "attributes": _with_tables(section, form),
        "consent": _with_consent(section, mapping(form.get("consent"))),
        "labels": _with_labels(section, form),
        "identities": _with_links(section, form),
    }
    return {key: value for key, value in (section | parts).items() if key not in parts or value}


def _with_tables(section: Plain, form: Plain) -> Any:
    before = tables_of(section)
    cards = rows_of(form.get("tables"))[: len(before)]
    tables = [_read_table(table, card) for table, card in zip(before, cards, strict=False) if not card.get("remove")]
    tables += [table.plain for table in before[len(cards) :]]
    tables += [database_at(text) or {"path": text} for text in _texts(form.get("add_table"))]
    if tables == [table.plain for table in before]:
        return section.get("attributes")
    plain = [one["path"] if set(one) == {"path"} and isinstance(one["path"], str) else one for one in tables]
    return plain[0] if len(plain) == 1 else plain


def _read_table(table: TableCard, form: Plain) -> Plain:
    """A table as its card has it, with what the card does not show."""
    told = {key: value for key, value in table.plain.items() if key not in ("profile", "effective", "constant")}
    key, was = table.place
    if key:
        told[key] = str(form.get("place", "")).strip() or was
    profile, holds = (str(form.get(name, "")).strip() for name in ("profile", "holds"))
    if profile:
        told["profile"] = profile
    if holds == ALWAYS:
        told["constant"] = True
    elif holds.startswith(SINCE):
        told["effective"] = holds.removeprefix(SINCE)
    roles = (told.get("profile"), told.get("effective"))
    offered, chosen = ([c for c in _texts(form.get(key)) if c not in roles] for key in ("offered", "columns"))
    if not offered:
        return told
    if table.columns is None and set(chosen) >= set(offered):
        return told
    unseen = [name for name in table.columns or () if name not in offered]
    told["columns"] = [*(name for name in offered if name in chosen), *unseen]
    if table.columns is not None and set(told["columns"]) == set(table.columns):
        told["columns"] = table.plain["columns"]
    return told


def _texts(value: Any) -> list[str]:
    many = value if isinstance(value, list) else [value or ""]
    return [text for one in many if (text := str(one).strip())]


def _with_consent(section: Plain, form: Plain) -> Any:
    before = mapping(section.get("consent"))
    source, _, column = str(form.get("column", "")).partition(":")
    if not column:  # what is no consent that a card can show is a mistake to be told, not to be dropped
        return None if before else section.get("consent")
    told = {key: value for key, value in before.items() if key not in ("column", "in", "given", "learn")}
    changed = told | {"column": column} | ({"in": "events"} if source == "events" else {})
    try:
        given = next(csv.reader([str(form.get("given", ""))], skipinitialspace=True), [])
    except csv.Error as error:
        raise RequestInvalidError("The values that give consent cannot be read.", "part them by commas.") from error
    values = [value.strip() for value in given if value.strip()]
    changed |= {"given": values} if values else {}
    changed |= {"learn": True} if form.get("learn") else {}
    return section.get("consent") if consent_of({"consent": changed}) == consent_of(section) else changed


def _with_labels(section: Plain, form: Plain) -> Any:
    before = labels_of(section)
    labels = {column: list(many) for column, many in before.items()}
    for row in rows_of(form.get("labels")):
        column = str(row.get("column", ""))
        if column in labels:
            unknown = [one for one in labels[column] if one not in LABELS]
            labels[column] = [one for one in LABELS if one in _texts(row.get("labels"))] + unknown
    added = mapping(form.get("add_label"))
    if (column := str(added.get("column", "")).strip()) and added.get("label") in LABELS:
        labels[column] = [*dict.fromkeys([*labels.get(column, []), str(added["label"])])]
    if {c: set(many) for c, many in labels.items()} == {c: set(many) for c, many in before.items()}:
        return section.get("labels")
    return {column: many[0] if len(many) == 1 else many for column, many in labels.items() if many}


def _with_links(section: Plain, form: Plain) -> Any:
    before, identities = links_of(section), section.get("identities")
    cards = rows_of(form.get("links"))[: len(before)]
    links = [_read_link(link, card) for link, card in zip(before, cards, strict=False) if not card.get("remove")]
    links += [link.plain for link in before[len(cards) :]]
    links += _added_links(mapping(form.get("add_link")))
    if links == [link.plain for link in before]:
        return identities
    tuning = {key: mapping(identities)[key] for key in TUNING if key in mapping(identities)}
    return {"links": links} | tuning if links and tuning else links


def _read_link(link: LinkCard, form: Plain) -> Plain:
    if link.kind == "kept":
        return link.plain
    a, b, at = (str(form.get(side, "")).strip() for side in ("a", "b", "at"))
    if link.kind == "events":
        return link.plain | {"events": {"from": a or link.a, "to": b or link.b}}
    told = {key: value for key, value in link.plain.items() if key != "constant"}
    told["path"] = str(form.get("path", "")).strip() or link.path
    told["columns"] = {"a": a or link.a, "b": b or link.b} | ({"at": at} if at else {})
    return told | ({} if at else {"constant": True} if form.get("constant") else {})


def _added_links(form: Plain) -> list[Plain]:
    """Columns of events, or a table, whichever a form has filled."""
    a, b, path = (str(form.get(name, "")).strip() for name in ("a", "b", "path"))
    found: list[Plain] = [{"events": {"from": a, "to": b}}] if a and b else []
    if path:
        sides = {side: str(form.get(f"table_{side}", "")).strip() for side in ("a", "b", "at")}
        link: Plain = {"path": path, "columns": {side: name for side, name in sides.items() if name}}
        found.append(link | ({} if sides["at"] else {"constant": True} if form.get("constant") else {}))
    return found
