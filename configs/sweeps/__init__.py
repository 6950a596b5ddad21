"""Sweep files: `get_sweep()` yields one {"config": file, "dotted.field": value, ...} a run."""
