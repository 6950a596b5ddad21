"""Config files (ml_collections), one an algorithm; `common.py` has every field with a comment."""
