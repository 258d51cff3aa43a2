"""Seals: what a document of a run was when it was written, so that whatever changes it later is noticed.

A document has the SHA-256 of its name and content as its last key. It tells damage, changes by hand and other documents
from what propend wrote; it is no signature: who may write the folder may write another seal (docs/security.md).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

SEAL = "seal"
"""The key under which a document has its seal."""


def sealed(document: dict[str, Any], name: str) -> dict[str, Any]:
    """A document with its seal in place of any other; it holds plain finite values.

    Args:
        name: of the file that it will be read from.
    """
    content = {key: value for key, value in document.items() if key != SEAL}
    return content | {SEAL: _digest(content, name)}


def unsealed(document: Any, name: str) -> dict[str, Any]:
    """A document without its seal.

    Raises:
        ValueError: it has none, or is not what it was when it was sealed.
    """
    if not isinstance(document, dict) or SEAL not in document:
        raise ValueError("it has no seal: it is not what was written")
    content = {key: value for key, value in document.items() if key != SEAL}
    if document[SEAL] != _digest(content, name):
        raise ValueError("it was changed after it had been written, or is another file")
    return content


def digest_of(path: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(content: dict[str, Any], name: str) -> str:
    text = json.dumps([name, content], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
