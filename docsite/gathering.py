"""Gathers what the site is made of: the pages of ``docs/``, and what they link to beside it.

Links that hold in the repository hold in the site. Pages link to files beside ``docs/``: the README, examples, code.
Such a file becomes a page of its own under ``repository/``, and the links of both sides are turned to it. A folder
becomes one page with all of its files.
"""

from __future__ import annotations

import json
import posixpath
import re
import shutil
from pathlib import Path

BESIDE = "repository"
"""The part of the site for what stands beside ``docs/``."""
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
FENCED = re.compile(r"(^```.*?^```[^\S\n]*$)", re.DOTALL | re.MULTILINE)
LIST_AFTER_TEXT = re.compile(r"^((?!\d+\. |- |[ >|#]).+)\n(?=\d+\. |- )", re.MULTILINE)
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml"}


def gather(root: Path, into: Path) -> list[str]:
    """Write every page of the site, as Markdown, and the pictures.

    Args:
        root: of the repository.
        into: a folder that is emptied first.

    Returns:
        The pages' places under ``into``, such as ``decisions/index.md``, in alphabetical order.

    Raises:
        FileNotFoundError: a page links to something that is not there; every such link is named.
    """
    texts = {p.relative_to(root).as_posix(): p.read_text(encoding="utf-8") for p in (root / "docs").rglob("*.md")}
    broken: list[str] = []
    left = [*texts, "README.md"]
    while left:
        place = left.pop()
        text = texts.setdefault(place, _shown(root / place, root))
        if place.startswith("docs/") or place.endswith((".md", ".ipynb")):
            targets = _targets(text, place)
            broken += [f"{place}: {target}" for target in targets if not (root / target).exists()]
            left += [t for t in targets if t not in texts and (root / t).exists() and not t.startswith("docs/")]
    if broken:
        raise FileNotFoundError("links to what is not there: " + ", ".join(sorted(broken)))
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(root / "docs", into, ignore=shutil.ignore_patterns("*.md"))
    for place, text in texts.items():
        page = into / _page_of(place)
        page.parent.mkdir(parents=True, exist_ok=True)
        parts = [part if part.startswith("```") else _begun(_turned(part, place)) for part in FENCED.split(text)]
        page.write_text("".join(parts), encoding="utf-8")
    return sorted(map(_page_of, texts))


def _resolved(place: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), target))


def _elsewhere(target: str) -> bool:
    return re.match(r"[a-z]+:", target) is not None


def _targets(text: str, place: str) -> list[str]:
    """What a page links to, as paths from the root; addresses elsewhere are left out."""
    prose = FENCED.sub("", text)
    return [_resolved(place, found[1]) for found in LINK.finditer(prose) if not _elsewhere(found[1])]


def _page_of(place: str) -> str:
    """Where a file or folder of the repository stands in the site."""
    if place.startswith("docs/"):
        return place.removeprefix("docs/")
    return f"{BESIDE}/{place}" if place.endswith(".md") else f"{BESIDE}/{place}.md"


def _turned(prose: str, place: str) -> str:
    here = posixpath.dirname(_page_of(place)) or "."

    def there(found: re.Match[str]) -> str:
        if _elsewhere(found[1]):
            return found[0]
        page = posixpath.relpath(_page_of(_resolved(place, found[1])), here)
        return f"]({page}{found[2] or ''})"

    return LINK.sub(there, prose)


def _begun(prose: str) -> str:
    """An empty line before each list, which the site's Markdown asks for and that of repositories does not."""
    return LIST_AFTER_TEXT.sub(r"\1\n\n", prose)


def _shown(path: Path, root: Path) -> str:
    """A file, or every file of a folder, as Markdown."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        return _cells(path)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in LANGUAGES)
    parts = [f"# {path.relative_to(root).as_posix()}"]
    for file in files:
        heading = [] if file == path else [f"## {file.relative_to(path).as_posix()}"]
        text = file.read_text(encoding="utf-8").rstrip("\n")
        parts += [*heading, f"```{LANGUAGES.get(file.suffix, 'text')}\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def _cells(path: Path) -> str:
    """A notebook: what is told as it is, code as such."""
    cells = [("".join(c["source"]), c["cell_type"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    return "\n\n".join(f"```python\n{text}\n```" if kind == "code" else text for text, kind in cells) + "\n"
