"""One run: `run` puts it together, `loop` is the algorithm, the others are its parts."""
