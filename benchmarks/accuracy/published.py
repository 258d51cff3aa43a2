"""CDNOW after the published protocol: 39 weeks known, 39 weeks to come (Fader, Hardie and Lee 2005).

Everybody knows what happened up to 30 September 1997 and nothing later. Propend predicts whether, not how often: it
learns purchases within 13 weeks, the longest third of what is known, and its probability p stands for the count that a
Poisson process with that chance has, -ln(1 - p), three times over. That prediction is compared with the count of
purchase days in the 39 weeks to come, and the same p with whether there was any.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from benchmarks.accuracy.apart import in_own_process
from benchmarks.accuracy.bgnbd import BgNbd
from benchmarks.accuracy.results import save
from benchmarks.accuracy.studies import FULL, Study, load_events
from numpy.typing import NDArray

import propend
from propend.model.metrics import METRICS

Float = NDArray[np.float64]
NAME = "CDNOW, published protocol"
STUDY = next(s for s in FULL if s.example == "cdnow_39_weeks")
KNOWN_UNTIL, DAYS, LEARNT_DAYS = "1997-10-01", 273, 91
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


def results(out: Path, *, run: bool, resume: bool) -> list[Protocol]:
    """From the file, or anew."""
    target = out / "results" / "published_cdnow.json"
    if run and STUDY.has_data() and not (resume and target.exists()):
        print(f"{NAME} ...", flush=True)
        save(target, Saved([in_own_process(measure, sample) for sample in (True, False)]))
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
    known = session.execute(f"select * from ev where ts < timestamp '{KNOWN_UNTIL}'").to_arrow_table()
    p = propend_probability(known, ids)
    return Protocol(
        len(ids),
        float(came.mean()),
        [
            line("propend", p, -np.log1p(-np.minimum(p, 1 - 1e-9)) * DAYS / LEARNT_DAYS),
            line("BG/NBD, fitted here", model.any_purchase(repeats, last, age, DAYS),
                 model.expected_count(repeats, last, age, DAYS)),
            line("recency", last - age),
            line("frequency", repeats, repeats),
        ],
    )  # fmt: skip


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


def propend_probability(known: pa.Table, ids: Sequence[str]) -> Float:
    """Of a purchase within 13 weeks, by a whole run on what is known."""
    document = {
        "name": NAME, "type": "conversion",
        "data": {"events": "not read",
                 "columns": {"profile": "profile", "at": "ts", "event": "kind", "value": "value"}},
        "goal": {"all_of": ["purchase"], "within": f"{LEARNT_DAYS}d"},
        "eligible": {"all_of": [{"did": "purchase", "at_least": 1}]},
        "options": {"quality_bar": 0.5},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = propend.run(document, data=known, as_of=KNOWN_UNTIL, out=Path(folder) / "run")
        scores = run.scores
    given = dict(zip(scores["profile_id"].to_pylist(), scores["probability"].to_pylist(), strict=True))
    return np.array([given[i] for i in ids])


def protocol_table(protocols: Sequence[Protocol]) -> str:
    """All figures beside the published ones."""
    lines = ["| customers | contender | AUC, any purchase | correlation of counts |", "| --- | --- | ---: | ---: |"]
    for p in protocols:
        shown = [(x.contender, x.auc, x.correlation) for x in p.lines]
        for i, (contender, auc, correlation) in enumerate([*shown, *(PUBLISHED if p.customers == 2357 else ())]):
            who = f"{p.customers:,} ({p.base_rate:.1%} came back)" if i == 0 else ""
            lines.append(
                f"| {who} | {contender} | {auc:.4f} | {'' if np.isnan(correlation) else f'{correlation:.3f}'} |"
            )
    return "\n".join(lines) + "\n"
