"""Whether a run trains, scores, or lets a challenger try to replace the champion.

A model is trained where there is none, or where what it is trained by has changed. One that has grown old, or of whose
inputs or scores the last run said that they have drifted, is challenged: a new one is trained and both are put to the
proof of the new one, on which the old one knows nothing either; the better one scores, and ties go to the champion.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from propend.instance import Instance
from propend.workspace.settings import RetrainingSettings

DRIFTED = ("PROPEND-307", "PROPEND-309", "PROPEND-314")
"""Warnings that inputs or scores have drifted, or that there is a kind of event which the model does not know."""


@dataclass(frozen=True)
class Champion:
    """The model in force.

    Attributes:
        run: id of the run that trained it.
        instance: the version it was trained for.
        trained_at: when.
        warnings: codes of the last run that it scored in.
    """

    run: str
    instance: Instance
    trained_at: datetime
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Decision:
    """``train``, ``challenge`` or ``score``, and why in words."""

    kind: str
    reason: str

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return {"kind": self.kind, "reason": self.reason}


def decide(
    asked: str, instance: Instance, champion: Champion | None, policy: RetrainingSettings, at: datetime
) -> Decision:
    """What a run does.

    Args:
        asked: ``auto``, ``train`` or ``score``.
        instance: the version to run.
        at: now.
    """
    if champion is None:
        return Decision("train", "there is no model yet")
    if champion.instance.training_hash != instance.training_hash:
        return Decision("train", "what the model is trained by has changed")
    if asked == "train":
        return Decision("challenge", "training was asked for")
    if asked == "score":
        return Decision("score", "scoring alone was asked for")
    age = at - champion.trained_at
    if age >= timedelta(days=policy.after_days):
        return Decision("challenge", f"the model is {age.days} days old; it is challenged after {policy.after_days}")
    drifted = sorted(set(champion.warnings) & set(DRIFTED))
    if drifted and policy.on_drift:
        return Decision("challenge", f"the last run warned of drift ({', '.join(drifted)})")
    return Decision("score", f"the model is {age.days} days old and nothing has drifted")
