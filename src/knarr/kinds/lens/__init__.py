"""Typed read-only views (lenses) of stored objects, one file per family of kinds."""
