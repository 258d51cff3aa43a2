"""Scores in the shape of XDM: as facts of an Individual Profile, and as ExperienceEvents that make up a history.

``_TENANT.customerAI.INSTANCE`` has the attributes that the reference names (spec OUT-01, OUT-05): score, probability,
percentile, propensityType, scoreDate, influentialFactors of code, value and importance. What propend knows besides
stands beside them. The JSON schema of a form is written beside its files.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from propend.goal import Part

Plain = dict[str, Any]
Form = Literal["profile", "event"]
FORMS: dict[str, Form] = {"xdm-profile": "profile", "xdm-event": "event"}
"""By the kinds of destinations that have them."""
EVENT_TYPE = "propend.scored"
_IMPORTANCES = ["low", "medium", "high"]


class Naming(Part):
    """How the shape is named where it goes.

    Attributes:
        tenant: the organisation's name in XDM, without the underscore before it.
        namespace: of the identity that ``profile_id`` is, such as ``CRMID`` or ``ECID``.
        most_factors: how many factors go along for each profile, those that count most.
    """

    tenant: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,39}$")]
    namespace: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")] = "CRMID"
    most_factors: Annotated[int, Field(ge=0, le=20)] = 5


def key_of(instance: str) -> str:
    """An instance's id as a name of a field: letters, digits and underscores."""
    return re.sub(r"^(\d)", r"_\1", instance.replace("-", "_"))


def shaped(batch: pa.RecordBatch, form: Form, naming: Naming, instance: str) -> pa.RecordBatch:
    """Rows of scores as rows of XDM."""
    ids = batch.column("profile_id")
    scored = pc.strftime(pc.cast(batch.column("scored_at"), pa.timestamp("s", tz="UTC")), "%Y-%m-%dT%H:%M:%SZ")
    own = _struct({f"_{naming.tenant}": _struct({"customerAI": _struct({key_of(instance): _scores(batch, naming)})})})
    columns: dict[str, pa.Array] = {}
    if form == "event":
        run = batch.column("run_id")
        columns["_id"] = pc.binary_join_element_wise(run, ids, "-")
        columns["timestamp"] = scored
        columns["eventType"] = pa.repeat(pa.scalar(EVENT_TYPE), len(ids))
    columns["identityMap"] = _struct({naming.namespace: _identity(ids)})
    columns |= dict(zip((f.name for f in own.type), own.flatten(), strict=True))
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def schema_of(form: Form, naming: Naming, instance: str | None = None) -> Plain:
    """The JSON schema of a row of an instance; of any instance where none is named."""
    instant = {"type": "string", "format": "date-time"}
    factor = _object({"code": {"type": "string"}, "label": {"type": "string"}, "value": {"type": "string"},
                      "importance": {"type": "string", "enum": _IMPORTANCES}, "impact": {"type": "number"}},
                     ["code", "importance"])  # fmt: skip
    scores = _object(
        {
            "score": {"type": "number", "minimum": 0, "maximum": 100},
            "probability": {"type": "number", "minimum": 0, "maximum": 1},
            "percentile": {"type": "integer", "minimum": 1, "maximum": 100},
            "propensityType": {"type": "string", "enum": ["conversion", "churn"]},
            "bucket": {"type": "string", "enum": _IMPORTANCES},
            "scoreDate": instant,
            "expires": instant,
            "runId": {"type": "string"},
            "influentialFactors": {"type": "array", "maxItems": naming.most_factors, "items": factor},
        },
        ["score", "probability", "percentile", "propensityType", "scoreDate", "influentialFactors"],
    )
    identity = _object({"id": {"type": "string"}, "primary": {"type": "boolean"}}, ["id"])
    properties: Plain = {
        "identityMap": _object({naming.namespace: {"type": "array", "minItems": 1, "items": identity}}),
        f"_{naming.tenant}": _object({"customerAI": _of_instance(scores, instance)}),
    }
    if form == "event":
        first: Plain = {"_id": {"type": "string"}, "timestamp": instant, "eventType": {"const": EVENT_TYPE}}
        properties = first | properties
    title = "Customer AI Scores" if form == "profile" else "Customer AI Scores in EE Format"
    title += "" if instance is None else f" - {instance}"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **_object(properties)}


def _of_instance(scores: Plain, instance: str | None) -> Plain:
    """Scores under the name of their instance; under any name that an instance may have."""
    if instance is not None:
        return _object({key_of(instance): scores})
    return {"type": "object", "patternProperties": {"^[A-Za-z_][A-Za-z0-9_]*$": scores}, "minProperties": 1,
            "additionalProperties": False}  # fmt: skip


def ids_of(batch: pa.RecordBatch, namespace: str) -> pa.Array:
    """The ids of profiles of rows of XDM."""
    lists = pc.struct_field(batch.column("identityMap"), namespace)
    return pc.struct_field(pc.list_element(lists, 0), "id")


def _object(properties: Plain, required: list[str] | None = None) -> Plain:
    return {"type": "object", "properties": properties, "required": required or list(properties),
            "additionalProperties": False}  # fmt: skip


def _struct(fields: dict[str, pa.Array]) -> pa.StructArray:
    return pa.StructArray.from_arrays(list(fields.values()), names=list(fields))


def _identity(ids: pa.Array) -> pa.ListArray:
    entries = _struct({"id": ids, "primary": pa.repeat(pa.scalar(True), len(ids))})
    return pa.ListArray.from_arrays(pa.array(range(len(ids) + 1), pa.int32()), entries)


def _scores(batch: pa.RecordBatch, naming: Naming) -> pa.StructArray:
    def instant(name: str) -> pa.Array:
        return pc.strftime(pc.cast(batch.column(name), pa.timestamp("s", tz="UTC")), "%Y-%m-%dT%H:%M:%SZ")

    return _struct({
        "score": batch.column("score"), "probability": batch.column("probability"),
        "percentile": batch.column("percentile"), "propensityType": batch.column("propensity_type"),
        "bucket": batch.column("bucket"), "scoreDate": instant("scored_at"), "expires": instant("expires_at"),
        "runId": batch.column("run_id"), "influentialFactors": _factors(batch.column("factors"), naming.most_factors),
    })  # fmt: skip


def _factors(lists: pa.Array, most: int) -> pa.ListArray:
    """The factors that count most, whichever way, in the order of their impact."""
    flat, parents = pc.list_flatten(lists), pc.list_parent_indices(lists)
    names = ("code", "label", "value", "importance", "impact")
    table = pa.table({"parent": parents, **{name: pc.struct_field(flat, name) for name in names}})
    size = pc.abs(table.column("impact"))
    order = pc.sort_indices(table.append_column("size", size), [("parent", "ascending"), ("size", "descending")])
    ordered = table.take(order)
    counts = pc.cast(pc.fill_null(pc.list_value_length(lists), 0), pa.int32())
    starts = pc.subtract(pc.cumulative_sum(counts), counts)
    rank = pc.subtract(pa.array(range(ordered.num_rows), pa.int32()), starts.take(ordered.column("parent")))
    kept = ordered.filter(pc.less(rank, most)).combine_chunks()
    left = pc.min_element_wise(counts, pa.scalar(most, pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(left)])
    columns = {name: _whole(kept.column(name)) for name in names}
    return pa.ListArray.from_arrays(offsets, _struct(columns))


def _whole(column: Any) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
