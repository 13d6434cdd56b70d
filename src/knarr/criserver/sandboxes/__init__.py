"""Pod sandboxes, one RPC a file."""
