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


def image_config(
    result: StageResult, platform: Platform, labels: dict[str, str], created: str, *, is_limited: bool = False
) -> ImageConfig:
    """`created` fills in where no step gave a time; `is_limited`: nothing is later than it."""
    config = result.config
    if labels:
        config = msgspec.structs.replace(config, labels={**config.labels, **labels})
    history = tuple(
        entry if entry.created else msgspec.structs.replace(entry, created=created) for entry in result.history
    )
    latest = result.created or created
    return ImageConfig(
        created=min(latest, created) if is_limited else latest,
        author=result.author,
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        config=config,
        rootfs=RootFs(diff_ids=result.filesystem.diff_ids),
        history=history,
    )


def image_manifest(
    config: Descriptor, layers: Iterable[Descriptor], annotations: dict[str, str], *, is_docker: bool
) -> Manifest:
    """An OCI or a Docker manifest; layers get the same format's name for the same bytes."""
    renamed = _DOCKER_TYPES if is_docker else _OCI_TYPES
    return Manifest(
        schema_version=2,
        media_type=manifest.DOCKER_MANIFEST if is_docker else manifest.OCI_MANIFEST,
        config=config,
        layers=tuple(
            msgspec.structs.replace(layer, media_type=renamed.get(layer.media_type, layer.media_type))
            for layer in layers
        ),
        annotations=annotations,
    )


_OCI_TYPES = {manifest.DOCKER_LAYER_GZIP: manifest.OCI_LAYER_GZIP}
_DOCKER_TYPES = {manifest.OCI_LAYER_GZIP: manifest.DOCKER_LAYER_GZIP}
