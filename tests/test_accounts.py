"""Accounts: passwords, sessions, tokens, the first start and failures, on both databases."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from postgres import databases
from propend.errors import (
    InstanceNotFoundError,
    NotAllowedError,
    NotLoggedInError,
    PropendError,
    RequestInvalidError,
    StatusError,
    TooManyAttemptsError,
)
from propend.store.catalog import (
    AttemptRow,
    AuditRow,
    Base,
    Catalog,
    SessionRow,
    SettingRow,
    TokenRow,
    UserRow,
    now,
    sqlite_url,
)
from propend.workspace import attempts as attempts_module
from propend.workspace.accounts import FIRST_TOKEN_KEY, Accounts
from propend.workspace.attempts import Attempts
from propend.workspace.sessions import csrf_of, digest
from propend.workspace.settings import AccessSettings, Settings

PASSWORD, OTHER = "correct horse battery", "staple correct horse"
QUICK = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
HOME = "192.0.2.7"


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    found = Catalog(sqlite_url(tmp_path / "catalog.db") if request.param == "sqlite" else databases(request).new())
    found.migrate()
    yield found
    found.close()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Catalog]:
    found = Catalog(sqlite_url(tmp_path / "catalog.db"))
    found.migrate()
    yield found
    found.close()


def accounts_of(catalog: Catalog, hasher: PasswordHasher = QUICK, **settings: Any) -> Accounts:
    return Accounts(catalog, AccessSettings(**settings), hasher)


@pytest.fixture
def accounts(catalog: Catalog) -> Accounts:
    found = accounts_of(catalog)
    found.add("Ana", "manage", PASSWORD, "local")
    return found


def rows(catalog: Catalog, kind: type[Base]) -> list[Any]:
    with catalog.reading() as session:
        return list(session.scalars(select(kind)))


def moved(catalog: Catalog, kind: type[Base], **values: Any) -> None:
    with catalog.writing() as session:
        session.execute(update(kind).values(**values))


def actions(catalog: Catalog) -> list[tuple[str, str, str, str]]:
    return [(a.who, a.action, a.kind, a.subject) for a in rows(catalog, AuditRow)]


# --- users and passwords --------------------------------------------------------------------------------------


def test_whoever_has_the_password_comes_in(catalog: Catalog, accounts: Accounts) -> None:
    entered = accounts.log_in(" ANA ", PASSWORD, HOME)
    assert (entered.name, entered.role) == ("ana", "manage")
    known = accounts.sessions.find(entered.secret)
    assert known is not None
    assert (known.name, known.role, known.csrf) == ("ana", "manage", digest(csrf_of(entered.secret)))
    assert actions(catalog) == [("local", "create", "user", "ana"), ("ana", "log in", "user", "ana")]


def test_why_somebody_does_not_come_in_is_not_said(accounts: Accounts) -> None:
    accounts.add("bo", "view", PASSWORD, "ana")
    accounts.change("bo", "ana", disabled=True)
    accounts.add("cy@example.com", "view", None, "ana")
    told = []
    for name, password in [("ana", OTHER), ("nobody", PASSWORD), ("bo", PASSWORD), ("cy@example.com", ""),
                           ("ana", "x" * 2000), ("", "")]:  # fmt: skip
        with pytest.raises(NotLoggedInError) as caught:
            accounts.log_in(name, password, HOME)
        told.append(str(caught.value))
    assert len(set(told)) == 1


def test_an_unknown_name_takes_the_same_work(lite: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = accounts_of(lite)
    accounts.add("ana", "manage", PASSWORD, "local")
    worked: list[str] = []
    verify = PasswordHasher.verify
    monkeypatch.setattr(PasswordHasher, "verify", lambda s, h, p: worked.append(h) or verify(s, h, p))
    for name in ("ana", "nobody"):
        with pytest.raises(NotLoggedInError):
            accounts.log_in(name, OTHER, HOME)
    assert len(worked) == 2
    assert len({h.rsplit("$", 2)[0] for h in worked}) == 1  # the same parameters


def test_a_hash_of_weaker_parameters_is_made_anew_at_log_in(catalog: Catalog, accounts: Accounts) -> None:
    (before,) = (u.password for u in rows(catalog, UserRow))
    stronger = accounts_of(catalog, PasswordHasher(time_cost=2, memory_cost=2048, parallelism=1))
    stronger.log_in("ana", PASSWORD, HOME)
    (after,) = (u.password for u in rows(catalog, UserRow))
    assert ("m=1024,t=1" in before, "m=2048,t=2" in after) == (True, True)
    stronger.log_in("ana", PASSWORD, HOME)
    assert [u.password for u in rows(catalog, UserRow)] == [after]


@pytest.mark.parametrize("name", ["", "a b", "local", "Schedule", "x/y", "x" * 201, "a\nb", "=1"])
def test_names_are_plain(lite: Catalog, name: str) -> None:
    with pytest.raises(RequestInvalidError):
        accounts_of(lite).add(name, "view", PASSWORD, "local")


@pytest.mark.parametrize("password", ["", "short", "x" * 1025, "Ana.Ana.Ana.Ana"])
def test_passwords_are_long_and_not_the_name(lite: Catalog, password: str) -> None:
    with pytest.raises(RequestInvalidError) as caught:
        accounts_of(lite).add("ana.ana.ana.ana", "view", password, "local")
    assert password == "" or password not in str(caught.value)


def test_a_name_is_given_once(accounts: Accounts) -> None:
    with pytest.raises(StatusError, match="already"):
        accounts.add("ANA", "view", PASSWORD, "local")
    with pytest.raises(InstanceNotFoundError):
        accounts.change("bo", "ana", role="view")


def test_the_last_who_manages_goes_on(accounts: Accounts) -> None:
    for change in ({"disabled": True}, {"role": "view"}):
        with pytest.raises(StatusError, match="last user who manages"):
            accounts.change("ana", "ana", **change)
    accounts.add("bo", "manage", PASSWORD, "ana")
    accounts.change("ana", "bo", role="view")
    with pytest.raises(StatusError):
        accounts.change("bo", "bo", disabled=True)
    assert [(u.name, u.role, u.disabled) for u in accounts.users()] == [("ana", "view", False), ("bo", "manage", False)]


def test_two_who_disable_each_other_at_once_leave_one(catalog: Catalog, accounts: Accounts) -> None:
    accounts.add("bo", "manage", PASSWORD, "ana")
    failed: list[PropendError] = []

    def disable(name: str, by: str) -> None:
        try:
            accounts_of(catalog).change(name, by, disabled=True)
        except StatusError as error:
            failed.append(error)

    threads = [threading.Thread(target=disable, args=pair) for pair in (("ana", "bo"), ("bo", "ana"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(failed), sum(not u.disabled for u in accounts.users())) == (1, 1)


def test_changes_of_users_take_turns(catalog: Catalog, accounts: Accounts) -> None:
    """So that who is left to manage is counted after a change that is under way."""
    accounts.add("bo", "manage", PASSWORD, "ana")
    told: list[PropendError] = []

    def disable() -> None:
        try:
            accounts.change("bo", "ana", disabled=True)
        except StatusError as error:
            told.append(error)

    thread = threading.Thread(target=disable)
    with catalog.writing() as session:
        session.execute(update(UserRow).where(UserRow.name == "ana").values(disabled=True))
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join(30)
    assert (len(told), accounts.user("bo").disabled) == (1, False)


def test_changes_are_in_the_log_of_changes(catalog: Catalog, accounts: Accounts) -> None:
    accounts.add("bo", "view", PASSWORD, "ana")
    accounts.change("bo", "ana", role="manage")
    accounts.change("bo", "ana", role="manage")  # nothing changes
    accounts.change("bo", "ana", disabled=True)
    accounts.change("bo", "ana", disabled=False)
    accounts.set_password("bo", OTHER, "ana")
    assert actions(catalog)[1:] == [
        ("ana", action, "user", "bo") for action in ("create", "update", "disable", "enable", "set password")
    ]
    update_row = rows(catalog, AuditRow)[2]
    assert (update_row.before["role"], update_row.after["role"]) == ("view", "manage")


# --- sessions -------------------------------------------------------------------------------------------------


def test_sessions_end(catalog: Catalog, accounts: Accounts) -> None:
    def session() -> str:
        return accounts.log_in("ana", PASSWORD, HOME).secret

    kept, left = session(), session()
    accounts.sessions.end(left, "ana")
    assert (accounts.sessions.find(left), accounts.sessions.find(kept) is None) == (None, False)
    accounts.set_password("ana", OTHER, "ana")
    assert accounts.sessions.find(kept) is None
    accounts.add("bo", "manage", PASSWORD, "ana")
    of_bo = accounts.log_in("bo", PASSWORD, HOME).secret
    accounts.change("bo", "ana", disabled=True)
    accounts.change("bo", "ana", disabled=False)
    assert accounts.sessions.find(of_bo) is None  # though bo may come again
    assert accounts.sessions.find("x") is None


def test_a_log_in_ends_the_session_before(accounts: Accounts) -> None:
    first = accounts.log_in("ana", PASSWORD, HOME)
    second = accounts.log_in("ana", PASSWORD, HOME, old=first.secret)
    assert second.secret != first.secret
    assert accounts.sessions.find(first.secret) is None
    assert accounts.sessions.find(second.secret) is not None
    chosen = "chosen-by-somebody-else"
    third = accounts.log_in("ana", PASSWORD, HOME, old=chosen)
    assert (third.secret != chosen, accounts.sessions.find(chosen)) == (True, None)


def test_a_session_ends_idle_or_old(catalog: Catalog) -> None:
    accounts = accounts_of(catalog, session_hours=2, idle_minutes=30)
    accounts.add("ana", "manage", PASSWORD, "local")
    secret = accounts.log_in("ana", PASSWORD, HOME).secret
    (row,) = rows(catalog, SessionRow)
    assert row.expires_at - row.created_at == timedelta(minutes=30)
    moved(catalog, SessionRow, created_at=now() - timedelta(minutes=20), expires_at=now() + timedelta(minutes=10))
    assert accounts.sessions.find(secret) is not None  # and is good for thirty minutes from now
    (row,) = rows(catalog, SessionRow)
    assert timedelta(minutes=29) < row.expires_at - now() <= timedelta(minutes=30)
    moved(catalog, SessionRow, created_at=now() - timedelta(minutes=119))
    assert accounts.sessions.find(secret) is not None
    moved(catalog, SessionRow, expires_at=now() - timedelta(seconds=1))
    assert accounts.sessions.find(secret) is None
    accounts.log_in("ana", PASSWORD, HOME)
    assert len(rows(catalog, SessionRow)) == 1  # what has ended is removed
    moved(catalog, SessionRow, created_at=now() - timedelta(hours=2), expires_at=now() + timedelta(seconds=1))
    secret = accounts.log_in("ana", PASSWORD, HOME).secret
    moved(catalog, SessionRow, created_at=now() - timedelta(minutes=119), expires_at=now() + timedelta(seconds=30))
    assert accounts.sessions.find(secret) is not None
    assert max(r.expires_at for r in rows(catalog, SessionRow)) < now() + timedelta(minutes=2)


# --- tokens ---------------------------------------------------------------------------------------------------


def test_tokens_do_no_more_than_their_scope_and_owner(catalog: Catalog, accounts: Accounts) -> None:
    accounts.add("bo", "view", PASSWORD, "ana")
    reading, _ = accounts.tokens.create("ana", "reports", "view", 90, "ana")
    changing, row = accounts.tokens.create("ana", "deploy", "manage", None, "ana")
    assert (changing[:3], row.first, row.expires_at) == ("pp_", changing[:9], None)
    assert [k and (k.name, k.role) for k in map(accounts.tokens.find, (reading, changing, "pp_x", "x"))] == [
        ("ana", "view"), ("ana", "manage"), None, None,
    ]  # fmt: skip
    with pytest.raises(NotAllowedError):
        accounts.tokens.create("bo", "deploy", "manage", 90, "bo")
    with pytest.raises(InstanceNotFoundError):
        accounts.tokens.create("nobody", "deploy", "view", 90, "local")
    accounts.change("bo", "ana", role="manage")
    accounts.change("ana", "bo", role="view")
    assert accounts.tokens.find(changing).role == "view"  # type: ignore[union-attr]
    accounts.change("ana", "bo", disabled=True)
    assert accounts.tokens.find(reading) is None


@pytest.mark.parametrize(("name", "days"), [("", 90), ("x" * 101, 90), ("a\nb", 90), ("x", 0), ("x", 3661)])
def test_tokens_are_named_and_end(lite: Catalog, name: str, days: int) -> None:
    accounts = accounts_of(lite)
    accounts.add("ana", "manage", PASSWORD, "local")
    with pytest.raises(RequestInvalidError):
        accounts.tokens.create("ana", name, "view", days, "ana")


def test_tokens_expire_and_are_revoked(catalog: Catalog, accounts: Accounts) -> None:
    secret, row = accounts.tokens.create("ana", "reports", "view", 1, "ana")
    other, revoked = accounts.tokens.create("ana", "old", "view", 1, "ana")
    with pytest.raises(InstanceNotFoundError):
        accounts.tokens.revoke(revoked.id, "bo", owner="bo")
    accounts.tokens.revoke(revoked.id, "ana")
    accounts.tokens.revoke(revoked.id, "ana")
    assert (accounts.tokens.find(other), accounts.tokens.find(secret) is None) == (None, False)
    moved(catalog, TokenRow, expires_at=now())
    assert accounts.tokens.find(secret) is None
    assert [a for a in actions(catalog) if a[2] == "token"] == [
        ("ana", "create", "token", str(row.id)), ("ana", "create", "token", str(revoked.id)),
        ("ana", "revoke", "token", str(revoked.id)),
    ]  # fmt: skip
    with pytest.raises(InstanceNotFoundError):
        accounts.tokens.revoke(987654, "ana")


def test_the_use_of_a_token_is_noted_once_a_minute(catalog: Catalog, accounts: Accounts) -> None:
    secret, _ = accounts.tokens.create("ana", "reports", "view", 1, "ana")
    accounts.tokens.find(secret)
    (first,) = (t.used_at for t in rows(catalog, TokenRow))
    accounts.tokens.find(secret)
    assert [t.used_at for t in rows(catalog, TokenRow)] == [first]
    moved(catalog, TokenRow, used_at=now() - timedelta(seconds=61))
    accounts.tokens.find(secret)
    assert [t.used_at > first for t in rows(catalog, TokenRow)] == [True]


# --- the first start ------------------------------------------------------------------------------------------


def test_the_first_user_is_made_with_a_secret_that_is_good_once(catalog: Catalog) -> None:
    accounts = accounts_of(catalog)
    old, token = accounts.first_token(), accounts.first_token()
    assert old is not None and token is not None
    for wrong in (old, "x"):
        with pytest.raises(NotLoggedInError):
            accounts.set_up(wrong, "ana", PASSWORD, HOME)
    with pytest.raises(RequestInvalidError):
        accounts.set_up(token, "ana", "short", HOME)
    entered = accounts.set_up(token, "ana", PASSWORD, HOME)
    assert accounts.sessions.find(entered.secret).role == "manage"  # type: ignore[union-attr]
    with pytest.raises(NotLoggedInError):
        accounts.set_up(token, "bo", PASSWORD, HOME)
    assert accounts.first_token() is None
    assert [s.key for s in rows(catalog, SettingRow) if s.key == FIRST_TOKEN_KEY] == []


def test_the_first_token_ends_after_a_day_or_with_any_user(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = accounts_of(catalog)
    monkeypatch.setattr("propend.workspace.accounts.FIRST_TOKEN_LASTS", timedelta(seconds=-1))
    with pytest.raises(NotLoggedInError):
        accounts.set_up(accounts.first_token() or "", "ana", PASSWORD, HOME)
    monkeypatch.undo()
    token = accounts.first_token() or ""
    accounts.add("bo", "view", PASSWORD, "local")
    with pytest.raises(NotLoggedInError):
        accounts.set_up(token, "ana", PASSWORD, HOME)


def test_two_who_use_the_first_token_at_once_make_one_user(catalog: Catalog) -> None:
    accounts = accounts_of(catalog)
    token, done = accounts.first_token() or "", []

    def use(name: str) -> None:
        try:
            done.append(accounts_of(catalog).set_up(token, name, PASSWORD, HOME).name)
        except NotLoggedInError:
            done.append("")

    threads = [threading.Thread(target=use, args=(f"one{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (sorted(done)[:3], len(accounts.users())) == (["", "", ""], 1)


# --- failures -------------------------------------------------------------------------------------------------


def fail(attempts: Attempts, name: str, address: str, times: int = 1) -> None:
    for _ in range(times):
        attempts.begin(name, address)


def waits(attempts: Attempts, name: str, address: str) -> int:
    with pytest.raises(TooManyAttemptsError) as caught:
        attempts.begin(name, address)
    return int(caught.value.facts["retry_seconds"])


def test_each_failure_doubles_the_wait(catalog: Catalog) -> None:
    attempts = Attempts(catalog)
    for failures, seconds in [(5, 1), (6, 2), (8, 8), (11, 64), (14, 300), (50, 300)]:
        with catalog.writing() as session:
            session.query(AttemptRow).delete()
            key = attempts_module._key("name", "ana")
            session.add_all(AttemptRow(key=key, at=now()) for _ in range(failures))
        assert waits(attempts, "ana", HOME) == seconds
    attempts.begin("bo", HOME)
    moved(catalog, AttemptRow, at=now() - timedelta(seconds=301))
    attempts.begin("ana", HOME)
    moved(catalog, AttemptRow, at=now() - timedelta(hours=1, seconds=1))
    attempts.begin("ana", HOME)
    assert len(rows(catalog, AttemptRow)) == 2  # what is older is removed


def test_failures_are_counted_by_address_too(lite: Catalog) -> None:
    attempts = Attempts(lite)
    for i in range(20):
        attempts.begin(f"user{i}", f"2001:db8::{i:x}")
    assert waits(attempts, "another", "2001:db8::ffff") == 1
    attempts.begin("another", "2001:db8:0:1::1")
    attempts.begin("another", "not an address")


def test_who_comes_in_is_not_counted(catalog: Catalog, accounts: Accounts) -> None:
    for _ in range(4):
        with pytest.raises(NotLoggedInError):
            accounts.log_in("ana", OTHER, HOME)
    accounts.log_in("ana", PASSWORD, HOME)
    assert len(rows(catalog, AttemptRow)) == 4  # by the address: a user cannot wipe out failures with other names
    for _ in range(5):
        with pytest.raises(NotLoggedInError):
            accounts.log_in("ana", OTHER, HOME)
    with pytest.raises(TooManyAttemptsError):
        accounts.log_in("ana", PASSWORD, HOME)  # even with the right one


def test_guesses_at_the_same_time_count_each_other(catalog: Catalog) -> None:
    told: list[bool] = []

    def guess() -> None:
        try:
            Attempts(catalog).begin("ana", HOME)
            told.append(True)
        except TooManyAttemptsError:
            told.append(False)

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(told), sum(told)) == (12, 5)


GUESS = """
import sys
from propend.errors import TooManyAttemptsError
from propend.store.catalog import Catalog
from propend.workspace.attempts import Attempts
for _ in range(3):
    try:
        Attempts(Catalog(sys.argv[1])).begin("ana", "192.0.2.9")
        print("tried")
    except TooManyAttemptsError:
        print("refused")
"""


def test_processes_count_together(catalog: Catalog) -> None:
    said = ""
    for _ in range(2):
        command = [sys.executable, "-c", GUESS, catalog.url]
        said += subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.split() == ["tried"] * 5 + ["refused"]


# --- OpenID Connect and what is kept ---------------------------------------------------------------------------


def test_whoever_a_provider_vouches_for_is_known_by_subject(catalog: Catalog, accounts: Accounts) -> None:
    with pytest.raises(NotAllowedError, match="not a user here"):
        accounts.arrive("https://id 1", "bo@example.com", None)
    first = accounts.arrive("https://id 1", "Bo@example.com", "view")
    again = accounts.arrive("https://id 1", "bo.new@example.com", None)
    assert [(e.name, e.role) for e in (first, again)] == [("bo@example.com", "view")] * 2
    with pytest.raises(NotAllowedError, match="another user"):
        accounts.arrive("https://id 2", "bo@example.com", "manage")  # somebody else with the address of before
    accounts.add("cy@example.com", "manage", None, "ana")
    assert accounts.arrive("https://id 3", "cy@example.com", None).role == "manage"
    accounts.add("di@example.com", "manage", PASSWORD, "ana")
    with pytest.raises(NotAllowedError, match="another user"):
        accounts.arrive("https://id 4", "di@example.com", "view")  # who has a password is not taken over
    accounts.change("cy@example.com", "ana", disabled=True)
    with pytest.raises(NotLoggedInError):
        accounts.arrive("https://id 3", "cy@example.com", None)


def test_no_secret_is_in_the_database(lite: Catalog, tmp_path: Path) -> None:
    accounts = accounts_of(lite)
    first = accounts.first_token() or ""
    entered = accounts.set_up(first, "ana", PASSWORD, HOME)
    token, _ = accounts.tokens.create("ana", "reports", "view", 1, "ana")
    accounts.set_password("ana", OTHER, "ana")
    secret = accounts.log_in("ana", OTHER, HOME).secret
    with pytest.raises(NotLoggedInError):
        accounts.log_in("my password by mistake", PASSWORD, HOME)
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        text = "\n".join(connection.iterdump())
    connection.close()
    raw = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    for hidden in (first, entered.secret, secret, csrf_of(secret), token, PASSWORD, OTHER, "by mistake"):
        assert hidden not in text
        assert hidden.encode() not in raw


def test_settings_are_gated() -> None:
    Settings.model_validate({"access": {"address": "https://propend.example.com", "session_hours": 1}})
    oidc = {"client_id": "propend", "issuer": "https://id.example.com"}
    Settings.model_validate({"access": {"oidc": oidc | {"newcomers": "view", "domains": ["example.com"]}}})
    for wrong in ({"address": "propend.example.com"}, {"address": "https://x/y"}, {"idle_minutes": 0},
                  {"oidc": oidc | {"issuer": "http://id.example.com"}}, {"oidc": oidc | {"client_secret": "x"}},
                  {"oidc": oidc | {"issuer": "http://127.0.0.1.example.com"}}):  # fmt: skip
        with pytest.raises(ValueError, match="validation error"):
            Settings.model_validate({"access": wrong})
