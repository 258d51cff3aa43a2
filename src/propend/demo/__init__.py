"""What ships for trying propend out: a real order log with two instances, and a simulator of known truth."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

_INSTANCES = ("purchase", "churn")


def orders_path() -> Path:
    """The shipped order log: 35,686 orders of 5,248 customers of a British gift shop, 2009 to 2011.

    Parquet with ``customer_id``, ``ordered_at``, ``kind`` (purchase, cancellation), ``amount`` (pounds,
    positive for both kinds), ``country``, ``category`` and ``items``. Source and licence: CREDITS.md.
    """
    return Path(str(files(__name__) / "orders.parquet"))


def instance_texts() -> dict[str, str]:
    """The demo's instance documents as YAML, by name, in the order they are shown."""
    folder = files(__name__)
    return {name: (folder / f"{name}.yaml").read_text(encoding="utf-8") for name in _INSTANCES}


__all__ = ["instance_texts", "orders_path"]
