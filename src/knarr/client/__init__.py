"""Clients of the Kubernetes API: one Protocol, in-process and HTTP transports, caches."""
