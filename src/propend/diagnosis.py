"""What propend finds on a machine: libraries, engines, memory, disks, time zones, and how to get what is missing.

Nothing of propend's own that needs a library is imported here: it must work where one is missing or broken.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from propend import kernel_cache
from propend.version import __version__

EXTRAS = {
    "server": "`propend serve`: pages and REST",
    "postgres": "PostgreSQL: events in, scores out, the catalog",
    "lakes": "Delta and Iceberg tables",
    "keyring": "addresses of databases in the system's keyring",
    "spark": "the engine `spark`",
}
"""Extras that users install, and what each is for."""
STATES = ("good", "absent", "warning", "problem")
"""``absent`` is optional and not there; with a ``problem`` propend does not work as it should."""
LITTLE_MEMORY, LITTLE_DISK = 2e9, 1e9
"""Bytes below which a warning is given."""
OLDEST_JAVA = 17
PROBE_SECONDS = 20
_RELEASED = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock that is right is before it."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: ``propend``, ``libraries``, ``extras``, ``engines``, ``machine`` or ``workspace``.
        name: what was looked at.
        state: one of ``STATES``.
        says: what was found.
        hint: what to do; empty where nothing needs to be done.
    """

    area: str
    name: str
    state: str
    says: str
    hint: str = ""

    def to_dict(self) -> dict[str, str]:
        """All fields."""
        return {"area": self.area, "name": self.name, "state": self.state, "says": self.says, "hint": self.hint}


def examine(temp_folder: str | Path | None = None) -> list[Finding]:
    """Everything about this machine that a run depends on.

    Args:
        temp_folder: where engines keep files while they work; the system's where None.
    """
    return [
        Finding("propend", "propend", "good", __version__),
        Finding("propend", "Python", "good", f"{platform.python_version()} ({platform.python_implementation()})"),
        Finding("propend", "system", "good", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        *_libraries(),
        *_extras(),
        *_engines(),
        *_machine(Path(temp_folder or tempfile.gettempdir())),
    ]


def worst(findings: list[Finding]) -> str:
    """The gravest of their states."""
    return max((f.state for f in findings), key=STATES.index, default="good")


def findings_text(findings: list[Finding]) -> str:
    """For people: one line each, by area, with what to do where something is to be done."""
    signs = {"good": "ok", "absent": "-", "warning": "!", "problem": "X"}
    lines: list[str] = []
    wide = max(len(f.name) for f in findings)
    for area in dict.fromkeys(f.area for f in findings):
        lines += ["", area] if lines else [area]
        for finding in (f for f in findings if f.area == area):
            lines.append(f"  {signs[finding.state]:<3}{finding.name:<{wide}}  {finding.says}")
            lines += [f"     {'':<{wide}}  {finding.hint}"] if finding.hint else []
    count = {state: sum(f.state == state for f in findings) for state in STATES}
    told = [f"{count[s]} {s}{'' if count[s] == 1 else 's'}" for s in ("problem", "warning") if count[s]]
    return "\n".join([*lines, "", ", ".join(told) or "Nothing is wrong."])


# --- libraries ------------------------------------------------------------------------------------------------


def requirements(extra: str = "") -> list[Requirement]:
    """What the installed propend declares to need on this system, for itself or for one of its extras."""
    declared = [Requirement(text) for text in metadata.requires("propend") or []]
    return [
        one
        for one in declared
        if (not extra and (one.marker is None or one.marker.evaluate({"extra": ""})))
        or (extra and one.marker is not None and "extra" in str(one.marker) and one.marker.evaluate({"extra": extra}))
    ]


def _libraries() -> Iterator[Finding]:
    try:
        needed = requirements()
    except (metadata.PackageNotFoundError, InvalidRequirement) as error:
        says = f"what propend needs cannot be read: {error or type(error).__name__}"
        yield Finding("libraries", "metadata", "problem", says, "install propend with pip, not as loose files.")
        return
    for one in sorted(needed, key=lambda r: r.name.lower()):
        found = _version(one.name)
        if found is None:
            yield Finding("libraries", one.name, "problem", "not installed", f"pip install '{_asked(one)}'")
        elif not one.specifier.contains(found, prereleases=True):
            says = f"{found}, where {one.specifier} is needed"
            yield Finding("libraries", one.name, "problem", says, f"pip install '{_asked(one)}'")
        else:
            yield Finding("libraries", one.name, "good", found)


def _extras() -> Iterator[Finding]:
    try:
        needed = {extra: requirements(extra) for extra in EXTRAS}
    except (metadata.PackageNotFoundError, InvalidRequirement):
        return
    for extra, ones in needed.items():
        hint = f"pip install 'propend[{extra}]'"
        found = {one.name: _version(one.name) for one in ones}
        absent = [name for name, version in found.items() if version is None]
        wrong = [
            f"{one.name} {version} ({one.specifier} is needed)"
            for one in ones
            if (version := found[one.name]) is not None and not one.specifier.contains(version, prereleases=True)
        ]
        if absent:
            says = f"not installed ({EXTRAS[extra]}): lacks {', '.join(sorted(absent))}"
            yield Finding("extras", extra, "absent", says, hint)
        elif wrong:
            yield Finding("extras", extra, "problem", ", ".join(wrong), hint)
        else:
            yield Finding("extras", extra, "good", ", ".join(f"{name} {found[name]}" for name in sorted(found)))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _asked(one: Requirement) -> str:
    return f"{one.name}{one.specifier}"


# --- engines --------------------------------------------------------------------------------------------------


def _engines() -> Iterator[Finding]:
    yield _answer("duckdb", "import duckdb; print(duckdb.connect().execute('SELECT version()').fetchone()[0])")
    yield _answer("numba", "import numba; print(numba.njit(lambda a: a + 1)(1) and numba.__version__)")
    yield _answer("xgboost", "import xgboost; print(xgboost.__version__)")
    if _version("pyspark") is None:
        yield Finding("engines", "spark", "absent", "pyspark is not installed", "pip install 'propend[spark]'")
        return
    java, hint = _java(), f"install Java {OLDEST_JAVA} or newer, or point JAVA_HOME at one."
    if java is None:
        yield Finding("engines", "spark", "warning", "no Java is found, and Spark needs one", hint)
    elif java[0] < OLDEST_JAVA:
        yield Finding("engines", "spark", "warning", f"Java {java[1]} is older than {OLDEST_JAVA}", hint)
    else:
        yield Finding("engines", "spark", "good", f"PySpark {_version('pyspark')}, Java {java[1]}")


def _answer(name: str, program: str) -> Finding:
    """What a library says in a process of its own: one that crashes on import must not take this one along."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding("engines", name, "problem", f"does not answer within {PROBE_SECONDS} s", "install it anew.")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
        return Finding(
            "engines", name, "problem", f"cannot be used: {last:.200}", f"pip install --force-reinstall {name}"
        )
    return Finding("engines", name, "good", f"answers: {done.stdout.strip()}")


def _java() -> tuple[int, str] | None:
    """Major and full version of the Java that Spark would take."""
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if program is None:
        return None
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "((?:1\.)?(\d+)[^"]*)"', done.stderr + done.stdout)
    return (int(found[2]), found[1]) if found else None


# --- the machine ----------------------------------------------------------------------------------------------


def _machine(temp: Path) -> Iterator[Finding]:
    yield Finding("machine", "cores", "good", str(_cores()))
    yield _memory()
    yield _disk("temporary files", temp, "set TMPDIR to a folder with more room.")
    kept = kernel_cache.kept_in()
    if kept is None:
        says = f"compiled kernels cannot be kept: neither {kernel_cache.PACKAGE} nor the user's cache can be written"
        yield Finding("machine", "kernels", "warning", says, "set NUMBA_CACHE_DIR to a folder that can be written.")
    else:
        yield Finding("machine", "kernels", "good", f"kept in {kept}")
    zones = len(zoneinfo.available_timezones())
    if zones:
        yield Finding("machine", "time zones", "good", f"{zones} known")
    else:
        says = "no time zones are known to Python"
        yield Finding("machine", "time zones", "problem", says, "pip install tzdata, or the system's tzdata.")
    now = datetime.now(UTC)
    state, hint = ("good", "") if now >= _RELEASED else ("problem", "set the clock: windows are counted from it.")
    yield Finding("machine", "clock", state, f"{now:%Y-%m-%d %H:%M} UTC", hint)


def _cores() -> int:
    """Cores that this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = (_cgroup("cpu.max") or "").split()
    if len(quota) == 2 and quota[0].isdigit():
        allowed = min(allowed, max(1, round(int(quota[0]) / int(quota[1]))))
    return allowed


def _memory() -> Finding:
    try:
        size = os.sysconf("SC_PAGE_SIZE")
        whole = os.sysconf("SC_PHYS_PAGES") * size
        free = os.sysconf("SC_AVPHYS_PAGES") * size
    except (ValueError, OSError, AttributeError):  # not every system tells
        return Finding("machine", "memory", "good", "this system does not tell; give a run its budget by --memory")
    limit = _cgroup("memory.max")
    says = f"{whole / 1e9:.1f} GB, {free / 1e9:.1f} GB of them unused"
    if limit and limit.isdigit() and int(limit) < whole:
        whole = int(limit)
        says += f"; limited to {whole / 1e9:.1f} GB for this process"
    hint = "small data will do; give larger runs a budget by --memory." if whole < LITTLE_MEMORY else ""
    return Finding("machine", "memory", "warning" if hint else "good", says, hint)


def _cgroup(name: str) -> str | None:
    """A limit of the container that this process is in, where the system has version 2 of control groups."""
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").strip().splitlines()[-1].split(":", 2)[2]
        for folder in (Path("/sys/fs/cgroup") / own.lstrip("/"), Path("/sys/fs/cgroup")):
            if (folder / name).is_file():
                return (folder / name).read_text(encoding="utf-8").strip()
    except (OSError, IndexError):
        return None
    return None


def _disk(name: str, folder: Path, hint: str, area: str = "machine") -> Finding:
    try:
        free = shutil.disk_usage(folder).free
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return Finding(area, name, "problem", f"{folder} cannot be written: {error.strerror}", hint)
    says = f"{free / 1e9:.1f} GB free in {folder}"
    return Finding(area, name, *(("warning", says, hint) if free < LITTLE_DISK else ("good", says)))


def disk(folder: Path) -> Finding:
    """Whether a workspace's folder can be written, and what is free there."""
    return _disk("disk", folder, "free some space: runs are written here.", "workspace")
