"""A finished run as Python has it: its documents, scores and reasons, and how a notebook shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from propend.aftermath import question_of
from propend.drawing import word
from propend.errors import DifferentQuestionsError, ProfileNotFoundError
from propend.instance import Instance
from propend.language import say, speaking
from propend.movement import Scene, difference, movement
from propend.narrative import Given, titled
from propend.narrative.opening import summary
from propend.narrative.proof import quality
from propend.narrative.titles import DIRECTIONS
from propend.notebook import card, line, table
from propend.phrasing import percent, shown
from propend.report import Picture, Report, language_of
from propend.sentence import write_sentence
from propend.store import runs as store

SHOWN_FACTORS = 10


@dataclass(frozen=True, repr=False)
class Run:
    """One finished execution of an instance.

    Attributes:
        folder: where it was written.
        record: ``run.json``: instance, counts, timeline, stages, warnings.
        evaluation: ``evaluation.json``: the proof; notebooks show it as a table beside the simple rules.
        insights: ``insights.json``: buckets, factors, examples.
    """

    folder: Path
    record: dict[str, Any]
    evaluation: dict[str, Any]
    insights: dict[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "evaluation", Evaluation(self.evaluation, self.record))

    def __repr__(self) -> str:
        return f"<Run {self.record['name']!r} in {str(self.folder)!r}: {self.insights['population']:,} profiles>"

    def _repr_html_(self) -> str:
        with speaking(self._language):
            return _run_card(Given(self.evaluation, self.insights, self.record))

    @property
    def factors(self) -> Factors:
        """What the scores go by, of all profiles, the strongest first; as ``insights["factors"]``."""
        return Factors(self.insights["factors"], self._language)

    @property
    def charts(self) -> dict[str, Picture]:
        """Every picture of the report by its name, such as ``calibration``; a notebook draws it."""
        return self.report().charts

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """A finished run from its folder, or the newest one in or under a folder.

        Raises:
            InstanceNotFoundError: there is none.
        """
        found = store.latest_run(Path(folder)).folder
        documents = (store.read_json(found / f"{name}.json") for name in ("run", "evaluation", "insights"))
        return cls(found, *documents)

    @property
    def scores(self) -> pa.Table:
        """All scores (``scoring.SCORES_SCHEMA``), sorted by profile."""
        return store.read_scores(self.folder)

    def explain(self, profile_id: str) -> Explanation:
        """One profile's scores and factors, as plain data; a notebook shows them as bars.

        Raises:
            ProfileNotFoundError: the profile was not scored in this run.
        """
        rows = store.read_scores(self.folder, str(profile_id)).to_pylist()
        if rows:
            return Explanation(rows[0], self.record)
        raise self._not_scored(str(profile_id))

    @property
    def contributions(self) -> pa.Table:
        """Impact and value of every factor, ``impact__CODE`` and ``value__CODE``, sorted by profile."""
        return store.read_contributions(self.folder)

    def moved(self, profile_id: str, since: Run) -> dict[str, Any]:
        """What moved one profile's score from an earlier run to this one (``movement.difference``).

        Raises:
            ProfileNotFoundError: the profile was not scored in both.
            DifferentQuestionsError: the runs have different goals.
        """
        self._gate_goal(since)
        with speaking(self._language):
            return difference(since._scene([profile_id]), self._scene([profile_id]))

    def beside(self, one: str | Sequence[str], other: str | Sequence[str]) -> dict[str, Any]:
        """What sets a profile, or a group of them, apart from another (``movement.difference``).

        Raises:
            ProfileNotFoundError: not all of them were scored.
            ValueError: a group of nobody.
        """
        if not (one and other):
            raise ValueError("a group of nobody cannot be set beside another")
        with speaking(self._language):
            return difference(*(self._scene([ids] if isinstance(ids, str) else list(ids)) for ids in (one, other)))

    def movement(self, since: Run) -> dict[str, Any]:
        """What moved from an earlier run to this one: buckets, everybody, the most moved, effects that changed.

        Raises:
            DifferentQuestionsError: the runs have different goals.
        """
        self._gate_goal(since)
        with speaking(self._language):
            return movement(since._scene(None), self._scene(None))

    @property
    def _language(self) -> str:
        return language_of(self.record)

    def _gate_goal(self, since: Run) -> None:
        here, there = (Instance.load(run.record["instance"]) for run in (self, since))
        if question_of(here)["goal"] != question_of(there)["goal"]:
            asked, before = (write_sentence(i.goal, i.eligible) for i in (here, there))
            raise DifferentQuestionsError(
                f"The runs in {self.folder.name!r} and {since.folder.name!r} have different goals: "
                f"{asked!r} and {before!r}.",
                "compare runs of the same goal; data, eligibility, model and options may differ.",
            )

    def _scene(self, profile_ids: list[str] | None) -> Scene:
        scores = store.read_scores(self.folder, columns=["profile_id", "score", "probability", "bucket"])
        if profile_ids is not None:
            scores = scores.filter(pc.is_in(scores.column("profile_id"), pa.array(profile_ids, pa.string())))
            missing = sorted(set(profile_ids) - set(scores.column("profile_id").to_pylist()))
            if missing:
                raise self._not_scored(missing[0])
        return Scene(
            scored_at=self.record["scored_at"],
            base=self.insights["base"],
            factors=self.insights["factors"],
            features=store.read_features(self.folder / "model"),
            scores=scores,
            contributions=store.read_contributions(self.folder, profile_ids),
        )

    def _not_scored(self, profile_id: str) -> ProfileNotFoundError:
        return ProfileNotFoundError(
            f"Profile {profile_id!r} is not among the {self.record['counts']['population']:,} scored in "
            f"{self.folder.name!r}.",
            "it may not have been eligible at the cutoff, or its id is written otherwise.",
            profile_id=profile_id,
        )

    def report(self) -> Report:
        """The run as a report: ``to_html()``, ``to_dict()``, ``save(path)``."""
        return Report(evaluation=self.evaluation, insights=self.insights, run=self.record)


# --- what notebooks show ------------------------------------------------------------------------------------------


class Evaluation(dict[str, Any]):
    """``evaluation.json``: a mapping as it is; in a notebook, a table of the test beside the simple rules.

    Args:
        document: the mapping.
        record: ``run.json`` of the run that it is of.
    """

    def __init__(self, document: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        super().__init__(document)
        self._record = dict(record)

    def _repr_html_(self) -> str:
        with speaking(language_of(self._record)):
            found = quality(Given(self, {}, self._record))
            rows = [list(row.values()) for row in found["figures"]]
            heads = list(found["figures"][0])
            verdict = self["verdict"]["sentence"]
            return card(self._record["name"], line(found["story"]), line(verdict), table(heads, rows))


class _Told(list[dict[str, Any]]):
    """Factors, which are a list as it is, and the language in which they speak."""

    def __init__(self, factors: Iterable[dict[str, Any]], language: str) -> None:
        super().__init__(factors)
        self._language = language


class Factors(_Told):
    """What the scores of everybody go by, as ``insights.json`` has it, the strongest first; in a notebook, bars."""

    def _repr_html_(self) -> str:
        with speaking(self._language):
            return card("", _factors_table(self))


class Reasons(_Told):
    """The factors of one profile, as ``scores.parquet`` has them; in a notebook, bars to be read with their values."""

    def _repr_html_(self) -> str:
        with speaking(self._language):
            return card("", _reasons_table(self))


class Explanation(dict[str, Any]):
    """One profile's row of ``scores.parquet``: a mapping as it is; in a notebook, its score and reasons.

    Args:
        row: the row.
        record: ``run.json`` of the run that it is of.
    """

    def __init__(self, row: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        self._language = language_of(dict(record))
        super().__init__({**row, "factors": Reasons(row["factors"] or (), self._language)})

    def _repr_html_(self) -> str:
        with speaking(self._language):
            span = {end: percent(self[f"probability_{end}"]) for end in ("low", "high")}
            heads = [say("Probability"), say("Score"), say("Bucket"), say("Percentile"), say("Against the average")]
            figures = [
                say("{value} ({low} to {high})", value=percent(self["probability"]), **span),
                shown(self["score"], "count"),
                word(self["bucket"]),
                str(self["percentile"]),
                shown(self["times_average"], "times"),
            ]
            said = (
                say("Too little history to say more than the rate of all like it") if self["too_little_history"] else ""
            )
            return card(
                say("Profile {id}", id=self["profile_id"]), line(self["instance"], "q"), table(heads, [figures]),
                line(said, "w"), _reasons_table(self["factors"]),
            )  # fmt: skip


def _run_card(given: Given) -> str:
    """A run in a screen's length: the question, four figures, how good, warnings, and what the scores go by."""
    told, run = summary(given), given.run
    figures = [[f["label"], f["value"], f["note"]] for f in told["figures"]]
    notices = [line(f"{titled(n['symbol'])}: {n['message']}", "w") for n in run["warnings"]]
    more = "run.charts · run.evaluation · run.factors · run.explain(ID) · run.scores · run.report().save(PATH)"
    return card(
        run["name"], line(run["sentence"], "q"), table(("", "", ""), figures), line(told["proof"]),
        line(told["verdict"]), *notices, line(say("What the scores go by"), "s"),
        _factors_table(given.insights["factors"]), line(more, "q"),
    )  # fmt: skip


def _factors_table(factors: Sequence[Mapping[str, Any]]) -> str:
    most = max((f["share"] for f in factors), default=1.0) or 1.0
    heads = [say("Factor"), say("Share of all impact"), "", say("Direction"), say("Typical value")]
    rows: list[list[str | float]] = [
        [f["label"], f["share"] / most, percent(f["share"]), say(DIRECTIONS[f["direction"]]), str(f["typical"])]
        for f in factors[:SHOWN_FACTORS]
    ]
    return table(heads, rows)


def _reasons_table(factors: Sequence[Mapping[str, Any]]) -> str:
    most = max((abs(f["impact"]) for f in factors), default=1.0) or 1.0
    heads = [say("Factor"), say("Impact on the odds"), "", "", say("Value"), say("Typical value"), say("Importance")]
    rows: list[list[str | float]] = [
        [
            f["label"], f["impact"] / most, shown(f["impact"], "odds"),
            word("raises" if f["impact"] >= 0 else "lowers"), str(f["value"]), str(f["typical"]), word(f["importance"]),
        ]
        for f in factors
    ]  # fmt: skip
    return table(heads, rows) or line(say("No factor stands out"), "q")
