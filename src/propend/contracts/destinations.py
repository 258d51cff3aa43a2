"""What a kind of destination must do, as a test that whoever writes one can run.

from propend.contracts.destinations import check_destination

def test_it_keeps_the_contract(tmp_path):
    check_destination(SqliteDestination, {"file": "crm.db"}, tmp_path, standing)

``standing`` gives the ids that stand at the place: the contract is about what others find there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from propend.errors import DestinationRefusedError, PropendError
from propend.exports import Delivery, Destination, Options, Past, Place, Pushed, Rehearsed
from propend.scoring import SCORES_SCHEMA
from propend.store.erasure import exactly

Plain = dict[str, Any]
ODD = ("=1+1", 'a "quoted", one', "line\nbreak", "O'Neil", "Ünï-códe", "-")
"""Ids that are somebody's."""
FIRST = tuple(sorted([*ODD, *(f"p{n}" for n in range(20))]))
SECOND = tuple(sorted([*ODD[1:], *(f"p{n}" for n in range(10, 30))]))
DAY = datetime(2024, 3, 1, tzinfo=UTC)
PART_ROWS = 7


class DestinationContractError(AssertionError):
    """What a kind of destination does not do, all of it.

    Attributes:
        problems: one sentence each.
    """

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        super().__init__(f"the destination {name!r} breaks its contract:\n" + "\n".join(f"- {p}" for p in problems))
        self.problems = tuple(problems)


def check_destination(
    kind: type[Destination], options: dict[str, Any], folder: Path, standing: Callable[[], Iterable[str]]
) -> None:
    """Hold a kind of destination to what propend relies on; gives nothing.

    Args:
        kind: the class, as the entry point names it.
        options: of a place that is empty now, and that is emptied again.
        folder: what paths are relative to; files may be written below it.
        standing: gives the ids of the profiles that stand at the place.

    Raises:
        DestinationContractError: it does not; all that was found is listed.
    """
    name = str(getattr(kind, "kind", kind.__name__))
    problems = _shape(kind)
    if not problems:
        problems = list(_course(_Held(kind, options, folder, standing)))
    if problems:
        raise DestinationContractError(name, problems)


def delivered(ids: Sequence[str], run: int) -> Delivery:
    """Scores of some profiles, as a run gives them: the higher its number, the later it was made."""
    rows = [_row(profile_id, n, run) for n, profile_id in enumerate(ids)]
    table, at = pa.Table.from_pylist(rows, SCORES_SCHEMA), DAY + timedelta(days=run)
    return Delivery(
        instance="buyers", run_id=f"run-{run}", made_at=at, scored_at=at, expires_at=at + timedelta(days=30),
        audience="all", schema=table.schema, parts=lambda: iter(table.to_batches(PART_ROWS)),
    )  # fmt: skip


class _Held:
    """A place under test, and what its pushes have left."""

    def __init__(
        self, kind: type[Destination], options: Plain, folder: Path, standing: Callable[[], Iterable[str]]
    ) -> None:
        self._kind, self._options, self._place = kind, options, Place(folder, (folder,))
        self._standing, self.facts = standing, list[Plain]()

    @property
    def made(self) -> Destination:
        return self._kind(self._kind.options.model_validate(self._options), self._place)

    @property
    def past(self) -> Past:
        return Past(tuple(reversed(self.facts)))

    def push(self, delivery: Delivery) -> Pushed:
        done = self.made.push(delivery, self.past)
        self.facts.append(done.facts)
        return done

    def found(self) -> list[str]:
        return sorted(self._standing())


def _shape(kind: Any) -> list[str]:
    found = []
    if not isinstance(getattr(kind, "kind", None), str):
        found.append("`kind` is not its name")
    options = getattr(kind, "options", None)
    if not (isinstance(options, type) and issubclass(options, Options)):
        found.append("`options` is not a subclass of propend.exports.Options")
    found += [
        f"it has no {verb}()" for verb in ("push", "retract", "forget") if not callable(getattr(kind, verb, None))
    ]
    return found


def _course(held: _Held) -> Iterator[str]:
    """One run after the other, one that breaks off, a person, and the end."""
    first, second = delivered(FIRST, 1), delivered(SECOND, 2)
    if held.push(first).rows != len(FIRST):
        yield f"the first push of {len(FIRST)} profiles tells of another number of rows"
    yield from _differs(held, FIRST, "after the first push")
    held.push(first)
    yield from _differs(held, FIRST, "after the same push again")
    held.push(second)
    yield from _differs(held, SECOND, "after a run in which some are new and some have left")
    yield from _rehearsed(held)
    try:
        held.push(replace(delivered(FIRST, 3), parts=lambda: _breaking(FIRST)))
    except (OSError, PropendError):
        pass
    else:
        yield "a push whose rows break off in the middle is told as done"
    yield from _differs(held, SECOND, "after a push that broke off: the state before must stand")
    yield from _forgotten(held)
    held.made.retract("buyers/all", held.past)
    yield from _differs(held, (), "after the retraction")


def _rehearsed(held: _Held) -> Iterator[str]:
    """Of a kind that can be tried: with rows, and with none."""
    rehearse = getattr(held.made, "rehearse", None)
    if rehearse is None:
        return
    for ids in (FIRST, ()):
        found = rehearse(delivered(ids, 3))
        if not isinstance(found, Rehearsed) or not all(isinstance(one, str) and one for one in found.says or ("",)):
            yield "rehearse() does not say in sentences what is known of the place"
        yield from _differs(held, SECOND, f"after a rehearsal with {len(ids)} rows: nothing of it may stay")


def _forgotten(held: _Held) -> Iterator[str]:
    left = tuple(i for i in SECOND if i != SECOND[0])
    try:
        rows = held.made.forget(exactly(SECOND[0]), held.past)
    except DestinationRefusedError:
        return  # out of reach, which is said
    if rows != 1:
        yield f"forget() of one profile tells of {rows} rows"
    yield from _differs(held, left, "after one was forgotten")


def _differs(held: _Held, expected: Sequence[str], when: str) -> Iterator[str]:
    found = held.found()
    if found != sorted(expected):
        missing, more = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
        yield f"{when}: {len(found)} rows in place of {len(expected)}; missing {missing[:3]}, too many {more[:3]}"


def _breaking(ids: Sequence[str]) -> Iterator[pa.RecordBatch]:
    yield next(delivered(ids, 3).parts())
    raise OSError("the rows break off here")


def _row(profile_id: str, n: int, run: int) -> Plain:
    at = DAY + timedelta(days=run)
    factor = {"code": "DAYS", "label": "Days since", "value": None, "typical": "4", "impact": 0.5, "importance": "high"}
    return {
        "profile_id": profile_id, "score": float(n), "probability": 0.25, "probability_low": 0.2,
        "probability_high": None, "too_little_history": n % 2 == 0, "percentile": n + 1, "bucket": "medium",
        "times_average": 1.5, "propensity_type": "conversion", "scored_at": at, "expires_at": at + timedelta(days=30),
        "factors": [factor] * (n % 3), "run_id": f"run-{run}", "instance": "Buyers",
    }  # fmt: skip
