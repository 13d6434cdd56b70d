"""The image verbs of the knarr command, served by the node process on node.sock (HTTP over a Unix socket)."""
