"""CreateContainer: a root file system and the settings to start with. The runtime makes it when it is started.

So a command that is not there fails the start, as with other CRI servers, and the kubelet says RunContainerError.
"""

import asyncio
import dataclasses
import signal
from pathlib import Path
from socket import gethostname

import msgspec
from msgspec.structs import replace

from knarr.base import ids, logs
from knarr.base.errors import AlreadyExists, Invalid, KnarrError
from knarr.base.failpoints import failpoint
from knarr.base.ids import ContainerId
from knarr.cri.messages.config import ContainerConfig, ContainerMetadata, Mount, NamespaceOption
from knarr.cri.messages.container import CreateContainerRequest, CreateContainerResponse
from knarr.cri.messages.enums import ContainerEventType, NamespaceMode, Signal
from knarr.criserver import user_namespaces
from knarr.criserver.containers import declared_volumes, guard, profiles, remove, settings, status, users, volumes
from knarr.criserver.node import Node, Root, now
from knarr.criserver.records import ContainerRecord, SandboxRecord
from knarr.criserver.sandboxes import loss, pause, run
from knarr.criserver.user_namespaces import Users
from knarr.oci.image_config import ContainerConfig as ImageContainerConfig
from knarr.runtime import defaults, spec

_log = logs.log("criserver")


async def create(node: Node, request: CreateContainerRequest) -> CreateContainerResponse:
    sandbox = node.get_sandbox(request.pod_sandbox_id)
    config = request.config
    if config is None or config.metadata is None or config.image is None:
        raise Invalid("container config must include metadata and image")
    _refuse_other_users(settings.namespace_options(config), sandbox)
    if not loss.is_ready(node, sandbox.id):
        raise Invalid(f"sandbox {sandbox.id} is not ready")
    await _take_name(node, sandbox, config.metadata)
    container = ContainerId(ids.hex_id())
    log = f"{sandbox.config.log_directory}/{config.log_path}" if config.log_path else ""
    record = ContainerRecord(
        id=container,
        sandbox=sandbox.id,
        config=config,
        created_at=now(),
        cgroup_path=f"{sandbox.cgroup_parent}/{container}",
        log_path=log if sandbox.config.log_directory else "",
    )
    async with node.locks[container]:
        node.containers.put(kept(record))
        try:
            record = await _build(node, sandbox, record)
            if not loss.is_ready(node, sandbox.id):
                raise Invalid(f"sandbox {sandbox.id} was stopped meanwhile")
        except BaseException:
            await _clean_up(node, record)
            raise
        node.containers.put(kept(replace(record, is_complete=True)))
    status.publish(node, container, ContainerEventType.CONTAINER_CREATED_EVENT)
    return CreateContainerResponse(container_id=container)


async def _take_name(node: Node, sandbox: SandboxRecord, wanted: ContainerMetadata) -> None:
    """Raises AlreadyExists: a container keeps its name in the pod until it is removed. What a failed creation left
    goes first: no list shows it, so nobody else would."""
    while other := next((o for o in node.containers_of(sandbox.id) if o.config.metadata == wanted), None):
        if not node.is_abandoned(other):
            raise AlreadyExists(f"container name {f'{wanted.name}_{wanted.attempt}'!r} is reserved for {other.id!r}")
        async with node.locks[other.id]:
            await remove.remove_all(node, other)
        node.locks.pop(other.id, None)


async def _clean_up(node: Node, record: ContainerRecord) -> None:
    """After a creation that failed, whose error counts: what cannot go now goes before the name's next use."""
    try:
        await remove.remove_all(node, record)
    except (KnarrError, OSError) as error:
        _log.warning("a failed creation left something %s", logs.fields(container=record.id, error=error))
    else:
        node.locks.pop(record.id, None)


def kept(record: ContainerRecord) -> ContainerRecord:
    """The record as the disk may have it: the environment, where Secrets are, goes only into /run's config.json."""
    return replace(record, config=replace(record.config, envs=()))


def stop_signal(config: ContainerConfig, image: ImageContainerConfig) -> int:
    """The number of the signal that asks the container to end."""
    if config.stop_signal is not Signal.SIGNAL_RUNTIME_DEFAULT:
        return signal_number(config.stop_signal.name.removeprefix("SIGNAL_"))
    return signal_number(image.stop_signal) if image.stop_signal else signal.SIGTERM


def signal_number(name: str) -> int:
    """Of SIGTERM, TERM, 15, SIGRTMIN+3, RTMAXMINUS1. Raises Invalid."""
    word = name.strip().upper().removeprefix("SIG")
    if word.isascii() and word.isdigit() and 1 <= int(word) <= 64:
        return int(word)
    for base, number in (("RTMIN", 34), ("RTMAX", 64)):
        rest = word.removeprefix(base).replace("PLUS", "+").replace("MINUS", "-")
        if word.startswith(base) and (rest == "" or rest[1:].isdigit()):
            return number + int(rest or 0)
    aliases = {"POLL": "IO", "CLD": "CHLD"}
    try:
        return signal.Signals[f"SIG{aliases.get(word, word)}"].value
    except KeyError:
        raise Invalid(f"signal {name!r} is not known") from None


def _refuse_other_users(asked: NamespaceOption, sandbox: SandboxRecord) -> None:
    """Raises Invalid unless the container has the user namespace of its pod."""
    own, other = user_namespaces.wanted(asked), user_namespaces.of_sandbox(sandbox.config)
    if own != other:
        raise Invalid(f"user namespace of the container ({own}) is another than that of its sandbox ({other})")


async def _build(node: Node, sandbox: SandboxRecord, record: ContainerRecord) -> ContainerRecord:
    config, pods = record.config, run.users(node, sandbox)
    directory = node.places.container(record.id)
    assert config.image is not None
    user_namespaces.open_to(directory, pods)
    root = await node.roots.prepare(record.id, config.image.image, directory / "root", pods)
    failpoint("criserver.container.after_root")
    guard.check(root.path)
    context = settings.security(config)
    user = users.user(context, root.config.user, users.read_accounts(root.path))
    wanted, record = await _mounts(node, record, root, pods)
    taken = {*_sandbox_files(node, sandbox, root), *(mount.container_path for mount in wanted)}
    config = replace(config, mounts=(*declared_volumes.mounts(config, root, taken, pods), *wanted))
    rendered = settings.render(
        config, root.config, await _found(node, sandbox, replace(record, config=config), root, user)
    )
    if pods is None:
        guard.make_directory(root.path, rendered.cwd, user.uid, user.gid)
    else:
        ids = pods.mappings
        guard.make_directory(root.path, rendered.cwd, ids.uid(user.uid), ids.gid(user.gid))
        mounts = await asyncio.to_thread(user_namespaces.mapped, rendered.mounts, directory, pods)
        failpoint("criserver.container.after_mapping")
        rendered = dataclasses.replace(rendered, id_mappings=ids, mounts=mounts)
    settings_file = directory / "config.json"
    settings_file.touch(mode=0o600)
    settings_file.write_bytes(msgspec.json.encode(spec.render(rendered)))
    return replace(
        record,
        image_ref=root.image_ref,
        uid=user.uid,
        gid=user.gid,
        groups=user.additional_gids,
        stop_signal=stop_signal(config, root.config),
    )


async def _mounts(
    node: Node, record: ContainerRecord, root: Root, pods: Users | None
) -> tuple[tuple[Mount, ...], ContainerRecord]:
    """The mounts with their targets resolved in the root, and image volumes as directories of the host. The record says
    which images those are (KEP-5365)."""
    is_privileged = settings.security(record.config).privileged
    found, told = [], []
    for mount in record.config.mounts:
        target = guard.resolve(root.path, mount.container_path)
        guard.check_target(target, is_privileged=is_privileged)
        place = mount
        if mount.image is not None and mount.image.image:
            place, image_id = await volumes.mounted(node, record.id, mount, pods)
            mount = replace(mount, image=replace(mount.image, image_ref=image_id))
        told.append(mount)
        found.append(_from_host(place, target))
    return tuple(found), replace(record, config=replace(record.config, mounts=tuple(told)))


def _from_host(mount: Mount, target: str) -> Mount:
    if not Path(mount.host_path).exists():
        Path(mount.host_path).mkdir(parents=True)
    # Sources may be links of the host's; the runtime shall see where they lead.
    return replace(mount, container_path=target, host_path=str(Path(mount.host_path).resolve()))


async def _found(
    node: Node, sandbox: SandboxRecord, record: ContainerRecord, root: Root, user: spec.User
) -> settings.Found:
    config = record.config
    context = settings.security(config)
    limits = config.linux.resources if config.linux else None
    shared = settings.namespaces(config, pause.paths(node, sandbox), _pid_namespace(node, sandbox, config))
    unfiltered = spec.ContainerSettings(
        rootfs=root.path,
        arguments=(),
        cgroup_path="",
        capabilities_added=context.capabilities.add_capabilities if context.capabilities else (),
        capabilities_dropped=context.capabilities.drop_capabilities if context.capabilities else (),
    )
    return settings.Found(
        rootfs=root.path,
        cgroup_path=record.cgroup_path,
        hostname=sandbox.config.hostname or gethostname(),
        user=user,
        shared_namespaces=shared,
        sandbox_files=_sandbox_files(node, sandbox, root),
        devices=profiles.devices(config),
        apparmor_profile=await profiles.ready_apparmor_profile(context, armor=node.armor),
        seccomp_profile=profiles.seccomp_profile(context, frozenset(spec.capabilities(unfiltered))),
        oom_score_adj=limits.oom_score_adj if limits else None,
    )


def _sandbox_files(node: Node, sandbox: SandboxRecord, root: Root) -> dict[str, str]:
    directory = node.places.sandbox(sandbox.id)
    found = {
        guard.resolve(root.path, f"/etc/{name}"): str(directory / name) for name in ("hosts", "hostname", "resolv.conf")
    }
    own_ipc = run.options(sandbox.config).ipc is not NamespaceMode.NODE
    found[defaults.SHM] = str(directory / "shm") if own_ipc else defaults.SHM
    return found


def _pid_namespace(node: Node, sandbox: SandboxRecord, config: ContainerConfig) -> str | None:
    """The path of the one to join, "" for a new one, None for the host's."""
    wanted = settings.namespace_options(config)
    if wanted.pid is NamespaceMode.NODE:
        return None
    if wanted.pid is NamespaceMode.TARGET:
        target = node.get_container(wanted.target_id)
        return f"/proc/{node.runtime.pid(target.id)}/ns/pid"
    if wanted.pid is NamespaceMode.POD and sandbox.pause is not None:
        return f"/proc/{node.runtime.pid(sandbox.pause)}/ns/pid"
    return ""
