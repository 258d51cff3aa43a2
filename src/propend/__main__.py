"""``python -m propend`` is the command line."""

from propend.cli import main

main()
