"""One run as a library: collect, score, update, evaluate, save."""
