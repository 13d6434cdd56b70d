"""Image content and file-system snapshots, shared by builder, registry and runtime."""
