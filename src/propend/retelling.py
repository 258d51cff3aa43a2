"""What a run told in the language of its reports, told again in English: for pages, which are English.

A run keeps its texts as they were said. Every one of them is a text of a catalog with values in it, so that it can be
recognised and said again, whenever it was kept. What is not recognised, such as a value of the data, stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from babel.dates import get_month_names

from propend.language import ENGLISH, LANGUAGES, catalog_texts, signs

TEXTS = frozenset({
    "message", "hint", "drift", "label", "sentence", "sentences", "reason", "value_label", "line", "evidence", "range",
})  # fmt: skip
"""Keys of documents under which there is what was said."""
VALUES = frozenset({"value", "typical", "typical_inside", "typical_outside"})
"""Keys under which there are values in words, or as they are in the data."""
DEEPEST, LONGEST, KEPT = 6, 4_000, 20_000
VALUE_WORDS = ("not known", "too few to tell", "another", "nobody")
"""Values that are words of no value's own."""
LOOSE = "{value} of {many}"
"""A label of hardly any letters of its own: that of factors whose codes end so: ``__value``."""
FORMS = {"n": r"[\d.,]+", "days": r"[\d.,]+", "day": r".*\d{4}.*"}
"""Of values by their names in texts; the others may be anything."""
LEAST_LETTERS = 3
"""A text with fewer letters of its own is only recognised by its values."""
NAMED = 3
"""Words of a phrase of a question of which one may be a name, such as ``nunca fizeram buy``."""
LAST = {"pt": " e "}
"""What stands ahead of the last of a list."""
_PLACE = re.compile(r"\{(\w+)[^}]*\}")


@dataclass(frozen=True)
class _Text:
    """A text of a catalog: in English, as a pattern of the language, and its longest piece without values."""

    english: str
    pattern: re.Pattern[str]
    names: tuple[str, ...]
    piece: str
    letters: int


def in_english(document: Any, language: str) -> Any:
    """A document of a run with its texts in English; values and names stay as they are.

    Args:
        language: in which the run spoke.
    """
    return document if language == ENGLISH else _retold(document, language, "")


def _retold(part: Any, language: str, key: str) -> Any:
    if isinstance(part, str):
        if key in VALUES:
            return english_value(part, language)
        if key == "line":
            return _phrases(part, language)
        return english(part, language, key == "label") if key in TEXTS else part
    if isinstance(part, list | tuple):
        return [_retold(p, language, key) for p in part]
    if not isinstance(part, Mapping):
        return part
    told = {k: v if k == "instance" else _retold(v, language, str(k)) for k, v in part.items()}
    if str(part.get("code", "")).endswith("__value") and "label" in part:
        told["label"] = _loose(str(part["label"]), language)
    if {"name", "weight"} <= part.keys():  # a member of the model
        told["name"] = english(str(part["name"]), language)
    return told


@cache
def _whole(language: str) -> dict[str, str]:
    """Texts without values."""
    return {said: told for told, said in catalog_texts(language) if not _PLACE.search(said)}


@cache
def _texts(language: str) -> tuple[_Text, ...]:
    """Texts with values, those with most of their own first: what fits these fits best."""
    found = [_text(told, said) for told, said in catalog_texts(language) if _PLACE.search(said)]
    return tuple(sorted((t for t in found if t is not None), key=lambda t: (-t.letters, t.english)))


def _text(told: str, said: str) -> _Text | None:
    names = tuple(dict.fromkeys(_PLACE.findall(said)))
    if not set(_PLACE.findall(told)) <= {*names, *(("one",) if "many" in names else ())}:
        return None
    pattern, end = "", 0
    for place in _PLACE.finditer(said):
        name = place[1]
        pattern += re.escape(said[end : place.start()])
        pattern += f"(?P={name})" if f"(?P<{name}>" in pattern else f"(?P<{name}>{FORMS.get(name, '.+?')})"
        end = place.end()
    pieces = _PLACE.split(said)[::2]
    letters = sum(c.isalpha() for piece in pieces for c in piece)
    return _Text(told, re.compile(pattern + re.escape(said[end:]), re.DOTALL), names, max(pieces, key=len), letters)


@lru_cache(KEPT)
def english(text: str, language: str, label: bool = False) -> str:
    """A text that was said in a language, in English; as it is where it is not recognised.

    Args:
        label: whether it was given a capital letter after it was said.
    """
    return text if language == ENGLISH else _best(text, language, 0, label)[1]


@lru_cache(KEPT)
def english_value(text: str, language: str) -> str:
    """A value in words; one that is as the data have it stays, even if it is a word that is said elsewhere."""
    if language == ENGLISH:
        return text
    exact = _whole(language).get(text)
    if exact in VALUE_WORDS:
        return exact
    known = [told for one in _texts(language) if (told := _fitting(one, text, language, 0)) is not None]
    return min(known)[1] if known else _number(text, language) or text


def _loose(text: str, language: str) -> str:
    one = next((t for t in _texts(language) if t.english == LOOSE), None)
    found = one and one.pattern.fullmatch(text)
    if not found:
        return english(text, language, label=True)
    return _PLACE.sub(lambda place: english(found[place[1]], language), LOOSE)


Told = tuple[int, int, str]


@lru_cache(KEPT)
def _best(text: str, language: str, depth: int, label: bool = False) -> tuple[int, str]:
    """A text in English, and how many of its letters were not recognised: of what it may be, what leaves the fewest."""
    plain = _number(text, language) or _day(text, language) or _whole(language).get(text)
    if plain:
        return 0, plain
    letters = sum(c.isalpha() for c in text)
    if len(text) > LONGEST or depth > DEEPEST:
        return letters, text
    small = text[:1].lower() + text[1:]
    if small != text and (exact := _whole(language).get(small)):
        return 0, _capital(exact)
    found = [(letters, 0, text)]
    for form in (small, text) if label else (text, small):
        for one in _texts(language):
            fits = _fitting(one, form, language, depth)
            if fits is not None:
                (left, own), said = fits
                found.append((left, own, said if form == text else _capital(said)))
                if left == 0:  # those with more letters of their own came before
                    return 0, found[-1][2]
    found += _parts(text, language, depth)
    if text.endswith("."):
        unknown, sentence = _best(text[:-1], language, depth + 1)
        found.append((unknown, 1, f"{sentence}."))
    fewest, _, best = min(found, key=lambda one: one[:2])
    return fewest, best


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fitting(text: _Text, said: str, language: str, depth: int) -> tuple[tuple[int, int], str] | None:
    """What was said, in English, if it is this text; ahead of it, how well it fits: the less, the better."""
    found = text.pattern.fullmatch(said) if text.piece in said else None
    if found is None:
        return None
    told = {name: _best(found[name], language, depth + 1) for name in text.names}
    left = sum(n for n, _ in told.values())
    if text.letters < LEAST_LETTERS and left:
        return None
    values = {name: value for name, (_, value) in told.items()}
    values.setdefault("one", values.get("many", "").removesuffix("s"))  # English has one where the other has several
    return (left, -text.letters), _PLACE.sub(lambda place: values[place[1]], text.english)


def _phrases(text: str, language: str) -> str:
    """A line of a question: phrases with spaces between, each as long as it is known, or as short as has a name."""
    words, told, at = text.split(" "), list[str](), 0
    while at < len(words):
        ends = range(len(words), at, -1)
        wholly = ((e, _best(" ".join(words[at:e]), language, 2)) for e in ends)
        named = ((e, _best(" ".join(words[at:e]), language, 2)) for e in range(at + 2, min(at + NAMED, len(words)) + 1))
        end, phrase = next(
            (found for found in ((e, said) for e, (left, said) in wholly if left == 0)),
            next(((e, said) for e, (_, said) in named if said != " ".join(words[at:e])), (at + 1, words[at])),
        )
        told.append(phrase)
        at = end
    return " ".join(told)


def _parts(text: str, language: str, depth: int) -> list[Told]:
    """A text as several, one after the other, or as a list."""
    found = []
    for mark, between in ((r"(?<=[.!?]) ", " "), (": ", ": "), ("; ", "; "), (", ", ", ")):
        parts = re.split(mark, text)
        if len(parts) > 1:
            told = [_best(part, language, depth + 1) for part in parts]
            found.append((sum(n for n, _ in told), 1, between.join(one for _, one in told)))
    head, mark, last = text.rpartition(LAST.get(language, ""))
    if mark and depth:
        told = [_best(part, language, depth + 1) for part in (*head.split(", "), last)]
        names = [one for _, one in told]
        found.append((sum(n for n, _ in told), 2, f"{', '.join(names[:-1])} and {names[-1]}"))
    return found


def _number(text: str, language: str) -> str | None:
    """A number as English writes it, with its sign and a unit that all languages share."""
    decimal, group = map(re.escape, signs(language))
    form = rf"([+−-]?)((?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)(?:{decimal}\d+)?)((?:[ \u00a0][%×])?)"
    found = re.fullmatch(form, text)
    if found is None:
        return None
    decimal, group = signs(language)
    return found[1] + found[2].translate({ord(decimal): ".", ord(group): ","}) + found[3]


def _day(text: str, language: str) -> str | None:
    months, own = (get_month_names("wide", "format", LANGUAGES[name]) for name in (ENGLISH, language))
    found = re.fullmatch(r"(\d{1,2})\W+(?:de )?(\w+)(?: de)? (\d{4})", text)
    number = next((n for n, name in own.items() if found and name == found[2]), None)
    return f"{found[1]}\u00a0{months[number]} {found[3]}" if found and number else None
