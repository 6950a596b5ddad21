"""Asking people which of two responses they prefer: a page, its server, and what it keeps."""
