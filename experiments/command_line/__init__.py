"""The flags (`cli`) and the help (`cli_help`) of every command. No jax."""
