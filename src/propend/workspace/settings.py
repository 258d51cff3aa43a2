"""``propend.toml``: how a workspace runs, retrains, keeps, protects and tells."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from propend.document import mistakes_of
from propend.errors import ConfigurationError, Mistake, WorkspaceNotFoundError
from propend.goal import Part
from propend.phrasing import NOTHING
from propend.protection import FULL_EVERY_DAYS, Policies, Reach

SETTINGS_FILE = "propend.toml"
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1, le=10_000)]


class RunSettings(Part):
    """How runs are executed.

    Attributes:
        at_once: so many at the same time, each in a process of its own.
        minutes: after which a run is stopped.
        memory: the engine's budget, such as ``4GB``; what it chooses where absent.
        most_memory_gb: of the whole process, above which a run is stopped; no limit where absent.
    """

    at_once: Annotated[int, Field(ge=1, le=64)] = 1
    minutes: Annotated[int, Field(ge=1, le=100_000)] = 24 * 60
    memory: str | None = None
    most_memory_gb: Annotated[float, Field(gt=0)] | None = None


class RetrainingSettings(Part):
    """When a model is trained anew.

    Attributes:
        after_days: age of the champion from which a challenger is trained.
        on_drift: also when the last run said that inputs or scores have drifted.
        margin: share of log loss that the challenger must save on the same proof.
    """

    after_days: Count = 90
    on_drift: bool = True
    margin: Share = 0.005


class RetentionSettings(Part):
    """How long is kept what is not needed any more; days.

    Attributes:
        scores_days: scores of runs that are not the newest; models, proofs and reports stay.
        audit_days: the log of changes (spec OPS-03).
    """

    scores_days: Count = 365
    audit_days: Count = 365


class ServingSettings(Part):
    """How scores are served.

    Attributes:
        memory_mb: of a server's memory for scores of profiles that were asked for; the rest is read when asked.
    """

    memory_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 256


class UploadSettings(Part):
    """What may be uploaded by pages.

    Attributes:
        most_mb: of one file.
    """

    most_mb: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000

    @property
    def most_bytes(self) -> int:
        return self.most_mb * 1_000_000


class DataSettings(Part):
    """What addresses of sources may lead to.

    Attributes:
        private_hosts: whether web addresses may lead to this machine, and into private networks.
        most_mb: of one file that is copied from an address before it is read.
    """

    private_hosts: bool = False
    most_mb: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000

    @property
    def reach(self) -> Reach:
        return Reach(self.private_hosts, self.most_mb)


class ExportSettings(Part):
    """Where scores may be pushed to.

    Attributes:
        folders: that files may be written below, besides the workspace's own ``exports/``.
        private_addresses: whether webhooks may call addresses within private networks.
        tries: of one push, before it is given up.
    """

    folders: tuple[str, ...] = ()
    private_addresses: bool = False
    tries: Annotated[int, Field(ge=1, le=20)] = 6


class MirrorSettings(Part):
    """Rows of databases that are kept from run to run.

    Attributes:
        full_every_days: age of the last full reading from which everything is read again.
    """

    full_every_days: Count = FULL_EVERY_DAYS


class AlertSettings(Part):
    """Where to tell of what needs somebody.

    Attributes:
        webhook: an address that gets a JSON document by POST when a run fails, data drift, or outcomes are not as
            expected.
    """

    webhook: str | None = None


class OidcSettings(Part):
    """Where people log in by OpenID Connect.

    Attributes:
        issuer: the provider's address, as its tokens say; ``https``, or ``http`` on this machine.
        client_id: what the provider calls this server; its secret is in ``PROPEND_OIDC_CLIENT_SECRET``.
        domains: of e-mail addresses that may come; any where empty.
        newcomers: role of those who come for the first time; ``none``: only who was added before may come.
    """

    issuer: Annotated[str, Field(pattern=r"^(https://|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/|$))")]
    client_id: Annotated[str, Field(min_length=1)]
    domains: tuple[str, ...] = ()
    newcomers: Literal["none", "view", "manage"] = "none"


class AccessSettings(Part):
    """Who may come in, and for how long.

    Attributes:
        address: of the server as browsers see it, such as ``https://propend.example.com``; as the request says where
            absent.
        session_hours: after which people log in again.
        idle_minutes: without a request, after which people log in again.
        oidc: log-in by OpenID Connect; by password alone where absent.
    """

    address: Annotated[str, Field(pattern=r"^https?://[^/\s]+$")] | None = None
    session_hours: Annotated[int, Field(ge=1, le=24 * 30)] = 12
    idle_minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 120
    oidc: OidcSettings | None = None


class Settings(Part):
    """All of ``propend.toml``; ``policies`` say what may be done with labelled columns."""

    runs: RunSettings = RunSettings()
    retraining: RetrainingSettings = RetrainingSettings()
    retention: RetentionSettings = RetentionSettings()
    serving: ServingSettings = ServingSettings()
    uploads: UploadSettings = UploadSettings()
    data: DataSettings = DataSettings()
    mirrors: MirrorSettings = MirrorSettings()
    alerts: AlertSettings = AlertSettings()
    exports: ExportSettings = ExportSettings()
    policies: Policies = Policies()
    access: AccessSettings = AccessSettings()


SAYS = {
    "runs.at_once": "runs that are executed at the same time",
    "runs.minutes": "after which a run is stopped",
    "runs.memory": 'the engine\'s budget, such as `"4GB"`',
    "runs.most_memory_gb": "of the whole process, above which a run is stopped",
    "retraining.after_days": "age from which a champion is challenged",
    "retraining.on_drift": "also when the last run warned of drift",
    "retraining.margin": "share of the log loss that a challenger must save",
    "retention.scores_days": "how long scores of runs are kept that are not the newest; models, proofs and reports "
    "stay",
    "uploads.most_mb": "the largest file that can be uploaded by the pages",
    "data.private_hosts": "whether web addresses of sources may lead to this machine and into private networks",
    "data.most_mb": "the largest file that is copied from an address before it is read",
    "mirrors.full_every_days": "age from which incremental sources are read again as a whole",
    "serving.memory_mb": "memory of a server for scores that were asked for; others are read when they are asked for",
    "retention.audit_days": "how long the log of changes is kept",
    "alerts.webhook": "an address that is told of failed runs and pushes, drift, and outcomes that are not as expected",
    "exports.folders": "folders that files of scores may be written below, besides `exports/`",
    "exports.private_addresses": "whether webhooks may call addresses within private networks",
    "exports.tries": "how often one push is tried before it is given up",
    "access.address": "the server as browsers see it",
    "access.session_hours": "after which people log in again",
    "access.idle_minutes": "without a request, after which people log in again",
    "access.oidc": "log-in by OpenID Connect",
    "policies.sensitive": "what may be done with columns labelled sensitive: as features, in goals, for fairness",
    "policies.identifier": "the same of columns labelled identifier",
    "policies.no-data-science": "the same of columns labelled no-data-science",
}
"""What each key of ``propend.toml`` says."""

UNITS = {"minutes": " minutes", "hours": " hours", "days": " days", "mb": " MB", "gb": " GB"}
"""What values are counted in, by the end of a key's name."""


@dataclass(frozen=True)
class InForce:
    """One setting: its key, its value as text without secrets, what it says, and whether it is the default."""

    key: str
    value: str
    says: str
    is_default: bool


def in_force(settings: Settings) -> list[InForce]:
    """Every setting as it is, without secrets: of an address that is told only whose it is."""
    found, usual = [], Settings()
    for key, says in SAYS.items():
        value = _at(settings, key)
        found.append(InForce(key, _worded(key, value), says, value == _at(usual, key)))
    return found


def _at(settings: Settings, key: str) -> Any:
    part, name = key.replace("-", "_").split(".")
    return getattr(getattr(settings, part), name)


def host_alone(address: str) -> str:
    """Of an address no more than where it goes: whoever knows all of a webhook's can often post to it."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.hostname or ''}/…"


def _worded(key: str, value: Any) -> str:
    if value is None or value == ():
        return NOTHING
    if key == "alerts.webhook":
        return host_alone(value)
    if isinstance(value, Part):
        return "; ".join(f"{name}: {_worded('', getattr(value, name))}" for name in type(value).model_fields)
    if isinstance(value, bool):
        return "true" if value else "false"
    unit = UNITS.get(re.split(r"[._]", key)[-1], "")
    return ", ".join(map(str, value)) if isinstance(value, tuple) else f"{value}{unit}"


def read_settings(home: Path) -> Settings:
    """The settings of a workspace.

    Raises:
        WorkspaceNotFoundError: the folder has no ``propend.toml``, or it cannot be read.
        ConfigurationError: it has mistakes; all of them are listed.
    """
    path = home / SETTINGS_FILE
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WorkspaceNotFoundError(
            f"{str(home)!r} is not a workspace: it has no {SETTINGS_FILE}.",
            "`propend init DIR --data PATH` makes one.",
            path=str(home),
        ) from None
    except OSError as error:
        raise WorkspaceNotFoundError(
            f"{SETTINGS_FILE} in {str(home)!r} cannot be read: {error.strerror}.", "see to its permissions."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = "nested too deeply" if isinstance(error, RecursionError) else f"not valid TOML: {error}"
        raise ConfigurationError([Mistake(SETTINGS_FILE, problem)], SETTINGS_FILE) from None
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(mistakes_of(error, Settings, document, {}), SETTINGS_FILE) from None
