"""The level of the coming window: the model put at many earlier cutoffs, and what follows for the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from propend.model.level import NO_FORECAST, LevelForecast, LevelHistory, forecast_level, measure_span
from propend.model.train import Model
from propend.preparation import Prepared
from propend.snapshots.build import feature_matrix
from propend.snapshots.levels import LevelSample, sample_levels
from propend.snapshots.plan import Plan
from propend.snapshots.program import compile_program, lines_of
from propend.snapshots.stitching import standing_at
from propend.timeline import Timeline, level_cutoffs, level_step_days

LEAST_SHORT_DAYS = 7
MAX_SAMPLE_ROWS = 40_000
MAX_ROWS_PER_CUTOFF = 2_000
MAX_COUNTED_PROFILES = 100_000
"""Outcomes of so many profiles tell a level far better than the samples that are described."""


@dataclass(frozen=True)
class Outlook:
    """Outcomes and described samples of the population at many cutoffs.

    Attributes:
        gaps_days: days from a cutoff until its outcome is known, per outcome window looked through.
        sample: outcomes counted, and rows.
        X: float32[N, F], the rows' features.
    """

    timeline: Timeline
    gaps_days: tuple[int, ...]
    sample: LevelSample
    X: NDArray[np.float32]

    def history(self, model: Model, trained: Sequence[int], known_at: int) -> LevelHistory:
        """Shifts of a model at the cutoffs whose outcome is known at a day; nothing later is looked at.

        Args:
            trained: cutoffs that the model learnt from.
            known_at: day number.
        """
        cutoffs, rows = self.sample.cutoffs, self.sample.rows
        seen = rows.cutoff <= known_at - min(self.gaps_days)
        margin = np.full(len(rows), np.nan)
        margin[seen] = model.margin(self.X[seen]) - model.calibration.level_shift
        spans = []
        for i, gap in enumerate(self.gaps_days):
            known = [k for k, day in enumerate(cutoffs) if day + gap <= known_at]
            spans.append(
                measure_span(
                    gap,
                    [cutoffs[k] for k in known],
                    self.sample.met[i, known],
                    self.sample.labelled[i, known],
                    [margin[rows.cutoff == cutoffs[k]] for k in known],
                    trained,
                    offset=i > 0,
                )
            )
        windows = self.timeline.windows
        return LevelHistory(tuple(spans), level_step_days(self.timeline), windows.outcome_days, tuple(trained))


def look_back(prepared: Prepared, plan: Plan) -> Outlook:
    """Count outcomes at many cutoffs, through the outcome window and through one half as long, and describe samples.

    A window half as long is known sooner: it tells of changes that the whole window cannot have shown yet.
    """
    timeline, goal = prepared.timeline, prepared.instance.goal
    windows, lines = timeline.windows, lines_of(prepared.instance)
    goals = [goal, goal.model_copy(update={"within_days": max(LEAST_SHORT_DAYS, goal.within_days // 2)})]
    goals = goals[: 2 if goals[1].reach_days < goal.reach_days else 1]
    gaps = tuple(g.reach_days + windows.settle_days for g in goals)
    cutoffs = level_cutoffs(timeline, gaps)
    consent = prepared.program.consent
    programs = [replace(compile_program(lines, g, prepared.log.request), consent=consent) for g in goals]
    population = int(prepared.survey.population.sum(axis=0).max())
    most = min(MAX_ROWS_PER_CUTOFF, MAX_SAMPLE_ROWS // max(len(cutoffs), 1))
    counted = MAX_COUNTED_PROFILES / max(len(prepared.survey.keys), 1)
    share, counted = (min(1.0, s) * prepared.survey.share for s in (most / max(population, 1), counted))
    log = standing_at(prepared.log, cutoffs)
    sample = sample_levels(log, programs, cutoffs, share, counted)
    return Outlook(timeline, gaps, sample, feature_matrix(log, plan, sample.rows))


def forecast(outlook: Outlook, history: LevelHistory, cutoff: int) -> LevelForecast:
    """The level at a cutoff; without a test on a later period nothing says how much to trust it, and it stays."""
    if outlook.timeline.proof_kind == "same-period":
        return NO_FORECAST
    return forecast_level(history, cutoff)
