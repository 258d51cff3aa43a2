"""Where scores go: destinations, by kind.

A destination takes the rows of a run and makes a place hold exactly these: a file, a table, somebody who listens.
Others can be added through the entry point group ``propend.destinations``: a class with ``kind``, ``options``,
``push``, ``retract`` and ``forget``, perhaps ``rehearse`` (``delivery.Destination``).
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from importlib import metadata
from typing import Any

from pydantic import ValidationError

from propend.document import mistakes_of
from propend.errors import ConfigurationError, DestinationNotFoundError, Mistake
from propend.exports.delivery import Delivery, Destination, Options, Past, Place, Pushed, Rehearsed

ENTRY_POINTS = "propend.destinations"
OWN = {
    "file": ("propend.exports.files", "FileDestination"),
    "postgres": ("propend.exports.postgres", "PostgresDestination"),
    "table": ("propend.exports.table", "TableDestination"),
    "xdm-profile": ("propend.exports.files", "XdmProfileDestination"),
    "xdm-event": ("propend.exports.files", "XdmEventDestination"),
    "webhook": ("propend.exports.webhook", "WebhookDestination"),
}
"""Our own kinds; a module is loaded when its kind is asked for, since some need what not everybody has installed."""


@lru_cache(maxsize=1)
def _added() -> dict[str, Any]:
    """Kinds of other packages, by name."""
    found = [point for point in metadata.entry_points(group=ENTRY_POINTS) if point.name not in OWN]
    return {point.name: point for point in found}


def kinds() -> list[str]:
    """The names of all kinds."""
    return [*OWN, *sorted(_added())]


def kind_of(name: str) -> type[Destination]:
    """The class of a kind.

    Raises:
        DestinationNotFoundError: there is none of that name.
        ConfigurationError: it needs what is not installed.
    """
    if name in _added():
        try:
            found: type[Destination] = _added()[name].load()
        except (ImportError, AttributeError, SyntaxError) as error:
            problem = f"the package that adds {name!r} cannot be imported: {type(error).__name__}: {error}"
            raise ConfigurationError([Mistake("kind", problem)], "the destination") from error
        return found
    if name not in OWN:
        raise DestinationNotFoundError(
            f"There is no kind of destination {name!r:.80}.", f"there are: {', '.join(kinds())}.", kind=name
        )
    module, kind = OWN[name]
    try:
        made: type[Destination] = getattr(importlib.import_module(module), kind)
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        problem = f"the kind {name!r} needs psycopg: pip install 'propend[postgres]'"
        raise ConfigurationError([Mistake("kind", problem)], "the destination") from None
    return made


def options_of(kind: str, given: dict[str, Any]) -> Any:
    """The options of a destination, checked.

    Raises:
        ConfigurationError: they have mistakes; all of them are listed.
    """
    model = kind_of(kind).options
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise ConfigurationError(mistakes_of(error, model, given, {}), "the destination") from None


def enriches(kind: str) -> bool:
    """Whether a kind of destination holds profiles, whose facts the scores become; raises as ``kind_of`` does."""
    return kind_of(kind).options.enriches


def can_rehearse(kind: str) -> bool:
    """Whether a push to a kind of destination can be tried without leaving anything; raises as ``kind_of`` does."""
    return hasattr(kind_of(kind), "rehearse")


def destination(kind: str, given: dict[str, Any], place: Place) -> Destination:
    """A destination that is ready to push.

    Raises:
        ConfigurationError: its options have mistakes.
    """
    return kind_of(kind)(options_of(kind, given), place)


__all__ = [
    "Delivery",
    "Destination",
    "Options",
    "Past",
    "Place",
    "Pushed",
    "Rehearsed",
    "can_rehearse",
    "destination",
    "enriches",
    "kind_of",
    "kinds",
    "options_of",
]
