"""CRI v1 messages as plain values, one file per subject."""
