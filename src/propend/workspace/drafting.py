"""An instance that is being worked on: its document, finished or not, beside what the data say of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from propend.binding import binding_mistakes
from propend.document import mistakes_of, read_text, write_yaml
from propend.errors import ConfigurationError, Mistake, PolicyError, PropendError
from propend.goal import ANYTHING, Eligibility, Goal
from propend.instance import Data, Instance, parse_instance
from propend.labels import gate_policies
from propend.predicates import FieldType
from propend.proposal import proposed_name
from propend.protection import Policies
from propend.sentence import read_sentence, write_sentence
from propend.store.catalog import InstanceRow
from propend.workspace.looks import Look

Plain = dict[str, Any]


@dataclass(frozen=True)
class Draft:
    """A document that is being worked on.

    Attributes:
        row: its instance.
        document: the draft, or the newest version where there is none.
        look: what there is in its data.
        instance: what it says, where it is complete.
        mistakes: of form, and names that the data do not have.
        refusal: a policy that forbids it.
    """

    row: InstanceRow
    document: Plain
    look: Look
    instance: Instance | None
    mistakes: tuple[Mistake, ...]
    refusal: PropendError | None = None

    @property
    def begun(self) -> bool:
        """Whether there is something to publish or to discard."""
        return self.row.draft is not None

    @property
    def ready(self) -> bool:
        """Whether it could be published."""
        return self.instance is not None and not self.mistakes and self.refusal is None

    @property
    def sentence(self) -> str:
        """Goal and eligibility as a sentence; empty while they are not complete."""
        return sentence_of(self.document)

    @property
    def yaml(self) -> str:
        """The document as YAML."""
        return write_yaml(self.document)

    @property
    def types(self) -> dict[str, FieldType]:
        """Types of the columns that conditions may name."""
        opened = self.look.opened
        return {name: field.type for name, field in opened.fields.items()} if opened is not None else {}

    @property
    def kinds(self) -> dict[str, int]:
        """Events of each raw kind, most first."""
        return dict(self.look.opened.kinds) if self.look.opened is not None else {}

    @property
    def event_names(self) -> tuple[str, ...]:
        """What a goal may speak of: named events, raw kinds, everything."""
        named = self.document.get("events")
        own = tuple(map(str, named)) if isinstance(named, dict) else ()
        return (*own, *(k for k in self.kinds if k not in own), ANYTHING)


def data_of(document: Plain) -> Data:
    """The data section; an empty one where it is not valid."""
    try:
        return Data.model_validate(document.get("data") or {})
    except ValidationError:
        return Data()


def folder_of(document: Plain, instances: Path) -> Path:
    """What the paths of a document in the folder of instances are relative to."""
    return instances / data_of(document).folder


def draft_of(row: InstanceRow, document: Plain, look: Look, policies: Policies) -> Draft:
    """What can be said of a document without reading its events."""
    instance, mistakes = parse_instance(document, {})
    refusal: PropendError | None = None
    if instance is not None:
        try:
            gate_policies(instance, policies)
        except PolicyError as error:
            refusal = error
    if look.opened is not None and look.opened.kinds:
        mistakes = [*mistakes, *binding_mistakes(document, look.opened)]
    if look.problem is not None:
        refusal = refusal or look.problem
    return Draft(row, document, look, instance, tuple(dict.fromkeys(mistakes)), refusal)


def sentence_of(document: Plain) -> str:
    """Goal and eligibility as a sentence; empty while they are not complete."""
    try:
        goal = Goal.model_validate(document.get("goal"))
        eligible = document.get("eligible")
        return write_sentence(goal, Eligibility.model_validate(eligible) if eligible is not None else None)
    except ValidationError:
        return ""


def name_of_goal(document: Plain, before: str) -> str:
    """What a document is called for its goal; as before where the goal is not complete."""
    try:
        return proposed_name(Goal.model_validate(document.get("goal")), before)
    except ValidationError:
        return before


def with_sentence(document: Plain, text: str) -> Plain:
    """The document with the goal and the eligibility that a sentence says.

    Raises:
        SentenceError: it cannot be read, with the position.
    """
    goal, eligible = read_sentence(text)
    changed = document | {"goal": _plain(goal.model_dump(by_alias=True))}
    if eligible is None:
        return {key: value for key, value in changed.items() if key != "eligible"}
    return changed | {"eligible": _plain(eligible.model_dump(by_alias=True))}


def document_of_yaml(text: str) -> Plain:
    """A document that somebody wrote as YAML; it need not be finished.

    Raises:
        ConfigurationError: it is not YAML, or no mapping.
    """
    document, _ = read_text(text)
    if not isinstance(document, dict):
        raise ConfigurationError([Mistake("document", "a mapping with name, data and goal is needed")], "the document")
    found: Plain = _plain(document)
    return found


def mistakes_in_yaml(text: str) -> list[Mistake]:
    """Mistakes of form of a document in YAML, with their lines."""
    document, lines = read_text(text)
    try:
        Instance.model_validate(document)
    except ValidationError as error:
        return mistakes_of(error, Instance, document, lines)
    return []


def with_values(document: Plain, changes: Mapping[str, Any]) -> Plain:
    """A document with values at some places, such as ``options.minimum``; None takes what is there out."""
    changed: Plain = json.loads(json.dumps(document))
    for place, value in changes.items():
        *path, last = place.split(".")
        node = changed
        for part in path:
            inner = node.get(part)
            node[part] = inner if isinstance(inner, dict) else {}
            node = node[part]
        if value is None:
            node.pop(last, None)
        else:
            node[last] = value
    return {key: value for key, value in changed.items() if value not in ({}, []) or key == "goal"}


def _plain(value: Any) -> Any:
    """Only what JSON has: dates of YAML become texts.

    Raises:
        ConfigurationError: it has numbers that are not finite.
    """
    try:
        return json.loads(json.dumps(value, default=str, allow_nan=False))
    except ValueError:
        raise ConfigurationError([Mistake("document", "a number is not finite")], "the document") from None
