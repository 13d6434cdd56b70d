"""What the CLI is told about images: the list, one image's configuration, its history. Plain dictionaries."""

from typing import Any

import msgspec

from knarr.images.image_store import ImageStore
from knarr.oci.reference import familiar_repository


def listed(images: ImageStore) -> list[dict[str, Any]]:
    """A row for each tag, and one for each image that only a digest names; newest first."""
    rows = []
    tagged = {(name.parsed.repository, name.digest) for name in images.names if name.parsed.tag}
    for name, image in images.all_images():
        reference = name.parsed
        if not reference.tag and (reference.repository, name.digest) in tagged:
            continue
        rows.append(
            {
                "repository": familiar_repository(reference.repository),
                "tag": reference.tag or "<none>",
                "digest": name.digest,
                "id": image.id,
                "created": image.config.created,
                "size": image.size,
                "origin": name.origin,
            }
        )
    return sorted(rows, key=lambda row: str(row["created"]), reverse=True)


def inspected(images: ImageStore, text: str) -> dict[str, Any]:
    """As `docker inspect` shows an image, in OCI's words."""
    image = images.resolve(text)
    names = [name for name, other in images.all_images() if other.id == image.id]
    return {
        "Id": image.id,
        "Digest": image.digest,
        "RepoTags": [name.parsed.familiar for name in names if name.parsed.tag],
        "RepoDigests": sorted({f"{familiar_repository(n.parsed.repository)}@{n.digest}" for n in names}),
        "Created": image.config.created,
        "Author": image.config.author,
        "Architecture": image.config.architecture,
        "Os": image.config.os,
        "Variant": image.config.variant,
        "Size": image.size,
        "Config": msgspec.to_builtins(image.config.config),
        "RootFS": {"Type": "layers", "Layers": list(image.config.rootfs.diff_ids)},
    }


def history(images: ImageStore, text: str) -> list[dict[str, Any]]:
    """The steps that made the image, newest first, each with the size of its compressed layer."""
    image = images.resolve(text)
    sizes = iter([layer.size for layer in image.manifest.layers])
    rows = [
        {
            "created": entry.created,
            "created_by": entry.created_by,
            "comment": entry.comment,
            "size": 0 if entry.empty_layer else next(sizes, 0),
        }
        for entry in image.config.history
    ]
    return rows[::-1]
