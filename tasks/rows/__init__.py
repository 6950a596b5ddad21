"""Rows of texts, as people have them: read in many spellings."""
