"""``python -m docsite``: make the site in ``site/``; exits with 1 and every reason where it is not as it should be."""

from __future__ import annotations

import sys
from pathlib import Path

from docsite.making import SiteError, make_site


def main() -> int:
    """Make it; the exit status."""
    root = Path(__file__).parent.parent
    try:
        site = make_site(root, root)
    except (SiteError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{site.relative_to(root)}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
