"""Makes inputs up for ``fuzz_targets``, in processes of their own: ``python tests/fuzzing.py --minutes 10``.

Each target is tried for a while in a process that may take so much time and memory for one input; what kills it, hangs
it, or raises anything but a ``PropendError`` is a find, kept under ``.bench/fuzz/finds`` in its shortest form. Inputs
begin with good ones, changed by Hypothesis, which also makes finds shorter.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from fuzz_targets import TARGETS, TOKENS, Ground, seeds, tried

PLACE = Path(__file__).parent.parent / ".bench" / "fuzz"
MOST_SECONDS = 20
"""Of the processor, for one input: most take milliseconds."""
MOST_BYTES = 6 << 30
"""Of addresses of a process; an input that asks for more is a find."""
BATCH = 50
"""Inputs between two looks at the clock."""


class TooLongError(BaseException):
    """An input took too long: nothing that catches exceptions may catch it."""


# --- inputs -------------------------------------------------------------------------------------------------------


@st.composite
def changed_seeds(draw: st.DrawFn, found: list[bytes], tokens: tuple[str, ...]) -> bytes:
    """A good input with a few changes: parts cut out, said again, exchanged with others, words and bytes put in."""
    content = draw(st.sampled_from(found))
    pieces = st.sampled_from([t.encode("utf-8", "surrogatepass") for t in tokens]) | st.binary(max_size=4)
    for _ in range(draw(st.integers(0, 6))):
        at, length = draw(st.integers(0, len(content))), draw(st.sampled_from([0, 0, 1, 2, 5, 20, 100, 1 << 20]))
        kind = draw(st.sampled_from(["put", "put", "cut", "again", "other", "many"]))
        inside = content[at : at + length]
        if kind == "put":
            content = content[:at] + draw(pieces) + content[at + length :]
        elif kind == "cut":
            content = content[:at] + content[at + max(length, 1) :]
        elif kind == "again":
            content = content[:at] + inside[:2000] + content[at:]
        elif kind == "many":
            content = content[:at] + (draw(pieces) * draw(st.sampled_from([10, 300, 3000])))[:20_000] + content[at:]
        else:
            other = draw(st.sampled_from(found))
            place = draw(st.integers(0, len(other)))
            content = content[:at] + other[place : place + max(length, 10)][:5000] + content[at:]
    return content


VALUES = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1,
        2**31,
        2**63,
        -(2**63),
        10**400,
        1e308,
        0.5,
        "",
        "x",
        "nan",
        "NaN",
        "1e9",
        "../x",
        [],
        {},
        [[]],
        {"x": 1},
        "\ud800",
        "\x00",
        [0] * 50,
        "a" * 5000,
    ]
)


def changes_of(files: list[str]) -> st.SearchStrategy[bytes]:
    """Damage to a run's files, as ``fuzz_targets.changed`` has it."""
    place = st.floats(0, 1)
    cut = st.sampled_from([0, 1, 1, 4, 8, 100, 1 << 30])
    edits = st.lists(
        st.tuples(place, cut, st.text(st.characters(max_codepoint=255), max_size=8)), min_size=1, max_size=4
    )
    steps = st.lists(st.integers(0, 400), min_size=1, max_size=9)
    turns = st.lists(st.one_of(st.tuples(steps), st.tuples(steps, VALUES)), min_size=1, max_size=3)
    plain = [name for name in files if name.endswith(".json")]

    def damage(name: str) -> st.SearchStrategy[dict[str, Any]]:
        of_bytes = st.fixed_dictionaries({"file": st.just(name), "bytes": edits, "sealed": st.booleans()})
        foreign = st.fixed_dictionaries({"file": st.just(name), "as": st.sampled_from(files)})
        if name not in plain:
            return of_bytes | foreign
        inside = st.fixed_dictionaries({"file": st.just(name), "json": turns, "sealed": st.booleans()})
        return inside | inside | of_bytes | foreign

    return st.sampled_from(files).flatmap(damage).map(lambda d: json.dumps(d).encode())


def inputs_of(target: str, ground: Ground) -> st.SearchStrategy[bytes]:
    """Inputs of a target."""
    if target == "run":
        return changes_of(files_of(ground))
    if target == "parquet":
        return changes_of(["events.parquet"]).filter(lambda d: b'"as"' not in d)
    found = seeds(target, ground)
    return changed_seeds(found, TOKENS.get(target, ("=", "-", "_"))) | st.binary(max_size=200)


def files_of(ground: Ground) -> list[str]:
    """The files of a run, without the pages for people."""
    names = (p.relative_to(ground.run).as_posix() for p in ground.run.rglob("*") if p.is_file())
    return sorted(name for name in names if name.endswith((".json", ".npz", ".parquet")))


# --- one process --------------------------------------------------------------------------------------------------


def _too_long(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise TooLongError


class Trial:
    """One target in this process; what is tried stands in a file, should the process not outlive it."""

    def __init__(self, target: str, folder: Path) -> None:
        """``folder``: of this process alone."""
        folder.mkdir(parents=True, exist_ok=True)
        self.target, self.current = target, folder / "current"
        self.ground = Ground(PLACE / "ground" / "shop", folder / "tried")
        self.cases, self.taken, self.last = 0, 0, b""

    def __call__(self, given: bytes) -> None:
        """Try one input within its time."""
        self.last = given
        self.current.write_bytes(given)
        self.cases += 1
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        try:
            self.taken += tried(self.target, self.ground, given)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


def place_of_error(error: BaseException) -> str:
    """Where something went wrong within propend: finds of one place are one."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/propend/" in f.filename or "fuzz" in f.filename]
    inner = frames[-1] if frames else None
    return f"{type(error).__name__} {Path(inner.filename).name}:{inner.name}" if inner else type(error).__name__


def keep(target: str, given: bytes, what: str) -> None:
    """A find, by where it happened; the shortest is kept."""
    name = f"{target}-{hashlib.sha256(what.encode()).hexdigest()[:8]}"
    folder = PLACE / "finds"
    folder.mkdir(parents=True, exist_ok=True)
    before = folder / name
    if not before.exists() or len(given) < before.stat().st_size:
        before.write_bytes(given)
        (folder / f"{name}.txt").write_text(what, encoding="utf-8")


def by_hypothesis(trial: Trial, seconds: float, start: int) -> None:
    """Inputs by Hypothesis until the time is over; what is found is made shorter by it."""
    inputs = inputs_of(trial.target, trial.ground)
    ends = time.monotonic() + seconds
    for number in itertools.count():
        if time.monotonic() > ends:
            return

        @seeded(start * 1_000_003 + number)
        @settings(
            max_examples=BATCH,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        @given(inputs)
        def batch(one: bytes) -> None:
            trial(one)

        try:
            batch()
        except TooLongError:
            keep(trial.target, trial.last, f"TooLongError: more than {MOST_SECONDS} s")
        except BaseExceptionGroup as errors:
            keep(trial.target, trial.last, "".join(traceback.format_exception(errors)))
        except Exception as error:
            keep(trial.target, trial.last, f"{place_of_error(error)}\n")
            print("".join(traceback.format_exception(error))[-3000:], file=sys.stderr)


def told(trial: Trial) -> None:
    """How many inputs there were, where whoever started this process reads it."""
    counts = {"cases": trial.cases, "taken": trial.taken}
    (trial.current.parent / "counts.json").write_text(json.dumps(counts), encoding="utf-8")


def child(target: str, seconds: float, start: int, folder: Path) -> None:
    """Try one target in this process."""
    warnings.simplefilter("ignore")
    faulthandler.enable()
    faulthandler.dump_traceback_later(_longest(seconds) - 10)  # where it hangs, before it is ended for that
    signal.signal(signal.SIGPROF, _too_long)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    trial = Trial(target, folder)
    try:
        by_hypothesis(trial, seconds, start)
    finally:
        told(trial)


# --- all of them --------------------------------------------------------------------------------------------------


def main() -> int:
    """Try all targets in turn; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES", "10")))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or time.time()))
    parser.add_argument("--only", choices=sorted(TARGETS), action="append")
    asked = parser.parse_args()
    return all_in_turn(asked.minutes * 60, asked.seed, asked.only or list(TARGETS))


def all_in_turn(seconds: float, seed: int, targets: list[str]) -> int:
    """Each target for an equal share, in slices of at most a minute; each has one, however short the time."""
    _apart(900, PLACE / "ground" / "log", lambda: Ground.lay(PLACE / "ground") and None)
    slice_seconds = min(60.0, max(2.0, seconds / len(targets)))
    cases, taken, spent = Counter[str](), Counter[str](), Counter[str]()
    began = time.monotonic()
    folder = PLACE / f"work-{os.getpid()}"
    for number, target in enumerate(itertools.cycle(targets)):
        if number >= len(targets) and time.monotonic() - began >= seconds:
            break
        shutil.rmtree(folder, ignore_errors=True)
        start = time.monotonic()
        work = partial(child, target, slice_seconds, seed + number, folder)
        status = _apart(_longest(slice_seconds), folder / "log", work)
        if status:
            said = (folder / "log").read_text(encoding="utf-8", errors="replace")
            last = folder / "current"
            keep(
                target, last.read_bytes() if last.exists() else b"", f"the process ended with {status}\n{said[-3000:]}"
            )
        told = folder / "counts.json"
        counts = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
        cases[target] += counts.get("cases", 0)
        taken[target] += counts.get("taken", 0)
        spent[target] += round(time.monotonic() - start)
        print(f"{target:12} {counts.get('cases', 0):>8,} inputs in {time.monotonic() - start:.0f} s", flush=True)
    finds = sorted((PLACE / "finds").glob("*.txt"))
    for target in targets:
        print(f"{target:12} {cases[target]:>10,} inputs, {taken[target]:>9,} taken, {spent[target]:>6,} s")
    for find in finds:
        print(f"FOUND {find.with_suffix('')}: {find.read_text(encoding='utf-8').splitlines()[0]}")
    print(f"{sum(cases.values()):,} inputs in {time.monotonic() - began:,.0f} s; {len(finds)} finds.")
    return 1 if finds else 0


def _longest(seconds: float) -> float:
    """After how long a process that was to try inputs for so many seconds hangs."""
    return seconds * 2 + 240


def _apart(seconds: float, log: Path, work: Callable[[], None]) -> int:
    """Do something in a process of its own, which begins with all that is imported here; its status, or -1000."""
    log.parent.mkdir(parents=True, exist_ok=True)

    def begun() -> None:
        with log.open("wb") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        work()

    process = multiprocessing.get_context("fork").Process(target=begun)
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return -1000
    return int(process.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
