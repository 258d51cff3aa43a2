"""The worked example of docs/how_it_works.md, recomputed with the code that a run uses."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import yaml

from logs import Event, MemoryLog, log_of, moment
from propend.events import EventRequest
from propend.instance import Instance
from propend.snapshots.build import Survey, count_support, feature_matrix, plan_input, rows_at, survey
from propend.snapshots.plan import make_plan
from propend.snapshots.program import compile_program, eligibility_days, lines_of, selectors_of
from propend.timeline import Timeline, Windows, day_date, observe, plan_timeline

PAGE = (Path(__file__).parent.parent / "docs" / "how_it_works.md").read_text(encoding="utf-8")
FEATURES = {"days": "days_since_last__buy", "amount": "sum__buy__30d", "visits": "count__visit__14d"}
Row = dict[str, str]


def table(name: str) -> list[Row]:
    """The rows of the Markdown table that follows a mark."""
    lines = PAGE.split(f"<!-- table: {name} -->")[1].strip().split("\n\n")[0].splitlines()
    cells = [[c.strip() for c in line.strip().strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def instance() -> Instance:
    found = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return Instance.load(yaml.safe_load(found[1]))


def log_from(rows: list[Row], request: EventRequest) -> MemoryLog:
    """The table of events as a log."""
    amounts = [float(r["amount"]) if r["amount"] else None for r in rows]
    events = [Event(r["profile"], moment(r["at"]), r["event"], amount) for r, amount in zip(rows, amounts, strict=True)]
    return log_of(events, request)


def worked_example() -> tuple[MemoryLog, Timeline, Survey]:
    given = instance()
    lines = lines_of(given)
    log = log_from(table("events"), EventRequest(selectors=selectors_of(given, lines)))
    program = compile_program(lines, given.goal, log.request)
    observation = observe(log.facts.days, log.facts.last_time_of_day, None, False)
    windows = Windows(given.goal.within_days, given.goal.reach_days, eligibility_days=eligibility_days(lines))
    timeline = plan_timeline(windows, observation)
    return log, timeline, survey(log, program, [*timeline.matured, timeline.now])


def span(first: int, end: int) -> str:
    return f"[{day_date(first)}, {day_date(end)})"


def test_table_has_fourteen_events_of_three_profiles() -> None:
    rows = table("events")
    assert (len(rows), len({r["profile"] for r in rows})) == (14, 3)


def test_cutoffs_and_windows_are_those_of_the_timeline() -> None:
    _, timeline, _ = worked_example()
    roles = {timeline.now: "scoring", timeline.proof: "proof"} | dict.fromkeys(timeline.training, "training")
    windows = timeline.windows
    assert table("cutoffs") == [
        {
            "cutoff": f"{day_date(day)}",
            "role": roles[day],
            "eligibility window": span(day - windows.eligibility_days, day),
            "outcome window": span(day + windows.lead_days, day + windows.reach_days),
        }
        for day in sorted(roles)
    ]
    assert (timeline.observation.history_days, timeline.lookback_days) == (91, 61)


def test_snapshots_are_those_of_the_kernel() -> None:
    log, timeline, surveyed = worked_example()
    support = count_support(log, timeline.proof, timeline.training[0] - timeline.lookback_days)
    plan = make_plan(plan_input(log, support, timeline.feature_windows, "amount", (), ()))
    rows = rows_at(surveyed, surveyed.cutoffs, labelled=False)
    X = feature_matrix(log, plan, rows)
    columns = [[f.name for f in plan.features].index(name) for name in FEATURES.values()]
    found = {
        (f"{day_date(day)}", str(surveyed.profile_ids[profile])): X[i, columns].tolist()
        for i, (profile, day) in enumerate(zip(rows.profile, rows.cutoff, strict=True))
    }
    known = rows_at(surveyed, timeline.matured, labelled=True)
    labels = {
        (f"{day_date(day)}", str(surveyed.profile_ids[profile])): str(label)
        for profile, day, label in zip(known.profile, known.cutoff, known.label, strict=True)
    }
    written = table("snapshots")
    assert {(r["cutoff"], r["profile"]): [float(r[c]) for c in FEATURES] for r in written if r["days"]} == found
    assert {(r["cutoff"], r["profile"]): r["label"] for r in written if r["label"]} == labels
    assert {(r["cutoff"], r["profile"]) for r in written if r["in the population"] == "yes"} == set(found)
    assert {date.fromisoformat(r["cutoff"]) for r in written} == {day_date(c) for c in surveyed.cutoffs}
    assert len(written) == len(surveyed.cutoffs) * len(surveyed.profile_ids)
