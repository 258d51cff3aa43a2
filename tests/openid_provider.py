"""A small OpenID provider on loopback that signs real tokens, for tests of log-in by OpenID Connect."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey


@dataclass
class Identity:
    """What the provider says of whoever logs in, and how it misbehaves.

    Attributes:
        claims: over those that are right.
        key: signs; by default the one that is published.
        omit: claims that are left out.
    """

    claims: dict[str, Any] = field(default_factory=dict)
    key: Any = None
    omit: tuple[str, ...] = ()
    algorithm: str = "RS256"


class OpenIdProvider:
    """Answers the three requests of a log-in; whoever comes is logged in at once."""

    def __init__(self, issuer: str, client: str, secret: str) -> None:
        self.issuer, self.client, self.secret = issuer, client, secret
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, private=True)
        self.identity = Identity()
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser goes back to."""
        assert (query["response_type"], query["client_id"], query["code_challenge_method"]) == (
            "code", self.client, "S256",
        )  # fmt: skip
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """The signed statement for a code, which is good once."""
        given = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        asked = self.codes.pop(form.get("code", ""), None)
        proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if given != f"{self.client}:{self.secret}":
            return 401, {"error": "invalid_client"}
        if (
            asked is None
            or asked["code_challenge"] != proof.decode().rstrip("=")
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self.signed(asked["nonce"])}

    def signed(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer, "sub": "248289761001", "aud": self.client, "iat": now, "exp": now + 300,
            "nonce": nonce, "email": "Bo@Example.com", "email_verified": True,
        } | self.identity.claims  # fmt: skip
        kept = {name: value for name, value in claims.items() if name not in self.identity.omit}
        key = self.identity.key or self.key
        header = {"alg": self.identity.algorithm, "kid": "one"}
        return jwt.encode(header, kept, key, algorithms=[self.identity.algorithm])


@contextmanager
def provider(client: str, secret: str) -> Iterator[OpenIdProvider]:
    """A provider that listens on a free port of 127.0.0.1 until the end."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            found.asked.append(parts.path)
            if parts.path == "/authorize":
                self.send_response(302)
                self.send_header("Location", found.authorize(dict(parse_qsl(parts.query))))
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif parts.path == "/keys":
                self.say(200, {"keys": [found.key.as_dict(private=False)]})
            else:
                self.say(200, found.metadata())

        def do_POST(self) -> None:
            found.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.say(*found.token(dict(parse_qsl(body)), self.headers.get("Authorization", "")))

        def say(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    found = OpenIdProvider(f"http://127.0.0.1:{server.server_address[1]}", client, secret)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def another_key() -> RSAKey:
    """A key that the provider has never published."""
    return RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, private=True)


def curve_key() -> ECKey:
    """A key of another kind."""
    return ECKey.generate_key("P-256", {"kid": "one", "use": "sig"}, private=True)
