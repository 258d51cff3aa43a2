"""Features and labels by other tools, in an environment of their own, which has nothing of propend's.

They need versions of NumPy, pandas, Polars and PyArrow that cannot stand beside those of the other benchmarks.
"""
