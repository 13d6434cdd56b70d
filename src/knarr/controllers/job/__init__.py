"""Job: run pods until enough of them have succeeded."""
