"""A client in a process of its own that asks at a fixed rate, whether answers come or not.

Seconds are counted from when a question was due, so that a server that falls behind shows it. The client is the
standard library's, over connections that are kept: heavier ones take as much of the machine as the server does.

    python -m benchmarks.serving.load ADDRESS RATE SECONDS < ids > figures.json
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from urllib.parse import quote, urlsplit

import numpy as np

CONNECTIONS = 32
LIMIT_SECONDS = 30


def ask(address: str, rate: float, seconds: float, ids: list[str]) -> dict[str, float]:
    """Look up random profiles; latencies in milliseconds, and how many answers were not 200 or not of the profile."""
    waiting: queue.SimpleQueue[tuple[str, float] | None] = queue.SimpleQueue()
    took: list[float] = []
    errors: list[str] = []
    askers = [threading.Thread(target=_ask, args=(address, waiting, took, errors)) for _ in range(CONNECTIONS)]
    for asker in askers:
        asker.start()
    began = time.perf_counter()
    for place, which in enumerate(np.random.default_rng(1).choice(len(ids), int(rate * seconds))):
        due = began + place / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        waiting.put((ids[which], due))
    for _ in askers:
        waiting.put(None)
    for asker in askers:
        asker.join()
    whole = time.perf_counter() - began
    for error in errors[:5]:
        print(error, file=sys.stderr)
    p50, p95, p99 = (1e3 * float(x) for x in np.quantile(took, [0.5, 0.95, 0.99]))
    return {"asked": len(took), "errors": len(errors), "rate": len(took) / whole, "p50": p50, "p95": p95, "p99": p99}


def _ask(
    address: str, waiting: queue.SimpleQueue[tuple[str, float] | None], took: list[float], errors: list[str]
) -> None:
    connection = HTTPConnection(urlsplit(address).netloc, timeout=LIMIT_SECONDS)
    while (asked := waiting.get()) is not None:
        profile_id, due = asked
        try:
            connection.request("GET", f"/api/v1/profiles/{quote(profile_id, safe='')}")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200 or json.loads(body)["profile_id"] != profile_id:
                errors.append(f"{answer.status} {body[:200]!r}")
        except (OSError, HTTPException) as error:
            errors.append(repr(error))
            connection.close()
        took.append(time.perf_counter() - due)
    connection.close()


if __name__ == "__main__":
    given = [line.rstrip("\n") for line in sys.stdin]
    print(json.dumps(ask(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), given)))
