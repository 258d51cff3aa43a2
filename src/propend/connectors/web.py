"""Files of web servers: copied once, from hosts that may be reached, however they are led on."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from propend.connectors.copies import keep, refuse_too_large
from propend.connectors.hosts import refuse_private_host, refuse_private_number
from propend.errors import SourceNotFoundError, SourceUnreadableError
from propend.protection import Reach

MOST_REDIRECTS = 5
_SECONDS = 30.0
_CHUNK = 1 << 22


def download(address: str, scratch: Path, reach: Reach) -> Path:
    """The file at an address, as a file of the scratch folder.

    Each step of a redirection is looked at as the first address is, and so is the machine that answers: a name may lead
    elsewhere a moment later.

    Raises:
        SourceNotFoundError: there is no such file.
        SourceUnreadableError: the server cannot be reached, refuses, or may not be reached; the file is too large.
    """
    name = unquote(PurePosixPath(urlsplit(address).path).name) or "download"
    try:
        with httpx.Client(timeout=_SECONDS, follow_redirects=False) as client:
            here = address
            for _ in range(MOST_REDIRECTS + 1):
                refuse_private_host(here, reach)
                with client.stream("GET", here, headers={"Accept-Encoding": "identity"}) as answer:
                    _refuse_private_peer(here, answer, reach)
                    if not answer.is_redirect:
                        return _kept(answer, name, scratch, reach, address)
                    here = _next(here, answer)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceUnreadableError(
            f"{address!r} cannot be reached: {str(error) or type(error).__name__}.", "see to the address.", path=address
        ) from None
    raise SourceUnreadableError(
        f"{address!r} leads on more than {MOST_REDIRECTS} times.", "name the address it ends at.", path=address
    )


def _next(here: str, answer: httpx.Response) -> str:
    there = urljoin(here, answer.headers["location"])
    if urlsplit(there).scheme not in ("http", "https"):
        raise SourceUnreadableError(f"{here!r} leads to what is no web address.", "name the file's own.", path=here)
    return there


def _refuse_private_peer(address: str, answer: httpx.Response, reach: Reach) -> None:
    """Who answers is looked at, where no proxy stands between."""
    parts, stream = urlsplit(address), answer.extensions.get("network_stream")
    is_proxied = parts.scheme in getproxies() and not proxy_bypass(parts.hostname or "")
    peer = stream.get_extra_info("server_addr") if stream is not None else None
    if not reach.private_hosts and not is_proxied and peer:
        refuse_private_number(parts.hostname or "", str(peer[0]))


def _kept(answer: httpx.Response, name: str, scratch: Path, reach: Reach, address: str) -> Path:
    if answer.status_code in (404, 410):
        raise SourceNotFoundError(f"{address!r} is not there.", "correct the address.", path=address)
    if answer.status_code != 200:
        raise SourceUnreadableError(
            f"{address!r} cannot be read: the server answers {answer.status_code}.",
            "see whether it wants a log-in; one can be given in ~/.netrc.",
            path=address, status=answer.status_code,
        )  # fmt: skip
    size = answer.headers.get("content-length")
    refuse_too_large(repr(address), int(size) if size and size.isdecimal() else None, reach.most_mb)
    return keep(answer.iter_bytes(_CHUNK), name, scratch, reach.most_mb, repr(address))
