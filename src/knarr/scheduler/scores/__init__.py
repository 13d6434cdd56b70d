"""Scores: one preference among the nodes a pod may run on, one file."""
