"""What travels over node.sock: JSON bodies of requests, and the lines that build, push and pull answer with.

One side is the CLI, which builds these as plain dictionaries so that it starts fast; names here and there must agree.
"""

from typing import Annotated, Any, Literal

import msgspec

from knarr.base.errors import BadRequest

BODY_MAX = 256 << 20
"""A context's list: some hundred bytes a file, for the largest of trees."""

EPOCH_MAX = 253402300799
"""The last second that a date of an image can say: the year 9999's."""


class ContextEntry(msgspec.Struct, frozen=True, array_like=True):
    """One path of the context. `kind` is f, d or l; `content` a file's digest or a link's text; `mtime` nanoseconds."""

    path: str
    kind: str
    mode: int
    size: int = 0
    mtime: int = 0
    content: str = ""


class CacheTarget(msgspec.Struct, frozen=True, array_like=True):
    """Where a build's cache is exported to; `is_max`: the steps of all stages, not of the image's alone."""

    reference: str
    is_max: bool = False


class BuildBody(msgspec.Struct, frozen=True, kw_only=True):
    """`secrets` are base64 by id; `auths` the registries' part of the user's Docker configuration.

    `contexts` are named contexts that are directories, `images` those that are images. `ssh` maps ids to paths of
    agents' sockets. `ulimits` maps a name to its soft and hard limit.
    """

    dockerfile: str
    context: list[ContextEntry]
    file: str = "Dockerfile"
    ignored: str = ""
    names: list[str] = []
    arguments: dict[str, str] = {}
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    index_annotations: dict[str, str] = {}
    secrets: dict[str, bytes] = {}
    ssh: dict[str, str] = {}
    contexts: dict[str, list[ContextEntry]] = {}
    images: dict[str, str] = {}
    hosts: list[tuple[str, str]] = []
    shm_bytes: int = 0
    ulimits: dict[str, tuple[int, int]] = {}
    network: Literal["default", "none", "host"] = "default"
    allows: list[str] = []
    target: str = ""
    platforms: list[str] = []
    uses_cache: bool = True
    uncached: list[str] = []
    pulls: bool = False
    epoch: Annotated[int, msgspec.Meta(ge=0, le=EPOCH_MAX)] | None = None
    sets_times: bool = False
    cache_from: list[str] = []
    cache_to: list[CacheTarget] = []
    has_inline_cache: bool = False
    is_docker: bool = False
    provenance: Literal["", "min", "max"] = ""
    auths: dict[str, Any] = {}

    def __repr__(self) -> str:
        return "BuildBody(…)"


class TagBody(msgspec.Struct, frozen=True):
    source: str
    target: str


class RemoveBody(msgspec.Struct, frozen=True):
    images: list[str]
    all_names: bool = False


class TransferBody(msgspec.Struct, frozen=True):
    """Of push and pull. `username` and `password` come from a credential helper, `auths` from the user's file. A pull
    fetches `referrers` and all platforms if it is told to."""

    image: str
    auths: dict[str, Any] = {}
    username: str = ""
    password: str = ""
    referrers: bool = False
    all_platforms: bool = False

    def __repr__(self) -> str:
        return f"TransferBody({self.image!r}, …)"


class PruneBody(msgspec.Struct, frozen=True):
    """`cache_age_seconds`: build records unused for that long go; `cache_bytes_max`: the oldest beyond that size too.
    `grace_seconds`: younger blobs stay. `cache_mounts`: directories of RUN --mount=type=cache go."""

    cache_age_seconds: float | None = 7 * 86400.0
    cache_bytes_max: int = 10 << 30
    context_bytes_max: int = 1 << 30
    grace_seconds: float = 600.0
    cache_mounts: bool = False


def decode(body: bytes, kind: type[Any]) -> Any:
    """Raises BadRequest."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the request's body is not understood: {error}") from error


def line(**fields: Any) -> bytes:
    return msgspec.json.encode(fields) + b"\n"
