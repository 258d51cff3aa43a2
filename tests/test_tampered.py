"""Files of runs that are not what propend wrote: refused, whatever was done to them, before a library trusts them."""

from __future__ import annotations

import io
import json
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from propend.errors import InstanceNotFoundError
from propend.pipeline import run
from propend.store import runs
from propend.store.runs import load_model, read_json, write_json
from propend.store.seals import digest_of, sealed, unsealed
from propend.store.trees import booster_of
from shops import SHOP, shop

TREES = "model-trees-0.json"


class Trap:
    """What runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(SHOP, data=shop(), out=tmp_path_factory.mktemp("run") / "out").folder / "model"


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    shutil.copytree(model, tmp_path / "model")
    return tmp_path / "model"


def _sealed_again(folder: Path, name: str) -> None:
    """As if propend had written it: whoever may write the folder can do that."""
    document = read_json(folder / "model.json")
    document["files"][name] = digest_of(folder / name)
    write_json(folder / "model.json", document)


def _refusal(folder: Path) -> str:
    """What is said of a model that is not read."""
    with pytest.raises(InstanceNotFoundError) as refused:
        load_model(folder)
    return str(refused.value)


def test_a_model_is_read_back(copy: Path) -> None:
    assert load_model(copy).instance.name == SHOP["name"]
    assert {p.suffix for p in copy.iterdir()} == {".json", ".npz"}


def test_any_byte_that_changed_is_noticed(copy: Path) -> None:
    for path in sorted(copy.iterdir()):
        content = path.read_bytes()
        for share in (0.01, 0.2, 0.5, 0.9, 0.999):
            at = int(share * len(content))
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            if path.name != "model.json" or not _means_the_same(path, content):
                assert "cannot be read" in _refusal(copy)
        path.write_bytes(content[: len(content) // 2])
        assert "cannot be read" in _refusal(copy)
        path.write_bytes(content)


def _means_the_same(path: Path, before: bytes) -> bool:
    """Blanks between values may change: they say nothing."""
    try:
        return bool(json.loads(path.read_bytes()) == json.loads(before))
    except ValueError:
        return False


def test_a_number_changed_by_hand_is_noticed(copy: Path) -> None:
    path = copy / "model.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["model"]["base_rate"] = 0.5
    path.write_text(json.dumps(document), encoding="utf-8")
    assert "changed after it had been written" in _refusal(copy)


@pytest.mark.parametrize("content", [{"a": [1, 0.1, -0.0, 1e-300, None, "é\u2028"]}, {}])
def test_seals_hold(content: dict[str, Any]) -> None:
    assert unsealed(json.loads(json.dumps(sealed(content, "a.json"))), "a.json") == content
    for changed, name in ((sealed(content, "a.json") | {"b": 1}, "a.json"), (sealed(content, "a.json"), "b.json")):
        with pytest.raises(ValueError, match="changed"):
            unsealed(changed, name)
    for without in (content, [1], None, "x"):
        with pytest.raises(ValueError, match="no seal"):
            unsealed(without, "a.json")


def test_arrays_with_code_in_them_are_not_read(copy: Path, tmp_path: Path) -> None:
    mark = tmp_path / "was-here"
    np.savez(copy / "arrays.npz", model_columns=np.array([Trap(mark)], dtype=object), allow_pickle=True)
    _sealed_again(copy, "arrays.npz")
    assert re.search("pickle|Object arrays", _refusal(copy))
    (copy / "arrays.npz").write_bytes(pickle.dumps(Trap(mark)))
    _sealed_again(copy, "arrays.npz")
    assert "zip" in _refusal(copy)
    assert not mark.exists()


def test_arrays_that_are_larger_than_they_look_are_not_unpacked(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(copy / "arrays.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (2**40,)})
        packed.writestr("model_columns.npy", head.getvalue() + bytes(80_000))
    _sealed_again(copy, "arrays.npz")
    assert "cannot be read" in _refusal(copy)
    with zipfile.ZipFile(copy / "arrays.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.npy", bytes(2_000_000))
    _sealed_again(copy, "arrays.npz")
    monkeypatch.setattr(runs, "MOST_ARRAY_BYTES", 1_000_000)
    assert "arrays have more than 1,000,000 bytes" in _refusal(copy)


def _tree(learner: dict[str, Any]) -> dict[str, Any]:
    return next(t for t in learner["gradient_booster"]["model"]["trees"] if len(t["left_children"]) >= 5)


def _first_inner(tree: dict[str, Any]) -> int:
    return next(i for i, child in enumerate(tree["left_children"]) if child > 0 and i > 0)


TAMPERED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a child beyond the tree": lambda t: t["left_children"].__setitem__(0, 2**30),
    "a child that is its own parent": lambda t: t["left_children"].__setitem__(0, 0),
    "a child before its parent": lambda t: t["right_children"].__setitem__(_first_inner(t), 1),
    "a feature that there is not": lambda t: t["split_indices"].__setitem__(0, 2**30),
    "a feature below all": lambda t: t["split_indices"].__setitem__(0, -1),
    "a list too short": lambda t: t["split_conditions"].pop(),
    "a list of texts": lambda t: t.__setitem__("base_weights", ["x"] * len(t["base_weights"])),
    "more nodes than lists": lambda t: t["tree_param"].__setitem__("num_nodes", "1000000"),
    "a split by categories": lambda t: t["split_type"].__setitem__(0, 1),
    "parents that are others": lambda t: t["parents"].__setitem__(1, 3),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_trees_that_would_lead_the_library_astray_are_refused(what: str, copy: Path) -> None:
    path = copy / TREES
    document = json.loads(path.read_bytes())
    TAMPERED[what](_tree(document["learner"]))
    path.write_bytes(json.dumps(document).encode())
    _sealed_again(copy, TREES)
    assert "cannot be read" in _refusal(copy)


SHAPES: dict[str, Callable[[dict[str, Any]], object]] = {
    "more features": lambda d: d["learner_model_param"].__setitem__("num_feature", "9999999"),
    "several outputs": lambda d: d["learner_model_param"].__setitem__("num_class", "3"),
    "another booster": lambda d: d["gradient_booster"].__setitem__("name", "gblinear"),
    "fewer trees": lambda d: d["gradient_booster"]["model"]["trees"].pop(),
    "rounds of other lengths": lambda d: d["gradient_booster"]["model"]["iteration_indptr"].append(10**6),
    "outputs that there are not": lambda d: d["gradient_booster"]["model"]["tree_info"].__setitem__(0, 7),
}


@pytest.mark.parametrize("what", SHAPES)
def test_ensembles_of_another_shape_are_refused(what: str, model: Path) -> None:
    document = json.loads((model / TREES).read_bytes())
    features = int(document["learner"]["learner_model_param"]["num_feature"])
    SHAPES[what](document["learner"])
    with pytest.raises(ValueError, match=r"\w"):
        booster_of(json.dumps(document).encode(), features)


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[" * 100_000, b"{}", b"PK\x03\x04", b"\xff" * 100, b'{"learner": 1}']
)
@pytest.mark.parametrize("name", ["model.json", "arrays.npz", TREES])
def test_files_of_other_kinds_are_refused(name: str, content: bytes, copy: Path) -> None:
    (copy / name).write_bytes(content)
    if name != "model.json":
        _sealed_again(copy, name)
    assert "cannot be read" in _refusal(copy)
