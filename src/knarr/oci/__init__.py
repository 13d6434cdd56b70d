"""OCI words: digests, references, descriptors, manifests, image configuration, mounts."""
