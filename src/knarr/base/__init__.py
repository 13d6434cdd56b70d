"""What everything may use: errors, clock, ids, tasks, back-off, logs, failpoints."""
