"""How fast single profiles are looked up and scored, in this process and over HTTP, while a run is training."""
