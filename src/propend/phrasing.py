"""Numbers as people read them, in the language of the context; one way of writing each, wherever it stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from propend.language import noted, numeral, say

NOTHING = "–"
"""What stands where a figure is not defined."""
SPACE = "\u00a0"
"""A space at which no line breaks."""


@dataclass(frozen=True)
class Words:
    """How meeting the goal is called: ``convert``, ``converted``; for churn ``churn``, ``churned``.

    Texts have them as ``{do}`` and ``{did}``.
    """

    do: str
    did: str


WORDS = {
    "conversion": Words(noted("convert"), noted("converted")),
    "churn": Words(noted("churn"), noted("churned")),
    "any": Words(noted("meet the goal"), noted("met the goal")),
}


def words_of(propensity_type: str = "any") -> Words:
    """How meeting a goal of a type is called, in the language of the context."""
    words = WORDS[propensity_type]
    return Words(say(words.do), say(words.did))


def shown(value: Any, form: str = "text") -> str:
    """A value as people read it; what is not defined is a dash.

    Args:
        value: a number, a text or None.
        form: a name in ``FORMS``.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NOTHING
    return FORMS[form](value)


def count(value: float | None) -> str:
    """``1,240``; one decimal where a small count is a fraction."""
    return shown(value, "count")


def percent(share: float | None) -> str:
    """``26.3 %`` of 0.263; two decimals below 1 %."""
    return shown(share, "percent")


def _count(value: float) -> str:
    """Counts may be fractions, where equal scores straddle an edge."""
    digits = 1 if abs(value) < 10 and value % 1 else 0
    return numeral(f"{value:,.{digits}f}")


def _percent(value: float) -> str:
    hundredths = 100 * value
    return numeral(f"{hundredths:.{_percent_digits(hundredths)}f}") + f"{SPACE}%"


def _percent_digits(hundredths: float) -> int:
    return 2 if 0 < abs(hundredths) < 1 else 1


def _share(value: float) -> str:
    hundredths = 100 * value
    text = f"{hundredths:.{_percent_digits(hundredths)}f}"
    return numeral(text.removesuffix(".0")) + f"{SPACE}%"


def _odds(impact: float) -> str:
    """Log-odds as what they multiply the odds by; 7 in log-odds is a thousandfold."""
    times = math.exp(min(max(impact, -7.0), 7.0))
    return f"×{SPACE}" + numeral(f"{times:,.{0 if times >= 10 else 1 if times >= 1.95 else 2}f}")


def _signed(value: float) -> str:
    return numeral(f"{value:+.2f}".replace("-", "−"))


FORMS: dict[str, Callable[[Any], str]] = {
    "text": str,
    "count": _count,
    "percent": _percent,
    "share": _share,
    "times": lambda value: numeral(f"{value:,.{1 if value >= 0.095 else 2}f}") + f"{SPACE}×",
    "odds": _odds,
    "signed": _signed,
    "decimal": lambda value: numeral(f"{value:.3f}"),
    "fine": lambda value: numeral(f"{value:.4f}"),
}
"""Percent has sensible digits, a share is trimmed where it is whole, odds are given as log-odds."""


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def lower(text: str) -> str:
    """The text with a small first letter, to stand within a sentence."""
    return text[:1].lower() + text[1:]
