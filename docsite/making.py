"""Makes the site, and holds it to its promises: no warning, no page left out, nothing asked of anywhere else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from docsite.gathering import BESIDE, gather

SETTINGS = "mkdocs.yml"
ASKS = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|icon|preload|preconnect|modulepreload|manifest))[^>]*?"""
    r"""\bhref=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|url\(["']?((?:https?:)?//[^"')]+)|@import\s+["']((?:https?:)?//[^"']+)"""
)
"""What a browser fetches without being asked: scripts, styles, pictures, fonts; not links that people follow."""


class SiteError(Exception):
    """The site is not as it should be; the text has every reason, one a line."""


def make_site(root: Path, into: Path) -> Path:
    """Gather the pages, make the site and look it over.

    Args:
        root: of the repository.
        into: where ``build/docs`` and ``site`` are made; what is there is replaced.

    Returns:
        The folder of the site.

    Raises:
        FileNotFoundError: a page links to something that is not there.
        SiteError: a page is not in the navigation, Zensical warns of something, or a page asks an
            address elsewhere for something.
    """
    settings = (root / SETTINGS).read_text(encoding="utf-8")
    mistakes = not_in_order(gather(root, into / "build" / "docs"), settings)
    if mistakes:
        raise SiteError("\n".join(mistakes))
    if into != root:
        shutil.copyfile(root / SETTINGS, into / SETTINGS)
    site = into / "site"
    shutil.rmtree(site, ignore_errors=True)
    made = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", SETTINGS],
        cwd=into, env=os.environ | {"NO_COLOR": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        raise SiteError(made.stdout + made.stderr)
    asked = asked_outside(site)
    if asked:
        raise SiteError("\n".join(asked))
    return site


def not_in_order(pages: list[str], settings: str) -> list[str]:
    """Pages that the navigation in ``mkdocs.yml`` lacks, and those that it names and are not there."""
    named = _named(_read(settings)["nav"])
    lacking = [page for page in pages if page not in named and not page.startswith((f"{BESIDE}/", "decisions/0"))]
    return [
        *(f"{page} is not in the navigation of {SETTINGS}" for page in lacking),
        *(f"{SETTINGS} names {page}, which is not there" for page in sorted(named - set(pages))),
    ]


def asked_outside(site: Path) -> list[str]:
    """Every address elsewhere that a browser would fetch something from, with the file that asks, in order."""
    files = sorted(p for p in site.rglob("*") if p.suffix in (".html", ".css", ".svg"))
    return [
        f"{path.relative_to(site).as_posix()} asks {next(filter(None, found.groups()))}"
        for path in files
        for found in ASKS.finditer(path.read_text(encoding="utf-8"))
    ]


def _read(settings: str) -> dict[str, Any]:
    """The settings without their tags, which name Python functions."""
    plain: dict[str, Any] = yaml.safe_load(re.sub(r"!!python/\S+", "", settings))
    return plain


def _named(nav: Any) -> set[str]:
    """Every page that a part of the navigation names."""
    if isinstance(nav, str):
        return {nav}
    parts = nav.values() if isinstance(nav, dict) else nav
    return {page for part in parts for page in _named(part)}
