"""ml_collections config files, one an algorithm; `common.py` has every field and its comment."""
