"""Rows that come in batches, put into one Parquet file: from then on a source like any other, for every engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from propend.connectors import FileGroup, Located, RetypedError, Since, Stream
from propend.errors import NotEnoughMemoryError, PropendError, SourceUnreadableError

READS = 3
"""Times that a stream is read: types grow at the second, and again only where rows came in between."""
GROUP_ROWS = 250_000


def fetched(located: Located, name: str, file: Path) -> Located:
    """What a connector located as a stream, in a file; it is read once, and never all of it in memory.

    Raises:
        DatabaseUnreachableError, DatabaseRefusedError, SourceUnreadableError, NotEnoughMemoryError: as ``fetch``.
    """
    (stream,) = located.streams
    fetch(stream, name, file)
    return Located(name, located.format, (FileGroup("parquet", (file,)),))


def fetch(
    stream: Stream, name: str, file: Path, since: Since | None = None, check: Callable[[pa.Schema], None] | None = None
) -> None:
    """Write the rows of a stream to a Parquet file.

    Args:
        name: what it is called in messages.
        since: only these rows.
        check: told the columns before the rows come; what it raises ends the reading.

    Raises:
        DatabaseUnreachableError, DatabaseRefusedError: as the stream.
        SourceUnreadableError: two columns have one name, or values change their types from reading to reading.
        NotEnoughMemoryError: the file cannot be written.
    """
    for _ in range(READS):
        try:
            reader = stream.read(since) if since is not None else stream.read()
            if check is not None:
                try:
                    check(reader.schema)
                except PropendError:
                    del reader  # ends the statement while its connection is open
                    raise
            _write(reader, name, file)
            return
        except RetypedError:
            continue
        except OSError as error:
            raise NotEnoughMemoryError(
                f"The rows of {name!r} cannot be kept: {error.strerror or error}.",
                "free some space in the temporary folder, or name another in TMPDIR.",
                path=str(file.parent),
            ) from None
    raise SourceUnreadableError(
        f"The values of {name!r} are of other types each time they are read.",
        "cast the columns to one type each, in a query in place of the table.",
    )


def _write(reader: pa.RecordBatchReader, name: str, file: Path) -> None:
    folded = [n.casefold() for n in reader.schema.names]
    twice = sorted({n for n in reader.schema.names if folded.count(n.casefold()) > 1})
    if twice or not folded:
        problem = f"columns of one name: {', '.join(map(repr, twice))}" if twice else "no columns"
        raise SourceUnreadableError(
            f"{name!r} has {problem}.", "give each column a name of its own in a query: select a as b.", path=name
        )
    with pq.ParquetWriter(file, reader.schema, compression="zstd") as writer:
        waiting: list[pa.RecordBatch] = []
        for batch in reader:
            waiting.append(batch)
            if sum(b.num_rows for b in waiting) >= GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting.clear()
        writer.write_table(pa.Table.from_batches(waiting, reader.schema))
