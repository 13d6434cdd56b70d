"""Low-level container runtime: crun or runc under conmon."""
