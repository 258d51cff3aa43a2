"""Pictures and tables of the speed in docs/evidence.md from ``results.json``: ``python -m benchmarks.speed.evidence``.

Measures nothing.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.accuracy.evidence import PAGE, filled
from benchmarks.speed import page, pictures
from benchmarks.speed.results import Results, load

RESULTS = Path(__file__).parent / "results.json"
PICTURES = PAGE.parent / "pictures"


def shown(results: Results, sentences: dict[str, str]) -> str:
    """Pictures, each with what it shows for those who do not see it, then the tables."""
    images = [f"![{sentence}]({PICTURES.name}/{name}.svg)" for name, sentence in sentences.items()]
    return "\n\n".join([*images, page.tables(results)])


def main() -> None:
    """Draw, fill the page, and say how much it shows."""
    results = load(RESULTS)
    text = shown(results, pictures.save(results, PICTURES))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), text, "speed"), encoding="utf-8")
    print(f"docs/evidence.md shows {len(results.jobs)} jobs and {len(results.beside)} comparisons with other tools")


if __name__ == "__main__":
    main()
