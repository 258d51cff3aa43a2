"""What parts written by others must do, as tests that they can run: one module for each kind of part."""
