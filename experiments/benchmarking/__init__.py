"""How fast: what is timed (`works`), at which size, in a process of its own (`worker`)."""
