"""Where compiled kernels are kept: settled before the first of them is read, so without Numba itself.

Numba keeps them beside the code or, where that cannot be written, in the user's cache folder (``NUMBA_CACHE_DIR`` comes
before both). Where neither can be written it refuses to load a kernel at all: a private folder then stands in, for as
long as the process lives.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

PACKAGE = Path(__file__).parent
_given_up: list[str] = []


def settle() -> None:
    """Make sure that kernels can be loaded; cheap where the package's folder can be written."""
    if kept_in() is not None:
        return
    folder = tempfile.mkdtemp(prefix="propend-kernels-")  # nobody else's: what lies there is run
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = folder
    _given_up.append(folder)


def kept_in() -> Path | None:
    """The folder where kernels are kept from process to process; None where none can be written."""
    own = [PACKAGE / room / "__pycache__" for room in ("engines", "snapshots", "explain")]
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given and _writable(Path(given)):
        return Path(given)
    if all(map(_writable, own)):
        return PACKAGE
    return user_folder() if _writable(user_folder()) else None


def warn_if_lost() -> None:
    """Warn, once in a process, that kernels are compiled anew by each."""
    if _given_up:
        _given_up.clear()
        warnings.warn(
            f"Compiled kernels cannot be kept: neither {PACKAGE} nor {user_folder()} can be written. Each process "
            "compiles them anew, which takes up to a minute; set NUMBA_CACHE_DIR to a folder that can be written.",
            stacklevel=2,
        )


def user_folder() -> Path:
    """Numba's folder among the user's caches."""
    home = Path("~").expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "numba" / "Cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "numba"
    return Path(os.environ.get("XDG_CACHE_HOME", home / ".cache")) / "numba"


def _writable(folder: Path) -> bool:
    """Whether a file can be made there, found out by making one: permissions do not tell of read-only disks."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True
