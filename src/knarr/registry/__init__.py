"""The OCI registry."""
