"""Fill the tables of docs/evidence.md from saved results: ``python -m benchmarks.accuracy.evidence``.

Runs nothing. Takes the results of the full form in ``OUT`` (``.bench/accuracy-full``).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from benchmarks.accuracy import page, published
from benchmarks.accuracy.results import load_all
from benchmarks.accuracy.studies import FULL, ROOT

PAGE = ROOT / "docs" / "evidence.md"


def filled(text: str, tables: str, part: str = "accuracy") -> str:
    """A page with what stands between the marks of a part replaced."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    return re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n\n{tables}\n{end}", text, flags=re.DOTALL)


def main() -> None:
    """Say how many studies the tables show."""
    out = Path(os.environ.get("OUT") or ".bench/accuracy-full")
    results = load_all(out, [s.name for s in FULL])
    if not results:
        print(f"no results of bench-accuracy in {out}: its part of docs/evidence.md stays as it is")
        return
    tables = page.tables(results, published.load(out)) + f"\n{page.sentence(results)}\n"
    lower = re.sub(r"^## ", "### ", tables, flags=re.MULTILINE)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), lower), encoding="utf-8")
    print(f"docs/evidence.md shows {len(results)} of {len(FULL)} studies")


if __name__ == "__main__":
    main()
