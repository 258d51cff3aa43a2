"""Rows of events by partition: in memory while they fit, in files of the scratch folder beyond."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from propend.engines.event_rows import Rows


class Spool:
    """Partitions that grow batch by batch and are taken one by one."""

    def __init__(self, folder: Path, partitions: int, words: int, most_bytes: int) -> None:
        """Nothing is written before it must.

        Args:
            folder: for files; must exist.
            partitions: how many there are.
            words: of a row.
            most_bytes: of rows kept in memory.
        """
        self._folder, self._words, self._most = folder, words, most_bytes
        self._held: list[list[Rows]] = [[] for _ in range(partitions)]
        self._bytes = 0
        self.spilled = False

    def add(self, partition: int, rows: Rows) -> None:
        """Append rows, uint64[n, words], to a partition.

        Raises:
            OSError: the folder is full or cannot be written.
        """
        self._held[partition].append(rows)
        self._bytes += rows.nbytes
        if self._bytes > self._most:
            self._spill()

    def take(self, partition: int) -> list[Rows]:
        """All rows of a partition in the order they came, in pieces; they are no longer kept here.

        Raises:
            OSError: the folder cannot be read.
        """
        held, self._held[partition] = self._held[partition], []
        self._bytes -= sum(r.nbytes for r in held)
        file = self._file(partition)
        if file.exists():
            held.insert(0, np.fromfile(file, dtype=np.uint64).reshape(-1, self._words))
            file.unlink()
        return held

    def _spill(self) -> None:
        for partition, held in enumerate(self._held):
            if held:
                with self._file(partition).open("ab") as file:
                    for rows in held:
                        rows.tofile(file)
            self._held[partition] = []
        self._bytes, self.spilled = 0, True

    def _file(self, partition: int) -> Path:
        return self._folder / f"events-{partition}.rows"
