"""What codes are called in words: of notices, reasons, grades, members of the model and stages."""

from __future__ import annotations

from propend.language import noted, say

RULES = {
    "recency": noted("Recency alone"),
    "frequency": noted("Frequency alone"),
    "rfm_logistic": noted("Recency-frequency-money"),
}
METRICS = {
    "auc": (noted("Right one of two ranked first (AUC)"), "decimal"),
    "average_precision": (noted("Average precision"), "decimal"),
    "top_decile_lift": (noted("Lift of the top tenth"), "times"),
    "log_loss": (noted("Log loss (lower is better)"), "fine"),
    "brier": (noted("Brier score (lower is better)"), "fine"),
    "calibration_error": (noted("Calibration error (lower is better)"), "fine"),
}
DIRECTIONS = {
    "more raises": noted("higher values raise the chances"),
    "more lowers": noted("higher values lower the chances"),
    "mixed": noted("no one direction"),
}
LEVEL_DRIVERS = {
    "last": noted("the last known window"),
    "lately": noted("what half a window has shown since"),
    "season": noted("the same weeks a year ago"),
}
TITLES = frozenset({
    noted("Few outcomes"), noted("Same period proof"), noted("Last day partial"), noted("Tracking gap"),
    noted("Attributes without time"), noted("Rows set aside"), noted("Leak suspect"), noted("Input drift"),
    noted("Simple rule as good"), noted("Score drift"), noted("Exact duplicates"), noted("Values not numbers"),
    noted("Rows too short"), noted("No signal"), noted("New kind"), noted("Volume drift"), noted("Many profiles"),
    noted("Forgotten left out"), noted("Without consent"), noted("Forgotten"), noted("Horizon left out"),
    noted("Scored not in data"), noted("No profile"), noted("No time"), noted("Unparsable time"), noted("Before 1970"),
    noted("In the future"), noted("Duplicate"), noted("Excluded"), noted("After as of"), noted("Poor"), noted("Fair"),
    noted("Good"), noted("Excellent"), noted("Currencies mixed"), noted("Marketer made"), noted("Links left out"),
    noted("Partitions left out"), noted("Times astray"), noted("Days twice"), noted("Column lacking"),
    noted("Ids doubtful"), noted("Kind replaced"), noted("Kinds alike"), noted("Ids alike"), noted("Values broken"),
    noted("Day out of line"),
})  # fmt: skip
"""What notices, reasons to set a row aside, and grades are called: their codes, written as titles."""
CODES = frozenset({
    noted("dropped"), noted("suspect"), noted("noted"), noted("boosted trees"), noted("logistic regression"),
    noted("recency-frequency-money regression"), noted("read"), noted("survey"), noted("features"), noted("fit"),
    noted("level"), noted("prove"), noted("fairness"), noted("refit"), noted("horizons"), noted("describe"),
    noted("score"), noted("write"),
})  # fmt: skip
"""What was done about leaks, members of the model, and stages: their codes are words as they are."""


def titled(symbol: str) -> str:
    """What a code is called, in words."""
    title = symbol.replace("_", " ").capitalize()
    return say(title) if title in TITLES else title


def worded(code: str) -> str:
    """What a code of an action, a member or a stage is called, in words."""
    return say(code) if code in CODES else code


def rule_name(name: str) -> str:
    """What a simple rule is called."""
    return say(RULES[name]) if name in RULES else titled(name)
