"""Provenance attestations: an in-toto statement (SLSA provenance v0.2, as BuildKit writes it) beside an image.

`min` says what built what from where; `max` adds the Dockerfile and the build arguments' names and values. Secrets and
their names' contents are in neither. The attestation is a manifest for the platform unknown/unknown in the image's
index, found by annotations. An SBOM is not made.
"""

import base64
from typing import Any

import msgspec

from knarr import __version__
from knarr.builder.request import BuildRequest
from knarr.images.content import add
from knarr.images.image_store import ImageStore
from knarr.oci import manifest
from knarr.oci.image_config import ImageConfig, RootFs, encode
from knarr.oci.manifest import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest
from knarr.oci.platform import Platform

IN_TOTO = "application/vnd.in-toto+json"
PREDICATE = "https://slsa.dev/provenance/v0.2"
BUILD_TYPE = "https://mobyproject.org/buildkit@v1"
_UNKNOWN = Platform(os="unknown", architecture="unknown")


def attestation(images: ImageStore, request: BuildRequest, image: Descriptor, now: str) -> Descriptor:
    """Store the statement about the image; the entry for the index."""
    statement = add(images.content, msgspec.json.encode(_statement(request, image, now)))
    layer = Descriptor(
        media_type=IN_TOTO,
        digest=statement.digest,
        size=statement.size,
        annotations={"in-toto.io/predicate-type": PREDICATE},
    )
    rootfs = RootFs(diff_ids=(statement.digest,))
    config = add(images.content, encode(ImageConfig(architecture="unknown", os="unknown", rootfs=rootfs)))
    described = Descriptor(media_type=OCI_CONFIG, digest=config.digest, size=config.size)
    parsed = Manifest(schema_version=2, media_type=OCI_MANIFEST, config=described, layers=(layer,))
    return Descriptor(
        media_type=OCI_MANIFEST,
        digest=images.put(parsed),
        size=len(manifest.encode(parsed)),
        platform=_UNKNOWN,
        annotations={
            "vnd.docker.reference.digest": image.digest,
            "vnd.docker.reference.type": "attestation-manifest",
        },
    )


def _statement(request: BuildRequest, image: Descriptor, now: str) -> dict[str, Any]:
    algorithm, _, encoded = image.digest.partition(":")
    names = [str(name) for name in request.names] or ["_"]
    return {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": PREDICATE,
        "subject": [{"name": name, "digest": {algorithm: encoded}} for name in names],
        "predicate": _predicate(request, image, now),
    }


def _predicate(request: BuildRequest, image: Descriptor, now: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {"frontend": "dockerfile.v0", "locals": [{"name": "context"}]}
    predicate: dict[str, Any] = {
        "builder": {"id": f"knarr {__version__}"},
        "buildType": BUILD_TYPE,
        "invocation": {
            "configSource": {"entryPoint": request.file},
            "parameters": parameters,
            "environment": {"platform": str(image.platform)},
        },
        "metadata": {
            "buildFinishedOn": now,
            "completeness": {"parameters": False, "environment": False, "materials": False},
            "reproducible": request.epoch is not None,
        },
    }
    if request.target:
        parameters["args"] = {"target": request.target}
    if request.publication.provenance == "max":
        arguments = {f"build-arg:{name}": value for name, value in request.arguments.items()}
        labels = {f"label:{name}": value for name, value in request.labels.items()}
        parameters["args"] = {**parameters.get("args", {}), **arguments, **labels}
        predicate["metadata"]["dockerfile"] = base64.b64encode(request.dockerfile.encode()).decode()
    return predicate
