"""What tests of several files ask for."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browser import Visitor, chromium
from servers import Server, serving

WAIT = 30_000
"""Milliseconds: the machine may have much to do."""


@pytest.fixture(scope="module", autouse=True)
def nothing_left_open() -> Iterator[None]:
    """What a file's tests leave open is told of as an error there, or as the next file begins: not anywhere later."""
    gc.collect()
    yield
    asyncio.set_event_loop(None)  # which holds the newest loop, open or not
    gc.collect()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, for the tests of one file: while it is open, nothing else of the process has an event loop."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    """A server of the workspace that a file's own ``home`` is, for one person at this machine."""
    with serving(home, "--no-auth") as found:
        yield found


@pytest.fixture
def visitor(browser: Browser, server: Server) -> Iterator[Visitor]:
    """Somebody at that server, who waits as long as it takes."""
    found = Visitor(browser, server.url)
    found.page.set_default_timeout(WAIT)
    expect.set_options(timeout=WAIT)
    yield found
    found.close()
