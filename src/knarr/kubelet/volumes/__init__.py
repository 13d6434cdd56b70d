"""Volumes: what a pod's volumes hold and where they lie on the node."""
