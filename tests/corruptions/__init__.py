"""A hundred ways in which real data arrive broken: what is done to good orders, and what propend is to answer.

The good orders are the demo's: those of some customers, as rows of plain values. Each way takes such rows, breaks them
and writes a file or a folder as somebody would deliver it. ``test_corruptions.py`` holds every answer to what is stated
here.
"""

from corruptions import contents, files, times, tracking
from corruptions.register import CORRUPTIONS, DOCUMENT, Corruption, Rows, as_csv, canonical, good_orders, plain_id

GROUPS = (contents, files, times, tracking)

__all__ = ["CORRUPTIONS", "DOCUMENT", "GROUPS", "Corruption", "Rows", "as_csv", "canonical", "good_orders", "plain_id"]
