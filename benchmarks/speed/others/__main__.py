"""One tool's answer to a request: ``python -m benchmarks.speed.others TOOL FOLDER``.

The last line it prints is JSON: the answer's figures and the tool's version, or ``not_run`` and why.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq
from benchmarks.speed.others.request import Request

TOOLS = {
    "Temporian": ("temporian", "temporian_features"),
    "getML FastProp": ("getml", "fastprop_features"),
    "Compose": ("composeml", "compose_labels"),
    "ACES": ("es-aces", "aces_labels"),
}
"""Of each tool: the distribution, and the module here that asks it."""


def main(tool: str, folder: Path) -> None:
    """Write the answer's table, print its figures."""
    distribution, module = TOOLS[tool]
    warnings.simplefilter("ignore")  # of libraries older than those beneath them
    try:
        answer = importlib.import_module(f"benchmarks.speed.others.{module}").answer(*Request.read(folder))
    except (ImportError, OSError, RuntimeError, ValueError) as error:  # missing, or its engine does not start
        print(json.dumps({"not_run": f"{type(error).__name__}: {error}".splitlines()[0]}))
        return
    pq.write_table(answer.table, folder / "answer.parquet")
    print(json.dumps({**answer.figures(), "version": version(distribution)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
