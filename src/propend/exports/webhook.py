"""Scores to an address, in batches of JSON by POST: signed, each to be taken once, and resumed where a push broke off.

``X-Propend-Signature: sha256=`` has the HMAC of the time in ``X-Propend-Timestamp``, a full stop and the body. The last
message says how many there were, and the SHA-256 over the SHA-256s of all bodies before it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import random
import re
import secrets
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

import httpx
import pyarrow as pa
from pydantic import Field, field_validator

from propend.errors import DestinationRefusedError, PushFailedError
from propend.exports.delivery import Delivery, Options, Past, Place, Pushed, Rehearsed, secret_name, secret_of
from propend.exports.texts import as_json, rows_as_json
from propend.phrasing import count
from propend.store.erasure import Who

TRIES, FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 6, 0.5, 60.0
REHEARSAL_SECONDS = 10.0
"""For an answer while somebody looks on."""
AGAIN = (408, 425, 429, 500, 502, 503, 504)
Plain = dict[str, Any]


class WebhookOptions(Options):
    """An address that takes batches.

    Attributes:
        url: ``https://…``, or ``http://`` where a private network is called.
        secret: name of the secret that bodies are signed with.
        size: profiles in one batch.
        timeout_seconds: of one request.
    """

    how: ClassVar[frozenset[str]] = Options.how | {"secret", "size", "timeout_seconds"}

    url: Annotated[str, Field(pattern=r"^https?://[^\s@]{1,500}$")]
    secret: str
    size: Annotated[int, Field(ge=1, le=50_000)] = 1_000
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0

    @field_validator("secret")
    @classmethod
    def _only_named(cls, value: str) -> str:
        return secret_name(value)


class WebhookDestination:
    """Somebody who listens; what they keep is theirs, and is told what to take back."""

    kind: ClassVar[str] = "webhook"
    options: ClassVar[type[Options]] = WebhookOptions

    def __init__(self, options: Any, place: Place) -> None:
        self._options, self._private = options, place.private

    def push(self, delivery: Delivery, past: Past) -> Pushed:
        whole, rows, n = hashlib.sha256(), 0, 0
        done = self._taken(delivery, past.broken)
        with self._line() as line:
            for n, (body, profiles) in enumerate(self._bodies(delivery), 1):
                own = hashlib.sha256(body)
                whole.update(own.digest())
                rows += profiles
                if n > done:
                    line.send(body, f"{delivery.run_id}-{delivery.audience}-{n}-{own.hexdigest()[:12]}")
                    past.tell({"batches": n, "digest": whole.hexdigest()})
            facts = {"batches": n, "rows": rows, "digest": whole.hexdigest()}
            told = _message("completed", delivery.source, {"run_id": delivery.run_id, **facts})
            line.send(told, f"{delivery.run_id}-{delivery.audience}-completed")
        return Pushed(rows, facts=facts)

    def _taken(self, delivery: Delivery, broken: Plain) -> int:
        """How many batches were taken before the push broke off; none where they would not be the same again, since
        somebody was forgotten or the size is another."""
        taken, whole = int(broken.get("batches", 0)), hashlib.sha256()
        for body, _ in islice(self._bodies(delivery), taken):
            whole.update(hashlib.sha256(body).digest())
        return taken if whole.hexdigest() == broken.get("digest") else 0

    def rehearse(self, delivery: Delivery) -> Rehearsed:
        """One signed message without profiles is sent, once: what was sent cannot be taken back."""
        most = min(self._options.timeout_seconds, REHEARSAL_SECONDS)
        body, began = _message("rehearsal", delivery.source, {"run_id": delivery.run_id}), time.monotonic()
        with _Line(self._options.model_copy(update={"timeout_seconds": most}), self._private) as line:
            line.send(body, f"rehearsal-{secrets.token_hex(8)}", tries=1)
        took = 1000 * (time.monotonic() - began)
        host = urlsplit(self._options.url).hostname
        said = f"{host} took a signed message of the type rehearsal, without any profile, after {took:.0f} ms."
        batches = f"A push sends batches of {count(self._options.size)} profiles, and then how many there were."
        return Rehearsed((said, batches), body.decode())

    def retract(self, source: str, past: Past) -> Pushed:
        with self._line() as line:
            line.send(_message("retracted", source, {}), f"{source}-retracted-{int(time.time())}")
        return Pushed()

    def forget(self, who: Who, past: Past) -> int:
        raise DestinationRefusedError(
            f"What was sent to {urlsplit(self._options.url).hostname} is out of reach.",
            "ask those who keep it; the next push has the person no more.",
        )

    def _bodies(self, delivery: Delivery) -> Iterator[tuple[bytes, int]]:
        """Bodies in the order of the rows, with how many profiles each has."""
        instance, audience = (as_json(pa.array([t]))[0].as_py() for t in (delivery.instance, delivery.audience))
        head = f'{{"type":"scores","instance":{instance},"audience":{audience},"run_id":"{delivery.run_id}","scores":['
        waiting: list[str] = []
        for batch in delivery.parts():
            waiting += rows_as_json(batch).to_pylist()
            while len(waiting) >= self._options.size:
                some, waiting = waiting[: self._options.size], waiting[self._options.size :]
                yield (head + ",".join(some) + "]}").encode(), len(some)
        if waiting:
            yield (head + ",".join(waiting) + "]}").encode(), len(waiting)

    def _line(self) -> _Line:
        return _Line(self._options, self._private)


class _Line:
    """A connection to an address that was looked up once, so that it is the one that was allowed."""

    def __init__(self, options: Any, private: bool) -> None:
        self._options, self._key = options, secret_of(options.secret).encode()
        parts = urlsplit(options.url)
        self._host = parts.hostname or ""
        address = looked_up(self._host, parts.port or (443 if parts.scheme == "https" else 80), private)
        shown = f"[{address}]" if ":" in address else address
        self._url = httpx.URL(options.url).copy_with(host=shown.strip("[]"))
        self._headers = {"Host": parts.netloc.rpartition("@")[2], "Content-Type": "application/json"}

    def __enter__(self) -> _Line:
        self._client = httpx.Client(timeout=self._options.timeout_seconds, trust_env=False)
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()

    def send(self, body: bytes, key: str, tries: int = TRIES) -> None:
        """Send one body until it is taken.

        Raises:
            PushFailedError: it was not, after several tries or by an answer that another try would not change.
        """
        for attempt in range(tries):
            reason, wait = self._tried(body, key)
            if reason is None:
                return
            if wait is None or attempt == tries - 1:
                break
            usual = FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.5, 1.5)
            time.sleep(min(wait or usual, LONGEST_WAIT_SECONDS))
        raise PushFailedError(
            f"{self._host} did not take the scores: {reason}.",
            "what was taken so far is not sent again: another push goes on there."
            if tries > 1
            else "see to the address, the secret, and whoever listens there.",
        )

    def _tried(self, body: bytes, key: str) -> tuple[str | None, float | None]:
        """What went wrong, if anything did, and how long to wait: 0 where nobody says, None where it is of no use."""
        at = str(int(time.time()))
        signature = hmac.new(self._key, at.encode() + b"." + body, hashlib.sha256).hexdigest()
        headers = self._headers | {
            "Idempotency-Key": key, "X-Propend-Timestamp": at, "X-Propend-Signature": f"sha256={signature}",
        }  # fmt: skip
        try:
            answer = self._client.post(
                self._url, content=body, headers=headers, extensions={"sni_hostname": self._host}
            )  # fmt: skip
        except httpx.HTTPError as error:
            return type(error).__name__, 0.0
        if answer.is_success:
            return None, None
        wait = _asked_wait(answer.headers.get("retry-after", "")) if answer.status_code in AGAIN else None
        return f"HTTP {answer.status_code}", wait


def looked_up(host: str, port: int, private: bool) -> str:
    """The numeric address of a host that may be called.

    Raises:
        DestinationRefusedError: it is in a private network, and those may not be called.
        PushFailedError: there is no such host.
    """
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError:
        raise PushFailedError(f"There is no host {host!r:.200}.", "see to the address and to the network.") from None
    closed = [a for a in found if not ipaddress.ip_address(a.partition("%")[0]).is_global]
    if closed and not private:
        raise DestinationRefusedError(
            f"{host!r:.200} is within a private network.",
            "allow such addresses by exports.private_addresses in propend.toml, if that is meant.", host=host,
        )  # fmt: skip
    return found[0]


def _asked_wait(text: str) -> float:
    """Seconds of a ``Retry-After``; 0 where it says nothing."""
    if re.fullmatch(r"\d{1,6}", text.strip()):
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _message(kind: str, source: str, facts: Plain) -> bytes:
    instance, _, audience = source.partition("/")
    batch = pa.RecordBatch.from_pylist([{"type": kind, "instance": instance, "audience": audience, **facts}])
    return str(rows_as_json(batch)[0].as_py()).encode()
