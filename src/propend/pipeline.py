"""The stages in order: the file to read first.

    prepare       data read, names bound, every line evaluated at every cutoff    (preparation)
    train_stage   learn, prove on a later period, refit                           (training)
    score_stage   probabilities, scores and factors as of now                     (scoring)
    write         one folder, visible by one rename                               (store)

    evaluate      later, when windows have passed: what came of the scores        (aftermath, challenge)

``run``, ``train``, ``score``, ``evaluate`` and ``check`` are the verbs of the command line, of Python and of REST.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from propend import aftermath, record
from propend.aftermath import Seen
from propend.aftermath_page import Aftermath
from propend.challenge import MARGIN, Contender, compare, gate_proof, gate_question, same_events
from propend.definition import Check, define
from propend.engines import engine_name
from propend.errors import ConfigurationError, Mistake
from propend.explain.factors import build_explainer
from propend.explain.faithfulness import faithfulness
from propend.fairness import scored_groups
from propend.finished import Run
from propend.instance import Instance
from propend.language import speaking
from propend.model import checks
from propend.model.breaks import break_notices
from propend.notebook import watched
from propend.population import Population, population_of
from propend.preparation import (
    SHARES,
    Inputs,
    Prepared,
    Progress,
    Stages,
    gate_scoring,
    kept_attributes,
    prepare,
    read_inputs,
    read_log,
    together,
)
from propend.protection import USUAL, Protection
from propend.report import Report
from propend.scoring import (
    Scored,
    Scorer,
    ScoringContext,
    Standing,
    Tabulation,
    buckets_of,
    examples_of,
    explained_of,
    insights,
    pictured_of,
)
from propend.snapshots.build import rows_at
from propend.snapshots.program import lines_of, measured_fields
from propend.snapshots.stitching import apart
from propend.snapshots.volumes import weekly_volumes
from propend.store import runs as store
from propend.store.bearings import Bearings, SourceColumns
from propend.training import Trained, train_stage
from propend.version import __version__

__all__ = ["Run", "challenge", "check", "evaluate", "new_run_id", "run", "score", "score_stage", "train"]
EXPLAINER_SAMPLE = 4_000

InstanceLike = Instance | str | Path | dict[str, Any]


# --- the verbs -----------------------------------------------------------------------------------------


@watched(SHARES)
def check(
    instance: InstanceLike,
    *,
    data: Any = None,
    as_of: date | str | None = None,
    engine: Any = "duckdb",
    progress: Progress | None = None,
    home: Path | None = None,
    protection: Protection = USUAL,
) -> Check:
    """What a definition means, before anything is trained: funnel, outcomes, examples, warnings.

    Args:
        instance: document, path or mapping.
        data: folder, file or table in place of the instance's sources.
        as_of: a date that "now" is moved to.
        home: where a document that is no file would stand: what its paths are relative to.
        protection: a workspace's policies of labels, and who is to be forgotten.

    Raises:
        ConfigurationError: every mistake in the document.
        PropendError: data cannot be read or history is too short.
    """
    stages = Stages(progress)
    inputs = read_inputs(instance, data, as_of, engine, home=home, protection=protection)
    with speaking(inputs.instance.options.language), prepare(inputs, stages) as prepared:
        return define(prepared, stages)


@watched(SHARES)
def run(
    instance: InstanceLike,
    *,
    data: Any = None,
    as_of: date | str | None = None,
    out: str | Path | None = None,
    engine: Any = "duckdb",
    memory: str | None = None,
    progress: Progress | None = None,
    home: Path | None = None,
    run_id: str | None = None,
    protection: Protection = USUAL,
) -> Run:
    """Data to explained scores: train, prove, score now, write.

    Args:
        instance: document, path or mapping.
        data: folder, file or table (pandas, polars, Arrow) in place of the instance's sources.
        as_of: a date that "now" is moved to; nothing at or after it is read.
        out: folder for the run; beside the document under ``.propend`` by default.
        engine: ``duckdb``, ``spark``, or a SparkSession.
        memory: the engine's budget, such as ``4GB``.
        progress: told the name of each stage as it begins; in a notebook a bar is by default.
        home: where a document that is no file would stand: what its paths are relative to.
        run_id: what the run is called in what is written; made up by default.

    Raises:
        PropendError: a coded refusal; then nothing was written.
    """
    stages, started = Stages(progress), datetime.now(UTC)
    inputs = read_inputs(instance, data, as_of, engine, memory, home, protection)
    run_id = run_id or new_run_id(started)
    destination = Path(out) if out is not None else _default_folder(inputs.instance, instance, run_id)
    language = inputs.instance.options.language
    with store.new_run(destination) as folder, speaking(language), prepare(inputs, stages) as prepared:
        trained = train_stage(prepared, stages)
        scored = score_stage(prepared, trained.saved, run_id, stages)
        document = _run_document(prepared, trained.saved, trained, scored.n, stages)
        notices = (*trained.notices, *record.data_notices(prepared), *scored.notices)
        document["warnings"] = [n.to_dict() for n in notices]
        with stages("write"):
            store.save_model(folder / "model", trained.saved)
            _write(folder, run_id, started, scored, document, trained.saved.evaluation, stages)
    return Run.load(destination)


@watched(SHARES)
def train(
    instance: InstanceLike,
    *,
    data: Any = None,
    as_of: date | str | None = None,
    out: str | Path,
    engine: Any = "duckdb",
    memory: str | None = None,
    progress: Progress | None = None,
    home: Path | None = None,
    protection: Protection = USUAL,
) -> Path:
    """Train and prove only; gives the model's folder, which ``score`` takes.

    Raises:
        PropendError: a coded refusal; then nothing was written.
    """
    stages, started = Stages(progress), datetime.now(UTC)
    inputs = read_inputs(instance, data, as_of, engine, memory, home, protection)
    destination = Path(out)
    with store.new_run(destination) as folder, speaking(inputs.instance.options.language):
        with prepare(inputs, stages) as prepared:
            trained = train_stage(prepared, stages)
            document = _run_document(prepared, trained.saved, trained, 0, stages)
            document["warnings"] = [n.to_dict() for n in (*trained.notices, *record.data_notices(prepared))]
        store.save_model(folder / "model", trained.saved)
        store.write_json(folder / "evaluation.json", trained.saved.evaluation)
        store.write_json(folder / "run.json", _closed(document, new_run_id(started), started, stages, "trained"))
    return destination


@watched(SHARES)
def score(
    model: str | Path,
    *,
    data: Any = None,
    as_of: date | str | None = None,
    out: str | Path,
    engine: Any = "duckdb",
    memory: str | None = None,
    progress: Progress | None = None,
    home: Path | None = None,
    run_id: str | None = None,
    protection: Protection = USUAL,
    instance: Instance | None = None,
) -> Run:
    """Score now with a trained model, without training again.

    Args:
        model: folder of a run or of ``train``.
        data, as_of, engine, memory, progress: as in ``run``.
        out: folder for the new scores.
        home: where the document stands now; by default, where it stood when the model was trained.
        run_id: as in ``run``.
        instance: another version of it: names, bucket edges, language and such are shown as it says.

    Raises:
        NoScoringDataError: nobody is eligible now.
        IneligibleScoresError: the scores are distributed far from those of the proof.
    """
    stages, started = Stages(progress), datetime.now(UTC)
    saved = store.load_model(_model_folder(Path(model)))
    if instance is not None:
        saved = replace(saved, instance=saved.instance.presented_as(instance))
    inputs = read_inputs(saved.instance, data, as_of, engine, memory, home, protection)
    if data is None and home is None:  # paths are relative to where they were when the model was trained
        inputs = replace(inputs, folder=Path(saved.facts["data_folder"]))
    run_id = run_id or new_run_id(started)
    language = inputs.instance.options.language
    with store.new_run(Path(out)) as folder, speaking(language), prepare(inputs, stages, saved) as prepared:
        scored = score_stage(prepared, saved, run_id, stages)
        document = _run_document(prepared, saved, None, scored.n, stages)
        document["warnings"] = [n.to_dict() for n in (*record.data_notices(prepared), *scored.notices)]
        with stages("write"):
            store.save_model(folder / "model", saved)
            _write(folder, run_id, started, scored, document, saved.evaluation, stages)
    return Run.load(out)


@watched(SHARES)
def evaluate(
    runs: str | Path | Sequence[str | Path],
    *,
    data: Any = None,
    as_of: date | str | None = None,
    challenger: str | Path | None = None,
    margin: float = MARGIN,
    out: str | Path | None = None,
    engine: Any = "duckdb",
    memory: str | None = None,
    progress: Progress | None = None,
    home: Path | None = None,
    protection: Protection = USUAL,
) -> Aftermath:
    """After the window: what came of finished runs, beside what they expected and what their proofs promised.

    Args:
        runs: folders of runs, or with runs in them, of one instance.
        data: folder, file or table in place of the newest run's sources; it must reach past the runs' windows.
        as_of: a date that "now" is moved to.
        challenger: folder of a run or of ``train``, to be compared with the newest run's model.
        margin: share of the champion's log loss that the challenger must save to be promoted.
        out: folder for ``aftermath.json`` and ``aftermath.html``.
        engine, memory, progress: as in ``run``.
        home: as in ``score``.

    Raises:
        DifferentQuestionsError: the runs, or the challenger, ask different questions.
        NoOutcomeKnownError: of no run the outcome is known yet.
        NoFairComparisonError: since both models were trained, no window has passed.
    """
    stages = Stages(progress)
    found, left_out = aftermath.find_runs([Path(f) for f in ([runs] if isinstance(runs, str | Path) else runs)])
    champion, given = found[-1], (data, as_of, engine, memory, home, protection)
    pair = _contenders(champion.folder, Path(challenger), margin) if challenger is not None else ()
    inputs = _past_inputs(champion.instance, champion.folder, *given)
    shared = [c for c in pair if same_events(c.saved.instance, champion.instance)]
    fields = together(measured_fields(lines_of(champion.instance)), *(c.fields for c in shared))
    with speaking(champion.instance.options.language), read_log(inputs, stages, fields) as (_, log):
        seen = Seen.of(inputs, log)
        if not pair:
            aftermath.gate_matured(seen, found)
        with stages("look back"):
            documents = aftermath.look_back(seen, found)
            aftermath.gate_known(documents)
        with stages("compare"):
            challenge = _compare(seen, pair, given, margin, stages) if pair else None
        document = aftermath.document_of(seen, champion.instance, documents, left_out)
    document |= {"challenge": challenge, "propend_version": __version__, "made_at": _text(datetime.now(UTC))}
    result = Aftermath(store.plain(document))
    if out is not None:
        result.save(out)
    return result


def challenge(
    champion: str | Path,
    challenger: str | Path,
    *,
    data: Any = None,
    as_of: date | str | None = None,
    margin: float = MARGIN,
    engine: Any = "duckdb",
    memory: str | None = None,
    progress: Progress | None = None,
    home: Path | None = None,
    protection: Protection = USUAL,
) -> dict[str, Any]:
    """A model against one just trained, on the newer one's proof, of which neither knows anything.

    ``evaluate`` compares models as they score, which takes an outcome window after both were trained. Here the
    challenger is what it was before its refit, and so is a champion that has been refitted on the proof's outcomes.

    Args:
        champion, challenger: folders of runs or of ``train``.
        data, as_of, margin, engine, memory, progress: as in ``evaluate``.
        home: as in ``score``.

    Returns:
        As ``challenge`` of ``evaluate``'s document.

    Raises:
        DifferentQuestionsError: they ask different questions.
        NoFairComparisonError: the champion has seen the outcomes of the challenger's proof.
    """
    stages = Stages(progress)
    ours, theirs = _contenders(Path(champion), Path(challenger), margin)
    gate_proof(theirs)
    theirs = theirs.before_refit()
    if ours.learnt_until > theirs.learnt_until:
        ours = ours.before_refit()
    given = (data, as_of, engine, memory, home, protection)
    inputs = _past_inputs(theirs.saved.instance, theirs.folder, *given)
    fields = together(
        theirs.fields, *([ours.fields] if same_events(ours.saved.instance, theirs.saved.instance) else [])
    )
    with speaking(theirs.saved.instance.options.language), read_log(inputs, stages, fields) as (_, log):
        seen = Seen.of(inputs, log)
        with stages("compare"):
            if same_events(ours.saved.instance, theirs.saved.instance):
                found = compare(seen, ours, theirs, seen, margin)
            else:
                inputs = _past_inputs(ours.saved.instance, ours.folder, *given)
                with read_log(inputs, stages, ours.fields) as (_, other):
                    found = compare(Seen.of(inputs, other), ours, theirs, seen, margin)
    return dict(store.plain(found))


def _past_inputs(
    instance: Instance,
    folder: Path,
    data: Any,
    as_of: date | str | None,
    engine: Any,
    memory: str | None,
    home: Path | None,
    protection: Protection,
) -> Inputs:
    inputs = read_inputs(instance, data, as_of, engine, memory, home, protection)
    if data is None and home is None:  # paths are relative to where they were when the model was trained
        inputs = replace(inputs, folder=Path(store.read_facts(_model_folder(folder))["data_folder"]))
    return inputs


def _model_folder(folder: Path) -> Path:
    return folder / "model" if (folder / "model").is_dir() else folder


def _contenders(champion: Path, challenger: Path, margin: float) -> tuple[Contender, Contender]:
    """Both models; refused before anything is read where they cannot be compared."""
    if not 0 <= margin < 1:
        raise ConfigurationError([Mistake("--margin", f"{margin} is not a share from 0 to under 1")])
    ours, theirs = (Contender.of(f, store.load_model(_model_folder(f))) for f in (champion, challenger))
    gate_question(ours.saved.instance, theirs.saved.instance)
    return ours, theirs


def _compare(
    seen: Seen, pair: tuple[Contender, Contender], given: tuple[Any, ...], margin: float, stages: Stages
) -> dict[str, Any]:
    """A model that describes profiles by other events reads the data for itself."""
    champion, challenger = pair
    if same_events(challenger.saved.instance, champion.saved.instance):
        return compare(seen, champion, challenger, seen, margin)
    inputs = _past_inputs(challenger.saved.instance, challenger.folder, *given)
    with read_log(inputs, stages, challenger.fields) as (_, log):
        return compare(seen, champion, challenger, Seen.of(inputs, log), margin)


# --- the stage of scoring ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoredPopulation:
    """What scoring leaves.

    Attributes:
        population: what writes scores and contributions.
        n: how many are scored.
        insights: ``insights.json``.
        notices: warnings.
        bearings: what is kept for profiles that are scored alone later.
    """

    population: Population
    n: int
    insights: dict[str, Any]
    notices: tuple[checks.Notice, ...]
    bearings: Bearings


def score_stage(prepared: Prepared, saved: store.SavedModel, run_id: str, stages: Stages) -> ScoredPopulation:
    """Score and explain the population as of now.

    Raises:
        NoScoringDataError: nobody is eligible now (405).
        NoRecentDataError: nobody eligible did anything in the last 60 days (408).
        IneligibleScoresError: the scores' distribution is far from the proof's (403).
        NoInfluentialFactorsError: no factor moves the scores (414).
    """
    timeline, options = prepared.timeline, prepared.instance.options
    rows = rows_at(prepared.survey, [timeline.now], labelled=False)
    gate_scoring(prepared, len(rows))
    with stages("describe"):
        kept, language = kept_attributes(prepared), options.language
        everyone = population_of(prepared.log, prepared.survey, rows, saved.plan, kept, language)
    with stages("score"):
        context = ScoringContext.of(prepared.instance, timeline.now, timeline.windows.reach_days, run_id)
        pictured = pictured_of(len(rows))
        usual = everyone.some(pictured)
        sample = usual[:: max(1, len(usual) // EXPLAINER_SAMPLE)]
        standing = saved.facts["standing"]
        explainer = build_explainer(saved.model, saved.plan.features, sample, saved.background, standing)
        scorer = Scorer(explainer, saved.certainty, saved.horizons)
        verdicts = everyone.judge(scorer, saved.reference)
        probability = verdicts.probability
        psi = checks.gate_scores(saved.reference, probability)
        tabulation = Tabulation.of(scorer, Standing.of(probability), context, usual)
        everyone.tabulate(tabulation)
        score = tabulation.standing.scores(probability)
        bucket, known = buckets_of(score, options.buckets), slice(len(rows))
        explained = explained_of(everyone.judged(scorer, pictured), scorer, context)
        shown = np.sort(examples_of(probability[known], bucket[known]))
        examples, _ = tabulation.tables(
            prepared.survey.profile_ids[rows.profile[shown]], everyone.judged(scorer, shown)
        )
        scored = Scored(probability, score, verdicts.thin, bucket, verdicts.curve, pictured, explained, examples)
        found = insights(scored, scorer, context) | {"score_stability": psi}
        found["faithfulness"] = faithfulness(explainer, sample, options.seed)
        if options.fairness:
            found["fairness"] = scored_groups(prepared, rows, bucket[known] == 2, probability[known])
        used = tuple(saved.plan.features[j] for j in saved.model.columns)
        notices = checks.score_drift_notices(psi)
        notices += checks.new_kind_notices(saved.facts["kinds"], prepared.log.facts.kinds)
        volumes = weekly_volumes(apart(prepared.log), timeline.now)
        notices += checks.volume_notices(volumes) + checks.silent_kind_notices(volumes) + break_notices(volumes)
        notices += checks.drift_notices(saved.reference, verdicts.inputs, used, timeline.now)
    bearings = _bearings(prepared, tabulation)
    return ScoredPopulation(everyone, len(probability), found, tuple(notices), bearings)


def _bearings(prepared: Prepared, tabulation: Tabulation) -> Bearings:
    """What is kept for profiles that are scored alone later."""
    data, opened = prepared.inputs.instance.data, prepared.opened
    kinds = [s.kind for s in data.events] if len(data.events) == len(opened.sources) else [None] * len(opened.sources)
    return Bearings(
        cutoff_day=prepared.timeline.now,
        mean=tabulation.standing.mean,
        steps=tuple(tabulation.standing.steps.tolist()),
        typical=tabulation.typical,
        sources=tuple(
            SourceColumns(dict(s.columns), data.kind if kind is None else kind, s.xdm is not None)
            for s, kind in zip(opened.sources, kinds, strict=True)
        ),
        fields={name: field.type for name, field in opened.fields.items()},
    )


# --- what is written -----------------------------------------------------------------------------------


def new_run_id(started: datetime) -> str:
    """A run's name: when it began, and six digits against collisions."""
    return f"{started:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


def _default_folder(instance: Instance, given: InstanceLike, run_id: str) -> Path:
    document = Path(given) if isinstance(given, str | Path) else None
    return store.runs_folder(instance, document) / run_id


def _run_document(
    prepared: Prepared, saved: store.SavedModel, trained: Trained | None, population: int, stages: Stages
) -> dict[str, Any]:
    instance, timeline, zone = prepared.instance, prepared.timeline, prepared.instance.options.zone
    facts = saved.facts
    calibration = saved.model.calibration
    cutoffs = facts["timeline"] if trained is None else record.timeline_document(prepared)
    return {
        "name": instance.name,
        "propensity_type": instance.type,
        "sentence": record.sentence_of(prepared),
        "instance": instance.document(),
        "instance_hash": instance.hash,
        "engine": engine_name(prepared.inputs.engine),
        "scored_at": record.instant(timeline.now, zone),
        "expires_at": record.end_of_window(timeline, zone),
        "data": record.data_document(prepared.log.facts, timeline, zone) | record.identities_document(prepared.log),
        "counts": record.counts_document(prepared, population, facts if trained is None else None),
        "timeline": cutoffs | {"now": record.instant(timeline.now, zone)},
        "funnel": record.funnel(prepared, timeline.matured if trained else [timeline.now]),
        "model": {
            "members": facts["members"],
            "features": facts["features"],
            "training_snapshots": facts["training_snapshots"],
            "trained_at": facts["trained_at"],
            "calibration": {
                "slope": calibration.slope,
                "intercept": calibration.intercept,
                "level_shift": calibration.level_shift,
                "level_drivers": facts["level"]["drivers"],
                "level_backtested": facts["level"]["backtested"],
                "level_error": calibration.level_error,
            },
            "certainty": saved.certainty.document(),
            "features_dropped": [{"feature": n, "reason": r} for n, r in (trained.dropped if trained else ())],
        },
        "attributes": kept_attributes(prepared).names,
        "leaks": [leak.to_dict() for leak in (trained.leaks if trained else ())],
    }


def _write(
    folder: Path,
    run_id: str,
    started: datetime,
    scored: ScoredPopulation,
    document: dict[str, Any],
    evaluation: dict[str, Any],
    stages: Stages,
) -> None:
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(scored.population.write, folder)
        store.write_json(folder / "evaluation.json", evaluation)
        store.write_json(folder / "insights.json", scored.insights)
        scored.bearings.write(folder)
        closed = store.plain(_closed(document, run_id, started, stages, "succeeded"))
        Report(evaluation=evaluation, insights=store.plain(scored.insights), run=closed).save(folder / "report.html")
        writing.result()
    # written last: a folder with a run.json is a finished run
    store.write_json(folder / "run.json", closed)


def _closed(document: dict[str, Any], run_id: str, started: datetime, stages: Stages, status: str) -> dict[str, Any]:
    finished = datetime.now(UTC)
    return (
        {"run_id": run_id, "status": status, "propend_version": __version__}
        | document
        | {
            "started_at": _text(started),
            "finished_at": _text(finished),
            "seconds": (finished - started).total_seconds(),
            "peak_memory_bytes": record.peak_memory_bytes(),
            "stages": [{"name": name, "seconds": seconds} for name, seconds in stages.seconds],
            "versions": record.versions(),
        }
    )


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
