"""What is said of settings, where people see them, is what the page on workspaces says."""

from __future__ import annotations

import re
from pathlib import Path

from propend.workspace.room import Measured
from propend.workspace.settings import SAYS, Settings, in_force

ROOT = Path(__file__).parent.parent


def test_every_setting_is_said_as_the_page_says() -> None:
    text = (ROOT / "docs" / "workspace.md").read_text(encoding="utf-8")
    written = dict(re.findall(r"^\| `([a-z.-]+\.[a-z_-]+)` \| .*? \| (.*) \|$", text, re.MULTILINE))
    plain = {
        key: re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", says).replace(" (access)", "") for key, says in written.items()
    }
    assert plain == SAYS


def test_every_setting_there_is_is_said() -> None:
    parts = {name: field.annotation for name, field in Settings.model_fields.items()}
    there = {
        f"{part}.{(field.alias or name)}"
        for part, kind in parts.items()
        for name, field in kind.model_fields.items()  # type: ignore[union-attr]
    }
    assert there == set(SAYS)


def test_settings_in_force_have_no_secrets() -> None:
    settings = Settings.model_validate({
        "alerts": {"webhook": "https://ana:s3cret@hooks.example.com/T0/s3cret?key=s3cret"},
        "access": {"oidc": {"issuer": "https://id.example.com", "client_id": "propend", "domains": ["a.org", "b.org"]}},
        "runs": {"memory": "4GB"},
    })  # fmt: skip
    changed = {s.key: s.value for s in in_force(settings) if not s.is_default}
    assert changed == {
        "runs.memory": "4GB",
        "alerts.webhook": "https://hooks.example.com/…",
        "access.oidc": "issuer: https://id.example.com; client_id: propend; domains: a.org, b.org; newcomers: none",
    }


def test_room_is_what_lies_on_the_disk_and_is_kept_for_a_while(tmp_path: Path) -> None:
    runs = tmp_path / ".propend" / "runs" / "buyers"
    runs.mkdir(parents=True)
    (runs / "scores.parquet").write_bytes(b"x" * 5000)
    (tmp_path / "events.csv").write_bytes(b"x" * 700)
    measured = Measured(tmp_path)
    room = measured.room()
    assert (room.runs, room.rest, 0 < room.free <= room.total) == (5000, 700, True)
    (tmp_path / "events.csv").write_bytes(b"")
    assert measured.room() is room
