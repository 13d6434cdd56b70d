"""Certificate signing requests: approved for kubelets, signed when approved, forgotten when old."""
