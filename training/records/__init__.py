"""The files that a run leaves, and its mirror in W&B."""
