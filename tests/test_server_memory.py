"""A server gives back what it no longer uses."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from typing import Any

import pytest

WORK = """
import ctypes, json, os, sys
os.environ.pop("ARROW_DEFAULT_MEMORY_POOL", None)
from propend.server.memory import give_back, one_allocator
class Info(ctypes.Structure):
    _fields_ = [(n, ctypes.c_size_t) for n in "arena o s h singly us fs used free kept".split()]
library = ctypes.CDLL(None)
library.mallinfo2.restype = Info
library.malloc.restype, library.malloc.argtypes, library.free.argtypes = (
    ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p])
told = None
if sys.argv[1] == "told":
    told = give_back()
    with one_allocator():
        import pyarrow
library.free(library.malloc(24 << 20))  # from here on glibc would take blocks as large as this from its heap
before = library.mallinfo2()
blocks = [library.malloc(3 << 20) for _ in range(8)]
held = library.mallinfo2()
for block in blocks:
    library.free(block)
import pyarrow
print(json.dumps([told, held.singly - before.singly, held.arena - before.arena,
                  pyarrow.default_memory_pool().backend_name, "ARROW_DEFAULT_MEMORY_POOL" in os.environ]))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library is not glibc 2.33 or newer")
def test_large_blocks_are_taken_one_by_one_and_go_back_whole() -> None:
    def worked(how: str) -> list[Any]:
        done = subprocess.run([sys.executable, "-c", WORK, how], capture_output=True, text=True, check=True)
        found: list[Any] = json.loads(done.stdout)
        return found

    told, singly, heap, pool, left = worked("told")
    assert told is True
    assert (pool, left) == ("system", False)
    assert singly >= 8 * (3 << 20)
    assert heap == 0
    _, singly, heap, pool, _ = worked("not")
    assert heap > 4 * (3 << 20), "glibc no longer moves its threshold: this need not be told any more"
    assert singly == 0
    assert pool != "system"
