"""The models that answer for single profiles: of each instance that of the run whose scores are served."""

from __future__ import annotations

import threading
from collections import OrderedDict

from fastapi import FastAPI

from propend.live import LiveModel
from propend.workspace import Workspace

MOST = 16
"""Instances whose models are kept in memory at a time; those asked least lately go first."""


class LiveModels:
    """Loaded models, by serving run; several threads may ask."""

    def __init__(self, workspace: Workspace) -> None:
        """Nothing is loaded before it is asked for."""
        self._workspace = workspace
        self._loaded: OrderedDict[str, tuple[str, LiveModel]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, instance_id: str) -> LiveModel:
        """The model whose scores an instance serves.

        Raises:
            InstanceNotFoundError: there is no such instance, or no scores of it yet.
            NotForLiveError: its run was made by a propend that kept nothing to compare with.
        """
        serving = self._workspace.runs.served(instance_id)
        with self._lock:
            kept = self._loaded.get(instance_id)
            if kept is None or kept[0] != serving.id:
                kept = serving.id, LiveModel.load(self._workspace.runs.folder(serving))
            self._loaded[instance_id] = kept
            self._loaded.move_to_end(instance_id)
            while len(self._loaded) > MOST:
                self._loaded.popitem(last=False)
        return kept[1]


def live_models(app: FastAPI) -> LiveModels:
    """Those of an application, made with the first question; its state has the workspace."""
    with _MAKING:
        found: LiveModels | None = getattr(app.state, "live_models", None)
        if found is None:
            found = app.state.live_models = LiveModels(app.state.workspace)
        return found


_MAKING = threading.Lock()
