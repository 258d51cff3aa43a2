"""Which of the features asked for a feature of getML is, as its SQL says."""

from __future__ import annotations

import re

Key = tuple[str, str, str, int]
"""Aggregate, kind, category, window in days."""

SINCE = 't1."cutoff" - t2."at"'
COUNTED = re.compile(r"""SUM\( CASE WHEN t2\."(event|category)" = '([^']*)' THEN 1 ELSE 0 END \)""")
CONDITION = re.compile(r"""AND t2\."(event|category)" = '([^']*)'""")
WINDOW = re.compile(r"'\+([\d.]+) days'")
OPS = {
    "COUNT( * )": "COUNT",
    'SUM( t2."value" )': "SUM",
    'MAX( t2."value" )': "MAX",
    'AVG( t2."value" )': "VALUE_MEAN",
    f"MIN( {SINCE} )": "DAYS_SINCE_LAST",
    f"MAX( {SINCE} )": "DAYS_SINCE_FIRST",
}


def meaning(sql: str, lookback_days: int) -> Key | None:
    """The aggregate, whose events, and the window; none where propend has no such feature."""
    found = re.search(r'SELECT (.*) AS "', sql)
    if found is None:
        return None
    asked = found[1]
    window = WINDOW.search(sql)
    days = round(float(window[1])) if window else lookback_days
    counted = COUNTED.fullmatch(asked)
    if counted:
        op, which = "COUNT", counted
    elif asked in OPS:
        op, which = OPS[asked], CONDITION.search(sql)
    else:
        return None
    kind = which[2] if which and which[1] == "event" else ""
    category = which[2] if which and which[1] == "category" else ""
    return op, kind, category, days
