"""The Kubernetes API server: requests in, stored JSON and watch streams out."""
