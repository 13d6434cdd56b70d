"""One verb of the Kubernetes API, one file."""
