"""``propend serve``: the server of a workspace on an address, until it is told to end."""

from __future__ import annotations

import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from propend.errors import ConfigurationError, Mistake
from propend.server.access import first_start
from propend.server.app import create_app
from propend.server.logs import set_up
from propend.server.warming import Warming
from propend.version import __version__
from propend.workspace import Workspace
from propend.workspace.dispatch import Dispatcher

KEPT_SECONDS = 75
"""Idle connections stay so long: one closed in the moment in which it is used again is an error to its client."""
GRACE_SECONDS = 10
"""So long answers that are being sent may take when the server is told to end."""


def serve(
    home: Path,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    access: bool = True,
    json_logs: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve a workspace until SIGTERM or SIGINT; runs that are executed then go on, and the next server finds them.

    Args:
        port: 0 takes a free one.
        access: whether callers must be known.
        told: hears where it listens and, as long as there is no user, how to make the first one.

    Raises:
        ConfigurationError: it cannot listen there, or access is switched off on an address that others reach.
        WorkspaceNotFoundError: the folder is not a workspace.
        CatalogUnavailableError: the catalog cannot be reached.
    """
    if not access and not is_loopback(host):
        raise ConfigurationError(
            [Mistake("--no-auth", f"everybody who reaches {host} could manage; only loopback is allowed so")],
            "the command",
        )
    set_up(json_logs)
    workspace = Workspace.open(home)
    try:
        with _listening(host, port) as listener:
            shown = f"[{host}]" if ":" in host else host
            app = create_app(workspace, access=access)
            told(f"propend {__version__} listens on http://{shown}:{listener.getsockname()[1]}")
            hello = first_start(app) if access else None
            if hello is not None:
                told(hello)
            config = uvicorn.Config(
                app, log_config=None, access_log=False, server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS, timeout_keep_alive=KEPT_SECONDS, proxy_headers=False,
            )  # fmt: skip
            dispatcher, warming = Dispatcher(workspace), Warming(app)
            dispatcher.start()
            warming.start()
            try:
                _Server(config).run(sockets=[listener])
            finally:
                warming.stop()
                dispatcher.stop()
    finally:
        workspace.close()


class _Server(uvicorn.Server):
    """Ends with what was begun done, and lets this process end as any other: uvicorn's own kills it by the signal."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals ask for an end, which the loop sees within moments."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; of a name, whether that holds for all it stands for."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError):
        return False
    addresses = {str(address[0]).partition("%")[0] for *_, address in found}
    return bool(addresses) and all(ipaddress.ip_address(a).is_loopback for a in addresses)


def _listening(host: str, port: int) -> socket.socket:
    try:
        named = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = named[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else answers wait for acknowledgements
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(1024)
        except OSError:
            found.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            [Mistake("--host, --port", f"cannot listen on {host}, port {port}: {reason}")], "the command"
        ) from None
    return found
