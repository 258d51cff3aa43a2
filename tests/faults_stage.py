"""The process of ``faults.Stage``: everything is imported once, each scene is played in a fork of it."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import traceback
from pathlib import Path

import scenes

LONGEST_SECONDS = 1500
"""Many times as long as a scene takes: what is not done by then hangs, and is ended by SIGALRM."""


def _play(home: str, scene: str, kind: int, at: int, port: int, said: str, told: str) -> int:
    """In the fork: both streams go to a file; what it ends with is its exit status."""
    out = os.open(said, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(out, stream)
    log = os.open(told, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND)
    arm = ctypes.CDLL(None).faults_arm
    arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_int]
    signal.alarm(LONGEST_SECONDS)
    arm(b"/none" if port else home.encode(), port, at, kind, log)
    try:
        status = scenes.play(scene, Path(home))
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 99
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def main() -> None:
    """One scene for each line of the standard input; its status on the standard output."""
    gc.freeze()  # a fork copies no more than it changes
    for line in sys.stdin:
        asked = json.loads(line)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os._exit(_play(**asked) & 0xFF)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    os._exit(0)  # what is frozen is not taken apart


if __name__ == "__main__":
    main()
