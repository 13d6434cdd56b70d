"""User namespaces of pods with hostUsers: false: which ids of the host are whose.

Each such pod has 65,536 ids of its own, for as long as there is a directory of it: the file `userns` there tells, in
upstream's form, so that the next kubelet gives them to nobody else. Ranges follow one another from 65,536 on, one for
each pod that the node may have. `for_sandbox` and `for_container` say it to the runtime, which makes the namespace and
maps the ids of root file systems and volumes. Spec: docs "User Namespaces", "Use a User Namespace With a Pod".
"""

from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from knarr.base.errors import Invalid, Unavailable, Unimplemented
from knarr.cri.messages.config import ContainerConfig, IDMapping, NamespaceOption, PodSandboxConfig, UserNamespace
from knarr.cri.messages.enums import NamespaceMode
from knarr.cri.messages.runtime import RuntimeHandler

LENGTH: Final = 65536
_FILE: Final = "userns"
_NEEDED: Final = (
    "kernel 6.3, unshare of util-linux, and a state directory whose file system maps ids; "
    "with --cri, a runtime that makes them (containerd 2.0 with crun 1.9 or runc 1.2)"
)


class _Mapping(msgspec.Struct, frozen=True, rename="camel"):
    host_id: int
    container_id: int
    length: int


class _Kept(msgspec.Struct, frozen=True):
    uidMappings: tuple[_Mapping, ...]
    gidMappings: tuple[_Mapping, ...]


class UserNamespaces:
    """The ranges of a node's pods. `pods` is the directory with one directory for each pod, named by its uid."""

    def __init__(self, pods: Path, pods_max: int) -> None:
        self._pods = pods
        self._pods_max = pods_max

    def mapping(self, uid: str) -> UserNamespace:
        """The pod's own range, the same each time. Raises Invalid for a file that is not ours, Unavailable if full."""
        kept = self._kept(uid)
        if kept is None:
            kept = self._free()
            path = self._pods / uid / _FILE
            path.parent.mkdir(parents=True, exist_ok=True)
            mappings = (_Mapping(kept, 0, LENGTH),)
            draft = path.with_suffix(".new")
            draft.write_bytes(msgspec.json.encode(_Kept(mappings, mappings)))
            draft.rename(path)
        ids = (IDMapping(host_id=kept, container_id=0, length=LENGTH),)
        return UserNamespace(mode=NamespaceMode.POD, uids=ids, gids=ids)

    def _free(self) -> int:
        taken = {self._kept(entry.name) for entry in self._pods.iterdir()} if self._pods.is_dir() else set()
        for number in range(1, self._pods_max + 1):
            if number * LENGTH not in taken:
                return number * LENGTH
        raise Unavailable(f"could not find an empty slot to allocate a user namespace: {self._pods_max} are in use")

    def _kept(self, uid: str) -> int | None:
        """The first id of the host that is the pod's; None if it has none."""
        path = self._pods / uid / _FILE
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except msgspec.DecodeError as error:
            raise Invalid(f"{path}: {error}") from error
        for mappings in (kept.uidMappings, kept.gidMappings):
            if len(mappings) != 1 or mappings != kept.uidMappings or not _is_range(mappings[0]):
                raise Invalid(f"{path}: one mapping of {LENGTH} ids from 0 was expected")
        return kept.uidMappings[0].host_id


def _is_range(mapping: _Mapping) -> bool:
    return (
        mapping.length == LENGTH and mapping.container_id == 0 and mapping.host_id > 0 and mapping.host_id % LENGTH == 0
    )


def refuse_without(handlers: tuple[RuntimeHandler, ...], name: str) -> None:
    """Raises Unimplemented unless that handler of the runtime makes user namespaces."""
    if not any(one.name == name and one.features and one.features.user_namespaces for one in handlers):
        raise Unimplemented(f'RuntimeClass handler "{name}" does not support user namespaces: they need {_NEEDED}')


def for_sandbox(config: PodSandboxConfig, users: UserNamespace) -> PodSandboxConfig:
    """The same sandbox with that user namespace."""
    assert config.linux is not None
    context = config.linux.security_context
    assert context is not None, "cri_config.py gives every sandbox one"
    options = replace(context.namespace_options or NamespaceOption(), userns_options=users)
    context = replace(context, namespace_options=options)
    return replace(config, linux=replace(config.linux, security_context=context))


def for_container(config: ContainerConfig, users: UserNamespace) -> ContainerConfig:
    """The same container in that user namespace, its mounts showing their owners as they are."""
    assert config.linux is not None
    context = config.linux.security_context
    assert context is not None, "cri_config.py gives every container one"
    options = replace(context.namespace_options or NamespaceOption(), userns_options=users)
    context = replace(context, namespace_options=options)
    mounts = tuple(replace(each, uidMappings=users.uids, gidMappings=users.gids) for each in config.mounts)
    return replace(config, linux=replace(config.linux, security_context=context), mounts=mounts)
