"""Cross-field checks of kinds, named by their rows."""
