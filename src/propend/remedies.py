"""What would mend a definition that is refused, as changes of numbers: a longer or shorter window, another minimum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from propend.instance import Instance
from propend.timeline import MIN_HISTORY_DAYS, WINDOWS_DAYS

LEAST_MINIMUM = 20
AS_OF, LOOK_BACK = "as_of", "look_back"
"""Places that are no keys of a document: the day to stand at, and every look-back of the eligibility."""
TOO_FEW_MET = ("PROPEND-400", "PROPEND-409")
TOO_FEW_UNMET = ("PROPEND-413",)
TOO_FEW_ELIGIBLE = ("PROPEND-401", "PROPEND-410")


@dataclass(frozen=True)
class Remedy:
    """One change: what it is called, where, and to what."""

    words: str
    place: str
    value: str


def remedies(instance: Instance, refusal: Mapping[str, Any]) -> tuple[Remedy, ...]:
    """What could be tried, the most promising first.

    Args:
        refusal: as ``PropendError.to_dict`` gives it.
    """
    return tuple(_tried(instance, str(refusal["code"]), dict(refusal.get("facts") or {})))


def _tried(instance: Instance, code: str, facts: dict[str, Any]) -> Iterator[Remedy]:
    if code == "PROPEND-407":
        yield from _shorter(instance, int(facts["days_available"]))
    elif code in TOO_FEW_MET:
        yield from _longer_window(instance)
        yield from _minimum(instance, int(facts.get("met", 0)))
    elif code in TOO_FEW_UNMET or (code == "PROPEND-401" and facts.get("eligible", 0) >= facts.get("minimum", 0)):
        yield from _shorter_window(instance)
        yield from _minimum(instance, int(facts.get("unmet", 0)))
    elif code in TOO_FEW_ELIGIBLE:
        yield from _longer_look_back(instance)
        yield from _minimum(instance, int(facts.get("eligible", 0)))
    elif code in ("PROPEND-405", "PROPEND-408") and "last_event_on" in facts:
        after = date.fromisoformat(str(facts["last_event_on"])) + timedelta(days=1)
        yield Remedy(f"Stand at {after:%-d %B %Y}, when the data end", AS_OF, after.isoformat())
    elif code == "PROPEND-408":
        yield from _longer_look_back(instance)


def _longer_window(instance: Instance) -> Iterator[Remedy]:
    days = next((d for d in WINDOWS_DAYS if d >= 2 * instance.goal.within_days), None)
    if days is not None:
        yield Remedy(f"Look {days} days ahead", "goal.within", f"{days}d")


def _shorter_window(instance: Instance) -> Iterator[Remedy]:
    days = next((d for d in reversed(WINDOWS_DAYS) if d <= instance.goal.within_days / 2), None)
    if days is not None:
        yield Remedy(f"Look only {days} days ahead", "goal.within", f"{days}d")


def _longer_look_back(instance: Instance) -> Iterator[Remedy]:
    longest = instance.eligible.longest_lookback_days if instance.eligible is not None else 0
    days = next((d for d in WINDOWS_DAYS if d > longest), None) if longest else None
    if days is not None:
        yield Remedy(f"Look {days} days back", LOOK_BACK, f"{days}d")


def _shorter(instance: Instance, available: int) -> Iterator[Remedy]:
    """Windows that the days there are would do for: of the two, the one that is changed fits by itself."""
    goal = instance.goal
    back = max(instance.eligible.longest_lookback_days if instance.eligible is not None else 0, MIN_HISTORY_DAYS)
    ahead = goal.reach_days + instance.options.settle
    extra = ahead - goal.within_days
    window = next((d for d in reversed(WINDOWS_DAYS) if d < goal.within_days and d + extra + back <= available), None)
    if window is not None:
        yield Remedy(f"Look only {window} days ahead", "goal.within", f"{window}d")
    shorter = next((d for d in reversed(WINDOWS_DAYS) if MIN_HISTORY_DAYS <= d < back and d + ahead <= available), None)
    if shorter is not None and instance.eligible is not None:
        yield Remedy(f"Look only {shorter} days back", LOOK_BACK, f"{shorter}d")


def _minimum(instance: Instance, there: int) -> Iterator[Remedy]:
    if LEAST_MINIMUM <= there < instance.options.minimum:
        yield Remedy(f"Be content with {LEAST_MINIMUM} profiles of each", "options.minimum", str(LEAST_MINIMUM))


def with_look_back(part: Any, days: str) -> Any:
    """An eligibility in which every window that is named has other days."""
    if isinstance(part, dict):
        return {k: days if k == "within" else with_look_back(v, days) for k, v in part.items()}
    return [with_look_back(p, days) for p in part] if isinstance(part, list | tuple) else part
