"""One file per step, each with the way there and back."""
