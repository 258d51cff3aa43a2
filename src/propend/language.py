"""The language that propend speaks to readers: reports, factors, notices; English, or a translation of it.

Texts stand in the code in English, as ``say("{n} of {all} profiles", n=..., all=...)``. ``translations/`` has one
gettext catalog per further language; a text that a catalog lacks is said in English. The language is that of the
context: whoever makes texts for an instance does so within ``speaking(instance.options.language)``. Documents, goals,
codes, errors and the command line's own words are English always.
"""

from __future__ import annotations

import gettext
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from babel.dates import format_date, get_day_names, get_month_names
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import get_decimal_symbol, get_group_symbol
from markupsafe import Markup

ENGLISH = "en"
LANGUAGES = {"en": "en_GB", "pt": "pt_BR"}
"""Those there are, with the place whose way of writing numbers and dates is followed."""
TRANSLATIONS = Path(__file__).parent / "translations"

_spoken: ContextVar[str] = ContextVar("language", default=ENGLISH)


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Texts made within are in this language.

    Args:
        language: a key of ``LANGUAGES``.

    Raises:
        ValueError: there is no such language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"propend speaks {', '.join(LANGUAGES)}, not {language!r}")
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def spoken() -> str:
    """The language of the context."""
    return _spoken.get()


def noted(text: str) -> str:
    """The text itself: marks one that is said later, by ``say`` of a name, so that catalogs have it."""
    return text


def say(text: str, /, **values: Any) -> str:
    """A text in the language of the context, with values in the place of their names in braces."""
    return _catalog(spoken()).gettext(text).format(**values)


def say_many(one: str, many: str, n: float, /, **values: Any) -> str:
    """The text for one or for several, by ``n``, which the texts have as ``{n}``: as the language counts."""
    whole = n if isinstance(n, int) else int(n) if float(n).is_integer() else 2
    return _catalog(spoken()).ngettext(one, many, whole).format(**{"n": numeral(f"{n:,}"), **values})


def say_marked(text: str, /, **values: Any) -> Markup:
    """A text with HTML of its own; the values are escaped."""
    return Markup(_catalog(spoken()).gettext(text)).format(**values)


def numeral(text: str) -> str:
    """A number as Python writes it, ``1,240.5``, as the language does."""
    decimal, group = signs(spoken())
    return text.translate({ord("."): decimal, ord(","): group})


def day_words(day: date) -> str:
    """``1 September 2011``; no line breaks between day and month."""
    return str(format_date(day, "long", LANGUAGES[spoken()])).replace(" ", "\u00a0", 1)


def calendar_words() -> dict[str, list[str]]:
    """``months`` from January and ``days`` from Sunday, and both short: ``shortMonths``, ``shortDays``."""
    place, words = LANGUAGES[spoken()], dict[str, list[str]]()
    widths: tuple[tuple[Literal["wide", "abbreviated"], str, str], ...]
    widths = (("wide", "months", "days"), ("abbreviated", "shortMonths", "shortDays"))
    for width, months, days in widths:
        of_months, of_days = (get(width, "stand-alone", place) for get in (get_month_names, get_day_names))
        words[months] = [str(of_months[month]) for month in range(1, 13)]
        words[days] = [str(of_days[(day - 1) % 7]) for day in range(7)]
    return words


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return str(format_list(list(names), locale=LANGUAGES[spoken()]))


@cache
def catalog_texts(language: str) -> tuple[tuple[str, str], ...]:
    """Every text of a catalog in English and in the language, with values as names in braces; plurals are two texts."""
    if language == ENGLISH:
        return ()
    found: list[tuple[str, str]] = []
    with (TRANSLATIONS / f"{language}.po").open("rb") as file:
        for message in read_po(file, locale=language):
            told, said = (part if isinstance(part, tuple | list) else (part,) for part in (message.id, message.string))
            found += [(one, other) for one, other in zip(told, said, strict=True) if one and other]
    return tuple(found)


@cache
def _catalog(language: str) -> gettext.NullTranslations:
    if language == ENGLISH:
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    with (TRANSLATIONS / f"{language}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


@cache
def signs(language: str) -> tuple[str, str]:
    """What stands ahead of decimals, and between thousands."""
    place = LANGUAGES[language]
    return get_decimal_symbol(place), get_group_symbol(place)
