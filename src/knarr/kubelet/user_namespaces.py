"""User namespaces of pods with hostUsers: false: which ids of the host are whose.

Each such pod has 65,536 ids of its own, for as long as there is a directory of it: the file `userns` there tells, in
upstream's form, so that the next kubelet gives them to nobody else. Ranges follow one another from 65,536 on, without
those of the machine's logins (/etc/subuid) and of other clusters here. `for_sandbox` and `for_container` say it to the
runtime, which makes the namespace and maps the ids of root file systems and volumes.
Spec: docs "User Namespaces", "Use a User Namespace With a Pod".
"""

import contextlib
from collections.abc import Iterator, Sequence
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
_END: Final = 1 << 31  # Above it, some programs read negative numbers.
_TRIES: Final = 8
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
    """The ranges of a node's pods. `pods` is the directory with one directory for each pod, named by its uid.

    `clusters` has the directory of each cluster of this machine, and `subordinate` are files in the form of subuid(5):
    what they tell is somebody else's.
    """

    def __init__(
        self, pods: Path, pods_max: int, clusters: Path | None = None, subordinate: Sequence[Path] = ()
    ) -> None:
        self._pods = pods
        self._pods_max = pods_max
        self._clusters = clusters
        self._subordinate = subordinate

    def mapping(self, uid: str) -> UserNamespace:
        """The pod's own range, the same each time. Raises Invalid for a file that is not ours, Unavailable if full."""
        path = self._pods / uid / _FILE
        kept = _kept(path)
        if kept is None:
            kept = self._take(path)
        ids = (IDMapping(host_id=kept, container_id=0, length=LENGTH),)
        return UserNamespace(mode=NamespaceMode.POD, uids=ids, gids=ids)

    def _take(self, path: Path) -> int:
        """Two clusters may choose the same at once. Each looks after it wrote, so one of them sees it and goes on."""
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            chosen = self._free()
            mappings = (_Mapping(chosen, 0, LENGTH),)
            draft = path.with_suffix(".new")
            draft.write_bytes(msgspec.json.encode(_Kept(mappings, mappings)))
            draft.rename(path)
            if chosen not in self._of_neighbours():
                return chosen
        path.unlink()
        raise Unavailable(f"other clusters took the user namespace's ids first, {_TRIES} times")

    def _free(self) -> int:
        entries = self._pods.iterdir() if self._pods.is_dir() else ()
        taken = {_kept(entry / _FILE) for entry in entries} - {None}
        if len(taken) >= self._pods_max:
            raise Unavailable(f"could not find an empty slot to allocate a user namespace: {self._pods_max} are in use")
        taken |= self._of_neighbours()
        logins = [lent for path in self._subordinate for lent in _lent(path)]
        for first in range(LENGTH, _END, LENGTH):
            if first not in taken and not any(low < first + LENGTH and first < end for low, end in logins):
                return first
        raise Unavailable("could not find an empty slot to allocate a user namespace: all ids are somebody's")

    def _of_neighbours(self) -> set[int | None]:
        """What the other clusters' pods have. What cannot be read there is for them to refuse."""
        found: set[int | None] = set()
        for path in self._clusters.glob(f"*/kubelet/pods/*/{_FILE}") if self._clusters else ():
            if path.parent.parent != self._pods:
                with contextlib.suppress(Invalid):
                    found.add(_kept(path))
        return found


def _kept(path: Path) -> int | None:
    """The first id of the host that is a pod's; None if it has none. A file that lost its content with the power is
    nobody's: nothing of that pod has lived on."""
    try:
        content = path.read_bytes().strip(b"\0")
        kept = msgspec.json.decode(content, type=_Kept) if content else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.DecodeError as error:
        raise Invalid(f"{path}: {error}") from error
    if kept is None:
        return None
    for mappings in (kept.uidMappings, kept.gidMappings):
        if len(mappings) != 1 or mappings != kept.uidMappings or not _is_range(mappings[0]):
            raise Invalid(f"{path}: one mapping of {LENGTH} ids from 0 was expected")
    return kept.uidMappings[0].host_id


def _lent(path: Path) -> Iterator[tuple[int, int]]:
    """The first id of each range in the file, and the one after its last."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        words = line.strip().split(":")
        if len(words) == 3 and all(word.isascii() and word.isdigit() for word in words[1:]):
            yield int(words[1]), int(words[1]) + int(words[2])


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
