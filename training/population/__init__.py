"""Runs that share their shapes, trained as one program."""
