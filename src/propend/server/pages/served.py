"""What pages about people share: the scores of an instance that are served, with the documents of their run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from propend.narrative import Given
from propend.report import language_of
from propend.retelling import in_english
from propend.segments import Rule
from propend.server.pages.shell import Page, invalid
from propend.server.serving import ScoreFile
from propend.store.catalog import InstanceRow, RunRow
from propend.store.runs import read_json
from propend.workspace import Workspace
from propend.workspace.audiences import Tally
from propend.workspace.drafting import sentence_of

Plain = dict[str, Any]


def given_of(space: Workspace, run: RunRow) -> Given:
    """The three documents of a run that succeeded, in English, whichever language its reports speak.

    Raises:
        InstanceNotFoundError: they are not there any more.
    """
    folder = space.runs.folder(run)
    return Given(*retold(*(read_json(folder / f"{name}.json") for name in ("evaluation", "insights", "run"))))


def retold(*documents: Plain) -> list[Plain]:
    """Documents of one run, the last of which is its record, in the language of the pages."""
    language = language_of(documents[-1])
    told = [in_english(document, language) for document in documents]
    question = sentence_of(documents[-1]["instance"])
    return [*told[:-1], told[-1] | {"sentence": question or told[-1]["sentence"]}]


@dataclass(frozen=True)
class Served:
    """The scores of an instance that are served.

    Attributes:
        instance: whose they are.
        run: that made them.
        scores: they themselves.
    """

    page: Page
    instance: InstanceRow
    run: RunRow
    scores: ScoreFile

    @classmethod
    def of(cls, page: Page, instance_id: str) -> Served:
        """Those of an instance.

        Raises:
            InstanceNotFoundError: there is no such instance, or it has no scores yet.
        """
        instance = page.space.instances.get(instance_id)
        run = page.scores.served(instance_id)
        return cls(page, instance, run, page.scores.scores(run))

    @cached_property
    def given(self) -> Given:
        """The documents of the run."""
        return given_of(self.page.space, self.run)

    @property
    def population(self) -> int:
        """How many profiles are scored: less than when the run ended, where people were forgotten since."""
        return self.scores.count(Rule())

    def tally(self, rule: Rule) -> Tally:
        """How many profiles a rule means, and how many are expected to meet the goal."""
        return self.scores.tally(rule)


def number_of(text: str, name: str, least: float = 0.0) -> float | None:
    """A number as people type it into a field; None where it is empty.

    Raises:
        RequestInvalidError: it is none, or not above ``least``.
    """
    plain = text.strip().replace(" ", "").replace("\u00a0", "")
    if not plain:
        return None
    try:
        found = float(plain.replace(",", ".") if "." not in plain else plain.replace(",", ""))
    except ValueError:
        raise invalid(f"{name}: {text[:40]!r} is not a number.", "write digits, such as 12.50.") from None
    if not least < found < 1e12:
        raise invalid(f"{name}: {text[:40]} is not above {least:g}.", "write a larger number.")
    return found


def name_of(page: Page) -> str:
    """Of who asks, as the log of changes has it."""
    return page.caller.name if page.caller is not None else ""


def instance_names(page: Page) -> dict[str, str]:
    """The names of all instances that have a version or scores, by their ids."""
    return {row.id: row.name for row in page.space.instances.all() if row.version}


def enriching_names(page: Page) -> dict[str, str]:
    """The same of those whose scores enrich profiles: of these segments are made."""
    held = page.scores.held_back
    return {instance_id: name for instance_id, name in instance_names(page).items() if instance_id not in held}


def factor_labels(page: Page, instance_id: str) -> dict[str, str]:
    """The factors of the scores that are served, by their codes, strongest first; none without scores."""
    run = page.space.runs.serving(instance_id)
    if run is None:
        return {}
    return dict(_labels(page.space.runs.folder(run)))


@lru_cache(maxsize=64)
def _labels(folder: Path) -> tuple[tuple[str, str], ...]:
    """Of a run, which does not change in this."""
    insights, _ = retold(*(read_json(folder / f"{name}.json") for name in ("insights", "run")))
    buckets = (factor for bucket in insights["buckets"] for factor in bucket["factors"])
    return tuple({f["code"]: f["label"] for f in (*insights["factors"], *buckets)}.items())
