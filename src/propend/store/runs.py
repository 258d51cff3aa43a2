"""Runs and models as files: the only module that knows paths.

A run is written into a folder beside its destination and becomes visible by one rename, so that killed
at any instant it leaves nothing half-visible. Models are JSON and plain arrays; nothing in them is code.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb

from propend.errors import InstanceNotFoundError, OutputExistsError, PropendError, WriteFailedError, free_near
from propend.instance import Instance
from propend.model.calibrate import Calibration
from propend.model.certainty import Certainty
from propend.model.checks import Reference
from propend.model.encodings import Encoding
from propend.model.horizons import Horizons
from propend.model.members import Logistic, Scaling
from propend.model.train import Model
from propend.snapshots.plan import Channel, Factor, Feature, Op, Plan
from propend.store.seals import digest_of, sealed, unsealed
from propend.store.trees import booster_of
from propend.writing import begun_folder, flush, flush_folder, swap

MODEL_FORMAT = 2
DAMAGE = (
    *(KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError, RecursionError),
    *(OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error),
)
"""What reading a damaged file may come to."""
LINEAR_ARRAYS = ("columns", "coefficients", "center")
WORK_FOLDER = ".propend"
MOST_DOCUMENT_BYTES, MOST_ARRAY_BYTES = 500_000_000, 2_000_000_000
"""Of one document, and of all arrays of a model when they are unpacked; far above any that is written."""
GROUP_ROWS = 2_048
"""Rows of scores that are decoded to find one of them (decision 0025)."""
TEXT_ROWS = 64 * GROUP_ROWS
"""Rows whose codes are texts at a time."""


def write_json(path: Path, document: dict[str, Any], name: str = "") -> None:
    """A document as strict JSON, with its seal; a number that is not finite becomes null.

    Args:
        name: of the file that it will be read from, if it is to be another's.
    """
    text = json.dumps(sealed(plain(document), name or path.name), ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """A document that ``write_json`` wrote, without its seal.

    Raises:
        InstanceNotFoundError: there is no such file, it is not JSON, is too large, or not what it was when written.
    """
    return _read(path, lambda found: unsealed(found, path.name))


def read_unsealed(path: Path) -> dict[str, Any]:
    """A document that has no seal.

    Raises:
        InstanceNotFoundError: there is no such file, it is not JSON, is too large, or no mapping.
    """
    return _read(path, dict)


def _read(path: Path, told: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_DOCUMENT_BYTES:
            raise ValueError(f"it has more than {MOST_DOCUMENT_BYTES:,} bytes")
        return told(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InstanceNotFoundError(
            f"{path.name} in {path.parent.name!r} cannot be read: {str(error)[:300]}.",
            "run the instance again: `propend run INSTANCE --out DIR`.",
            path=str(path),
        ) from None


def plain(value: Any) -> Any:
    """A document of plain Python values; a number that is not finite becomes None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# --- the folder of a run ----------------------------------------------------------------------------------


def runs_folder(instance: Instance, document: Path | None) -> Path:
    """Where runs of an instance are kept when no folder is named: beside its document."""
    home = document.parent if document else Path.cwd()
    return home / WORK_FOLDER / "runs" / instance.slug


@contextmanager
def new_run(destination: Path) -> Iterator[Path]:
    """A folder to write a run into; on success it replaces ``destination`` by one rename.

    An earlier run at ``destination`` stays readable until then and is removed after. On any error the
    new folder is removed and ``destination`` is untouched.

    Raises:
        OutputExistsError: ``destination`` holds something that is not a run.
        WriteFailedError: the disk is full or the folder cannot be written.
    """
    destination = destination.absolute()
    if destination.is_symlink():  # the run goes to where the link leads, and the link stays
        destination = destination.resolve()
    missing = [p for p in destination.parents if not os.path.exists(p)]  # noqa: PTH110  false where it may not be asked
    try:
        _refuse_foreign(destination)
        destination.parent.mkdir(parents=True, exist_ok=True)
        with begun_folder(destination) as fresh:
            fresh.chmod(0o755)
            yield fresh
            flush(fresh)
            swap(fresh, destination)
            flush_folder(destination.parent)
    except (OSError, pa.ArrowException) as error:
        raise _write_failed(destination, error) from error
    finally:
        _remove_empty(missing)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Take back folders made on the way to one that was not written after all, innermost first."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:  # never made, or holds something
            return


def _refuse_foreign(destination: Path) -> None:
    if not destination.exists():
        return
    if not destination.is_dir():
        raise OutputExistsError(
            f"{destination.name!r} is a file; a folder is needed for the run.", "name another --out folder."
        )
    names = sorted(p.name for p in destination.iterdir())
    if names and "run.json" not in names:
        shown = ", ".join(names[:3])
        raise OutputExistsError(
            f"The folder {destination.name!r} exists and holds {len(names)} things that are not a run ({shown}).",
            "name a new or empty --out folder; an earlier run's folder is replaced.",
            path=str(destination), found=names[:20],
        )  # fmt: skip


def _write_failed(destination: Path, error: BaseException) -> WriteFailedError:
    reason = getattr(error, "strerror", None) or str(error)
    free = free_near(str(destination))
    return WriteFailedError(
        f"The run could not be written to {destination.name!r}: {reason}; {free / 1e6:,.0f} MB are free there.",
        "free some space or name another --out folder; nothing half-written was left.",
        path=str(destination), free_bytes=free,
    )  # fmt: skip


def write_table(path: Path, table: pa.Table, group_rows: int | None = None) -> None:
    """Scores or contributions as Parquet, flushed to disk.

    Numbers hardly repeat, so that looking for repetitions costs time and room. Bounds of groups of rows are kept of the
    first column alone, which tables are sorted by: of others they would exclude nothing. In small groups of rows codes
    are written as the texts that they stand for: each group would else hold all words, and readers would join them.

    Args:
        group_rows: rows that are decoded together; very many where None.
    """
    schema = table.schema if group_rows is None else _with_texts(table.schema)
    rows = TEXT_ROWS if schema.types != table.schema.types else max(table.num_rows, 1)  # texts take more room
    with pq.ParquetWriter(path, schema, **table_options(schema)) as writer:
        for place in range(0, max(table.num_rows, 1), rows):
            writer.write_table(table.slice(place, rows).cast(schema), row_group_size=group_rows)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _with_texts(schema: pa.Schema) -> pa.Schema:
    """The same columns, without codes."""
    kinds = [f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in schema]
    return pa.schema([f.with_type(kind) for f, kind in zip(schema, kinds, strict=True)], schema.metadata)


def table_options(schema: pa.Schema) -> dict[str, Any]:
    """How tables of scores and contributions are written (``write_table``)."""
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    repeating = [name for name, kind in leaves if not pa.types.is_floating(kind)]
    return {"compression": "zstd", "use_dictionary": repeating, "write_statistics": schema.names[:1]}


def _leaves(name: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """The columns that Parquet makes of one, by their paths."""
    if pa.types.is_list(kind):
        yield from _leaves(f"{name}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{name}.{field.name}", field.type)
    else:
        yield name, kind


def read_contributions(folder: Path, profile_ids: Sequence[str] | None = None) -> pa.Table:
    """Every factor's impact and value, of all profiles of a run or of some.

    Raises:
        InstanceNotFoundError: the folder holds none, or they are damaged.
    """
    wanted = [("profile_id", "in", list(profile_ids))] if profile_ids is not None else None
    return _read_table(folder, "contributions", wanted, None)


def read_scores(folder: Path, profile_id: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """The scores of a run, or of one profile in it; all columns, or some.

    Raises:
        InstanceNotFoundError: the folder holds no scores, or they are damaged.
    """
    wanted = [("profile_id", "==", profile_id)] if profile_id is not None else None
    return _read_table(folder, "scores", wanted, columns)


def _read_table(
    folder: Path, what: str, wanted: list[tuple[str, str, Any]] | None, columns: Sequence[str] | None
) -> pa.Table:
    path = folder / f"{what}.parquet"
    if not path.exists():
        raise InstanceNotFoundError(
            f"There are no {what} in {folder.name!r}.", "`propend run INSTANCE --out DIR` makes some."
        )
    try:
        found = pq.read_table(path, filters=wanted, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise InstanceNotFoundError(
            f"The {what} in {folder.name!r} cannot be read: {(str(error).splitlines() or [''])[0]:.200}.",
            "run the instance again, or restore the file.",
            path=str(path),
        ) from None
    # a cluster leaves a folder of parts, each sorted
    return found.sort_by("profile_id") if path.is_dir() and "profile_id" in found.column_names else found


@dataclass(frozen=True)
class RunEntry:
    """A finished run found on disk."""

    folder: Path
    document: dict[str, Any]


def list_runs(home: Path) -> list[RunEntry]:
    """Finished runs under a folder's ``.propend`` and in its direct sub-folders, newest first."""
    places = [
        *home.glob(f"{WORK_FOLDER}/runs/*/*/run.json"),
        *home.glob("*/run.json"),
        *home.glob("run.json"),
    ]
    found = [RunEntry(p.parent, read_json(p)) for p in places if not p.parent.name.endswith(".tmp")]
    return sorted(found, key=lambda r: str(r.document.get("started_at", "")), reverse=True)


def latest_run(home: Path) -> RunEntry:
    """The newest finished run in or under a folder.

    Raises:
        InstanceNotFoundError: there is none.
    """
    runs = list_runs(home)
    if not runs:
        raise InstanceNotFoundError(
            f"There is no finished run in {str(home)!r}.", "`propend run INSTANCE --out DIR` makes one."
        )
    return runs[0]


# --- the model --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SavedModel:
    """Everything scoring needs, without the training data.

    Attributes:
        instance: the version it was trained for.
        plan: its features.
        model: fitted on all matured snapshots.
        proof_model: the one the evaluation speaks of.
        certainty: how sure the probabilities are.
        number_fields, text_fields: of the event request it was trained with.
        reference: distributions at the proof's cutoff.
        evaluation: the proof.
        facts: timeline, level history, counts and notices of the training, as plain data.
        horizons, proof_horizons: the curve over horizons beside each model, where one was asked for.
        background: float32[B, F], snapshots to explain against, where contributions are interventional.
    """

    instance: Instance
    plan: Plan
    model: Model
    proof_model: Model
    certainty: Certainty
    number_fields: tuple[str, ...]
    text_fields: tuple[str, ...]
    reference: Reference
    evaluation: dict[str, Any]
    facts: dict[str, Any]
    horizons: Horizons | None = None
    proof_horizons: Horizons | None = None
    background: np.ndarray | None = None


def save_model(folder: Path, saved: SavedModel) -> None:
    """Write a model as ``model.json``, ``arrays.npz`` and one JSON file per ensemble."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    document = {
        "format": MODEL_FORMAT,
        "instance": saved.instance.document(),
        "plan": _plan_document(saved.plan),
        "model": _model_document("model", saved.model, folder, arrays),
        "proof_model": _model_document("proof", saved.proof_model, folder, arrays),
        "certainty": asdict(saved.certainty),
        "number_fields": list(saved.number_fields),
        "text_fields": list(saved.text_fields),
        "evaluation": saved.evaluation,
        "facts": saved.facts,
        "horizons": _horizons_document("horizons", saved.horizons, arrays),
        "proof_horizons": _horizons_document("proof_horizons", saved.proof_horizons, arrays),
    }
    arrays |= {f"reference_{k}": v for k, v in saved.reference.__dict__.items()}
    if saved.background is not None:
        arrays["background"] = saved.background
    np.savez_compressed(folder / "arrays.npz", **arrays)  # type: ignore[arg-type]
    document["files"] = {name: digest_of(folder / name) for name in _files_of(document)}
    write_json(folder / "model.json", document)


def load_model(folder: Path) -> SavedModel:
    """Read a model written by ``save_model``.

    Raises:
        InstanceNotFoundError: files are missing, damaged or of another format.
    """
    document = read_json(folder / "model.json")
    if document.get("format") != MODEL_FORMAT:
        raise _damaged(folder, f"format {MODEL_FORMAT} is read")
    try:
        _check_files(folder, document)
        arrays = _read_arrays(folder / "arrays.npz")
        return SavedModel(
            instance=Instance.load(document["instance"]),
            plan=_read_plan(document["plan"]),
            model=_read_model("model", document["model"], folder, arrays),
            proof_model=_read_model("proof", document["proof_model"], folder, arrays),
            certainty=Certainty(**(document["certainty"] | {"line": tuple(document["certainty"]["line"])})),
            number_fields=tuple(document["number_fields"]),
            text_fields=tuple(document["text_fields"]),
            reference=Reference(
                **{k.removeprefix("reference_"): v for k, v in arrays.items() if k.startswith("reference_")}
            ),
            evaluation=document["evaluation"],
            facts=document["facts"],
            horizons=_read_horizons("horizons", document["horizons"], arrays),
            proof_horizons=_read_horizons("proof_horizons", document["proof_horizons"], arrays),
            background=arrays.get("background"),
        )
    except PropendError as error:
        raise _damaged(folder, error.message) from error
    except (*DAMAGE, xgb.core.XGBoostError, MemoryError) as error:
        raise _damaged(folder, str(error) or type(error).__name__) from error


def _files_of(document: dict[str, Any]) -> list[str]:
    """Names of the files beside ``model.json``."""
    ensembles = ((name, document[key]["ensembles"]) for name, key in (("model", "model"), ("proof", "proof_model")))
    return ["arrays.npz", *(f"{name}-trees-{i}.json" for name, count in ensembles for i in range(int(count)))]


def _check_files(folder: Path, document: dict[str, Any]) -> None:
    """Each file is what it was when the model was saved."""
    kept: dict[str, str] = document["files"]
    for name in _files_of(document):
        if digest_of(folder / name) != kept[name]:
            raise ValueError(f"{name} was changed after it had been written")


def _read_arrays(path: Path) -> dict[str, Any]:
    """All arrays of a file, of bounded size; what would have to be made by code is not read."""
    with zipfile.ZipFile(path) as packed:
        if sum(part.file_size for part in packed.infolist()) > MOST_ARRAY_BYTES:
            raise ValueError(f"its arrays have more than {MOST_ARRAY_BYTES:,} bytes")
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ValueError("not all that it holds are arrays")
    return arrays


def read_facts(folder: Path) -> dict[str, Any]:
    """What a saved model says of how it came about, without reading the model.

    Raises:
        InstanceNotFoundError: there is none, or it is damaged.
    """
    document = read_json(folder / "model.json")
    if not isinstance(document.get("facts"), dict):
        raise _damaged(folder, "it has no facts")
    return dict(document["facts"])


def read_features(folder: Path) -> dict[str, Feature]:
    """The features of a saved model's plan, by name, without reading the model.

    Raises:
        InstanceNotFoundError: there is none, or it is damaged.
    """
    document = read_json(folder / "model.json")
    try:
        return {f.name: f for f in _read_plan(document["plan"]).features}
    except DAMAGE as error:
        raise _damaged(folder, str(error)) from error


def _damaged(folder: Path, reason: str) -> InstanceNotFoundError:
    first = reason.strip().splitlines()[0] if reason.strip() else "empty"
    return InstanceNotFoundError(
        f"The model in {folder.name!r} cannot be read: {first:.200}.",
        "train it again: `propend train INSTANCE --out DIR`.",
        path=str(folder),
    )


def _plan_document(plan: Plan) -> dict[str, Any]:
    return {
        "channels": [asdict(c) for c in plan.channels],
        "windows": list(plan.windows),
        "since_day": plan.since_day,
        "features": [asdict(f) | {"op": f.op.name} for f in plan.features],
    }


def _read_plan(document: dict[str, Any]) -> Plan:
    features = tuple(
        Feature(**(f | {"op": Op[f["op"]], "factor": Factor(**f["factor"]), "values": tuple(f["values"])}))
        for f in document["features"]
    )
    channels = tuple(_read_channel(c) for c in document["channels"])
    return Plan(channels, tuple(document["windows"]), features, int(document["since_day"]))


def _read_channel(document: dict[str, Any]) -> Channel:
    voice = document["speaks_for"]
    return Channel(**(document | {"speaks_for": tuple(voice) if voice else None}))


def _model_document(name: str, model: Model, folder: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    arrays[f"{name}_columns"] = model.columns
    for i, booster in enumerate(model.trees):
        # written from here, not by the library, so that a full disk is told as such
        (folder / f"{name}-trees-{i}.json").write_bytes(booster.save_raw(raw_format="json"))
    for i, member in enumerate(model.linear):
        arrays |= _linear_arrays(f"{name}_linear{i}_", member)
    for i, encoding in enumerate(model.encodings):
        arrays[f"{name}_encoding{i}"] = encoding.odds
    return {
        "encoded": [encoding.place for encoding in model.encodings],
        "ensembles": len(model.trees),
        "tree_weight": model.tree_weight,
        "linear": [
            {"weight": w, "intercept": m.intercept} for m, w in zip(model.linear, model.linear_weights, strict=True)
        ],
        "base_rate": model.base_rate,
        "calibration": asdict(model.calibration),
    }


def _read_model(name: str, document: dict[str, Any], folder: Path, arrays: dict[str, np.ndarray]) -> Model:
    trees = []
    for i in range(int(document["ensembles"])):
        trees.append(booster_of((folder / f"{name}-trees-{i}.json").read_bytes(), len(arrays[f"{name}_columns"])))
    linear = tuple(
        _read_linear(f"{name}_linear{i}_", float(m["intercept"]), arrays) for i, m in enumerate(document["linear"])
    )
    return Model(
        columns=arrays[f"{name}_columns"],
        trees=tuple(trees),
        tree_weight=float(document["tree_weight"]),
        linear=linear,
        linear_weights=tuple(float(m["weight"]) for m in document["linear"]),
        calibration=Calibration(**document["calibration"]),
        base_rate=float(document["base_rate"]),
        encodings=tuple(
            Encoding(int(place), arrays[f"{name}_encoding{i}"]) for i, place in enumerate(document["encoded"])
        ),
    )


def _horizons_document(name: str, horizons: Horizons | None, arrays: dict[str, np.ndarray]) -> dict[str, Any] | None:
    if horizons is None:
        return None
    arrays[f"{name}_columns"] = horizons.columns
    for i, hazard in enumerate(horizons.hazards):
        arrays |= _linear_arrays(f"{name}_hazard{i}_", hazard)
    return {
        "days": list(horizons.days),
        "own": horizons.own,
        "falling": horizons.falling,
        "intercepts": [hazard.intercept for hazard in horizons.hazards],
    }


def _read_horizons(name: str, document: dict[str, Any] | None, arrays: dict[str, np.ndarray]) -> Horizons | None:
    if document is None:
        return None
    return Horizons(
        days=tuple(document["days"]),
        own=int(document["own"]),
        falling=bool(document["falling"]),
        columns=arrays[f"{name}_columns"],
        hazards=tuple(
            _read_linear(f"{name}_hazard{i}_", float(intercept), arrays)
            for i, intercept in enumerate(document["intercepts"])
        ),
    )


def _linear_arrays(prefix: str, member: Logistic) -> dict[str, np.ndarray]:
    inner = {f"{prefix}scaling_{k}": v for k, v in member.scaling.__dict__.items()}
    return inner | {f"{prefix}{k}": getattr(member, k) for k in LINEAR_ARRAYS}


def _read_linear(prefix: str, intercept: float, arrays: dict[str, np.ndarray]) -> Logistic:
    inner = f"{prefix}scaling_"
    scaling = Scaling(**{k.removeprefix(inner): v for k, v in arrays.items() if k.startswith(inner)})
    return Logistic(scaling=scaling, intercept=intercept, **{k: arrays[f"{prefix}{k}"] for k in LINEAR_ARRAYS})
