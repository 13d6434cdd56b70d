"""Filters: one reason why a pod may not run on a node, one file."""
