"""What a person types: flags, config files, and whether they make sense. No jax."""
