"""Values of factors as people read them: of one profile, of a population, and in ranges for pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from propend.language import noted, numeral, say, say_many
from propend.snapshots.plan import CODE_OPS, Feature, Op

Matrix = NDArray[np.float32]
Float = NDArray[np.float64]
Ints = NDArray[np.int64]
Places = NDArray[np.int32]

ANOTHER = noted("another")
"""A value of a text field that no feature stands for."""


@dataclass(frozen=True)
class Showing:
    """What is shown as the value of a factor.

    Most factors show the feature that carries most of them. A factor about which value a text field has (the latest
    category, a region) shows that value, whichever feature stands for it.

    Attributes:
        feature: the feature that carries most of the factor.
        columns: positions in the plan of what is read: of the feature, or of one feature per choice.
        choices: the values of the text field; empty for a factor with a number.
    """

    feature: Feature
    columns: tuple[int, ...]
    choices: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What the value is, in words."""
        if not self.choices:
            return self.feature.sentence
        latest = self.feature.op in (Op.TEXT_LAST_IS, Op.TEXT_LAST)
        return say("latest {field}", field=self.feature.field) if latest else self.feature.field

    @property
    def kind(self) -> str:
        """``category`` or ``numeric``."""
        return "category" if self.choices else "numeric"

    def values(self, X: Matrix, rows: Ints | None = None) -> Matrix:
        """float32[N]: the feature, or the position in ``choices``, after the last one for another value.

        Args:
            X: float32[N, F], all features of the plan.
            rows: positions of those wanted; all where None. Only the columns looked at are copied.
        """
        if not self.choices or self.feature.op in CODE_OPS:
            column = X[:, self.columns[0]]
            return column if rows is None else column[rows]
        is_it = X[:, self.columns] if rows is None else X[np.ix_(rows, np.array(self.columns))]
        place = np.where((is_it == 1).any(axis=1), (is_it == 1).argmax(axis=1), len(self.choices)).astype(np.float32)
        place[np.isnan(is_it).all(axis=1)] = np.nan
        return place


# --- one value ------------------------------------------------------------------------------------------

PARTS_OF_DAY = (noted("at night"), noted("in the morning"), noted("in the afternoon"), noted("in the evening"))

PHRASES = {
    Op.COUNT: noted("{value} in {window}"),
    Op.SUM: noted("{value} in {window}"),
    Op.NUMBER_SUM: noted("{value} in {window}"),
    Op.ACTIVE_DAYS: noted("on {value} of {window}"),
    Op.DISTINCT: noted("{value} different in {window}"),
    Op.SESSIONS: noted("{value} sessions in {window}"),
    Op.MAX: noted("largest {value}"),
    Op.VALUE_MEAN: noted("{value} on average"),
    Op.NUMBER_MEAN: noted("{value} on average"),
    Op.VALUE_LAST: noted("latest {value}"),
    Op.NUMBER_LAST: noted("latest {value}"),
    Op.GAP_MEAN: noted("usually {value} apart"),
    Op.GAP_DEVIATION: noted("gaps vary by {value}"),
    Op.OVERDUE: noted("{value} the usual gap"),
    Op.REPEAT_SPAN: noted("{value} from first to last"),
    Op.COUNT_BETWEEN: noted("{value} between {most} and {whole} ago"),
    Op.TREND: noted("{value} of those in {whole} came in the last {window}"),
    Op.SHARE: noted("{value} of all in {window}"),
    Op.WEEKEND: noted("{value} at weekends"),
    Op.PART_OF_DAY: noted("{value} {part}"),
}
"""How a value reads beside nothing but the label of its factor. The others read as they are."""

OF_ITSELF = {Op.DAYS_SINCE_LAST: "__since_last", Op.DAYS_SINCE_FIRST: "__tenure"}
OTHERWISE = {Op.DAYS_SINCE_LAST: noted("latest {value} ago"), Op.DAYS_SINCE_FIRST: noted("first {value} ago")}
"""Days speak for themselves beside the label of their own factor; of another they need a word."""

ONE_SESSION = noted("{value} session in {window}")

SMALL_COUNT = 9.95

TOO_FEW = frozenset({Op.GAP_MEAN, Op.GAP_DEVIATION, Op.OVERDUE})
UNKNOWN = frozenset({Op.ATTRIBUTE_NUMBER, Op.ATTRIBUTE_TEXT_IS, Op.ATTRIBUTE_TEXT, Op.COUNT_BETWEEN})


def value_text(feature: Feature, value: float, *, mean: bool = False) -> str:
    """A feature's value beside the feature's sentence: ``12 days``, ``3``, ``1,240``, ``35 %``, ``1.5 times``.

    Args:
        mean: of several profiles: a small count has a decimal then.
    """
    if np.isnan(value):
        return missing_text(feature)
    small_mean = mean and feature.unit == "count" and abs(value) < SMALL_COUNT
    return _rounded_text(feature, round(value, 1) if small_mean else float(_rounded(feature, np.array([value]))[0]))


def _rounded_text(feature: Feature, rounded: float) -> str:
    number = _number(feature, rounded)
    return number + _unit(feature, number)


def missing_text(feature: Feature) -> str:
    """Why there is no value: ``none in 365 days``, ``too few to tell``, ``not known``."""
    if feature.op in TOO_FEW:
        return say("too few to tell")
    if feature.op in UNKNOWN:
        return say("not known")
    days = feature.argument if feature.op == Op.TREND else feature.window_days
    return say_many("none in {days} day", "none in {days} days", days, days=days)


def factor_text(feature: Feature, value: float, *, mean: bool = False) -> str:
    """A feature's value beside the label of its factor: ``4 in 30 days``, ``largest 80``, ``35 % at weekends``."""
    text = value_text(feature, value, mean=mean)
    return text if np.isnan(value) else _phrased(feature, [text])[0]


def _phrased(feature: Feature, values: Sequence[str]) -> list[str]:
    """Texts of known values, with what the label of their factor leaves open."""
    phrase = PHRASES.get(feature.op, "{value}")
    if feature.op in OF_ITSELF and not feature.factor.code.endswith(OF_ITSELF[feature.op]):
        phrase = OTHERWISE[feature.op]
    beside = {
        "window": _days(feature.window_days),
        "most": feature.window_days,
        "whole": _days(feature.argument),
        "part": say(PARTS_OF_DAY[feature.argument]) if feature.op == Op.PART_OF_DAY else "",
    }
    phrases = {"1": ONE_SESSION} if feature.op == Op.SESSIONS else {}
    return [say(phrases.get(value, phrase), value=value, **beside) for value in values]


def _days(n: int) -> str:
    return say_many("{days} day", "{days} days", n, days=n)


def _rounded(feature: Feature, values: NDArray[np.floating]) -> Float:
    """Values as exact as they are shown, so that what reads the same is the same."""
    exact = np.asarray(values, dtype=np.float64)
    if feature.unit == "days":
        rounded = np.where(np.abs(exact) < 1.95, np.round(exact, 1), np.rint(exact))
    elif feature.unit == "share":
        rounded = np.rint(100.0 * exact) / 100.0
    elif feature.unit == "count":
        rounded = np.rint(exact)
    elif feature.unit == "ratio":
        rounded = np.where(np.abs(exact) < 9.95, np.round(exact, 1), np.rint(exact))
    else:
        scale = 10.0 ** _digits(exact)
        rounded = np.rint(exact * scale) / scale
    return rounded + 0.0  # no minus before a zero


def _digits(values: Float) -> Float:
    """Decimals that leave three significant digits, and every digit before the point."""
    sizes = np.abs(np.where(np.isfinite(values) & (values != 0), values, 1.0))
    return np.clip(2.0 - np.floor(np.log10(sizes)), 0.0, 12.0)


def _number(feature: Feature, rounded: float) -> str:
    if feature.unit == "share":
        return numeral(f"{100 * rounded:.0f}")
    if feature.unit == "ratio":
        return numeral(f"{rounded:.1f}" if abs(rounded) < 10 else f"{rounded:,.0f}")
    whole = feature.unit == "count" and rounded.is_integer()
    digits = 1 if feature.unit == "days" else 0 if whole else int(_digits(np.array([rounded]))[0])
    text = f"{rounded:,.{digits}f}"
    return numeral(text.rstrip("0").rstrip(".") if "." in text else text)


def _unit(feature: Feature, number: str) -> str:
    if feature.unit == "days":
        return " " + (say("day") if number == "1" else say("days"))
    return {"share": " %", "ratio": " " + say("times")}.get(feature.unit, "")


# --- many values ----------------------------------------------------------------------------------------


def factor_texts(showing: Showing, values: Matrix) -> NDArray[np.object_]:
    """A column of shown values as each reads beside the label of the factor."""
    texts, place = distinct_texts(showing, values)
    return np.array(texts, dtype=object)[place]


def distinct_texts(showing: Showing, values: Matrix) -> tuple[list[str], Places]:
    """The texts there may be, and which of them each value reads as."""
    feature = showing.feature
    if showing.choices:
        words = [*showing.choices, say(ANOTHER), missing_text(feature)]
        return words, _choice(showing, values).astype(np.int32)
    # by hashing, which takes a tenth of the time that sorting does
    coded = pa.array(_rounded(feature, values)).dictionary_encode()
    distinct = coded.dictionary.to_numpy()
    missing, texts = np.isnan(distinct), np.empty(len(distinct), dtype=object)
    texts[~missing] = _phrased(feature, [_rounded_text(feature, v) for v in distinct[~missing].tolist()])
    texts[missing] = missing_text(feature)
    return texts.tolist(), coded.indices.to_numpy()


def typical_text(showing: Showing, values: Matrix) -> str:
    """What is usual in a population: the mean, if most have a value; the most frequent choice with its share.

    Impacts count from the mean of all: a value above it in the direction that raises, raises. A median would be met by
    many whose value nevertheless lowers (decision 0018).
    """
    if len(values) == 0:
        return say("nobody")
    if showing.choices:
        words = (*showing.choices, say(ANOTHER), missing_text(showing.feature))
        counts = np.bincount(_choice(showing, values), minlength=len(words))
        most = int(counts.argmax())
        share = numeral(f"{100 * counts[most] / len(values):.0f}")
        return say("{value} for {share} %", value=words[most], share=share)
    known = values[~np.isnan(values)]
    if len(known) * 2 < len(values):
        return missing_text(showing.feature)
    return factor_text(showing.feature, float(np.mean(known, dtype=np.float64)), mean=True)


def _choice(showing: Showing, values: Matrix) -> Ints:
    """Position of each value among the choices, another, and not known."""
    return np.where(np.isnan(values), len(showing.choices) + 1, values).astype(np.int64)


# --- ranges ---------------------------------------------------------------------------------------------

MAX_RANGES = 7


@dataclass(frozen=True)
class Ranges:
    """A partition of the shown values of a factor.

    Attributes:
        labels: of each part, as it is read; the last is for missing values.
        place: int64[N], the part of each value.
    """

    labels: tuple[str, ...]
    place: Ints


def ranges_of(showing: Showing, values: Matrix) -> Ranges:
    """At most seven ranges of about equally many rows, the value most have alone, and the missing ones."""
    if showing.choices:
        return _choice_ranges(showing, values)
    feature, missing = showing.feature, np.isnan(values)
    rounded = _rounded(feature, values)
    known = np.sort(rounded[~missing])
    starts = _starts(known)
    place = np.searchsorted(starts[1:], rounded, side="right")
    ends = [*np.searchsorted(known, starts[1:]), len(known)]
    labels = [_range_text(feature, low, known[end - 1]) for low, end in zip(starts, ends, strict=False)]
    return Ranges((*labels, missing_text(feature)), np.where(missing, len(labels), place).astype(np.int64))


def _range_text(feature: Feature, low: float, high: float) -> str:
    if low == high:
        return value_text(feature, high)
    return say("{low} to {high}", low=_number(feature, low), high=value_text(feature, high))


def _choice_ranges(showing: Showing, values: Matrix) -> Ranges:
    """The choices most have; the rarer ones join the others."""
    n, place = len(showing.choices), _choice(showing, values)
    counts = np.bincount(place, minlength=n + 2)[:n]
    kept = np.sort(np.argsort(-counts, kind="stable")[:MAX_RANGES])
    part = np.full(n + 2, len(kept), dtype=np.int64)
    part[kept], part[n + 1] = np.arange(len(kept)), len(kept) + 1
    labels = (*(showing.choices[c] for c in kept), say(ANOTHER), missing_text(showing.feature))
    return Ranges(labels, part[place])


def _starts(known: Float) -> Float:
    """The least value of each range of sorted values."""
    distinct = np.unique(known)
    if len(distinct) <= MAX_RANGES:
        return distinct
    # a value that many have, most often 0, would hide the rest of its range
    alone = distinct[: int(np.searchsorted(known, distinct[0], side="right") * MAX_RANGES >= len(known))]
    rest = known[known > distinct[0]] if len(alone) else known
    parts = MAX_RANGES - len(alone)
    return np.unique(np.concatenate([alone, rest[np.arange(parts) * len(rest) // parts]]))
