"""Images, one RPC a file."""
