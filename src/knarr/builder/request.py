"""A build as a value: what is asked for, and what came out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from knarr.builder.operations import Network
from knarr.builder.trees import ContextTree
from knarr.oci.digest import Digest
from knarr.oci.reference import Reference

HOSTNAME = "buildkitsandbox"
"""Build scripts that look at their host name know this one."""
HOSTNAME_ARGUMENT, CACHE_NAMESPACE_ARGUMENT = "BUILDKIT_SANDBOX_HOSTNAME", "BUILDKIT_CACHE_MOUNT_NS"
INDEX_ARGUMENT = "BUILDKIT_MULTI_PLATFORM"
NETWORK_HOST, INSECURE = "network.host", "security.insecure"
ENTITLEMENTS = (NETWORK_HOST, INSECURE)
"""What `--allow` may give to RUN; without it the Dockerfile cannot have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What the command line says about every RUN.

    `hosts` are name and address; `ulimits` name → soft and hard limit; `network` is for a RUN that does not say.
    `hostname` and `cache_namespace` (before the ids of cache mounts) come from predefined arguments.
    """

    hosts: tuple[tuple[str, str], ...] = ()
    shm_bytes: int = 0
    ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    network: Network = "default"
    allows: frozenset[str] = frozenset()
    hostname: str = HOSTNAME
    cache_namespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What becomes of the result beside its names.

    `is_docker`: Docker's media types instead of OCI's. `provenance` "" is none. `is_index`: an index even of one.
    """

    annotations: Mapping[str, str] = field(default_factory=dict)
    index_annotations: Mapping[str, str] = field(default_factory=dict)
    is_docker: bool = False
    provenance: Literal["", "min", "max"] = ""
    has_inline_cache: bool = False
    is_index: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """`dockerfile` is its text, `file` its name in messages; `ignored` is the text of .dockerignore.

    `secrets` by id are never stored. `contexts` are named contexts: a tree, or an image's reference. `ssh` are agents'
    sockets by id. `uncached` are stages that run again (--no-cache-filter). `platforms`: one image for each; none is
    this machine's. `epoch` is SOURCE_DATE_EPOCH: no file and no record gets a later time; with `sets_times` all get
    exactly that. `cache_from` are references of images or exported caches that steps may be answered from; `cache_to`
    names caches to export, True with the steps of all stages.
    """

    dockerfile: str
    context: ContextTree
    file: str = "Dockerfile"
    ignored: str = ""
    names: tuple[Reference, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    ssh: Mapping[str, Path] = field(default_factory=dict)
    contexts: Mapping[str, ContextTree | str] = field(default_factory=dict)
    run: RunSettings = field(default_factory=RunSettings)
    publication: Publication = field(default_factory=Publication)
    target: str = ""
    platforms: tuple[str, ...] = ()
    uses_cache: bool = True
    uncached: tuple[str, ...] = ()
    pulls: bool = False
    epoch: int | None = None
    sets_times: bool = False
    cache_from: tuple[Reference, ...] = ()
    cache_to: tuple[tuple[Reference, bool], ...] = ()

    @property
    def times(self) -> tuple[int, bool] | int | None:
        """What the times of files depend on, for keys."""
        return (self.epoch or 0, True) if self.sets_times else self.epoch


@dataclass(frozen=True, slots=True)
class Built:
    """`digest` is the manifest's or the index's, `id` the configuration's of the (first) image."""

    digest: Digest
    id: Digest
    names: tuple[Reference, ...]
