"""What a build puts out: the image's configuration and manifest. Pure.

Created times come from the steps' records, so that a build from the cache makes the same bytes again.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from knarr.builder.evaluate import PlannedStep
from knarr.oci import manifest
from knarr.oci.digest import Digest
from knarr.oci.image_config import ContainerConfig, History, ImageConfig, RootFs
from knarr.oci.manifest import Descriptor, Manifest
from knarr.oci.platform import Platform


@dataclass(frozen=True, slots=True)
class Filesystem:
    """Layers so far. `state` names the file system in cache keys (cache_keys.py)."""

    layers: tuple[Descriptor, ...] = ()
    diff_ids: tuple[Digest, ...] = ()
    state: str = ""

    def with_layer(self, layer: Descriptor, diff_id: Digest, state: str) -> "Filesystem":
        return Filesystem((*self.layers, layer), (*self.diff_ids, diff_id), state)


@dataclass(frozen=True, slots=True)
class Done:
    """A step that is done; `has_layer` where it added something. `created` "" for steps that only change metadata."""

    planned: PlannedStep
    has_layer: bool
    created: str = ""


@dataclass(frozen=True, slots=True)
class StageResult:
    """A stage as later stages and the output see it. `created` is the latest time of its steps and base."""

    filesystem: Filesystem
    config: ContainerConfig
    history: tuple[History, ...]
    author: str = ""
    created: str = ""


def after(base: StageResult, filesystem: Filesystem, config: ContainerConfig, done: Iterable[Done]) -> StageResult:
    """The stage's result: its base and what its steps did."""
    created, author, history = base.created, base.author, list(base.history)
    for step in done:
        created = max(created, step.created)
        author = step.planned.author or author
        history.append(
            History(
                created=step.created or created,
                created_by=step.planned.created_by,
                author=step.planned.author,
                comment="knarr.builder",
                empty_layer=not step.has_layer,
            )
        )
    return StageResult(filesystem, config, tuple(history), author, created)


def image_config(result: StageResult, platform: Platform, labels: dict[str, str], created: str) -> ImageConfig:
    """`created` fills in where no step gave a time."""
    config = result.config
    if labels:
        config = msgspec.structs.replace(config, labels={**config.labels, **labels})
    history = tuple(
        entry if entry.created else msgspec.structs.replace(entry, created=created) for entry in result.history
    )
    return ImageConfig(
        created=result.created or created,
        author=result.author,
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        config=config,
        rootfs=RootFs(diff_ids=result.filesystem.diff_ids),
        history=history,
    )


def image_manifest(config: Descriptor, layers: Iterable[Descriptor]) -> Manifest:
    """An OCI manifest; layers of a Docker base get OCI's name for the same bytes."""
    return Manifest(
        schema_version=2,
        media_type=manifest.OCI_MANIFEST,
        config=config,
        layers=tuple(_oci(layer) for layer in layers),
    )


def _oci(layer: Descriptor) -> Descriptor:
    if layer.media_type != manifest.DOCKER_LAYER_GZIP:
        return layer
    return msgspec.structs.replace(layer, media_type=manifest.OCI_LAYER_GZIP)
