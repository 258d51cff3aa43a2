"""CDNOW after the published protocol: 39 weeks known, 39 weeks to come (Fader, Hardie and Lee 2005).

Propend predicts whether, not how often. Its probability p of a purchase within w days stands for the count that a
Poisson process with that chance has, -ln(1 - p) times 273 / w; that is compared with the count of purchase days in the
39 weeks to come, and p with whether there was any. Two ways:

- As published: nothing after 30 September 1997 is known. Purchases within w days are learnt from earlier windows.
  Several w are shown, since the choice matters; the aim is judged by 30 days, settled with all of them in sight.
- Held out: a purchase within the 39 weeks is learnt from the other customers' 39 weeks to come, as propend does where
  history is too short for a later period. A third is held out at a time, in several draws.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from benchmarks.accuracy.apart import FailedError, in_own_process
from benchmarks.accuracy.bgnbd import BgNbd
from benchmarks.accuracy.results import file_of, save
from benchmarks.accuracy.studies import FULL, Study, load_events
from numpy.typing import NDArray

import propend
from propend.model.metrics import METRICS
from propend.preparation import Stages, prepare, read_inputs
from propend.snapshots.build import feature_matrix
from propend.training import sides, train_stage

Float = NDArray[np.float64]
NAME = "CDNOW, published protocol"
STUDY = next(s for s in FULL if s.example == "cdnow_39_weeks")
KNOWN_UNTIL, DAYS, LEARNT_DAYS = "1997-10-01", 273, (30, 60, 91)
DRAWS = 20
"""Of held-out thirds: a customer is never among them with a chance of 0.03 %; those few get the mean."""
SAMPLED = 2_357
SAMPLE = Path(__file__).parent / "cdnow_sample_ids.txt"
PUBLISHED = (
    ("published: Pareto/NBD", 0.7787, 0.630),
    ("published: BG/NBD", 0.7725, 0.626),
)
"""AUC of any purchase and correlation of counts on the sample of 2,357 customers."""


@dataclass(frozen=True)
class Line:
    """One contender on one set of customers: AUC of any purchase, correlation of counts (NaN: it gives none)."""

    contender: str
    auc: float
    correlation: float


@dataclass(frozen=True)
class Protocol:
    """Customers, the share that came back, and everybody's figures."""

    customers: int
    base_rate: float
    lines: Sequence[Line]


@dataclass(frozen=True)
class Saved:
    """The file's form."""

    protocols: Sequence[Protocol]


def run(out: Path, *, resume: bool) -> list[str]:
    """Measure and save; gives what failed."""
    target = file_of(out, NAME)
    if not STUDY.has_data() or (resume and target.exists()):
        return []
    print(f"{NAME} ...", flush=True)
    try:
        save(target, Saved([in_own_process(measure, sample) for sample in (True, False)]))
    except FailedError as error:
        return [f"ERROR {NAME}: {error}"]
    return []


def load(out: Path) -> list[Protocol]:
    """What there is, of the sample and of the whole file."""
    target = file_of(out, NAME)
    if not target.exists():
        return []
    found = json.loads(target.read_text(encoding="utf-8"))["protocols"]
    return [Protocol(p["customers"], p["base_rate"], [Line(**x) for x in p["lines"]]) for p in found]


def measure(sample: bool) -> Protocol:
    """On the sample of the literature, or on the whole file."""
    session = events(STUDY, sample)
    ids, history, count = halves(session)
    came = (count > 0).astype(float)

    def line(contender: str, score: Float, expected: Float | None = None) -> Line:
        correlation = float(np.corrcoef(expected, count)[0, 1]) if expected is not None else float("nan")
        return Line(contender, METRICS["auc"](came, score), correlation)

    repeats, last, age = history.T
    model = BgNbd.fit(repeats, last, age)
    every = session.sql("select profile, ts, kind, value from ev").to_arrow_table()
    known = session.sql(f"select * from ev where ts < timestamp '{KNOWN_UNTIL}'").to_arrow_table()
    lines = []
    for days in LEARNT_DAYS:
        p = propend_probability(known, ids, days)
        lines.append(line(f"propend, learns {days} d", p, poisson_count(p) * DAYS / days))
    p = held_out(every, ids)
    lines.append(line("propend, held-out customers", p, poisson_count(p)))
    expected = model.expected_count(repeats, last, age, DAYS)
    lines += [
        line("BG/NBD fitted here, P(any)", model.any_purchase(repeats, last, age, DAYS)),
        line("BG/NBD fitted here, expected count", expected, expected),
        line("recency", last - age),
        line("frequency", repeats, repeats),
    ]
    return Protocol(len(ids), float(came.mean()), lines)


def poisson_count(p: Float) -> Float:
    """The mean of a Poisson count that is not 0 with probability p."""
    return np.asarray(-np.log1p(-np.minimum(p, 1 - 1e-9)))


def events(study: Study, sample: bool) -> duckdb.DuckDBPyConnection:
    """Purchases of all customers, or of the sample."""
    session = load_events(study)
    if sample:
        text = SAMPLE.read_text(encoding="utf-8").split("\n", 1)[1]
        session.register("sampled", pa.table({"customer": [int(i) for i in text.split()]}))
        session.execute("delete from ev where profile::int not in (select customer from sampled)")
    return session


def halves(session: duckdb.DuckDBPyConnection) -> tuple[list[str], Float, Float]:
    """Customers; repeat days, days from first to last and from first to the end of the 39 weeks known; later days."""
    end = f"date '{KNOWN_UNTIL}'"
    rows = session.execute(f"""
        select profile, count(distinct ts) filter (ts < {end}) - 1,
               date_diff('day', min(ts), max(ts) filter (ts < {end})), date_diff('day', min(ts), {end}),
               count(distinct ts) filter (ts >= {end} and ts < {end} + {DAYS})
        from ev group by profile having min(ts) < {end} order by profile
    """).fetchall()
    values = np.array([r[1:] for r in rows], dtype=float)
    return [str(r[0]) for r in rows], values[:, :3], values[:, 3]


def document(days: int) -> dict[str, Any]:
    """Purchase within so many days, of everybody who ever purchased."""
    return {
        "name": NAME, "type": "conversion",
        "data": {"events": "not read",
                 "columns": {"profile": "profile", "at": "ts", "event": "kind", "value": "value"}},
        "goal": {"all_of": ["purchase"], "within": f"{days}d"},
        "eligible": {"all_of": [{"did": "purchase", "at_least": 1}]},
        "options": {"quality_bar": 0.5},
    }  # fmt: skip


def propend_probability(known: pa.Table, ids: Sequence[str], days: int) -> Float:
    """Of a purchase within so many days, by a whole run on what is known."""
    with tempfile.TemporaryDirectory() as folder:
        run = propend.run(document(days), data=known, as_of=KNOWN_UNTIL, out=Path(folder) / "run")
        scores = run.scores
    given = dict(zip(scores["profile_id"].to_pylist(), scores["probability"].to_pylist(), strict=True))
    return np.array([given[i] for i in ids])


def held_out(every: pa.Table, ids: Sequence[str]) -> Float:
    """Of a purchase within the 39 weeks: for each customer the mean of the draws in which it was held out.

    Propend holds out by a hash of the profile's id; another id for the same customer is another draw.
    """
    place = {i: k for k, i in enumerate(ids)}
    total, drawn = np.zeros(len(ids)), np.zeros(len(ids))
    for draw in range(DRAWS):
        renamed = [f"{draw}:{i}" for i in every["profile"].to_pylist()]
        table = every.set_column(0, "profile", pa.array(renamed))
        with prepare(read_inputs(document(DAYS), table), Stages()) as prepared:
            rows = sides(prepared)[1]
            trained = train_stage(prepared, Stages())
            X = feature_matrix(prepared.log, trained.saved.plan, rows)
        found = [place[str(i).split(":")[1]] for i in prepared.survey.profile_ids[rows.profile]]
        total[found] += trained.saved.proof_model.probability(X)
        drawn[found] += 1
    p = total / np.maximum(drawn, 1)
    return np.where(drawn > 0, p, p[drawn > 0].mean())


def protocol_table(protocols: Sequence[Protocol]) -> str:
    """All figures beside the published ones."""
    lines = ["| customers | contender | AUC, any purchase | correlation of counts |", "| --- | --- | ---: | ---: |"]
    for p in protocols:
        shown = [(x.contender, x.auc, x.correlation) for x in p.lines]
        for i, (contender, auc, correlation) in enumerate([*shown, *(PUBLISHED if p.customers == SAMPLED else ())]):
            who = f"{p.customers:,} ({p.base_rate:.1%} came back)" if i == 0 else ""
            lines.append(
                f"| {who} | {contender} | {auc:.4f} | {'' if np.isnan(correlation) else f'{correlation:.3f}'} |"
            )
    return "\n".join(lines) + "\n"
