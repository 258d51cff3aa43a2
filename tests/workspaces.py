"""Workspaces for tests: a small shop whose instance trains in a second or two."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from propend.workspace import Workspace
from shops import DAYS, PROFILES, SHOP, shop


def document(name: str = "Buyers", **options: Any) -> dict[str, Any]:
    """The shop's document, with its events in a file beside the folder of instances."""
    found = copy.deepcopy(SHOP) | {"name": name}
    found["data"]["events"] = "../events.parquet"
    return found | ({"options": options} if options else {})


def made(home: Path, settings: str = "", profiles: int = PROFILES, days: int = DAYS, seed: int = 7) -> Path:
    """A folder with settings and events."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "propend.toml").write_text(settings, encoding="utf-8")
    pq.write_table(shop(profiles, days, seed), home / "events.parquet")
    return home


def opened(home: Path, settings: str = "", url: str | None = None) -> Workspace:
    """The same, open."""
    return Workspace.open(made(home, settings), url)
