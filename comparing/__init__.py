"""Runs that ended, side by side: the statistics (`comparison`) and the page (`page`)."""
