"""Protocols on the wire: HTTP/1.1, WebSocket, SPDY, protobuf, JSON, YAML, TLS."""
