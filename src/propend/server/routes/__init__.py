"""Routes, one module for each thing they speak of."""
