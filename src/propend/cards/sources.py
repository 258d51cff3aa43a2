"""Where events come from, as cards: a card for each source, with its columns and its kind."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from propend.cards.form import mapping, rows_of
from propend.document import database_at

Plain = dict[str, Any]
ROLES = ("profile", "at", "event", "value", "id")


def sources_of(section: Plain) -> list[Plain]:
    """The sources of a data section, each as a mapping with its own columns and kind."""
    events = section.get("events") or []
    many = events if isinstance(events, list) else [events]
    found = [{"path": s} if isinstance(s, str) else dict(s) for s in many if isinstance(s, str | dict)]
    usual = {key: section[key] for key in ("columns", "kind") if section.get(key)}
    return [usual | source for source in found]


def with_sources(section: Plain, form: Plain) -> Plain:
    """A data section with its sources as a form has them; ``add`` are paths of further ones.

    A lone source has its columns in the section, several have each their own.
    """
    before, changed = sources_of(section), dict(section)
    sources = []
    for source, card in zip_longest(before, rows_of(form.get("sources"))[: len(before)]):
        if card is None:
            sources.append(source)
            continue
        if card.get("remove"):
            continue
        columns = {role: name for role in ROLES if (name := str(mapping(card.get("columns")).get(role, "")).strip())}
        kind = str(card.get("kind", "")).strip()
        kept = {key: value for key, value in source.items() if key not in ("columns", "kind")}
        for key in ("path", "database", "table"):
            if isinstance(kept.get(key), str):
                kept[key] = str(card.get(key, "")).strip() or kept[key]
        sources.append(kept | ({"columns": columns} if columns else {}) | ({"kind": kind} if kind else {}))
    added = form.get("add") or []
    texts = [text.strip() for text in ([added] if isinstance(added, str) else added)]
    sources += [database_at(text) or {"path": text} for text in texts if text]
    for key in ("columns", "kind"):
        changed.pop(key, None)
    if len(sources) == 1:
        changed |= {key: sources[0].pop(key) for key in ("columns", "kind") if key in sources[0]}
    if not before:
        changed.setdefault("folder", "..")
    changed["events"] = [s["path"] if set(s) == {"path"} else s for s in sources]
    if len(sources) == 1 and isinstance(changed["events"][0], str):
        changed["events"] = changed["events"][0]
    return changed
