"""A process that makes the pushes of a workspace that are due: ``python -m propend.workspace.courier HOME``."""

from __future__ import annotations

import logging
import os
import sys

from propend.workspace import Workspace
from propend.workspace.execution import NICENESS


def main() -> int:
    """Make one push after another until none is due."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    os.nice(NICENESS)
    workspace = Workspace.open(sys.argv[1])
    try:
        while due := workspace.pushing.due():
            for push_id in due:
                workspace.pushing.work(push_id)
        return 0
    finally:
        workspace.close()


if __name__ == "__main__":
    sys.exit(main())
