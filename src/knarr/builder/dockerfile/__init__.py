"""Dockerfile syntax: text in, instructions out; no I/O."""
