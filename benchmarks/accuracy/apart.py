"""Work in a process of its own, so that its seconds and memory are its own and it can be stopped."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any


class TooSlowError(Exception):
    """The work did not finish in its time and was stopped."""


class FailedError(RuntimeError):
    """The work raised something, or its process died."""


def in_own_process(work: Callable[..., Any], *arguments: Any, limit: float | None = None) -> Any:
    """What ``work(*arguments)`` gives in a fresh interpreter.

    Raises:
        TooSlowError: not within ``limit`` seconds; the process was killed.
        FailedError: it raised, or died without an answer.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(there, work, arguments))
    process.start()
    there.close()
    try:
        if not here.poll(limit):
            raise TooSlowError(f"did not finish in {limit:.0f} s")
        found, failure = here.recv()
    except EOFError as error:
        raise FailedError(f"{work.__name__} ended without an answer") from error
    except TooSlowError:
        process.kill()
        raise
    finally:
        process.join()
    if failure:
        raise FailedError(failure)
    return found


def _answer(pipe: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        pipe.send((work(*arguments), ""))
    except Exception as error:
        pipe.send((None, f"{work.__name__}: {type(error).__name__}: {error}"))


def peak_megabytes() -> float:
    """The most memory this process held (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
