"""A client in a process of its own that asks at a fixed rate, whether answers come or not.

Seconds are counted from when a question was due, so that a server that falls behind shows it.

    python -m benchmarks.serving.load ADDRESS RATE SECONDS < ids > figures.json
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import quote

import httpx
import numpy as np


async def ask(address: str, rate: float, seconds: float, ids: list[str]) -> dict[str, float]:
    """Look up random profiles; latencies in milliseconds, and how many answers were not 200."""
    chosen = np.random.default_rng(1).choice(len(ids), int(rate * seconds))
    took, errors = [], 0
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)

    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=30) as client:

        async def one(profile_id: str, due: float) -> None:
            nonlocal errors
            try:
                answer = await client.get(f"/api/v1/profiles/{quote(profile_id, safe='')}")
                errors += answer.status_code != 200
            except httpx.HTTPError:
                errors += 1
            took.append(time.perf_counter() - due)

        await client.get("/healthz")
        began = time.perf_counter()
        tasks = []
        for place, which in enumerate(chosen):
            due = began + place / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(ids[which], due)))
        await asyncio.gather(*tasks)
        whole = time.perf_counter() - began
    p50, p95, p99 = (1e3 * float(x) for x in np.quantile(took, [0.5, 0.95, 0.99]))
    return {"asked": len(took), "errors": errors, "rate": len(took) / whole, "p50": p50, "p95": p95, "p99": p99}


if __name__ == "__main__":
    given = [line.rstrip("\n") for line in sys.stdin]
    print(json.dumps(asyncio.run(ask(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), given))))
