"""OpenAPI: the description of the API that clients read, v3 per group and version, v2 as JSON and protobuf."""
