"""The CRI runtime: sandboxes, containers and images behind RuntimeService and ImageService."""
