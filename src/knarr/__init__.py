"""knarr: Kubernetes for application developers in one Python program."""

__version__ = "0.1.0"
