"""The Deployment controller, one decision a file."""
