"""Priority and fairness: who is served next when more is asked than can be answered at once."""
