"""A workspace that is served somewhere, with the library's own verbs: ``propend.connect(url)``.

Answers are plain data as docs/rest.md says, tables are Arrow's, and errors are those that the library raises here.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow as pa

from propend.errors import (
    ProfileNotFoundError,
    ServerUnreachableError,
    TimeLimitError,
    error_of,
)

Plain = dict[str, Any]
ARROW = "application/vnd.apache.arrow.stream"
AT_ONCE = 5000
"""Profiles of one look-up; more are asked for in several."""
ATTEMPTS = 3
ENDED = ("succeeded", "failed", "cancelled", "interrupted")


log = logging.getLogger("propend.client")


class Client:
    """A served workspace; safe for threads. Use it in ``with``, or ``close`` it."""

    def __init__(self, url: str, token: str | None = None, seconds: float = 120.0) -> None:
        """Nothing is asked yet.

        Args:
            url: of the server, such as ``http://127.0.0.1:8080``.
            token: of the workspace; none where the server runs without access control.
            seconds: how long one answer may take.

        Raises:
            ServerUnreachableError: it is no address.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self._http = httpx.Client(base_url=url.rstrip("/") + "/api/v1", headers=headers, timeout=seconds)
        except (httpx.InvalidURL, TypeError, ValueError) as error:
            raise _unreachable(url, error) from None
        self.url = url

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- instances ----------------------------------------------------------------------------------------

    def instances(self) -> list[Plain]:
        """All instances, by id."""
        return list(self._pages("/instances"))

    def instance(self, instance_id: str) -> Plain:
        """One instance: document, status, version, the run that is served.

        Raises:
            InstanceNotFoundError: there is none of that id.
        """
        return self._plain("GET", _of(instance_id))

    def create(self, document: Plain) -> Plain:
        """A new instance with its first version.

        Raises:
            ConfigurationError: the document has mistakes.
        """
        return self._made("/instances", {"document": document})

    def create_draft(self, name: str, draft: Plain | None = None) -> Plain:
        """A new instance without a version; nothing runs it."""
        return self._made("/instances", {"name": name, "draft": draft or {}})

    def edit(self, instance_id: str, document: Plain, version: int) -> Plain:
        """A new version, in place of the one that was edited.

        Args:
            version: number of the version that was edited.

        Raises:
            ChangedMeanwhileError: there is a newer one.
            ConfigurationError: the document has mistakes.
        """
        return self._plain("PUT", _of(instance_id), {"document": document}, headers={"If-Match": f'"{version}"'})

    def save_draft(self, instance_id: str, draft: Plain | None) -> Plain:
        """Keep a document that is being worked on; None throws it away."""
        return self._plain("PUT", _of(instance_id, "draft"), {"draft": draft})

    def publish(self, instance_id: str) -> Plain:
        """Make the draft the newest version."""
        return self._plain("POST", _of(instance_id, "publish"))

    def clone(self, instance_id: str, name: str | None = None) -> Plain:
        """A draft with the document of an instance."""
        return self._made(_of(instance_id, "clone"), {"name": name})

    def enable(self, instance_id: str) -> Plain:
        """Let it be run."""
        return self._plain("POST", _of(instance_id, "enable"))

    def disable(self, instance_id: str) -> Plain:
        """Let it not be run any more; its last scores stay."""
        return self._plain("POST", _of(instance_id, "disable"))

    def delete(self, instance_id: str) -> None:
        """Remove an instance with its versions, runs and scores."""
        self._asked("DELETE", _of(instance_id))

    def versions(self, instance_id: str) -> list[Plain]:
        """All versions, the newest first."""
        return list(self._pages(_of(instance_id, "versions")))

    def differences(self, instance_id: str, before: int, after: int) -> list[Plain]:
        """What changed from one version to another, by place."""
        return list(self._pages(_of(instance_id, "differences"), before=before, after=after))

    def check(
        self, document: Plain | None = None, *, instance: str | None = None, as_of: date | str | None = None
    ) -> Plain:
        """What a document, or the newest version of an instance, means: as ``propend check --json``.

        Raises:
            PropendError: the document has mistakes, or its data cannot be read.
        """
        return self._plain("POST", "/check", _given(document=document, instance=instance, as_of=_day(as_of)))

    # --- runs -----------------------------------------------------------------------------------------------

    def run(
        self,
        instance_id: str,
        *,
        kind: str = "auto",
        as_of: date | str | None = None,
        full: bool = False,
        wait: bool = True,
        told: Callable[[Plain], None] | None = None,
    ) -> Plain:
        """Start a run and, unless told not to, wait for its end.

        Args:
            kind: ``auto``, ``train`` or ``score``.
            full: whether tables of databases are read as a whole, where only new rows are read else.
            told: hears of the run now and then.

        Raises:
            RunWaitingError: one of the instance waits already.
            PropendError: what the run failed with.
        """
        started = self._made(_of(instance_id, "runs"), _given(kind=kind, as_of=_day(as_of), full=full or None))
        return self.follow(started["id"], told=told) if wait else started

    def follow(
        self, run_id: str, *, told: Callable[[Plain], None] | None = None, seconds: float | None = None
    ) -> Plain:
        """A run when it has succeeded.

        Args:
            told: hears of the run now and then.
            seconds: how long is waited; as long as it takes by default.

        Raises:
            TimeLimitError: it has not ended by then; it goes on.
            PropendError: what it failed with.
        """
        limit, pause = None if seconds is None else time.monotonic() + seconds, 0.1
        while True:
            found = self.get_run(run_id)
            if told is not None:
                told(found)
            if found["state"] == "succeeded":
                return found
            if found["state"] in ENDED:
                raise error_of(found["error"])
            if limit is not None and time.monotonic() > limit:
                raise TimeLimitError(f"Run {run_id} has not ended after {seconds:g} seconds.", "it goes on.")
            time.sleep(pause)
            pause = min(pause * 1.5, 2.0)

    def get_run(self, run_id: str) -> Plain:
        """One run: its state, stage and progress."""
        return self._plain("GET", f"/runs/{_quoted(run_id)}")

    def runs(self, instance_id: str | None = None, state: str | None = None) -> Iterator[Plain]:
        """Runs, the newest first, page by page as they are taken."""
        return self._pages("/runs", **_given(instance=instance_id, state=state))

    def cancel(self, run_id: str) -> Plain:
        """Stop a run; nothing of it is kept.

        Raises:
            StatusError: it has ended already.
        """
        return self._plain("POST", f"/runs/{_quoted(run_id)}/cancel")

    def document(self, run_id: str, name: str) -> Plain:
        """A document of a run: ``evaluation``, ``insights`` or ``record``."""
        return self._plain("GET", f"/runs/{_quoted(run_id)}/{_quoted(name)}")

    def log(self, run_id: str) -> Plain:
        """What a run did, as far as it is: ``stages`` with their seconds, and the last ``lines`` of its log."""
        return self._plain("GET", f"/runs/{_quoted(run_id)}/log")

    def report(self, run_id: str) -> str:
        """The report of a run, as a page of HTML."""
        return self._asked("GET", f"/runs/{_quoted(run_id)}/report").text

    def comparison(self, run_id: str, since: str) -> Plain:
        """What moved from an earlier run to a later one."""
        return self._plain("GET", f"/runs/{_quoted(run_id)}/comparison", params={"since": since})

    def evaluation(self, instance_id: str) -> Plain:
        """The proof of the model whose scores are served."""
        return self._plain("GET", _of(instance_id, "evaluation"))

    def factors(self, instance_id: str) -> Plain:
        """What raises and lowers the scores that are served."""
        return self._plain("GET", _of(instance_id, "factors"))

    def realised(self, instance_id: str) -> Plain:
        """What came of the runs whose windows have passed.

        Raises:
            NoOutcomeKnownError: none has.
        """
        return self._plain("GET", _of(instance_id, "realised"))

    # --- scores ---------------------------------------------------------------------------------------------

    def scores(
        self,
        instance_id: str,
        *,
        bucket: str | None = None,
        min_probability: float | None = None,
        max_probability: float | None = None,
        factor: str | None = None,
        where: str | None = None,
    ) -> pa.Table:
        """The scores that are served, filtered, as an Arrow table.

        Args:
            where: a rule, as of a segment.

        Raises:
            ConfigurationError: the rule has mistakes.
            InstanceNotFoundError: there is no such instance, or it has no scores yet.
        """
        asked = _given(
            bucket=bucket, min_probability=min_probability, max_probability=max_probability, factor=factor, where=where
        )  # fmt: skip
        return self._table(_of(instance_id, "scores"), asked)

    def profile(self, profile_id: str) -> Plain:
        """One profile's served scores, by instance.

        ``unreadable`` names instances whose scores cannot be read, ``not_shown`` those whose scores enrich no profiles.

        Raises:
            ProfileNotFoundError: no instance serves a score of it.
        """
        if profile_id in (".", ".."):  # which addresses cannot end in
            answer = self._plain("POST", "/profiles/lookup", {"ids": [profile_id]})
            if not answer["items"]:
                raise ProfileNotFoundError(
                    "No instance serves a score of this profile.",
                    "it may not have been eligible at the last runs, or its id is written otherwise.",
                )
            return {**answer["items"][0], **{name: answer[name] for name in ("unreadable", "not_shown")}}
        return self._plain("GET", f"/profiles/{_quoted(profile_id)}")

    def profiles(self, ids: Sequence[str], instances: Sequence[str] | None = None) -> dict[str, Plain]:
        """Many profiles' served scores: by id, by instance; those that nobody scored are left out.

        Instances whose scores the server cannot read, or that enrich no profiles, are left out, too, and named in the
        log.
        """
        found: dict[str, Plain] = {}
        for begin in range(0, len(ids), AT_ONCE):
            asked = _given(ids=list(ids[begin : begin + AT_ONCE]), instances=instances and list(instances))
            answer = self._plain("POST", "/profiles/lookup", asked)
            found |= {item["profile_id"]: item["scores"] for item in answer["items"]}
            if answer["unreadable"]:
                log.warning("the server cannot read the scores of %s", ", ".join(answer["unreadable"]))
            if answer["not_shown"]:
                log.info("the scores of %s enrich no profiles", ", ".join(answer["not_shown"]))
        return found

    # --- segments ---------------------------------------------------------------------------------------------

    def segments(self, instance_id: str) -> list[Plain]:
        """The segments of an instance."""
        return list(self._pages(_of(instance_id, "segments")))

    def create_segment(self, instance_id: str, name: str, where: str) -> Plain:
        """Save a rule, such as ``bucket = 'high' and probability >= 0.4``.

        Raises:
            ConfigurationError: the rule has mistakes.
            StatusError: the name is taken.
        """
        return self._made(_of(instance_id, "segments"), {"name": name, "where": where})

    def segment(self, segment_id: int) -> Plain:
        """One segment, and how many profiles it has."""
        return self._plain("GET", f"/segments/{segment_id}")

    def change_segment(self, segment_id: int, name: str, where: str) -> Plain:
        """Give a segment another name or rule."""
        return self._plain("PUT", f"/segments/{segment_id}", {"name": name, "where": where})

    def delete_segment(self, segment_id: int) -> None:
        """Remove a segment."""
        self._asked("DELETE", f"/segments/{segment_id}")

    def members(self, segment_id: int) -> pa.Table:
        """The scores of a segment's profiles, as an Arrow table."""
        return self._table(f"/segments/{segment_id}/members", {})

    def changes(self, segment_id: int, change: str = "any") -> list[Plain]:
        """Who joined, stayed or left by the newest run, by id: ``profile_id`` and ``change``.

        Args:
            change: ``joined``, ``stayed``, ``left`` or ``any``.

        Raises:
            NotKeptError: no run has told yet.
        """
        return list(self._pages(f"/segments/{segment_id}/members", change=change))

    def history(self, segment_id: int) -> list[Plain]:
        """A segment run by run, the newest first: members, joined, left, and how many are expected to meet the goal."""
        return list(self._pages(f"/segments/{segment_id}/history"))

    # --- within -----------------------------------------------------------------------------------------------

    def _pages(self, path: str, **asked: Any) -> Iterator[Plain]:
        cursor: str | None = None
        while True:
            page = self._plain("GET", path, params=asked | _given(cursor=cursor))
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def _made(self, path: str, body: Plain) -> Plain:
        return self._plain("POST", path, body, headers={"Idempotency-Key": uuid.uuid4().hex})

    def _plain(self, method: str, path: str, body: Plain | None = None, **more: Any) -> Plain:
        found: Plain = self._asked(method, path, **({"json": body} if body is not None else {}), **more).json()
        return found

    def _table(self, path: str, asked: Plain) -> pa.Table:
        answer = self._asked("GET", path, params=asked, headers={"Accept": ARROW})
        return pa.ipc.open_stream(answer.content).read_all()

    def _asked(self, method: str, path: str, **more: Any) -> httpx.Response:
        """An answer that is no error; what may be repeated is, where the connection broke."""
        repeatable = method == "GET" or "Idempotency-Key" in more.get("headers", {})
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._http.request(method, path, **more)
                break
            except (httpx.InvalidURL, httpx.HTTPError) as error:
                if not repeatable or attempt == ATTEMPTS or not isinstance(error, httpx.TransportError):
                    raise _unreachable(self.url, error) from error
                time.sleep(0.2 * attempt)
        if answer.status_code < 300:
            return answer
        try:
            told = answer.json()["error"]
        except (ValueError, KeyError, TypeError):
            raise ServerUnreachableError(
                f"{self.url} answered {answer.status_code}, and not as propend does.", "see whether it is the address."
            ) from None
        raise error_of(told)


def connect(url: str, token: str | None = None) -> Client:
    """A workspace that is served at an address, with the library's own verbs.

    Args:
        url: such as ``http://127.0.0.1:8080``.
        token: of the workspace; none where the server runs without access control.

    Raises:
        ServerUnreachableError: it is no address.
    """
    return Client(url, token)


def _unreachable(url: str, error: Exception) -> ServerUnreachableError:
    return ServerUnreachableError(
        f"{url} cannot be reached: {type(error).__name__}.",
        "see whether `propend serve` runs there, and whether a proxy is between.",
    )


def _of(instance_id: str, what: str = "") -> str:
    return f"/instances/{_quoted(instance_id)}" + (f"/{what}" if what else "")


def _quoted(text: str) -> str:
    return quote(str(text), safe="")


def _given(**values: Any) -> Plain:
    return {name: value for name, value in values.items() if value is not None}


def _day(as_of: date | str | None) -> str | None:
    return as_of.isoformat() if isinstance(as_of, date) else as_of
