"""Image configuration: how a container of the image starts, and which layers it has (OCI config.md).

`ImageConfig` is a lens with the fields that knarr reads and writes; null and absent are the same. `chain_id` names the
file system that a list of layers adds up to.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from knarr.base.errors import BadRequest, Invalid
from knarr.oci import digest as digests
from knarr.oci.digest import Digest

SIZE_MAX = 8 << 20


class Healthcheck(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """Durations are nanoseconds; 0 is inherited."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """The `config` member. `shell`, `on_build` and `healthcheck` are Docker's additions."""

    user: str = ""
    exposed_ports: dict[str, dict[str, Any]] = {}
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    volumes: dict[str, dict[str, Any]] = {}
    working_dir: str = ""
    labels: dict[str, str] = {}
    stop_signal: str = ""
    args_escaped: bool = False
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] = ()
    on_build: tuple[str, ...] = ()


class RootFs(msgspec.Struct, frozen=True, kw_only=True):
    type: str = "layers"
    diff_ids: tuple[Digest, ...] = ()


class History(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    created: str = ""
    author: str = ""
    architecture: str = ""
    os: str = "linux"
    variant: str = ""
    config: ContainerConfig = ContainerConfig()
    rootfs: RootFs = RootFs()
    history: tuple[History, ...] = ()


def parse(content: bytes) -> ImageConfig:
    """The lens on a configuration's bytes. Raises BadRequest for bad JSON, Invalid for bad fields."""
    try:
        fields = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"image configuration: not JSON: {error}") from error
    try:
        parsed = msgspec.convert(without_null(fields), ImageConfig)
    except msgspec.ValidationError as error:
        raise Invalid(f"image configuration: {error}") from error
    for diff_id in parsed.rootfs.diff_ids:
        digests.parse(diff_id)
    return parsed


def encode(config: ImageConfig) -> bytes:
    """Deterministic bytes. `os`, `architecture` and `rootfs` are required members and always written."""
    members = msgspec.to_builtins(config)
    members.update(os=config.os, architecture=config.architecture, rootfs=msgspec.to_builtins(config.rootfs))
    return msgspec.json.encode({name: members[name] for name in config.__struct_fields__ if name in members})


def chain_id(diff_ids: Sequence[Digest]) -> str:
    """The chain id of layers, lowest first; "" for none (config.md, Layer ChainID)."""
    chain = ""
    for diff_id in diff_ids:
        chain = str(diff_id) if not chain else "sha256:" + hashlib.sha256(f"{chain} {diff_id}".encode()).hexdigest()
    return chain


def without_null(value: Any) -> Any:
    """The JSON without members that are null: Go writes null where the specification says absent."""
    if isinstance(value, dict):
        return {key: without_null(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [without_null(member) for member in value]
    return value
