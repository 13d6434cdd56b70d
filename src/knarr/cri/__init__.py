"""The Container Runtime Interface v1: messages, Protocols and a gRPC client."""
