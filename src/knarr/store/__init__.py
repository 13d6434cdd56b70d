"""The versioned key-value store under the API server."""
