"""Which hosts addresses may lead to: a workspace that is served to others is no way into the network around it."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from propend.errors import SourceUnreadableError
from propend.protection import Reach


def refuse_private_host(address: str, reach: Reach) -> None:
    """Refuse an address whose host is this machine, or of a private network, unless that may be reached.

    Raises:
        SourceUnreadableError: it is, or its name is not known.
    """
    host = urlsplit(address).hostname
    if reach.private_hosts or not host:
        return
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        raise SourceUnreadableError(
            f"The host {host!r} of an address is not known.", "correct the address.", host=host
        ) from None
    for number in found:
        refuse_private_number(host, number)


def refuse_private_number(host: str, number: str) -> None:
    """Refuse a number that is not of the public network.

    Raises:
        SourceUnreadableError: it is not.
    """
    address = ipaddress.ip_address(number.split("%", maxsplit=1)[0])
    mapped = getattr(address, "ipv4_mapped", None) or address
    if mapped.is_global and not mapped.is_multicast:
        return
    raise SourceUnreadableError(
        f"The host {host!r} of an address is of a private network, which documents of a workspace do not reach.",
        "name a public address, or set `private_hosts = true` under [data] in propend.toml.",
        host=host,
    )
