"""The knarr command: one verb, one file."""
