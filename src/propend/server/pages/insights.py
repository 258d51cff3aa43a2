"""The insights of one instance: its latest scores, how good they are, how they were made."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from propend.document import without_passwords, write_yaml
from propend.drill import factor_in_buckets
from propend.errors import InstanceNotFoundError
from propend.narrative import Given, compose, titled
from propend.report import language_of
from propend.retelling import english
from propend.server.pages.runs import mend_of
from propend.server.pages.served import given_of
from propend.server.pages.shell import Page, View
from propend.server.state import InstanceId
from propend.snapshots.plan import FAMILIES
from propend.store.catalog import InstanceRow, now
from propend.store.runs import read_features

router = APIRouter()
Plain = dict[str, Any]
Bucket = Annotated[str, Query(pattern="^(low|medium|high)$")]
Code = Annotated[str, Query(min_length=1, max_length=300)]
Number = Annotated[int | None, Query(ge=1, le=2_000_000_000)]
MANY_VERSIONS = 50


@router.get("/instances/{instance_id}")
def latest(instance_id: InstanceId, page: View) -> Response:
    """The scores that are served, in sum; before the first, what to do next."""
    return _of_scores(
        page, instance_id, "latest",
        lambda given: {
            "segment_of": lambda **rule: segment_address(instance_id, **rule),
            "is_over": datetime.fromisoformat(given.run["expires_at"]) <= now(),
        },
    )  # fmt: skip


@router.get("/instances/{instance_id}/factor")
def factor(instance_id: InstanceId, bucket: Bucket, code: Code, page: View) -> Response:
    """A part: one factor in a bucket and in all others; asked for when its line is opened."""
    given = given_of(page.space, page.scores.served(instance_id))
    found = factor_in_buckets(given, code)
    if found is None or bucket not in (b["bucket"] for b in found["buckets"]):
        raise InstanceNotFoundError("This factor is not among the strongest any more.", "load the page again.")
    return page.html(
        "factor_part.html.j2", factor=found, here=bucket, given=given,
        segment=_segment_of(page, instance_id, bucket=bucket, **_effect(found, bucket)),
    )  # fmt: skip


@router.get("/instances/{instance_id}/evaluation")
def evaluation(instance_id: InstanceId, page: View) -> Response:
    """How good the scores are, by a test on the past, beside simple rules."""
    return _of_scores(page, instance_id, "evaluation")


def _of_scores(
    page: Page, instance_id: str, tab: str, more: Callable[[Given], Plain] = lambda _given: {}
) -> Response:  # fmt: skip
    """A page that is about the scores that are served; what to do next, where there are none yet."""
    instance = page.space.instances.get(instance_id)
    told: Plain = {"instance": instance, "tab": tab, "trouble_mend": _mend(page, instance)}
    run = page.space.runs.serving(instance_id)
    if run is None:
        return page.html("not_yet.html.j2", **told)
    given = given_of(page.space, run)
    return page.html(f"{tab}.html.j2", run=run, given=given, report=compose(given), **told, **more(given))


@router.get("/instances/{instance_id}/model")
def model(instance_id: InstanceId, page: View, before: Number = None, after: Number = None) -> Response:
    """How the scores were made: question, data, time, features, model, limits; and the versions of the instance."""
    space, instance = page.space, page.space.instances.get(instance_id)
    versions = space.instances.versions(instance_id)
    differences = None
    if before is not None and after is not None:
        differences = [
            {"place": d.place, "before": _written(d.before), "after": _written(d.after)}
            for d in space.instances.differences(instance_id, before, after)
        ]
    run = space.runs.serving(instance_id)
    given = given_of(space, run) if run is not None else None
    return page.html(
        "model.html.j2", instance=instance, tab="model", given=given, versions=versions[:MANY_VERSIONS],
        report=compose(given) if given is not None else None, differences=differences, before=before, after=after,
        document=write_yaml(without_passwords(versions[0].document)) if versions else "",
        families=_families(space.runs.folder(run) / "model", language_of(given.run)) if given and run else [],
        learnt=space.runs.get(run.model_run) if run is not None and run.model_run else None,
    )  # fmt: skip


def _written(value: Any) -> str:
    """A part of a document as it could stand there; a dash where there is nothing."""
    return "–" if value is None else json.dumps(without_passwords(value), ensure_ascii=False)


def _families(folder: Path, language: str) -> list[Plain]:
    """The families of features that a model has, the largest first; told in a language, and shown in English."""
    found: dict[str, list[str]] = {}
    for feature in read_features(folder).values():
        found.setdefault(feature.family, []).append(feature.sentence)
    labels = {name: str(FAMILIES[name].__doc__).splitlines()[0] if name in FAMILIES else titled(name) for name in found}
    told = [{"label": labels[name], "n": len(s), "example": english(s[0], language)} for name, s in found.items()]
    return sorted(told, key=lambda family: -family["n"])


def _segment_of(page: Page, instance_id: str, **rule: str) -> str:
    """The same as ``segment_address``; empty where no segments are made of the scores."""
    return "" if instance_id in page.scores.held_back else segment_address(instance_id, **rule)


def segment_address(instance_id: str, **rule: str) -> str:
    """Where a segment with such a rule is begun; each key is a column of the scores, or what rules say of factors."""
    where = " and ".join(f"{key} = '" + value.replace("'", "''") + "'" for key, value in rule.items())
    return "/segments/new?" + urlencode({"instance": instance_id, "where": where})


def _effect(found: Plain, bucket: str) -> dict[str, str]:
    """Those whose score the factor moves as it does in this bucket on the whole."""
    direction = next(b["direction"] for b in found["buckets"] if b["bucket"] == bucket)
    return {"raised_by" if direction == "raises" else "lowered_by": found["code"]}


def _mend(page: Page, instance: InstanceRow) -> tuple[str, str] | None:
    """What would mend the newest run, where it did not succeed."""
    newest = next(iter(page.space.runs.history(instance.id, limit=1)), None)
    return mend_of(newest) if newest is not None else None
