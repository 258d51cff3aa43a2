"""One run, executed in a process of its own: ``python -m propend.workspace.execution HOME RUN``.

The work is done in the main thread. Beside it a watch looks whether the run is still wanted, and whether it keeps
within its time and memory; where not, it ends the run in the catalog, removes its files and ends the process, whatever
the main thread is doing. Until the commit of ``Runs.succeed`` nothing of a run is served; after it all of it is.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import tempfile
import threading
import time
from _thread import start_new_thread
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from propend import pipeline
from propend.errors import (
    CatalogUnavailableError,
    InstanceNotFoundError,
    NotEnoughMemoryError,
    PropendError,
    RunCancelledError,
    RunInterruptedError,
    TimeLimitError,
    told_of,
)
from propend.instance import Instance
from propend.preparation import SHARES
from propend.protection import Forgotten, Protection
from propend.store.catalog import RunRow, VersionRow, now
from propend.store.runs import read_json
from propend.workspace import Workspace, outcomes
from propend.workspace.journal import Journal
from propend.workspace.retraining import Champion, Decision, decide
from propend.writing import flush

Plain = dict[str, Any]
WATCH_SECONDS = 0.5
BEGIN_SECONDS = 60.0
"""After which a thread that has not begun will not begin any more."""
NICENESS = 10
"""Whoever looks a profile up waits for milliseconds, and goes before a run that takes minutes."""
_TOLD_TO_END = threading.Event()
"""Set by the signal, in a process that executes one run."""
log = logging.getLogger("propend.run")


def execute(workspace: Workspace, run_id: str) -> bool:
    """Execute a waiting run in this process; False where it is not its turn, or somebody else is at it."""
    runs = workspace.runs
    with runs.lock(run_id) as free:
        if not free:
            return False
        claimed = runs.claim(run_id, os.getpid())
        if claimed is None:
            return False
        journal = Journal(workspace.home, claimed)
        with journal.recording():
            _see_through(workspace, claimed, journal)
            after(workspace, run_id)
    return True


def _see_through(workspace: Workspace, run: RunRow, journal: Journal) -> None:
    """From its first stage to its end, whatever that is."""
    watch = _Watch(workspace, run, journal)
    try:
        watch.start()
        with _scratch_in(workspace.runs.scratch(run)):
            _work(workspace, run, watch)
    except _Stopped as stopped:
        state, error = stopped.outcome
        log.warning("%s: %s", state, error.message)
        workspace.runs.end(run.id, state, error)
    except Exception as error:  # told in the run, whatever it was
        _end_failed(workspace, run.id, error)
    finally:
        watch.done.set()
        workspace.clear_scratch(run)


def _end_failed(workspace: Workspace, run_id: str, error: Exception) -> None:
    """What went wrong ends a run; where it was told to end, that is why: libraries make errors of their own of it."""
    if _TOLD_TO_END.is_set():
        workspace.runs.end(run_id, *_told_to_end().outcome)
    elif isinstance(error, PropendError):
        log.error("%s %s: %s", error.code, error.symbol, error.message)
        workspace.runs.end(run_id, "failed", error)
    else:
        log.exception("run %s failed", run_id, exc_info=error)
        workspace.runs.end(run_id, "failed", told_of(error))


@contextmanager
def _scratch_in(folder: Path) -> Iterator[None]:
    """Temporary files of this process go to a folder that is removed even where the process is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        os.environ.pop("TMPDIR", None)
        if variable is not None:
            os.environ["TMPDIR"] = variable


def after(workspace: Workspace, run_id: str) -> None:
    """What follows a run that has ended: alerts, destinations, members of segments, what came of earlier ones."""
    run = workspace.runs.get(run_id)
    workspace.alerts.of_run(run)
    if run.state != "succeeded":
        return
    try:
        workspace.pushing.of_run(run)
    except PropendError:
        log.exception("run %s: its scores could not be pushed", run_id)
    workspace.membership.of_run(run)
    try:
        verdicts = outcomes.look_back(workspace, run.instance_id, workspace.settings.runs.memory)
    except PropendError as error:
        log.warning("run %s: outcomes of earlier runs cannot be told: %s", run_id, error.message)
        return
    for judged, verdict in verdicts.items():
        workspace.alerts.of_outcome(workspace.runs.get(judged), verdict)


class _Stopped(BaseException):
    """The run is to end here."""

    def __init__(self, state: str, error: PropendError) -> None:
        super().__init__(state)
        self.outcome = state, error


class _Watch:
    """Looks after a run from beside it.

    Not a ``threading.Thread``: where there is no memory left for what a new thread begins with, ``Thread.start``
    waits for it without end (CPython's gh-140746).
    """

    def __init__(self, workspace: Workspace, run: RunRow, journal: Journal) -> None:
        self._workspace, self._run, self._journal = workspace, run, journal
        self._began = time.monotonic()
        self.done, self._begun = threading.Event(), threading.Event()
        self._passed = 0.0

    def start(self) -> None:
        """Begin to look.

        Raises:
            MemoryError: there is not enough of it for another thread.
        """
        try:
            start_new_thread(self._look, ())
        except RuntimeError as error:
            raise MemoryError(str(error)) from None
        if not self._begun.wait(BEGIN_SECONDS):
            raise MemoryError("the thread that looks after the run does not begin")

    def _look(self) -> None:
        """Until the work is done, or must end."""
        self._begun.set()
        while not self.done.wait(WATCH_SECONDS):
            outcome = self._outcome()
            with suppress(PropendError):  # a catalog that cannot be written now may be later
                if outcome is not None and self._workspace.runs.end(self._run.id, *outcome):
                    log.warning("%s: %s", outcome[0], outcome[1].message)
                    self._workspace.clear_scratch(self._run)
                    os._exit(1)

    def began(self, stage: str) -> None:
        """Told by the work as each stage begins.

        Raises:
            _Stopped: the run is not wanted any more.
        """
        self._passed = min(self._passed + SHARES.get(stage, 0.0), 0.99)
        self._journal.began(stage)
        try:
            told = self._workspace.runs.tell(self._run.id, stage, self._passed - SHARES.get(stage, 0.0))
        except CatalogUnavailableError as error:
            log.warning("the catalog cannot be told of it: %s", error.message)  # how far a run is does not end it
            return
        if not told:
            raise _Stopped("cancelled", self._cancelled())

    def _outcome(self) -> tuple[str, PropendError] | None:
        limits = self._workspace.settings.runs
        with suppress(PropendError):  # a catalog that cannot be asked now may be later
            if not self._workspace.runs.wanted(self._run.id):
                return "cancelled", self._cancelled()
        minutes = (time.monotonic() - self._began) / 60
        if minutes > limits.minutes:
            return "failed", TimeLimitError(
                f"Run {self._run.id} was stopped after {minutes:.1f} minutes; {limits.minutes} are allowed.",
                "raise runs.minutes in propend.toml, or give the engine more memory.",
                minutes=limits.minutes,
            )
        held = resident_bytes() / 1e9
        if limits.most_memory_gb is not None and held > limits.most_memory_gb:
            return "failed", NotEnoughMemoryError(
                f"Run {self._run.id} was stopped at {held:.1f} GB of memory; {limits.most_memory_gb:g} GB are allowed.",
                "raise runs.most_memory_gb in propend.toml, or set a lower runs.memory for the engine.",
                held_gb=held, most_memory_gb=limits.most_memory_gb,
            )  # fmt: skip
        return None

    def _cancelled(self) -> RunCancelledError:
        return RunCancelledError(f"Run {self._run.id} was cancelled.", "start it again when it is wanted.")


def resident_bytes() -> int:
    """Memory that this process holds now; 0 where the system does not tell."""
    with suppress(OSError):
        held = re.search(r"VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
        return int(held.group(1)) * 1024 if held else 0
    return 0


# --- the work -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    """What the verbs of the pipeline are given."""

    folder: Path
    options: Plain
    progress: Any
    protection: Protection

    def given(self) -> Plain:
        return {"home": self.folder, "progress": self.progress, "protection": self.protection, **self.options}


def _work(workspace: Workspace, run: RunRow, watch: _Watch) -> None:
    instance = Instance.load(workspace.instances.version(run.instance_id, run.version).document)
    options = {"memory": workspace.settings.runs.memory} | {
        k: v for k, v in run.options.items() if k in ("as_of", "memory", "engine") and v is not None
    }
    began = now()
    protection = workspace.protection_of(run.instance_id, began if run.options.get("full") else None)
    asked = _Asked(workspace.instances.folder, options, watch.began, protection)
    champion = champion_of(workspace, run.instance_id)
    decision = decide(run.kind, instance, champion, workspace.settings.retraining, now())
    log.info("run %s of %s: %s, %s", run.id, run.instance_id, decision.kind, decision.reason)
    out, model_run, challenge = workspace.runs.folder(run), run.id, None
    if decision.kind == "train":
        finished = pipeline.run(instance, out=out, run_id=run.id, **asked.given())
    elif decision.kind == "score" and champion is not None:
        model_run = champion.run
        finished = _score(workspace, run, champion, instance, asked)
    elif champion is not None:
        finished, challenge = _challenge(workspace, run, champion, instance, asked)
        model_run = run.id if challenge["decision"] == "promote" else champion.run
    summary = summary_of(finished, decision, challenge)
    if not _commit(workspace, run, out, asked.protection.forgotten, summary, model_run):
        raise _Stopped("cancelled", watch._cancelled())
    workspace.mirrors.sweep(run.instance_id, began)
    log.info("done: %d profiles scored in %.1f s", summary["population"], summary["seconds"])
    for code in summary["warnings"]:
        log.warning("to keep in mind: %s", code)


def _commit(
    workspace: Workspace, run: RunRow, out: Path, read_without: Forgotten | None, summary: Plain, model_run: str
) -> bool:
    """Commit a run that has nobody who asked to be forgotten since its data were read; False where it was ended.

    Args:
        read_without: who was left out when its data were read.
    """
    before = read_without.digests if read_without else frozenset()
    while True:
        forgotten = workspace.privacy.forgotten()
        since = forgotten.digests - before if forgotten else frozenset()
        if forgotten and since:
            workspace.privacy.clean(out, Forgotten(forgotten.key, since))
        flush(out)
        nobody_since = partial(workspace.privacy.as_many, forgotten=forgotten)
        if workspace.runs.succeed(run.id, summary, model_run, nobody_since):
            return True
        if not workspace.runs.wanted(run.id):
            return False


def champion_of(workspace: Workspace, instance_id: str) -> Champion | None:
    """The model in force; None where there is none, or its files are gone."""
    row = workspace.instances.get(instance_id)
    if row.champion is None:
        return None
    try:
        run = workspace.runs.get(row.champion)
        document = read_json(workspace.runs.folder(run) / "run.json")
        trained_at = datetime.fromisoformat(document["model"]["trained_at"])
    except (InstanceNotFoundError, KeyError, ValueError):
        return None
    serving = workspace.runs.serving(instance_id)
    warnings = (serving.summary or {}).get("warnings", []) if serving else []
    trained_for = workspace.instances.version(instance_id, run.version)
    return Champion(run.id, _as_document(trained_for), trained_at, tuple(warnings))


def _as_document(version: VersionRow) -> Instance:
    return Instance.load(version.document)


def _score(workspace: Workspace, run: RunRow, champion: Champion, instance: Instance, asked: _Asked) -> pipeline.Run:
    model, out = workspace.runs.folder(workspace.runs.get(champion.run)), workspace.runs.folder(run)
    return pipeline.score(model, out=out, run_id=run.id, instance=instance, **asked.given())


def _challenge(
    workspace: Workspace, run: RunRow, champion: Champion, instance: Instance, asked: _Asked
) -> tuple[pipeline.Run, Plain]:
    """Train a challenger, hold both against each other, and score with the better one.

    A challenger that cannot be trained, or compared, leaves the champion in force, and the run says why.
    """
    trained, out = workspace.runs.scratch(run) / "challenger", workspace.runs.folder(run)
    model = workspace.runs.folder(workspace.runs.get(champion.run))
    try:
        pipeline.train(instance, out=trained, **asked.given())
        margin = workspace.settings.retraining.margin
        found = pipeline.challenge(model, trained, margin=margin, **asked.given())
    except PropendError as error:
        found = {"decision": "keep", "sentence": error.message, "error": error.to_dict()}
    if found["decision"] == "promote":
        return pipeline.score(trained, out=out, run_id=run.id, instance=instance, **asked.given()), found
    return _score(workspace, run, champion, instance, asked), found


def summary_of(finished: pipeline.Run, decision: Decision, challenge: Plain | None) -> Plain:
    """What lists of runs show of one."""
    record = finished.record
    return {
        "population": record["counts"]["population"],
        "events": record["counts"]["events_used"],
        "scored_at": record["scored_at"],
        "expires_at": record["expires_at"],
        "auc": finished.evaluation["auc"]["value"],
        "proof": finished.evaluation["proof"],
        "trained_at": record["model"]["trained_at"],
        "seconds": record["seconds"],
        "warnings": [w["code"] for w in record["warnings"]],
        "decision": decision.document(),
        "challenge": challenge,
    }


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    _TOLD_TO_END.set()
    raise _told_to_end()


def _told_to_end() -> _Stopped:
    return _Stopped("interrupted", RunInterruptedError("The run was told to end.", "run it again."))


def main() -> int:
    """Execute one run; exit status 0 where it was executed, whatever came of it."""
    signal.signal(signal.SIGTERM, _terminated)
    os.nice(NICENESS)
    home, run_id = sys.argv[1:3]
    workspace = Workspace.open(home)
    try:
        return 0 if execute(workspace, run_id) else 3
    finally:
        workspace.close()


if __name__ == "__main__":
    sys.exit(main())
