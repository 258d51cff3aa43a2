"""What the keyring of the account keeps."""

from __future__ import annotations

import keyring
from keyring.errors import KeyringError

from propend.errors import DatabaseUnreachableError


def kept(service: str, user: str) -> str | None:
    """What is kept under a service for a user; None where there is nothing.

    Raises:
        DatabaseUnreachableError: there is no keyring, or it is locked.
    """
    try:
        return keyring.get_password(service, user)
    except KeyringError as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise DatabaseUnreachableError(
            f"The keyring cannot be read: {said:.200}",
            "on a server there is often none: keep the address in a variable, as database: env:NAME.",
        ) from None
