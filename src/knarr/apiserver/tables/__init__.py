"""Tables: the columns that `kubectl get` prints, derived from the facts of each kind."""
