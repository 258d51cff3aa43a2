"""Makes the documentation site of what stands in ``docs/`` and beside it; not part of the package."""
