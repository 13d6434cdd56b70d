"""What a fresh cluster begins with."""
