"""Log-in by OpenID Connect: the code flow with PKCE, state and nonce; tokens are checked by the provider's keys.

Nothing is kept here between the two requests of a log-in. The browser keeps one secret in a cookie; state, nonce and
PKCE's verifier are made from it, so that an answer is taken only from the browser that asked.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
import time
from dataclasses import dataclass
from typing import Any

import httpx
from authlib.oauth2 import OAuth2Client, OAuth2Error
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from propend.errors import ConfigurationError, Mistake, NotAllowedError, NotLoggedInError, ProviderFailedError
from propend.workspace.sessions import Role
from propend.workspace.settings import OidcSettings

SECRET_VARIABLE = "PROPEND_OIDC_CLIENT_SECRET"
SECONDS = 10.0
KEPT_SECONDS = 3600.0
"""How long what the provider says of itself is believed; its keys are read again as soon as one is unknown."""
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""By key pairs only: what is signed with a shared secret, or not at all, is not taken."""
LEEWAY_SECONDS = 60


@dataclass(frozen=True)
class Person:
    """Whom a provider vouches for: who they are to it, and their e-mail address."""

    subject: str
    email: str


def provider_of(settings: OidcSettings) -> Provider:
    """The provider of a workspace's settings, with the client's secret from the environment.

    Raises:
        ConfigurationError: the variable is empty.
    """
    secret = os.environ.get(SECRET_VARIABLE, "")
    if not secret:
        raise ConfigurationError(
            [Mistake("access.oidc", f"needs the client's secret in the environment variable {SECRET_VARIABLE}")],
            "propend.toml",
        )
    return Provider(settings, secret)


class Provider:
    """An OpenID provider; safe for threads."""

    def __init__(self, settings: OidcSettings, client_secret: str) -> None:
        """Nothing is read before the first log-in."""
        self._settings, self._secret = settings, client_secret
        self._read: dict[str, tuple[float, dict[str, Any]]] = {}
        self._reading = threading.Lock()
        self.newcomers: Role | None = None if settings.newcomers == "none" else settings.newcomers

    def address(self, secret: str, back: str) -> str:
        """Where the browser is sent to log in.

        Args:
            secret: that the browser keeps.
            back: where the provider sends it afterwards.

        Raises:
            ProviderFailedError: the provider cannot be reached, or does not say what it must.
        """
        metadata = self._metadata()
        with httpx.Client(timeout=SECONDS) as http:
            address, _ = self._client(http, back).create_authorization_url(
                metadata["authorization_endpoint"], state=_made(secret, "state"), nonce=_made(secret, "nonce"),
                code_verifier=_made(secret, "verifier"),
            )  # fmt: skip
        return str(address)

    def person(self, secret: str, back: str, code: str, state: str) -> Person:
        """Who has logged in, by what the provider sent the browser back with.

        Raises:
            NotLoggedInError: the answer belongs to another log-in, or the provider's token is not right.
            NotAllowedError: their e-mail address is not verified, or of a domain that may not come.
            ProviderFailedError: the provider cannot be reached, or does not answer as it should.
        """
        if not secret or not hmac.compare_digest(_made(secret, "state").encode(), state.encode()):
            raise NotLoggedInError(
                "This answer of the provider belongs to another log-in, or one begun too long ago.", "log in again."
            )
        claims = self._claims(self._token(back, code, secret), _made(secret, "nonce"))
        email = str(claims.get("email") or "").strip().casefold()
        if not email or claims.get("email_verified") is not True:
            raise NotAllowedError(
                "The provider sends no e-mail address that it has verified.",
                "have it send `email` and `email_verified` for this client.",
            )
        domains = {domain.casefold().removeprefix("@") for domain in self._settings.domains}
        if domains and email.rpartition("@")[2] not in domains:
            raise NotAllowedError(f"{email!r} is of a domain that may not come.", "log in with another address.")
        return Person(f"{claims['iss']} {claims['sub']}"[:400], email)

    def _client(self, http: httpx.Client, back: str) -> OAuth2Client:
        return OAuth2Client(
            http, client_id=self._settings.client_id, client_secret=self._secret, scope="openid email",
            redirect_uri=back, code_challenge_method="S256",
        )  # fmt: skip

    def _token(self, back: str, code: str, secret: str) -> str:
        """The signed statement about who has logged in, for the code that the browser brought."""
        endpoint = self._metadata()["token_endpoint"]
        try:
            with httpx.Client(timeout=SECONDS) as http:
                found = self._client(http, back).fetch_token(
                    endpoint, code=code, code_verifier=_made(secret, "verifier"), grant_type="authorization_code",
                    redirect_uri=back, auth=(self._settings.client_id, self._secret),
                )  # fmt: skip
        except OAuth2Error as error:
            raise NotLoggedInError(f"The provider does not take the code: {error.error}.", "log in again.") from None
        except (httpx.HTTPError, ValueError) as error:
            raise self._failed(type(error).__name__) from error
        token = found.get("id_token")
        if not isinstance(token, str):
            raise self._failed("it sent no id_token")
        return token

    def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        rules = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.client_id},
            sub={"essential": True}, exp={"essential": True}, iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )  # fmt: skip
        try:
            claims = self._decoded(token)
            rules.validate(claims)
        except (JoseError, ValueError) as error:
            raise NotLoggedInError(
                f"The provider's token is not right: {type(error).__name__}.",
                "log in again; if it happens again, look at issuer, client and clocks.",
            ) from None
        if claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise NotLoggedInError("The provider's token is for another client.", "look at `client_id`.")
        return claims

    def _decoded(self, token: str) -> dict[str, Any]:
        """What the token says, by the provider's keys; they are read again where none of those known fits."""
        address = self._metadata()["jwks_uri"]
        try:
            found = jwt.decode(token, KeySet.import_key_set(self._document(address)), algorithms=ALGORITHMS)  # type: ignore[arg-type]
        except (JoseError, ValueError):
            keys = self._document(address, anew=True)
            found = jwt.decode(token, KeySet.import_key_set(keys), algorithms=ALGORITHMS)  # type: ignore[arg-type]
        return dict(found.claims)

    def _metadata(self) -> dict[str, Any]:
        found = self._document(self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self._settings.issuer:
            raise self._failed("it calls itself by another name")
        if missing := {"authorization_endpoint", "token_endpoint", "jwks_uri"} - found.keys():
            raise self._failed(f"it names no {min(missing)}")
        return found

    def _document(self, address: str, anew: bool = False) -> dict[str, Any]:
        with self._reading:
            read_at, document = self._read.get(address, (0.0, {}))
            if document and not anew and time.monotonic() - read_at < KEPT_SECONDS:
                return document
            try:
                answer = httpx.get(address, timeout=SECONDS).raise_for_status()
                document = answer.json()
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                raise self._failed(type(error).__name__) from error
            if not isinstance(document, dict):
                raise self._failed("its answer is no object")
            self._read[address] = (time.monotonic(), document)
            return document

    def _failed(self, why: str) -> ProviderFailedError:
        return ProviderFailedError(
            f"The OpenID provider {self._settings.issuer!r} does not answer as it should: {why}.",
            "look whether it can be reached from here, and at `[access.oidc]` in propend.toml.",
        )


def _made(secret: str, purpose: str) -> str:
    """One of the values of a log-in: 64 letters, from which neither the secret nor the others can be found."""
    return hmac.new(secret.encode(), f"propend oidc {purpose}".encode(), hashlib.sha256).hexdigest()
