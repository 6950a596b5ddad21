"""Decoder layers that are not Llama's (`models.layer.Layer`), one a file."""
