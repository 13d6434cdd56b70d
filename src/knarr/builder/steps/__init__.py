"""Build steps that touch the disk or start a container."""
