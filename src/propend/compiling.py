"""Telling who waits that kernels are being compiled, which happens once on a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba.core import event


class _Listener(event.Listener):  # type: ignore[misc]
    def __init__(self, tell: Callable[[int], None], over: Callable[[], None]) -> None:
        self.tell, self.over, self.begun, self.open = tell, over, 0, 0

    def on_start(self, event: event.Event) -> None:
        self.begun, self.open = self.begun + 1, self.open + 1
        self.tell(self.begun)

    def on_end(self, event: event.Event) -> None:
        self.open -= 1
        if self.open == 0:
            self.over()


@contextmanager
def told_of_compiling(tell: Callable[[int], None], over: Callable[[], None] = lambda: None) -> Iterator[None]:
    """While inside, each compilation calls ``tell`` with how many have begun; what is read from the cache does not.

    Args:
        over: called when none is going on any more: parts are compiled inside others.
    """
    with event.install_listener("numba:compile", _Listener(tell, over)):
        yield
