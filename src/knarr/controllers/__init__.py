"""Controllers: plan(object, view, now) -> Plan, run by one runner."""
