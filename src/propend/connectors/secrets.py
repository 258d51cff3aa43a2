"""Addresses of databases and their passwords, from where they are kept: the environment or a keyring.

No document holds a password, and what is resolved here goes into no message, log or file. A password in
``PROPEND_DB_PASSWORD_`` goes to the host that the variable names and to no other, whoever writes documents.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from propend.connectors.libraries import load
from propend.errors import DatabaseUnreachableError

ENVIRONMENT, KEYRING = "env:", "keyring:"
PASSWORD_VARIABLE = "PROPEND_DB_PASSWORD_"
COMMON_PASSWORD, COMMON_HOST = "PGPASSWORD", "PGHOST"
"""What every program of PostgreSQL reads."""
_OWN = "PROPEND_"
_HOST = re.compile(r"[a-z0-9]+(-+[a-z0-9]+)*(\.[a-z0-9]+(-+[a-z0-9]+)*)*", re.ASCII)
_HARMLESS = frozenset(
    ("application_name", "charset", "connect_timeout", "driver", "options", "sslmode", "sslrootcert", "service_name")
)
"""Parts of an address that change nothing about who is sent the password."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class Address:
    """Where a database is.

    Attributes:
        written: as the document has it.
        url: the whole address; secret.
        password: in it, as it is; empty where there is none.
    """

    written: str
    url: str = field(repr=False)
    password: str = field(repr=False, default="")

    @property
    def scheme(self) -> str:
        """Which kind of database, and by which driver, such as ``mysql+pymysql``; empty for a file."""
        found = _SCHEME.match(self.url)
        return found.group().removesuffix("://").lower() if found else ""

    @property
    def takes_common_password(self) -> bool:
        """Whether what is in ``PGPASSWORD`` may be sent there, if the address has no password itself.

        An address that somebody wrote in a document gets it only where it goes to the host that ``PGHOST`` names
        beside it: else whoever writes documents could have it sent to a host of theirs.
        """
        if self.password or not _SCHEME.match(self.written):
            return True
        parts = urlsplit(self.url)
        return _goes_to_its_host(parts) and (parts.hostname or "") == os.environ.get(COMMON_HOST, "").lower() != ""

    @property
    def place(self) -> str:
        """Host, port and database, without user and password; that of an address in a variable is not told."""
        if not _SCHEME.match(self.written):
            return self.written
        parts = urlsplit(self.url)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path}"

    def without_secrets(self, text: str) -> str:
        """A text that a database or a driver wrote, without the address and the password."""
        known = (self.password, os.environ.get(COMMON_PASSWORD, ""))
        for secret in (self.url, *known, *(quote(k, safe="") for k in known)):
            if secret:
                text = text.replace(secret, "hidden")
        return text


def address_of(written: str) -> Address:
    """The address that a document names.

    Args:
        written: an address, ``env:NAME``, ``keyring:SERVICE/USER``, or a path.

    Raises:
        DatabaseUnreachableError: nothing is kept under that name, or no address.
    """
    if written.startswith(ENVIRONMENT):
        return _known(written, _from_environment(written.removeprefix(ENVIRONMENT)))
    if written.startswith(KEYRING):
        return _known(written, _from_keyring(written.removeprefix(KEYRING)))
    return _known(written, written) if _SCHEME.match(written) else Address(written, written)


def _known(written: str, url: str) -> Address:
    """An address with its password, which may be kept beside it."""
    if not _SCHEME.match(url):
        raise DatabaseUnreachableError(
            f"{written!r} holds no address of a database.",
            "keep a whole address there, such as postgresql://user:password@host/database.",
            database=written,
        )
    try:
        parts = urlsplit(url)
        password = unquote(parts.password or "")
        kept = os.environ.get(variable_of(parts.hostname or ""), "") if _goes_to_its_host(parts) else ""
    except ValueError:
        raise DatabaseUnreachableError(
            f"The address of {written if written != url else 'the database'!r} cannot be taken apart.",
            "signs such as @ / : [ in a password are written as %40 %2F %3A %5B.",
        ) from None
    if password or not kept:
        return Address(written, url, password)
    user, _, place = parts.netloc.rpartition("@")
    return Address(written, parts._replace(netloc=f"{user}:{quote(kept, safe='')}@{place}").geturl(), kept)


def _goes_to_its_host(parts: SplitResult) -> bool:
    """Whether nothing in an address names another host than the one before its path, and that is one host."""
    asked = parse_qsl(parts.query, keep_blank_values=True)
    return "," not in parts.netloc.rpartition("@")[2] and all(key.lower() in _HARMLESS for key, _ in asked)


def variable_of(host: str) -> str:
    """The variable that a host's password may be kept in; no two hosts have the same.

    Points become ``_`` and hyphens ``__``; empty for what is no plain name or number of a host.
    """
    if not _HOST.fullmatch(host.lower()):
        return ""
    return PASSWORD_VARIABLE + host.replace("-", "__").replace(".", "_").upper()


def _from_environment(name: str) -> str:
    if not _NAME.fullmatch(name) or (name.startswith(_OWN) and not name.startswith("PROPEND_DB_")):
        raise DatabaseUnreachableError(
            f"{name[:100]!r} is no variable that an address can be in.",
            "name a variable of your own, such as env:SHOP_URL; those of propend itself are not read.",
        )
    found = os.environ.get(name, "")
    if not found:
        raise DatabaseUnreachableError(
            f"The environment variable {name!r} is not set.",
            f"set it where propend runs: {name}=postgresql://user:password@host/database.",
            variable=name,
        )
    return found


def _from_keyring(name: str) -> str:
    service, _, user = name.partition("/")
    found = load("propend.connectors.keyrings").kept(service, user)
    if not found:
        raise DatabaseUnreachableError(
            f"The keyring has nothing under {service!r} for {user!r}.",
            f"keep the whole address there: keyring set {service} {user}.",
            service=service, user=user,
        )  # fmt: skip
    return str(found)
