"""The end of a report: the data, and how the scores were made."""

from __future__ import annotations

from pathlib import PurePath

from propend.document import write_yaml
from propend.language import listed, numeral, say
from propend.narrative.given import Given, Plain, picture
from propend.narrative.titles import LEVEL_DRIVERS, titled, worded
from propend.phrasing import count, percent, shown

LEAST_DRIVER = 0.005


def data_section(given: Given) -> Plain:
    """The data that were read."""
    data = given.run["data"]
    n, first, last = given.run["counts"]["events_used"], *(data[f"{end}_event_at"] for end in ("first", "last"))
    read = say("{n} events from {first} to {last}", n=count(n), first=given.day(first), last=given.day(last))
    return {
        "pictures": [picture("events_per_month", data["events_per_month"], read)],
        "tables": _data_tables(given.run),
        "stability": given.insights.get("score_stability"),
    }


def _data_tables(run: Plain) -> dict[str, list[dict[str, str]]]:
    data, guessed = run["data"], set(run["data"]["guessed"])
    rows, reason = say("Rows"), say("Reason")
    return {
        say("Sources"): [
            {say("Source"): PurePath(s["path"]).name or s["path"], say("Format"): s["format"], rows: count(s["rows"])}
            for s in data["sources"]
        ],
        say("Columns"): [
            {say("Column"): column, say("Read as"): role,
             say("How known"): say("guessed from its name") if role in guessed else say("named")}
            for role, column in data["columns"].items()
        ],
        say("Kinds of events"): [
            {say("Kind"): k["kind"], say("Events"): count(k["events"]), say("Profiles"): count(k["profiles"])}
            for k in data["kinds"]
        ],
        say("Rows set aside"): [
            {reason: titled(code), rows: count(n)} for code, n in run["counts"]["set_aside"].items() if n
        ],
        say("Days without events"): [
            {say("From"): g["from"], say("To (not included)"): g["to"], say("Days"): count(g["days"])}
            for g in data["gaps"]
        ],
        say("Suspected leaks"): [
            {say("Feature"): k["sentence"], say("AUC alone"): shown(k["auc"], "decimal"),
             say("Action"): worded(k["action"]), reason: k["reason"]}
            for k in run["leaks"]
        ],
    }  # fmt: skip


def making(given: Given) -> Plain:
    """How the scores were made, for those who ask."""
    run, reason = given.run, say("Reason")
    tables = {
        say("Cutoffs not used"): [
            {say("Cutoff"): given.day(d["cutoff_at"]), reason: d["reason"]} for d in run["timeline"]["dropped"]
        ],
        say("Features not used"): [
            {say("Feature"): d["feature"], reason: d["reason"]} for d in run["model"]["features_dropped"]
        ],
        say("Notices by code"): [
            {say("Code"): n["code"], say("Name"): n["symbol"], say("Says"): n["message"]} for n in run["warnings"]
        ],
        say("Stages"): [
            {say("Stage"): worded(s["name"]), say("Seconds"): numeral(f"{s['seconds']:.1f}")} for s in run["stages"]
        ],
        say("Versions"): [{say("Package"): k, say("Version"): version} for k, version in run["versions"].items()],
    }
    return {"facts": _facts(given), "tables": tables, "document": write_yaml(run["instance"])}


def _level_words(calibration: Plain) -> str:
    drivers, error = calibration["level_drivers"], numeral(f"{calibration['level_error']:.2f}")
    parts = [f"{say(LEVEL_DRIVERS[n])} {shown(x, 'signed')}" for n, x in drivers.items() if abs(x) >= LEAST_DRIVER]
    why = ", ".join(parts) if parts else say("nothing known speaks for one")
    if not drivers:
        return say("{why}; expected error {error}", why=why, error=error)
    tested = count(calibration["level_backtested"])
    return say("{why}, tested on {n} earlier cutoffs; expected error {error}", why=why, n=tested, error=error)


def _faithful_words(found: Plain) -> str:
    """One line on both curves; the first step tells most."""
    moved, by_chance = (found[name]["deletion"][1] for name in ("named", "random"))
    setting = say(
        "of {n} profiles, setting the strongest factor to what is typical moves the log-odds by {moved}, one at random "
        "by {chance}",
        n=count(found["profiles"]), moved=numeral(f"{moved:.2f}"), chance=numeral(f"{by_chance:.2f}"),
    )  # fmt: skip
    curve = found["named"]["insertion"]
    n, start, left = count(len(curve) - 1), curve[0], curve[-1]
    if start > 0:
        share = percent(1 - left / start)
        came = say("a typical profile given its {n} strongest comes {share} of the way to its own", n=n, share=share)
    else:
        came = say("a typical profile given its {n} strongest comes nowhere, as all are alike, to its own", n=n)
    return f"{setting}; {came}"


def _facts(given: Given) -> dict[str, str]:
    run, timeline, model = given.run, given.run["timeline"], given.run["model"]
    calibration, used = model["calibration"], count(model["features"])
    members = listed([f"{worded(m['name'])} ({percent(m['weight'])})" for m in model["members"]])
    return {
        say("Model"): say("{members}, blended on log-odds; {n} features", members=members, n=used),
        say("Learnt from"): say(
            "{n} snapshots (one profile at one cutoff); features look back at most {days} days",
            n=count(model["training_snapshots"]), days=timeline["lookback_days"],
        ),
        say("Calibration"): say(
            "log-odds × {slope} {intercept}, fitted out of fold; level shifted by {shift} ({why})",
            slope=numeral(f"{calibration['slope']:.2f}"), intercept=shown(calibration["intercept"], "signed"),
            shift=shown(calibration["level_shift"], "signed"), why=_level_words(calibration),
        ),
        say("Factors checked"): _faithful_words(given.insights["faithfulness"]),
        say("Outcome window"): say(
            "{outcome} days, beginning {lead} days after the cutoff; {settle} days to settle",
            outcome=timeline["outcome_days"], lead=timeline["lead_days"], settle=timeline["settle_days"],
        ),
        say("History"): say(
            "{days} days; {needed} are needed", days=timeline["history_days"], needed=timeline["history_needed_days"],
        ),
        say("Trained"): given.day(model["trained_at"]),
        say("Run"): say(
            "{run}, {seconds} seconds, {memory} MB of memory",
            run=run["run_id"], seconds=numeral(f"{run['seconds']:.1f}"),
            memory=numeral(f"{run['peak_memory_bytes'] / 1e6:,.0f}"),
        ),
        say("Engine"): run["engine"],
        say("Instance"): say(
            "{instance} (changes with anything that can change a score)", instance=run["instance_hash"]
        ),
    }  # fmt: skip
