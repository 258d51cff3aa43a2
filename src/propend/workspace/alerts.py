"""Telling somebody when something needs them: a JSON document by POST to the address in ``propend.toml``.

A run that failed or was interrupted, inputs or scores that drifted, outcomes that were not as expected, scores that
could not be pushed. Documents name instance and run, never a profile. With ``PROPEND_WEBHOOK_SECRET`` each is signed,
so that the other side can tell that it comes from here: ``X-Propend-Signature: sha256=`` and the HMAC of the body.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import time
from typing import Any

import httpx

from propend.store.catalog import RunRow, now
from propend.workspace.retraining import DRIFTED
from propend.workspace.settings import host_alone

SECRET_VARIABLE = "PROPEND_WEBHOOK_SECRET"
TRIES, WAIT_SECONDS, TIMEOUT_SECONDS = 3, 1.0, 10.0
KINDS = ("run_failed", "run_interrupted", "drift", "not_as_expected", "push_failed")
Plain = dict[str, Any]
log = logging.getLogger("propend.alerts")


class Alerts:
    """Sends alerts, where an address is set."""

    def __init__(self, address: str | None) -> None:
        """``address``: of the webhook; nothing is sent without."""
        self._address = address

    def of_run(self, run: RunRow) -> list[str]:
        """Tell what a run that has ended gives reason to; gives the kinds that were told."""
        told = []
        if run.state in ("failed", "interrupted"):
            kind = f"run_{run.state}"
            told.append(kind)
            self.tell(kind, run, {"error": run.error})
        drifted = sorted(set((run.summary or {}).get("warnings", [])) & set(DRIFTED))
        if drifted:
            told.append("drift")
            self.tell("drift", run, {"warnings": drifted})
        return told

    def of_outcome(self, run: RunRow, realised: Plain) -> bool:
        """Tell if what came of a run was not as expected."""
        unexpected = (
            realised["level"] not in ("as expected", "not known") or realised["ranking"] == "worse than promised"
        )
        if unexpected:
            self.tell("not_as_expected", run, {"realised": realised})
        return unexpected

    def tell(self, kind: str, run: RunRow, more: Plain) -> bool:
        """Send one alert, a few times if need be; False where it did not arrive, which is logged."""
        if self._address is None:
            return False
        document = {
            "kind": kind,
            "instance": run.instance_id,
            "run": run.id,
            "state": run.state,
            "at": now().isoformat(),
        }
        body = json.dumps(document | more, ensure_ascii=False, default=str).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"{run.id}-{kind}"}
        secret = os.environ.get(SECRET_VARIABLE)
        if secret:
            headers["X-Propend-Signature"] = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
        for attempt in range(TRIES):
            if attempt:
                time.sleep(WAIT_SECONDS * 2**attempt)
            try:
                answer = httpx.post(self._address, content=body, headers=headers, timeout=TIMEOUT_SECONDS)
                if answer.is_success:
                    return True
                reason = f"HTTP {answer.status_code}"
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                reason = type(error).__name__
        log.error("alert %s of run %s did not arrive at %s: %s", kind, run.id, host_alone(self._address), reason)
        return False
