"""CRI v1 messages: ImageService.

Plain frozen values with the specification's field names and proto3 zero values; a message field that is
not set is None. Windows messages are left out. Facts: cri/facts/cri.json (a test compares).
"""

from msgspec import Struct, field

from knarr.cri.messages.config import (
    ImageSpec,
    Int64Value,
    PodSandboxConfig,
)


class AuthConfig(Struct, frozen=True, kw_only=True):
    username: str = ""
    password: str = ""
    auth: str = ""
    server_address: str = ""
    identity_token: str = ""
    registry_token: str = ""


class FilesystemIdentifier(Struct, frozen=True, kw_only=True):
    mountpoint: str = ""


class UInt64Value(Struct, frozen=True, kw_only=True):
    value: int = 0


class FilesystemUsage(Struct, frozen=True, kw_only=True):
    timestamp: int = 0
    fs_id: FilesystemIdentifier | None = None
    used_bytes: UInt64Value | None = None
    inodes_used: UInt64Value | None = None


class Image(Struct, frozen=True, kw_only=True):
    id: str = ""
    repo_tags: tuple[str, ...] = ()
    repo_digests: tuple[str, ...] = ()
    size: int = 0
    uid: Int64Value | None = None
    username: str = ""
    spec: ImageSpec | None = None
    pinned: bool = False


class ImageFilter(Struct, frozen=True, kw_only=True):
    image: ImageSpec | None = None


class ImageFsInfoRequest(Struct, frozen=True, kw_only=True):
    pass


class ImageFsInfoResponse(Struct, frozen=True, kw_only=True):
    image_filesystems: tuple[FilesystemUsage, ...] = ()
    container_filesystems: tuple[FilesystemUsage, ...] = ()


class ImageStatusRequest(Struct, frozen=True, kw_only=True):
    image: ImageSpec | None = None
    verbose: bool = False


class ImageStatusResponse(Struct, frozen=True, kw_only=True):
    image: Image | None = None
    info: dict[str, str] = field(default_factory=dict)


class ListImagesRequest(Struct, frozen=True, kw_only=True):
    filter: ImageFilter | None = None


class ListImagesResponse(Struct, frozen=True, kw_only=True):
    images: tuple[Image, ...] = ()


class PullImageRequest(Struct, frozen=True, kw_only=True):
    image: ImageSpec | None = None
    auth: AuthConfig | None = None
    sandbox_config: PodSandboxConfig | None = None


class PullImageResponse(Struct, frozen=True, kw_only=True):
    image_ref: str = ""


class RemoveImageRequest(Struct, frozen=True, kw_only=True):
    image: ImageSpec | None = None


class RemoveImageResponse(Struct, frozen=True, kw_only=True):
    pass


class StreamImagesRequest(Struct, frozen=True, kw_only=True):
    filter: ImageFilter | None = None


class StreamImagesResponse(Struct, frozen=True, kw_only=True):
    images: tuple[Image, ...] = ()
