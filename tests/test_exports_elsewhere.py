"""XDM, tables that instances share, and webhooks: against their schema, a real PostgreSQL, a real listener."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import keyring
import psycopg
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator
from keyring.backend import KeyringBackend
from keyring.backends import fail

from deliveries import delivery, scores
from postgres import databases
from propend.errors import ConfigurationError, DestinationRefusedError, OlderRunError, PushFailedError
from propend.exports import Past, Place, Pushed, destination, options_of
from propend.exports.delivery import secret_of
from propend.exports.webhook import looked_up
from propend.store.erasure import exactly
from propend.workspace.destinations import place_of
from propend.workspace.settings import Settings

PEOPLE = [f"p{n:03}" for n in range(40)]


def place(home: Path) -> Place:
    return Place(home, (home / "exports",))


# --- XDM ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["xdm-profile", "xdm-event"])
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_rows_of_xdm_are_as_their_schema_says(tmp_path: Path, kind: str, form: str) -> None:
    options = {"tenant": "acme", "namespace": "ECID", "format": form, "most_factors": 1}
    table = scores(PEOPLE)
    into = destination(kind, options, place(tmp_path))
    done = into.push(delivery(table, instance="buy-soon"), Past())
    rows, schema = map(Path, done.facts["files"])
    assert (done.rows, schema.name) == (40, f"{rows.name.removesuffix('.' + form)}.schema.json")
    said = json.loads(schema.read_text())
    Draft202012Validator.check_schema(said)
    check = Draft202012Validator(said, format_checker=Draft202012Validator.FORMAT_CHECKER)
    if form == "jsonl":
        found = [json.loads(line) for line in rows.read_text().splitlines()]
    else:
        found = pq.read_table(rows).to_pylist()
    assert [error.message for row in found for error in check.iter_errors(row)] == []
    first = table.to_pylist()[2]
    assert found[2]["identityMap"] == {"ECID": [{"id": "p002", "primary": True}]}
    own = found[2]["_acme"]["customerAI"]["buy_soon"]
    assert own.pop("influentialFactors") == [
        {"code": "SPENT", "label": "Spent", "value": "3", "importance": "high", "impact": -0.75}
    ]  # the stronger of two, whichever way
    assert own == {
        "score": first["score"], "probability": first["probability"], "percentile": first["percentile"],
        "propensityType": "conversion", "bucket": "high", "scoreDate": "2024-03-01T00:00:00Z",
        "expires": "2024-03-31T00:00:00Z", "runId": "steady",
    }  # fmt: skip
    assert not check.is_valid(found[2] | {"identityMap": {}})
    if kind == "xdm-event":
        assert (found[2]["_id"], found[2]["timestamp"], found[2]["eventType"]) == (
            "steady-p002", "2024-03-01T00:00:00Z", "propend.scored",
        )  # fmt: skip
    assert into.forget(exactly("p002"), Past((done.facts,))) == 1
    assert into.retract("buy-soon/all", Past((done.facts,))).facts == {"files_removed": 2}


def test_events_of_every_run_stay_and_profiles_are_replaced(tmp_path: Path) -> None:
    for kind, count in (("xdm-event", 4), ("xdm-profile", 2)):
        for run in (1, 2):
            done = destination(kind, {"tenant": "acme", "folder": f"exports/{kind}"}, place(tmp_path))
            done.push(delivery(scores(PEOPLE), run), Past())
        assert len(list((tmp_path / "exports" / kind).iterdir())) == count
    with pytest.raises(ConfigurationError, match="tenant"):
        options_of("xdm-event", {"tenant": "_Acme"})


# --- a table that instances share -----------------------------------------------------------------------------


@pytest.fixture(params=["file", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Any]:
    """Options of a shared table, and what gives its rows."""
    if request.param == "file":
        path = tmp_path / "exports" / "people.parquet"
        return {"file": "people.parquet"}, lambda: {r["profile_id"]: r for r in pq.read_table(path).to_pylist()}
    url = databases(request).new()

    def rows() -> dict[str, dict[str, Any]]:
        with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
            return {r["profile_id"]: r for r in connection.execute("SELECT * FROM propend_profiles").fetchall()}

    return {"url": url}, rows


def test_instances_share_a_table_of_profiles(tmp_path: Path, shared: tuple[Any, Any]) -> None:
    options, rows = shared
    into = destination("table", options, place(tmp_path))
    buyers = scores(PEOPLE)
    assert into.push(delivery(buyers, 1), Past()).added == 40
    into.push(delivery(scores(PEOPLE[30:]), 1, instance="will-leave"), Past())
    into.push(delivery(scores([*PEOPLE[:35], "z-new"]), 2), Past())
    found = rows()
    assert sorted(found) == [*PEOPLE, "z-new"]
    both = {p for p, r in found.items() if r["buyers_probability"] is not None and r["will_leave_bucket"] is not None}
    assert both == set(PEOPLE[30:35])
    assert found["p036"]["buyers_score"] is found["p036"]["buyers_scored_at"] is None  # left one of them
    assert found["p036"]["will_leave_probability"] == 0.25
    with pytest.raises(OlderRunError):
        into.push(delivery(buyers, 1), Past())
    assert into.forget(exactly("p031"), Past()) == 1
    into.retract("will-leave/all", Past())
    left = rows()
    assert "p031" not in left
    assert {r.get("will_leave_probability") for r in left.values()} == {None}
    assert {r["buyers_probability"] for p, r in left.items() if p < "p031"} == {0.25}


def test_a_rehearsal_leaves_a_shared_table_as_it_is(tmp_path: Path, shared: tuple[Any, Any]) -> None:
    options, rows = shared
    into = destination("table", options, place(tmp_path))
    into.push(delivery(scores(PEOPLE), 1), Past())
    before = rows()
    found = into.rehearse(delivery(scores(["a-new"]), 2, instance="will-leave"))
    assert (rows(), found.says[0].count("1 row")) == (before, 1)
    with pytest.raises(OlderRunError):
        into.rehearse(delivery(scores(PEOPLE), 0))


def test_a_shared_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "people.parquet").write_text("no table")
    with pytest.raises(PushFailedError, match=r"'people.parquet' cannot be read or written"):
        destination("table", {"file": "people.parquet"}, place(tmp_path)).rehearse(delivery(scores(PEOPLE)))


# --- webhooks -------------------------------------------------------------------------------------------------


class Listener:
    """What arrives, and how it answers."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        outer = self

        class Take(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, more = outer.answers.pop(0) if outer.answers else (204, {})
                outer.headers.append(dict(self.headers))
                if status < 300:
                    outer.bodies.append(body)
                    outer.taken.append((self.headers["Idempotency-Key"], json.loads(body)))
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Take)
        self.address = f"http://127.0.0.1:{self.server.server_port}/scores"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setenv("CRM_SECRET", "geheim")
    monkeypatch.setattr("propend.exports.webhook.FIRST_WAIT_SECONDS", 0.001)
    found = Listener()
    yield found
    found.server.shutdown()
    found.server.server_close()
    found.thread.join()


def hook(listener: Listener, **more: Any) -> Any:
    return destination(
        "webhook", {"url": listener.address, "secret": "env:CRM_SECRET", "size": 15} | more, Place(Path())
    )


def test_batches_are_signed_and_each_is_taken_once(listener: Listener) -> None:
    listener.answers += [(204, {}), (503, {}), (429, {"Retry-After": "0"})]
    done = hook(listener).push(delivery(scores(PEOPLE)), Past())
    keys, bodies = zip(*listener.taken, strict=True)
    assert [b["type"] for b in bodies] == ["scores", "scores", "scores", "completed"]
    assert [r["profile_id"] for b in bodies[:3] for r in b["scores"]] == PEOPLE
    assert [len(b["scores"]) for b in bodies[:3]] == [15, 15, 10]
    assert [r["factors"] for r in bodies[0]["scores"][:2]] == [[], scores(PEOPLE).to_pylist()[1]["factors"]]
    digest = hashlib.sha256(b"".join(hashlib.sha256(b).digest() for b in listener.bodies[:3])).hexdigest()
    assert bodies[3] == {"type": "completed", "instance": "buyers", "audience": "all", "run_id": "run-1",
                         "batches": 3, "rows": 40, "digest": digest}  # fmt: skip
    assert done == Pushed(40, facts={"batches": 3, "rows": 40, "digest": digest})
    assert (len(set(keys)), len(listener.headers)) == (4, 6)  # what was refused came again with its key
    assert [h["Idempotency-Key"] for h in listener.headers[1:4]] == [keys[1]] * 3
    first = listener.headers[0]
    signed = hmac.new(b"geheim", first["X-Propend-Timestamp"].encode() + b"." + listener.bodies[0], hashlib.sha256)
    assert first["X-Propend-Signature"] == f"sha256={signed.hexdigest()}"
    assert first["Host"] == listener.address.split("/")[2]


def test_a_push_goes_on_where_it_broke_off(listener: Listener) -> None:
    told: list[dict[str, Any]] = []
    listener.answers += [(204, {}), (204, {}), (400, {})]
    with pytest.raises(PushFailedError, match="HTTP 400") as refused:
        hook(listener).push(delivery(scores(PEOPLE)), Past(tell=told.append))
    assert "geheim" not in str(refused.value.to_dict())
    hook(listener).push(delivery(scores(PEOPLE)), Past(broken=told[-1], tell=told.append))
    assert [len(b.get("scores", ())) for _, b in listener.taken] == [15, 15, 10, 0]
    listener.taken.clear()
    hook(listener).push(delivery(scores(PEOPLE[1:])), Past(broken=told[1]))  # somebody was forgotten meanwhile
    assert [r["profile_id"] for _, b in listener.taken[:-1] for r in b["scores"]] == PEOPLE[1:]
    hook(listener).retract("buyers/all", Past())
    assert listener.taken[-1][1] == {"type": "retracted", "instance": "buyers", "audience": "all"}
    with pytest.raises(DestinationRefusedError, match="out of reach"):
        hook(listener).forget(exactly("p001"), Past())


def test_a_rehearsal_sends_one_message_without_profiles(listener: Listener) -> None:
    found = hook(listener).rehearse(delivery(scores(PEOPLE)))
    ((key, body),) = listener.taken
    assert body == {"type": "rehearsal", "instance": "buyers", "audience": "all", "run_id": "run-1"}
    assert (key.startswith("rehearsal-"), json.loads(found.shown)) == (True, body)
    assert found.says[0].startswith("127.0.0.1 took a signed message of the type rehearsal")
    listener.answers += [(503, {}), (204, {})]
    with pytest.raises(PushFailedError, match=r"127\.0\.0\.1 did not take the scores: HTTP 503") as refused:
        hook(listener).rehearse(delivery(scores(PEOPLE)))  # once: somebody looks on
    assert (len(listener.headers), "whoever listens there" in str(refused.value.hint)) == (2, True)


def test_addresses_and_secrets_are_guarded(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = destination("webhook", {"url": listener.address, "secret": "env:CRM_SECRET"}, Place(Path(), private=False))
    with pytest.raises(DestinationRefusedError, match="within a private network"):
        closed.push(delivery(scores(PEOPLE)), Past())
    for host in ("10.0.0.1", "169.254.169.254", "::1", "100.64.0.1", "0.0.0.0"):
        with pytest.raises(DestinationRefusedError, match="within a private network"):
            looked_up(host, 80, private=False)
    monkeypatch.delenv("CRM_SECRET")
    with pytest.raises(DestinationRefusedError, match="CRM_SECRET is not set"):
        hook(listener).push(delivery(scores(PEOPLE)), Past())
    assert listener.taken == []
    for wrong in ({"secret": "geheim"}, {"url": "http://u:p@db/x"}, {"url": "ftp://x/y"}):
        with pytest.raises(ConfigurationError):
            options_of("webhook", {"url": listener.address, "secret": "env:CRM_SECRET"} | wrong)


def test_a_workspace_calls_no_private_addresses_unless_it_is_told_to(tmp_path: Path) -> None:
    allowed = Settings.model_validate({"exports": {"private_addresses": True}})
    assert [place_of(tmp_path, one).private for one in (Settings(), allowed)] == [False, True]


def test_a_redirect_is_not_followed(listener: Listener) -> None:
    listener.answers += [(302, {"Location": "http://169.254.169.254/"})]
    with pytest.raises(PushFailedError, match="HTTP 302"):
        hook(listener).push(delivery(scores(PEOPLE)), Past())


class Pockets(KeyringBackend):
    """A keyring of one entry."""

    priority = 1  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        return "geheim" if (service, username) == ("crm", "propend") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(service)

    def delete_password(self, service: str, username: str) -> None:
        raise RuntimeError(service)


def test_a_secret_is_taken_from_the_keyring() -> None:
    url = "https://example.com/x"
    assert options_of("webhook", {"url": url, "secret": "keyring:crm/propend"}).secret == "keyring:crm/propend"
    assert options_of("postgres", {"url": "keyring:crm/all", "table": "t", "password": "keyring:crm/propend"})
    for wrong in ("keyring:crm", "keyring:/propend", "keyring:crm/", "geheim"):
        with pytest.raises(ConfigurationError, match="the name of a secret is needed") as refused:
            options_of("webhook", {"url": url, "secret": wrong})
        assert "geheim" not in str(refused.value)
    before = keyring.get_keyring()
    try:
        keyring.set_keyring(Pockets())
        assert secret_of("keyring:crm/propend") == "geheim"
        with pytest.raises(DestinationRefusedError, match="the keyring has nothing under 'crm' for 'ben'"):
            secret_of("keyring:crm/ben")
        keyring.set_keyring(fail.Keyring())
        with pytest.raises(DestinationRefusedError, match="The keyring cannot be read") as locked:
            secret_of("keyring:crm/propend")
        assert "env:NAME" in (locked.value.hint or "")
    finally:
        keyring.set_keyring(before)
