"""A config, from its file to checked values and fingerprints, before jax is imported."""
