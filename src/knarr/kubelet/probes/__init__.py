"""Probes: the state machine (pure) and one attempt of each handler."""
