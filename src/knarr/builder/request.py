"""A build as a value: what is asked for, and what came out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from knarr.builder.trees import ContextTree
from knarr.oci.digest import Digest
from knarr.oci.reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """`dockerfile` is its text, `file` its name in messages. `secrets` by id; they are never stored.

    `epoch` is SOURCE_DATE_EPOCH: no file and no record gets a later time.
    """

    dockerfile: str
    context: ContextTree
    file: str = "Dockerfile"
    names: tuple[Reference, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    target: str = ""
    platform: str = ""
    uses_cache: bool = True
    pulls: bool = False
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """`digest` is the manifest's, `id` the configuration's."""

    digest: Digest
    id: Digest
    names: tuple[Reference, ...]
