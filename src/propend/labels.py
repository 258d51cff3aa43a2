"""Labelled columns: where a document uses them, what policies say to that, and what is no feature because of them.

A labelled column is kept out of the features without a word in the document; a condition, a measure or a group by one
is looked at before any data are read, and refused where its policy says so (spec CF-29).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from propend.document import nearest
from propend.errors import Mistake, PolicyError
from propend.events import OpenedEvents
from propend.goal import Group, Measure
from propend.instance import Instance
from propend.language import say
from propend.protection import Label, Policies

HARMLESS_ROLES = ("profile", "id")
"""Roles whose columns describe nobody: labelling them forbids nothing."""


def violations(instance: Instance, policies: Policies) -> list[dict[str, Any]]:
    """Every use of a labelled column that its policy refuses: place, column, label and policy."""
    labels, found = instance.data.labels, []
    for use, place, column in _uses(instance):
        for label in labels.get(column, ()):
            if getattr(policies.of(label), use) == "refuse":
                entry = {"place": place, "column": column, "label": label, "policy": f"policies.{label}.{use}"}
                found.append(entry)
    return found


def gate_policies(instance: Instance, policies: Policies) -> None:
    """Refuse a document that does with a labelled column what a policy forbids.

    Raises:
        PolicyError: as said; every place is named.
    """
    found = violations(instance, policies)
    if not found:
        return
    text = "  {i}. {place}: column {column!r} is labelled {label!r}, and the policy {policy} refuses it"
    lines = "\n".join(text.format(i=i, **entry) for i, entry in enumerate(found, 1))
    count = f"{len(found)} use{'' if len(found) == 1 else 's'} of labelled columns"
    raise PolicyError(
        f"{count} that a policy forbids:\n{lines}",
        "take the column out of these places; who answers for the workspace may change `[policies]` in propend.toml.",
        violations=found,
    )


def _uses(instance: Instance) -> Iterator[tuple[str, str, str]]:
    """Use, place and column of everything that a document names a column for."""
    for name, event in instance.events.items():
        yield from (("goals", f"events.{name}.where.{c.field}", c.field) for c in event.where)
    sections: dict[str, Group | None] = {"goal": instance.goal.group}
    sections["eligible"] = instance.eligible.group if instance.eligible else None
    for section, group in sections.items():
        for atom in group.atoms() if group else ():
            if isinstance(atom, Measure):
                yield "goals", section, atom.field
    for i, name in enumerate(instance.options.fairness or (), 1):
        yield "fairness", f"options.fairness[{i}]", name
    yield from (("features", f"data.fields[{i}]", name) for i, name in enumerate(instance.data.fields or (), 1))
    for i, table in enumerate(instance.data.attributes, 1):
        for j, name in enumerate(table.columns or (), 1):
            yield "features", f"data.attributes[{i}].columns[{j}]", name


def kept_out(instance: Instance, policies: Policies) -> dict[str, Label]:
    """Labelled columns that are no features, each with the label by which it is not."""
    found = {column: policies.keep_out(labels) for column, labels in instance.data.labels.items()}
    return {column: label for column, label in found.items() if label is not None}


def columns_apart(instance: Instance, policies: Policies) -> tuple[str, ...]:
    """All columns that are no features whatever they hold: groups to compare, consent, ids, and labelled ones."""
    consent = (instance.data.consent.column,) if instance.data.consent else ()
    ids = instance.data.identities.event_columns if instance.data.identities else ()
    return tuple(dict.fromkeys([*(instance.options.fairness or ()), *consent, *ids, *kept_out(instance, policies)]))


def dropped_by_label(instance: Instance, policies: Policies) -> tuple[tuple[str, str], ...]:
    """Columns that are no features because of a label, with the reason in words."""
    return tuple(
        (column, say("labelled {label}", label=label)) for column, label in kept_out(instance, policies).items()
    )


def role_mistakes(instance: Instance, opened: OpenedEvents, policies: Policies) -> list[Mistake]:
    """Labelled columns that every feature goes by, because they are an event's time, kind or value."""
    found = []
    roles = {(column, role) for source in opened.sources for role, column in source.columns.items()}
    for column, label in kept_out(instance, policies).items():
        for role in sorted(r for c, r in roles if c == column and r not in HARMLESS_ROLES):
            problem = (
                f"column {column!r} is labelled {label!r}, which the policy policies.{label}.features keeps out of the "
                f"features; but it is the {role!r} of the events, by which profiles are described"
            )
            found.append(Mistake(f"data.labels.{column}", problem))
    return found


def label_mistakes(instance: Instance, opened: OpenedEvents, attributes: Sequence[str]) -> list[Mistake]:
    """Labels of columns that are nowhere.

    Args:
        attributes: all columns of the attribute tables.
    """
    roles = [column for source in opened.sources for column in source.columns.values()]
    known = list(dict.fromkeys([*opened.fields, *roles, *attributes]))
    return [
        Mistake(
            f"data.labels.{column}",
            f"there is no column or attribute {column!r}; there are: {', '.join(known[:12])}",
            nearest(column, known),
        )
        for column in instance.data.labels
        if column not in known
    ]
