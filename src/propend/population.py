"""Everybody who is scored: described and judged in this process, or by the machines that have their events.

Whoever does it, profiles are judged one by one with the same passes, and compared with all by two numbers and a hundred
(``scoring.Standing``); so scores are the same to the last bit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from propend.errors import WriteFailedError
from propend.events import EventLog, Partition
from propend.language import speaking
from propend.model.checks import Reference
from propend.scoring import Float, Ints, Judged, Matrix, Scorer, Tabulation
from propend.snapshots.attributes import AttributesAt
from propend.snapshots.build import Describer, Rows, Survey, describe, describer, feature_matrix, survey_part
from propend.snapshots.plan import Plan
from propend.snapshots.program import Program
from propend.store.runs import GROUP_ROWS, write_table

TABLES = {"scores": GROUP_ROWS, "contributions": None, "attributes": GROUP_ROWS}
"""Rows of each table that are decoded together: contributions have too many columns for small groups."""


@dataclass(frozen=True)
class Verdicts:
    """What is known of everybody before they are compared.

    Attributes:
        probability: float64[N], in canonical order.
        thin: bool[N], too little history to say.
        curve: float64[N, H], probability at each horizon.
        inputs: int64[C, B + 1], profiles by class of each feature the model uses (``Reference.counts``).
    """

    probability: Float
    thin: NDArray[np.bool_]
    curve: Float
    inputs: NDArray[np.int64]

    @classmethod
    def of(cls, judged: Judged, scorer: Scorer, reference: Reference) -> Verdicts:
        """Of some profiles."""
        inputs = reference.counts(scorer.explainer.model.inputs(judged.X))
        return cls(judged.probability, judged.thin, judged.curve, inputs)


class Population(Protocol):
    """Those in the population at the scoring cutoff, in canonical order."""

    def some(self, places: Ints) -> Matrix:
        """float32[M, F]: some of them described, by ascending positions among those surveyed."""
        ...

    def judge(self, scorer: Scorer, reference: Reference) -> Verdicts:
        """What is known of each."""
        ...

    def judged(self, scorer: Scorer, places: Ints) -> Judged:
        """Some of them, as in ``some``, after ``judge``."""
        ...

    def tabulate(self, tabulation: Tabulation) -> None:
        """Rows of the output, or how they will be made."""
        ...

    def write(self, folder: Path) -> None:
        """Scores, contributions and attributes into a run's folder, after ``tabulate``.

        Raises:
            OSError: the folder is full.
            WriteFailedError: those who write do not see the folder.
        """
        ...


def population_of(
    log: EventLog, survey: Survey, rows: Rows, plan: Plan, attributes: AttributesAt, language: str
) -> Population:
    """Everybody at the one cutoff of some rows, described where their events are, or partition by partition where
    there are more than were surveyed.

    Args:
        survey: who was surveyed.
        rows: those of them in the population.
        attributes: that are kept of them.
        language: of the output.
    """
    if log.elsewhere or survey.share < 1.0:
        return Elsewhere(log, plan, rows, survey.program, survey.cutoffs[-1], attributes, language)
    return Here(feature_matrix(log, plan, rows), survey.profile_ids[rows.profile], _attributes(log, rows, attributes))


def _attributes(log: EventLog, rows: Rows, attributes: AttributesAt) -> pa.Table | None:
    """Those of everybody, in canonical order; None where none are kept."""
    if not attributes.columns:
        return None
    return pa.concat_tables(log.visit(partial(_attributes_of, attributes, rows.profile))).unify_dictionaries()


def _attributes_of(attributes: AttributesAt, profile: Ints, part: Partition) -> pa.Table:
    return attributes.of(part, profile[part.among(profile)] - part.first_profile)


def _ascending(profile_ids: NDArray[np.object_], attributes: pa.Table) -> pa.Table:
    """Attributes with their profiles, in the order of scores."""
    return attributes.add_column(0, "profile_id", [pa.array(profile_ids, pa.string())]).sort_by("profile_id")


class Here:
    """Described in memory."""

    def __init__(self, X: Matrix, profile_ids: NDArray[np.object_], attributes: pa.Table | None) -> None:
        """Of float32[N, F], all features of the plan, and str[N]; and attributes of the same, where any are kept."""
        self._X, self._profile_ids, self._attributes = X, profile_ids, attributes

    def some(self, places: Ints) -> Matrix:
        """See ``Population.some``."""
        return np.take(self._X, places, axis=0)

    def judge(self, scorer: Scorer, reference: Reference) -> Verdicts:
        """See ``Population.judge``."""
        self._judged = scorer.judge(self._X)
        return Verdicts.of(self._judged, scorer, reference)

    def judged(self, scorer: Scorer, places: Ints) -> Judged:
        """See ``Population.judged``."""
        return self._judged.at(places)

    def tabulate(self, tabulation: Tabulation) -> None:
        """See ``Population.tabulate``."""
        self._tables = [*tabulation.tables(self._profile_ids, self._judged)]
        if self._attributes is not None:
            self._tables.append(_ascending(self._profile_ids, self._attributes))

    def write(self, folder: Path) -> None:
        """See ``Population.write``."""
        with ThreadPoolExecutor(2) as pool:
            paths = (folder / f"{name}.parquet" for name in TABLES)
            list(pool.map(write_table, paths, self._tables, TABLES.values()))


@dataclass(frozen=True)
class _Where:
    """Who is to be described, and by what, on any machine."""

    describer: Describer
    program: Program
    cutoff: int
    attributes: AttributesAt

    @property
    def tables(self) -> list[str]:
        """What is written."""
        return list(TABLES)[: 3 if self.attributes.columns else 2]

    def described(self, part: Partition) -> tuple[Ints, NDArray[np.object_], Matrix]:
        """Positions, ids and features of a partition's profiles in the population."""
        inside = np.flatnonzero(survey_part(part, self.program, (self.cutoff,)).population[:, 0])
        days, labels = np.full(len(inside), self.cutoff, np.int64), np.zeros(len(inside), np.uint8)
        rows = Rows(inside + part.first_profile, days, labels)
        return inside, part.profile_ids[inside], describe(self.describer, rows, part)


class Elsewhere:
    """Described, judged and written by the machines that have their events."""

    def __init__(
        self,
        log: EventLog,
        plan: Plan,
        rows: Rows,
        program: Program,
        cutoff: int,
        attributes: AttributesAt,
        language: str,
    ) -> None:
        """Nothing is done yet.

        Args:
            rows: those surveyed who are in the population.
            program: who is in it.
            cutoff: day number.
            attributes: that are kept.
            language: of the output.
        """
        self._log, self._plan, self._rows, self._language = log, plan, rows, language
        self._some: tuple[Ints, Matrix] | None = None
        self._where = _Where(describer(log, plan), program, cutoff, attributes)

    def some(self, places: Ints) -> Matrix:
        """See ``Population.some``."""
        if self._some is None or self._some[0] is not places:
            rows = self._rows
            some = Rows(rows.profile[places], rows.cutoff[places], rows.label[places])
            self._some = places, feature_matrix(self._log, self._plan, some)
        return self._some[1]

    def judge(self, scorer: Scorer, reference: Reference) -> Verdicts:
        """See ``Population.judge``."""
        found = list(self._log.visit(partial(_judge, self._where, scorer, reference)))
        return Verdicts(
            np.concatenate([f.probability for f in found]),
            np.concatenate([f.thin for f in found]),
            np.concatenate([f.curve for f in found]),
            np.sum([f.inputs for f in found], axis=0),
        )

    def judged(self, scorer: Scorer, places: Ints) -> Judged:
        """See ``Population.judged``."""
        return scorer.judge(self.some(places))

    def tabulate(self, tabulation: Tabulation) -> None:
        """See ``Population.tabulate``."""
        self._tabulation = tabulation

    def write(self, folder: Path) -> None:
        """See ``Population.write``: a folder of parts for each table, each part sorted by profile."""
        folders = {name: folder / f"{name}.parquet" for name in self._where.tables}
        for made in folders.values():
            made.mkdir()
        visitor = partial(_write, self._where, self._tabulation, folder, self._language)
        written = [name for name in self._log.visit(visitor) if name]
        missing = [name for name in written if not all((made / name).is_file() for made in folders.values())]
        if missing:
            raise WriteFailedError(
                f"{len(missing)} of {len(written)} parts of the scores are not in {folder.name!r}: the machines that "
                "wrote them see another folder of that name.",
                "name a folder with --out that all machines of the cluster share.",
                path=str(folder), parts=missing[:50],
            )  # fmt: skip


def _judge(where: _Where, scorer: Scorer, reference: Reference, part: Partition) -> Verdicts:
    return Verdicts.of(scorer.judge(where.described(part)[2]), scorer, reference)


def _write(where: _Where, tabulation: Tabulation, folder: Path, language: str, part: Partition) -> str:
    """The name of the files that have a partition's rows; none where it has no rows."""
    inside, profile_ids, X = where.described(part)
    if not len(profile_ids):
        return ""
    with speaking(language):
        tables = [*tabulation.tables(profile_ids, tabulation.scorer.judge(X))]
    if where.attributes.columns:
        tables.append(_ascending(profile_ids, where.attributes.of(part, inside)))
    name = f"part-{part.first_profile:012d}.parquet"
    for what, table in zip(where.tables, tables, strict=True):
        made = folder / f"{what}.parquet"
        beside = made / f".{name}-{id(part)}"  # a task may be done twice, even at once
        write_table(beside, table, TABLES[what])
        beside.replace(made / name)
    return name
