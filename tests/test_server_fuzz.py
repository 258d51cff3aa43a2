"""Requests that nobody thought of, made from OpenAPI: no fault of the server, and no answer that is not described."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import propend
from servers import Server, serving
from workspaces import document, made

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 12
"""For each route."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = made(tmp_path_factory.mktemp("fuzz") / "shop")
    with serving(home, "--no-auth") as found, propend.connect(found.url) as served:
        served.create(document())
        served.run("buyers")
        served.create_segment("buyers", "Likely", "bucket = 'high'")
        yield found
        for instance in served.instances():
            served.delete(instance["id"])  # and no run goes on


def test_no_request_finds_a_fault_or_an_undescribed_answer(server: Server) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    run_id = httpx.get(f"{server.url}/api/v1/runs").json()["items"][0]["id"]
    known = {"instance_id": "buyers", "run_id": run_id, "segment_id": 1, "profile_id": "p0001"}
    asked = 0
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in sorted(operations, key=lambda o: o.method.upper() == "DELETE"):  # which come last

        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(
            case=st.one_of(operation.as_strategy(), operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)),
            there=st.booleans(),
        )
        def ask(case: schemathesis.Case, there: bool) -> None:
            """Every other request is for something that there is, until it is removed."""
            nonlocal asked
            asked += 1
            if there:
                case.path_parameters.update({n: v for n, v in known.items() if n in case.path_parameters})
            case.call_and_validate(checks=CHECKS)

        ask()
    assert asked > 300
    assert "failed with" not in server.log.read_text()


def test_the_description_is_whole(server: Server) -> None:
    """Every operation has a summary, a description, a tag, and shapes of what comes and goes."""
    described = httpx.get(f"{server.url}/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            place = f"{method} {path}"
            assert operation["summary"] and operation["description"] and operation["tags"], place
            assert operation["operationId"], place
            assert "500" in operation["responses"], place
            for status, answer in operation["responses"].items():
                for media, content in answer.get("content", {}).items():
                    assert media != "application/json" or content["schema"], (place, status)
    for name, shape in described["components"]["schemas"].items():
        assert shape.get("description") or name == "JsonValue", name  # pydantic's own, for any JSON


def test_bodies_have_examples(server: Server) -> None:
    described = httpx.get(f"{server.url}/openapi.json").json()
    shapes = described["components"]["schemas"]
    for name in ("InstanceBody", "DocumentBody", "CheckBody", "LookupBody", "SegmentBody", "ScoreOut", "RunOut"):
        shape = shapes[name]
        own = "examples" in shape or any("examples" in part for part in shape["properties"].values())
        assert own, name
    assert Path(server.log).exists()
