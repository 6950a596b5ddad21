"""Rows of texts, as people have them: read in many spellings, and put into tokens."""
