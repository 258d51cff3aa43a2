"""How the catalog's tables came about, step by step; ``propend.store.catalog`` describes them as they are."""
