"""The only place that chooses implementations and reads settings."""
