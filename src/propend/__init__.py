"""propend: for every profile, how likely it is to do something, and why.

The verbs ``check``, ``run``, ``train`` and ``score`` take an instance (a document, a path or a mapping)
and your events (files, or a pandas, polars or Arrow table); ``evaluate`` takes finished runs, later; ``connect`` does
the same with a workspace that is served somewhere. Importing this package is cheap: engines and models are loaded when
a verb is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from propend import kernel_cache
from propend.version import __version__

if TYPE_CHECKING:
    from propend.client import connect
    from propend.definition import Check
    from propend.errors import PropendError
    from propend.finished import Run
    from propend.instance import Instance
    from propend.pipeline import check, evaluate, run, score, train
    from propend.proposal import propose

_ROOMS = {
    "Check": "definition",
    "Instance": "instance",
    "PropendError": "errors",
    "Run": "finished",
    "check": "pipeline",
    "connect": "client",
    "evaluate": "pipeline",
    "propose": "proposal",
    "run": "pipeline",
    "score": "pipeline",
    "train": "pipeline",
}

kernel_cache.settle()

__all__ = [
    "Check",
    "Instance",
    "PropendError",
    "Run",
    "__version__",
    "check",
    "connect",
    "evaluate",
    "propose",
    "run",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'propend' has no attribute {name!r}")
    return getattr(import_module(f"propend.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
