"""Speed: the works that are timed, at which size, each in a process of its own."""
