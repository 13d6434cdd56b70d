"""Kinds as rows, and what each row derives."""
