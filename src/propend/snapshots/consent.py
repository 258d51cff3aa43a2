"""Who consents: read from the data that are scored, as of the cutoff and of today.

A profile consents where what was last said of it before the cutoff is one of the values that give consent, and where
that has not been taken back since. Who said nothing does not consent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend.errors import ConfigurationError, Mistake
from propend.events import DAY_US, EventLog, Partition
from propend.instance import Consent
from propend.wall_clock import now_local_us

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Consenting:
    """A rule of consent in the codes of a log; picklable, so that it goes to where partitions are.

    Attributes:
        of_events: whether events say it, or attributes.
        number: whether it is a number.
        place: among the log's numbers, or texts.
        given: the values, or codes, that give consent.
        now_day: the cutoff of scoring, as a day number.
        until_us: local microseconds of today: what was taken back until then is taken back.
        learn: whether those who do not consent may be learnt from.
    """

    of_events: bool
    number: bool
    place: int
    given: NDArray[Any]
    now_day: int
    until_us: int
    learn: bool

    def profiles(self, part: Partition) -> Bools:
        """bool[P]: of a partition's profiles, those that consent."""
        rows = part if self.of_events else part.attributes
        if rows is None:
            return np.zeros(part.profiles, dtype=np.bool_)
        values = (rows.numbers if self.number else rows.texts)[self.place]
        # an event that does not say takes nothing back; a fact that is empty does
        said = ~(np.isnan(values) if self.number else values < 0) if self.of_events else np.ones(len(values), np.bool_)
        found = np.ones(part.profiles, dtype=np.bool_)
        for moment in (self.now_day * DAY_US, max(self.until_us, self.now_day * DAY_US)):
            last = last_rows(rows.offsets, said & (rows.at < moment))
            found &= (last >= 0) & (np.isin(values[last], self.given) if len(values) else False)
        return found

    def clear(self, part: Partition, days: Sequence[int], line: int, masks: NDArray[np.uint64]) -> None:
        """Clear the bit of the line of consent, in place, for all who do not consent.

        Args:
            days: day numbers of the cutoffs.
            masks: uint64[P, K].
        """
        columns = np.array([not self.learn or day >= self.now_day for day in days], dtype=np.bool_)
        without = ~self.profiles(part)[:, None] & columns[None, :]
        masks[without] &= ~np.uint64(1 << line)


def gives(consent: Consent, value: Any) -> bool:
    """Whether one value, as it is given by hand, gives consent; None does not."""
    if value is None:
        return False
    return folded(value) in {form for one in consent.given for form in _forms(one)}


def last_rows(offsets: NDArray[np.int64], known: Bools) -> NDArray[np.int64]:
    """int64[P]: the last known row of each profile, -1 for none.

    Args:
        offsets: int64[P + 1], rows of each profile.
        known: bool[R].
    """
    if not len(known):
        return np.full(len(offsets) - 1, -1, dtype=np.int64)
    last = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    found = last[np.maximum(offsets[1:] - 1, 0)]
    return np.where((found >= offsets[:-1]) & (offsets[1:] > offsets[:-1]), found, -1)


def consenting(consent: Consent, log: EventLog, now_day: int) -> Consenting:
    """A rule of consent, looked up among the columns and words of a log.

    Args:
        now_day: the cutoff of scoring.

    Raises:
        ConfigurationError: there is no such column, or nobody has a value that gives consent.
    """
    of_events = consent.source == "events"
    request = log.request
    numbers = request.number_fields if of_events else log.attribute_numbers
    texts = request.text_fields if of_events else log.attribute_texts
    if consent.column in numbers:
        number, place = True, numbers.index(consent.column)
        given = np.array([x for x in map(_number, consent.given) if x is not None], dtype=np.float64)
    elif consent.column in texts:
        number, place = False, texts.index(consent.column)
        words = (log.vocabularies if of_events else log.attribute_vocabularies)[place]
        wanted = {form for value in consent.given for form in _forms(value)}
        given = np.array([i for i, word in enumerate(words) if folded(word) in wanted], dtype=np.int64)
    else:
        raise ConfigurationError([_unknown(consent, [*numbers, *texts])])
    if not len(given):
        shown = ", ".join(repr(v) for v in consent.given)
        problem = f"no profile has a value of {consent.column!r} that gives consent ({shown}): nobody could be scored"
        raise ConfigurationError([Mistake("data.consent.given", problem)])
    return Consenting(of_events, number, place, given, now_day, now_local_us(request.time_zone), consent.learn)


def _unknown(consent: Consent, known: Sequence[str]) -> Mistake:
    shown = ", ".join(known[:12]) or "none"
    problem = f"there is no column {consent.column!r} of texts or numbers in the {consent.source}; there are: {shown}"
    return Mistake("data.consent.column", problem)


def _forms(value: Any) -> tuple[str, ...]:
    """The texts that a value of the document stands for: YAML reads ``yes`` and ``on`` as truth."""
    if isinstance(value, bool):
        return ("true", "yes", "on") if value else ("false", "no", "off")
    return (folded(value),)


def folded(value: Any) -> str:
    """A value as it is compared: case and blanks apart, numbers as numbers (``1``, ``1.0`` and ``"1"`` are one)."""
    if isinstance(value, bool):
        return str(value).casefold()
    number = _number(value)
    return repr(number) if number is not None else str(value).strip().casefold()


def _number(value: Any) -> float | None:
    """A number, also of a text or of truth; None where it is none."""
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
