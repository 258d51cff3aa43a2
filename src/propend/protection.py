"""What protects the people in the data: labels of columns, what policies allow of them, and who is to be forgotten.

Policies    what may be done with a column that carries a label           (``[policies]`` of propend.toml)
Forgotten   whose rows are left out wherever data are read               (``propend forget``)
Mirrors     where rows of databases are kept from run to run             (``incremental`` of a source)
Protection  all of it, as one argument of the verbs
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from propend.goal import Part

Label = Literal["sensitive", "identifier", "no-data-science"]
DIGEST_BYTES = 16


class Policy(Part):
    """What may be done with columns of one label.

    Attributes:
        features: ``allow``, ``exclude`` (kept out, named or not), or ``refuse`` a document that names one.
        goals: conditions and measures of named events, goals and eligibility: ``allow`` or ``refuse``.
        fairness: ``options.fairness``, likewise.
    """

    features: Literal["refuse", "exclude", "allow"] = "exclude"
    goals: Literal["refuse", "allow"] = "refuse"
    fairness: Literal["refuse", "allow"] = "refuse"


class SensitivePolicy(Policy):
    """Groups are compared by sensitive columns: that is what these are labelled for."""

    fairness: Literal["refuse", "allow"] = "allow"


class Policies(Part):
    """The policy of each label."""

    sensitive: SensitivePolicy = SensitivePolicy()
    identifier: Policy = Policy()
    no_data_science: Policy = Field(default=Policy(), alias="no-data-science")

    def of(self, label: Label) -> Policy:
        """The policy of one label."""
        found: Policy = getattr(self, label.replace("-", "_"))
        return found

    def keep_out(self, labels: Sequence[Label]) -> Label | None:
        """The first label by which a column is no feature; None where all of them allow it."""
        return next((label for label in labels if self.of(label).features != "allow"), None)


def digest_of(profile_id: bytes, key: bytes) -> bytes:
    """What is kept of an id that is to be forgotten: nobody tells the id by it without the key.

    Args:
        profile_id: the id's text as UTF-8.
        key: the workspace's secret, at most 64 bytes.
    """
    return hashlib.blake2b(profile_id, digest_size=DIGEST_BYTES, key=key).digest()


@dataclass(frozen=True)
class Forgotten:
    """People who are to be forgotten: digests of their ids. Neither is shown, logged, nor written to files.

    Attributes:
        key: the workspace's secret.
        digests: as by ``digest_of``.
    """

    key: bytes = field(repr=False)
    digests: frozenset[bytes] = field(repr=False)

    def __bool__(self) -> bool:
        return bool(self.digests)

    def among(self, profile_ids: Sequence[bytes]) -> list[bool]:
        """Of each id, as UTF-8, whether it is to be forgotten."""
        return [digest_of(i, self.key) in self.digests for i in profile_ids]


@dataclass(frozen=True)
class Reach:
    """What addresses of sources may lead to.

    Attributes:
        private_hosts: whether web addresses may lead to this machine, and into private networks.
        most_mb: of one file that has to be copied before it is read.
    """

    private_hosts: bool = True
    most_mb: int = 2_000


ANYWHERE = Reach()
"""What a document that lies in no workspace may reach."""


def _nobody() -> Forgotten | None:
    """Nobody is to be forgotten."""
    return None


FULL_EVERY_DAYS = 30
"""Age of a mirror's last full reading from which everything is read again, unless a workspace says otherwise."""


@dataclass(frozen=True)
class Mirrors:
    """Where the rows of database tables are kept from run to run, so that only new ones are read (docs/databases.md).

    Attributes:
        folder: of one instance alone; made when it is needed.
        full_since: everything is read again where the last full reading was before this instant in UTC.
        full_every_days: age of the last full reading from which everything is read again.
        forgotten: asked, when rows are kept, whose are not: somebody may ask to be forgotten while they are read.
    """

    folder: Path
    full_since: datetime | None = None
    full_every_days: int = FULL_EVERY_DAYS
    forgotten: Callable[[], Forgotten | None] = _nobody


@dataclass(frozen=True)
class Protection:
    """What a workspace demands wherever its data are used; by default, the policies that are built in.

    Attributes:
        policies: of labels.
        forgotten: people whose rows are left out.
        reach: what addresses may lead to.
        mirrors: where rows of databases are kept; nowhere where None, and all are read each time.
    """

    policies: Policies = field(default_factory=Policies)
    forgotten: Forgotten | None = None
    reach: Reach = ANYWHERE
    mirrors: Mirrors | None = None


USUAL = Protection()
