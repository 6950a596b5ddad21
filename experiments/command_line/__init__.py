"""Flags and help of every command. No jax."""
