"""One factor, looked into: what it is in each bucket, to compare buckets by (reference specification UI-11)."""

from __future__ import annotations

from typing import Any

from propend.narrative import Given

Plain = dict[str, Any]


def factor_in_buckets(given: Given, code: str) -> Plain | None:
    """One factor in every bucket that names it among its strongest; None where none does.

    ``buckets`` has, highest first, how often and how strongly it counts there, what is typical inside and outside, and
    a picture of its values; ``values`` has the share of each of these buckets that has each value.
    """
    found = {b["bucket"]: f for b in given.insights["buckets"] for f in b["factors"] if f["code"] == code}
    if not found:
        return None
    first = next(iter(found.values()))
    inside = {name: {v["label"]: v["inside"] for v in f["distribution"]} for name, f in found.items()}
    labels = dict.fromkeys(label for shares in inside.values() for label in shares)
    return {
        "code": code,
        "label": first["label"],
        "value_label": first["value_label"],
        "buckets": [_bucket(given, name, f) for name, f in found.items()],
        "values": [
            {"label": label, **{name: shares.get(label) for name, shares in inside.items()}} for label in labels
        ],
    }


def _bucket(given: Given, name: str, factor: Plain) -> Plain:
    picture = {
        "chart": "value_distribution",
        "id": f"value_distribution-{name}",
        "message": "",
        "alt": f"{factor['value_label']}: this bucket and all others",
        "rows": factor["distribution"],
    }
    return {
        **{k: v for k, v in factor.items() if k != "distribution"},
        "bucket": name,
        "tone": given.tones[name],
        "direction": "raises" if factor["mean_impact"] >= 0 else "lowers",
        "picture": picture,
    }
