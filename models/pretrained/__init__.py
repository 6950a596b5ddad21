"""Pretrained models: their files, found by name, described before jax, read and written."""
