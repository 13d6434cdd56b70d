"""Containers, one RPC a file."""
