"""A goal as cards: the third face of a document, beside its sentence and its YAML.

A card is one item of the goal or of the eligibility, or one named event. ``goal_of``, ``population_of`` and
``events_of`` make cards of a document, finished or not; ``with_cards`` takes what a form of cards says back into it.
What cards cannot show (sequences, groups within groups) is carried through them as it is.

    shown        a document as cards
    operators    conditions as people say them
    form         what a browser sends, as nested data
    read         cards as a document
    changes      one card more, one fewer
    sources      where events come from
    facts        what else is known of profiles: attributes, consent, labels, ids of one person
"""

from __future__ import annotations

from propend.cards.changes import done
from propend.cards.facts import LABELS, consent_of, labels_of, links_of, tables_of, with_facts
from propend.cards.form import nested
from propend.cards.operators import OPERATOR_WORDS, VALUELESS, operators_for
from propend.cards.read import read_number, renamed, with_cards
from propend.cards.shown import (
    EventCard,
    GoalCards,
    ItemCard,
    PopulationCards,
    days_text,
    events_of,
    form_of,
    goal_of,
    population_of,
)
from propend.cards.sources import sources_of, with_sources

__all__ = [
    "LABELS",
    "OPERATOR_WORDS",
    "VALUELESS",
    "EventCard",
    "GoalCards",
    "ItemCard",
    "PopulationCards",
    "consent_of",
    "days_text",
    "done",
    "events_of",
    "form_of",
    "goal_of",
    "labels_of",
    "links_of",
    "nested",
    "operators_for",
    "population_of",
    "read_number",
    "renamed",
    "sources_of",
    "tables_of",
    "with_cards",
    "with_facts",
    "with_sources",
]
