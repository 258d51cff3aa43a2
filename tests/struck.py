"""What was struck by faults and what held, counted by the tests of crashes themselves.

``.bench/crashes.jsonl`` has a line for each point, ``.bench/crashes.md`` the table that ``docs/reliability.md`` shows.
A point that was struck again counts once, as it was the last time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from faults import KINDS, Fault

FOLDER = Path(__file__).parent.parent / ".bench"


def note(catalog: str, scene: str, fault: Fault, operations: int, failed: str) -> None:
    """One point.

    Args:
        catalog: ``sqlite``, where operations on files are struck, or ``postgresql``, where messages are.
        operations: that the scene has.
        failed: what was promised in vain; empty where all held.
    """
    FOLDER.mkdir(exist_ok=True)
    line = {"catalog": catalog, "scene": scene, "kind": fault.kind, "at": fault.at, "operations": operations,
            "failed": failed}  # fmt: skip
    with (FOLDER / "crashes.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    points = map(json.loads, (FOLDER / "crashes.jsonl").read_text(encoding="utf-8").splitlines())
    (FOLDER / "crashes.md").write_text(table(points), encoding="utf-8")


def table(points: Iterable[dict[str, Any]]) -> str:
    """How many points held of those that were struck, by scene and by kind of fault."""
    newest = {(p["catalog"], p["scene"], p["kind"], p["at"]): p for p in points}
    struck, held = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
    operations: dict[tuple[str, str], int] = {}
    for (catalog, scene, kind, _), point in newest.items():
        for row in ((catalog, scene), ("", "together")):
            for column in (kind, "together"):
                struck[*row, column] += 1
                held[*row, column] += not point["failed"]
        operations[catalog, scene] = max(point["operations"], operations.get((catalog, scene), 0))
    kinds = [kind for kind in KINDS if any(k[2] == kind for k in struck)]
    rows = [*sorted(operations), ("", "together")] if newest else []
    lines = [["scene", "catalog", "operations", *kinds, "together"], ["---"] * (len(kinds) + 4)]
    for catalog, scene in rows:
        each = [_of(held, struck, (catalog, scene, kind)) for kind in [*kinds, "together"]]
        lines.append([scene, catalog, str(operations.get((catalog, scene), "")), *each])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _of(held: Counter[tuple[str, str, str]], struck: Counter[tuple[str, str, str]], key: tuple[str, str, str]) -> str:
    if not struck[key]:
        return ""
    return f"{held[key]}" if held[key] == struck[key] else f"{held[key]} of {struck[key]}"
