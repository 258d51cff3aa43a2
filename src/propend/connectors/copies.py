"""Copies of files from elsewhere, in the session's scratch folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from propend.errors import NotEnoughMemoryError, SourceUnreadableError


def keep(chunks: Iterable[bytes], name: str, scratch: Path, most_mb: int, place: str) -> Path:
    """Write what comes to a file of its own in the scratch folder; gives where.

    Args:
        name: of the file; its ending says what it is.
        most_mb: of the file.
        place: what it is called in messages.

    Raises:
        SourceUnreadableError: it is larger than may be copied.
        NotEnoughMemoryError: there is no room for it.
    """
    target, written = scratch / f"copy-{len(list(scratch.iterdir()))}" / name, 0
    try:
        target.parent.mkdir()
        with target.open("wb") as out:
            for chunk in chunks:
                written += len(chunk)
                refuse_too_large(place, written, most_mb)
                out.write(chunk)
    except OSError as error:
        raise NotEnoughMemoryError(
            f"{place} could not be copied to the temporary folder: {error.strerror or error}.",
            "free some space there, or name another temporary folder in TMPDIR.",
            path=place,
        ) from None
    return target


def refuse_too_large(place: str, size: int | None, most_mb: int) -> None:
    """Refuse a file that is larger than may be copied.

    Raises:
        SourceUnreadableError: it is.
    """
    if size is not None and size > most_mb * 1_000_000:
        raise SourceUnreadableError(
            f"{place} has more than the {most_mb:,} MB that are copied at the most.",
            "keep it as Parquet, which stores give in parts, or raise `most_mb` under [data] in propend.toml.",
            path=place, most_mb=most_mb,
        )  # fmt: skip
