"""Audit: who asked what, when, and how it ended."""
