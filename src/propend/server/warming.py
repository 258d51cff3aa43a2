"""What the first who ask would else wait for: done at the start, beside the answers, in a thread of its own.

Templates are compiled, pictures drawn once without rows, an engine opened, and the scores and documents that are served
looked up. Nothing depends on it: whoever asks before gets the same answer, a little later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from fastapi import FastAPI

from propend.charts import CHARTS
from propend.engines.duckdb import DuckdbEngine
from propend.errors import PropendError
from propend.server.pages.shell import compile_templates
from propend.server.serving import Serving
from propend.workspace import Workspace
from propend.workspace.overview import Overview
from propend.workspace.segments import Rule
from propend.workspace.standing import standing_of

AFTER_SECONDS, PAUSE_SECONDS = 1.0, 0.01
"""Whoever asks whether the server lives is answered first, and between any two steps."""
log = logging.getLogger("propend.warming")


class Warming(threading.Thread):
    """Prepares an application for the first who ask; ends by itself, or when it is told to."""

    def __init__(self, app: FastAPI) -> None:
        """``app``: of ``create_app``."""
        super().__init__(name="warming", daemon=True)
        self._app = app
        self._halt = threading.Event()

    def stop(self) -> None:
        """Begin nothing more, and wait for what was begun."""
        self._halt.set()
        self.join()

    def run(self) -> None:
        """Step by step, so that those who ask meanwhile get their turns; what cannot be done is done when asked for."""
        if self._halt.wait(AFTER_SECONDS):
            return
        began = time.monotonic()
        for step in _steps(self._app):
            if self._halt.wait(PAUSE_SECONDS):
                return
            try:
                step()
            except PropendError as error:
                log.warning("not all is ready beforehand: %s", error.message)
        log.info("ready for the first who ask, after %.1f s", time.monotonic() - began)


def _steps(app: FastAPI) -> Iterator[Callable[[], object]]:
    workspace: Workspace = app.state.workspace
    serving: Serving = app.state.serving
    yield serving.renew
    yield lambda: _looked_up(workspace, app.state.overview, serving)
    yield from compile_templates()
    yield _opened
    yield lambda: Rule.read("bucket = 'high'").sentence  # the grammar of rules and sentences
    for chart in CHARTS.values():
        yield partial(chart.spec, [])


def _looked_up(workspace: Workspace, overview: Overview, serving: Serving) -> None:
    """Documents that are served, and the questions of the catalog that every page asks."""
    rows = workspace.instances.all()
    overview.of(rows, serving.runs())
    if rows:
        standing_of(workspace, rows[0])


def _opened() -> None:
    """An engine: the first loads its library's parts."""
    with DuckdbEngine():
        pass
