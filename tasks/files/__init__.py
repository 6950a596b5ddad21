"""Files of rows: their formats, their rows, and many rows kept small."""
