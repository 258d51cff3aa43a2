"""One profile scored now, from the events given: equal to the last bit to what a run says of the same events.

The model, the plan, the kernels and the wording are those of the run; what a profile is compared with was kept by it
(``store.bearings``). Nothing is learnt and nothing is written.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pyarrow as pa

from propend.engines.lone import AT, LoneReader, named_fields
from propend.engines.xdm_given import is_xdm
from propend.errors import EventsAfterCutoffError, EventsInvalidError, NotForLiveError
from propend.events import DAY_US, EventRequest, Partition
from propend.explain.factors import build_explainer
from propend.instance import Consent
from propend.language import say, speaking
from propend.live.given import Given, attribute_values, sound_texts
from propend.model.members import plain_sums
from propend.preparation import windows_of
from propend.scoring import Scorer, ScoringContext, Standing, Tabulation
from propend.snapshots.build import Rows, describe, describer, survey_part
from propend.snapshots.consent import gives
from propend.snapshots.plan import Op
from propend.snapshots.program import Program, compile_program, excluded_events, lines_of, selectors_of
from propend.store.bearings import Bearings
from propend.store.runs import SavedModel, load_model, read_json
from propend.timeline import day_date
from propend.wall_clock import now_local_us

MAX_EVENTS = 10_000
UNNAMED = "(unnamed)"
"""The id of a profile that was given none."""
_ONE_AT_A_TIME = threading.Lock()
"""Compiled passes with threads of their own may not be entered by several threads everywhere; a profile takes a few
milliseconds."""


class LiveModel:
    """A run's model, ready to score single profiles; several threads may ask."""

    def __init__(self, saved: SavedModel, bearings: Bearings, run_id: str) -> None:
        """Use ``load``."""
        if saved.instance.data.identities is not None:
            raise NotForLiveError(
                f"{saved.instance.name!r} joins several ids to persons; the events of one do not tell whose they are.",
                "look the person up among the scores of the last run.",
            )
        self.instance, self._bearings, self._plan, self.run_id = saved.instance, bearings, saved.plan, run_id
        with plain_sums(), speaking(self.instance.options.language):
            lines = lines_of(self.instance)
            request = EventRequest(
                selectors=selectors_of(self.instance, lines),
                exclude=excluded_events(self.instance),
                number_fields=saved.number_fields,
                text_fields=saved.text_fields,
                time_zone=self.instance.options.time_zone,
            )
            self._program: Program = compile_program(lines, self.instance.goal, request)
            explainer = build_explainer(saved.model, saved.plan.features, None, saved.background)
        self._scorer = Scorer(explainer.kept_ready(), saved.certainty, saved.horizons)
        self._numbers = _fields_of(saved, Op.ATTRIBUTE_NUMBER)
        self._texts = _fields_of(saved, Op.ATTRIBUTE_TEXT_IS, Op.ATTRIBUTE_TEXT)
        self._standing = Standing(bearings.mean, np.array(bearings.steps))
        fields = {name: bearings.fields[name] for name in named_fields(request)}
        self._given = Given(bearings.sources, fields, request.time_zone)
        self._reader = LoneReader(request, fields, self._numbers, self._texts)

    @classmethod
    def load(cls, folder: str | Path, scores_folder: str | Path | None = None) -> LiveModel:
        """From a run's folder.

        Args:
            folder: of the run, or of its model.
            scores_folder: of the run whose population profiles are compared with; by default the model's own.

        Raises:
            InstanceNotFoundError: files are missing or damaged.
            NotForLiveError: the run was made by a propend that kept nothing to compare with, or its instance joins ids.
        """
        folder = Path(folder)
        model = folder / "model" if (folder / "model").is_dir() else folder
        scores = Path(scores_folder) if scores_folder is not None else folder if model is not folder else folder.parent
        return cls(load_model(model), Bearings.read(scores), str(read_json(scores / "run.json")["run_id"]))

    def close(self) -> None:
        """Remove what is kept in the temporary folder."""
        self._reader.close()

    def score(
        self,
        events: Sequence[Mapping[str, Any]],
        attributes: Mapping[str, Any] | None = None,
        *,
        profile_id: str = UNNAMED,
        now: datetime | None = None,
        regardless: bool = False,
    ) -> dict[str, Any]:
        """How likely one profile is to meet the goal, and why.

        Args:
            events: all that is known of the profile, in any order; by the columns of the instance's data, or by
                ``at``, ``event``, ``value`` and further fields by their names.
            attributes: facts about it as they are now, by their names.
            profile_id: its id, which is only given back.
            now: the cutoff is the first midnight of the instance's zone from then on; without a zone, on its wall
                clock. By default the midnight after the newest event, and not before the run's own cutoff.
            regardless: score it even if it is not in the population; not where it does not consent.

        Returns:
            ``profile_id``, ``eligible``, ``reason`` (the first line that does not hold, or None), and where it is
            scored everything that a row of ``scores.parquet`` has.

        Raises:
            EventsInvalidError: an event cannot be read, or there are more than 10,000.
            EventsAfterCutoffError: events are of the cutoff or later.
        """
        if len(events) > MAX_EVENTS:
            raise EventsInvalidError(
                f"{len(events):,} events were given; at most {MAX_EVENTS:,} are read.", "leave out the oldest ones.",
                events=len(events), most=MAX_EVENTS,
            )  # fmt: skip
        sound_texts([profile_id], "profile_id")
        events = self._in_columns(events)
        table = self._given.table(events)
        cutoff = self._cutoff(table.column(AT).to_numpy(), now)
        numbers, texts = attribute_values(attributes, self._numbers, self._texts)
        with _alone(), speaking(self.instance.options.language):
            log, part = self._reader.read(profile_id, table, numbers, texts)
            reason = self._reason(part, cutoff)
            consent = self.instance.data.consent
            if consent is not None and not self._consents(consent, events, attributes):
                asked = say("has given consent ({column})", column=consent.column)
                return {"profile_id": profile_id, "eligible": False, "reason": asked}
            answer = {"profile_id": profile_id, "eligible": reason is None, "reason": reason}
            if reason is not None and not regardless:
                return answer
            row = Rows(np.zeros(1, np.int64), np.array([cutoff], np.int64), np.zeros(1, np.uint8))
            return answer | self._scored(describe(describer(log, self._plan), row, part), profile_id, cutoff)

    def _in_columns(self, events: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """The events, those of XDM in the columns that a run tells their kinds and values by."""
        sources = [s for s in self._bearings.sources if s.xdm]
        places = [i for i, e in enumerate(events) if isinstance(e, Mapping) and is_xdm(e)] if sources else []
        if not places:
            return events
        consent = self.instance.data.consent
        names = {*self._given.fields, *([consent.column] if consent is not None else [])}
        names |= {column for source in sources for column in source.columns.values()}
        with _alone():
            found = self._reader.as_xdm([events[i] for i in places], names)
        others = set(range(len(events))) - set(places)
        return [*(events[i] for i in sorted(others)), *found]

    def _cutoff(self, moments: np.ndarray, now: datetime | None) -> int:
        """Day number of the cutoff."""
        newest = int(moments.max(initial=-1))
        if now is None:
            if newest > now_local_us(self._given.time_zone) + DAY_US:
                raise EventsAfterCutoffError(
                    f"The newest event is of {day_date(newest // DAY_US)}, more than a day ahead of the clock.",
                    "leave out what is planned, or say with `now` when the profile is looked at.",
                )
            return max(self._bearings.cutoff_day, newest // DAY_US + 1)
        moment = self._given.moment(now)
        if moment < 0:
            raise EventsInvalidError(
                f"`now` is {now}, and times from 1970 to 2199 are read.", "correct it, or leave it out."
            )
        cutoff = -(-moment // DAY_US)
        late = int((moments >= cutoff * DAY_US).sum())
        if late:
            raise EventsAfterCutoffError(
                f"{late:,} of {len(moments):,} events are of {day_date(cutoff)}, the cutoff, or later.",
                "leave them out, or name a later `now`: what comes after the cutoff is what is foretold.",
                events=late, cutoff=str(day_date(cutoff)),
            )  # fmt: skip
        return cutoff

    def _consents(
        self, consent: Consent, events: Sequence[Mapping[str, Any]], attributes: Mapping[str, Any] | None
    ) -> bool:
        """Whether the profile consents: by its attributes, or by the newest event that says."""
        if consent.source == "attributes":
            return gives(consent, (attributes or {}).get(consent.column))
        said = [e for e in events if e.get(consent.column) is not None]
        moments = self._given.table(said).column(AT).to_numpy() if said else ()
        return bool(said) and gives(consent, said[int(np.argmax(moments))][consent.column])

    def _reason(self, part: Partition, cutoff: int) -> str | None:
        """The first line of the population that does not hold."""
        found = survey_part(part, self._program, (cutoff,))
        return next(
            (
                line.text
                for j, line in enumerate(self._program.lines)
                if line.role in ("eligible", "exit_before") and not found.holds(j)[0, 0]
            ),
            None,
        )

    def _scored(self, X: np.ndarray, profile_id: str, cutoff: int) -> dict[str, Any]:
        """A row of the output."""
        context = ScoringContext.of(self.instance, cutoff, windows_of(self.instance).reach_days, self.run_id)
        tabulation = Tabulation(self._scorer, self._standing, context, self._bearings.typical)
        rows: pa.Table = tabulation.scores(np.array([profile_id], dtype=object), self._scorer.judge(X))
        return dict(rows.to_pylist()[0])


def _fields_of(saved: SavedModel, *ops: Op) -> tuple[str, ...]:
    """Attributes that features are made of, each once."""
    return tuple(dict.fromkeys(f.field for f in saved.plan.features if f.op in ops))


@contextmanager
def _alone() -> Iterator[None]:
    """Nobody else within; one profile is work for one thread."""
    with _ONE_AT_A_TIME:
        threads = numba.get_num_threads()
        numba.set_num_threads(1)
        try:
            yield
        finally:
            numba.set_num_threads(threads)
