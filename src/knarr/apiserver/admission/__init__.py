"""Admission steps, in the order of the chain."""
