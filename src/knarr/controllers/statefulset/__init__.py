"""StatefulSet: pods with names, numbers and storage of their own, in order."""
