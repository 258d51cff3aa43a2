"""How the server's process takes memory from the system, so that what it has given up really goes back."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

APART_BYTES = 1 << 20
"""Blocks from this size on are taken from the system one by one."""
_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


_POOL = "ARROW_DEFAULT_MEMORY_POOL"


@contextmanager
def one_allocator() -> Iterator[None]:
    """Inside, pyarrow is to be imported for the first time: it then uses the allocator of C.

    Its own keeps what threads have freed, for each of them, and a server has dozens. What this process starts is left
    to choose for itself, as is whoever has set the variable.

    Source: Arrow C++, "Environment Variables": ARROW_DEFAULT_MEMORY_POOL.
    """
    before = os.environ.get(_POOL)
    os.environ[_POOL] = before or "system"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_POOL]


def give_back() -> bool:
    """Let the allocator of C give large blocks back at once; whether it could be told.

    The one of glibc raises, with the first large block that is freed, the size from which blocks are taken singly (up
    to 32 MB). Arrays of later work then lie between small blocks that live on, and gaps are left which nothing fits: a
    server grew by 0.8 MB with each check of a definition, though no more was in use than before.

    Source: malloc(3), mallopt(3): M_MMAP_THRESHOLD, "the dynamic mmap threshold".
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        told = ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, APART_BYTES)
    except (OSError, AttributeError):  # another library of C, which has no such threshold
        return False
    return bool(told == 1)
