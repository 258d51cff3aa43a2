"""What once was tried against propend is played back: each input ends well, or with a ``PropendError``.

``make fuzz`` makes more of them up; a find becomes a file of ``tests/corpus``.
"""

from __future__ import annotations

import faulthandler
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz_targets import CORPUS, TARGETS, Ground, tried

INPUTS = sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    faulthandler.enable()
    found = Ground.lay(tmp_path_factory.mktemp("fuzz"))
    yield found
    found.close()


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.timeout(120)
def test_what_was_tried_once_ends_well(name: str, ground: Ground) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, about what they are given
        taken = tried(name.partition("/")[0], ground, (CORPUS / name).read_bytes())
    assert isinstance(taken, bool)


def test_every_target_has_inputs() -> None:
    assert {name.partition("/")[0] for name in INPUTS} == set(TARGETS)


def test_no_document_runs_code(ground: Ground) -> None:
    given = (CORPUS / "yaml" / "code-to-be-run").read_bytes()
    assert not tried("yaml", ground, given)
    assert not Path("/tmp/propend-was-here").exists()
